"""Models small enough to be made by a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ragkit.models.openvino import quietly

WORDS = "glass bridge bridges carry people wooden test tested year what how many do are every ones cheaper last not on they but . ?".split()


def tiny_cross_encoder(
    directory: Path, labels: int = 1, spread: float = 0.4, words: Sequence[str] = WORDS
) -> Path:
    """A BERT of two small layers with weights of standard deviation *spread*, as `transformers` saves it."""
    with quietly():
        import torch
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
        from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        vocabulary = {word: i for i, word in enumerate([*special, *dict.fromkeys(words)])}
        tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
        names = dict(
            zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True)
        )
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=48, **names)
        shape = BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=48,
            num_labels=labels,
            initializer_range=spread,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            BertForSequenceClassification(shape).save_pretrained(directory)
        fast.save_pretrained(directory)
    return directory
