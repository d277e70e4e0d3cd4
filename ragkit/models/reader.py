"""The reader: a small model that reads a question, or a claim, together with a passage.

It says of each sentence how likely it answers the question, and how likely it supports the claim.  The one
that ships has the six layers of all-MiniLM-L6-v2, trained further; `docs/verification.md` says on what, and
how good it is, and `ragkit train verifier` trains another.  Its layers are kept as whole numbers of 8 bits,
and the table of word vectors, which training leaves alone, is that of the installed base model.
"""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cachetools import LRUCache
from langchain_core.documents import Document
from numpy.typing import NDArray
from pydantic import PositiveInt

from ragkit.config.components import component, interface
from ragkit.document import digest, title_of
from ragkit.errors import ModelError
from ragkit.models import hub
from ragkit.models.openvino import Precision, Run, compiled, converted, padded, quietly, save
from ragkit.text.statements import PassageSentence, statements_of

Vector = NDArray[np.float64]


class SourceText(NamedTuple):
    """What is read: sentences that stand together, and the title above them."""

    title: str
    sentences: tuple[str, ...]


class SentenceOdds(NamedTuple):
    """Log odds, by the model, for each sentence of a source and for the source as a whole.

    `answers`: that it answers the question that was read with it; `supports`: that the claim follows from it.
    """

    answers: Vector
    supports: Vector
    answered: float
    supported: float


@interface
class PassageReader(ABC):
    """Reads sources together with a question or a claim."""

    @abstractmethod
    def read(self, first: str, sources: Sequence[SourceText]) -> list[SentenceOdds]:
        """How each of *sources* answers or supports *first*, a question or a claim."""


COLUMNS = ("supports", "answers")
"""What the model says of each token, and weighs it for, in this order."""

READ = "reader"
"""The name under which a passage keeps the log odds, by a reader, that its likeliest sentence answers."""


class ReadPassage(NamedTuple):
    """A passage, what it says, and how that answers or supports what it was read with.

    One that says nothing by itself was read as a whole, as one sentence.
    """

    passage: Document
    statements: Sequence[PassageSentence]
    reading: SentenceOdds


def read_passages(reader: PassageReader, first: str, passages: Sequence[Document]) -> list[ReadPassage]:
    """*passages*, each read by *reader* with *first*."""
    every = [statements_of([passage]) for passage in passages]
    sources = [
        SourceText(
            title_of(passage), tuple(statement.text for statement in statements) or (passage.page_content,)
        )
        for passage, statements in zip(passages, every, strict=True)
    ]
    return [ReadPassage(*each) for each in zip(passages, every, reader.read(first, sources), strict=True)]


@component("joint")
@dataclass(frozen=True)
class JointReader(PassageReader):
    """A transformer that reads both texts at once, sentence by sentence in their context.

    `model`: a folder that `ragkit train verifier` wrote; by default the model that ships.  A source that is
    longer than the model reads is read in parts.  What was read lately is remembered.
    """

    model: str = ""
    precision: Precision = "auto"
    batch_tokens: PositiveInt = 4096

    def read(self, first: str, sources: Sequence[SourceText]) -> list[SentenceOdds]:
        keys = [digest(self.model, self.precision, first, title, *texts) for title, texts in sources]
        with _lock:
            known = {key: _lately[key] for key in keys if key in _lately}
        new = {k: s for k, s in zip(keys, sources, strict=True) if k not in known and s.sentences}
        if new:
            found = _joint(self.model, self.precision).read(first, list(new.values()), self.batch_tokens)
            known |= zip(new, found, strict=True)
            with _lock:
                _lately.update({key: known[key] for key in new})
        return [known.get(key, _NOTHING) for key in keys]


_NOTHING = SentenceOdds(np.zeros(0), np.zeros(0), -np.inf, -np.inf)
_lately: LRUCache[str, SentenceOdds] = LRUCache(4096)
_lock = threading.Lock()

SHIPPED = Path(__file__).with_name("joint")
_CONVERSION = "joint reader 1"  # changed when the way it is converted changes
_FIRST, _TITLE = 120, 150  # tokens of a question or claim, and characters of a title, that are read


class Part(NamedTuple):
    """Token ids as the model takes them; where its source begins; and the sentence of each token there."""

    ids: list[int]
    at: int
    owners: NDArray[np.int64]


@dataclass(frozen=True)
class _Joint:
    """The model, loaded: ids, mask and types in; for each token, what it says for its sentence out."""

    run: Run
    tokenizer: Any
    longest: int

    def read(self, first: str, sources: Sequence[SourceText], most: int) -> list[SentenceOdds]:
        parts = [
            (n, part)
            for n, source in enumerate(sources)
            for part in parts_of(self.tokenizer, self.longest, first, source)
        ]
        found = [np.full((len(source.sentences), 2), -np.inf) for source in sources]
        whole = np.full((len(sources), 2), -np.inf)
        order = sorted(range(len(parts)), key=lambda i: len(parts[i][1].ids))
        for batch in batches([len(parts[i][1].ids) for i in order], most):
            some = [parts[order[i]] for i in batch]
            for (n, part), rows in zip(some, self.run(inputs_of([part for _, part in some])), strict=True):
                whole[n] = np.maximum(whole[n], rows[0, 4:])
                tokens = rows[part.at : part.at + len(part.owners)].astype(np.float64)
                for sentence in np.unique(part.owners[part.owners >= 0]):
                    own = tokens[part.owners == sentence]
                    weights = np.exp(np.clip(own[:, 2:4], -8, 8))
                    found[n][sentence] = (own[:, :2] * weights).sum(axis=0) / weights.sum(axis=0)
        return [
            SentenceOdds(
                answers=each[:, 1], supports=each[:, 0], answered=float(all_[1]), supported=float(all_[0])
            )
            for each, all_ in zip(found, whole, strict=True)
        ]


def parts_of(tokenizer: Any, longest: int, first: str, source: SourceText) -> Iterator[Part]:
    """*first* and *source* in as many parts as a window of *longest* tokens asks for, whole sentences each."""
    start, end = tokenizer.encode("").ids
    head = tokenizer.encode(first, add_special_tokens=False).ids[:_FIRST]
    title = source.title[:_TITLE]
    every = tokenizer.encode_batch([title, *source.sentences], add_special_tokens=False)
    above, *pieces = [encoding.ids for encoding in every]
    room = longest - 3 - len(head) - len(above)
    before = [start, *head, end, *above]

    def part(sentences: Sequence[int]) -> Part:
        ids = [token for n in sentences for token in pieces[n]][:room]
        owners = [n for n in sentences for _ in pieces[n]][:room]
        return Part([*before, *ids, end], len(head) + 2, np.array([-1] * len(above) + owners, dtype=np.int64))

    held: list[int] = []
    length = 0
    for n, piece in enumerate(pieces):
        if held and length + len(piece) > room:
            yield part(held)
            held, length = [], 0
        held.append(n)
        length += len(piece)
    yield part(held)


def batches(lengths: Sequence[int], most: int) -> Iterator[range]:
    """Ranges of *lengths*, which ascend, of at most *most* tokens when all are as long as the last."""
    start = 0
    for n, length in enumerate(lengths):
        if n > start and (n + 1 - start) * length > most:
            yield range(start, n)
            start = n
    if start < len(lengths):
        yield range(start, len(lengths))


def inputs_of(parts: Sequence[Part]) -> Mapping[str, NDArray[np.int64]]:
    """What `network` takes: ids, mask and types, each of shape (parts, tokens)."""
    ids, mask = padded([part.ids for part in parts])
    types = np.zeros_like(ids)
    for row, part in enumerate(parts):
        types[row, part.at : len(part.ids)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


# --- its files


@functools.cache
def _joint(model: str, precision: Precision) -> _Joint:
    """The model, loaded once a process however many components name it."""
    directory = Path(model).expanduser() if model else SHIPPED
    try:
        notes = json.loads((directory / "reader.json").read_text(encoding="utf-8"))
        weights = (directory / "reader.safetensors").read_bytes()
    except OSError:
        raise ModelError(
            f"'{directory}' is no reader: it has no reader.json and reader.safetensors; make one with"
            " `ragkit train verifier`, or leave `model` out for the one that ships"
        ) from None
    base = hub.files(notes["base"])
    identity = digest(_CONVERSION, hub.fingerprint(base), hashlib.sha256(weights).hexdigest())
    folder = converted(identity, lambda made: _convert(base, directory, made))
    return _Joint(compiled(folder, precision), hub.tokenizer(base), notes["longest"])


def network(base: Path) -> Any:
    """A torch module of the encoder in *base* with untrained heads: what is trained, and what is converted.

    Its output, of shape (texts, tokens, 6), has for each token what it says for its sentence of supporting
    and answering, the logarithms of what that weighs, and of the first token the same two for the whole.
    """
    import torch

    with quietly():
        from transformers import AutoModel

        encoder = AutoModel.from_pretrained(str(base), add_pooling_layer=False, local_files_only=True)

    class Network(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.enc = encoder
            self.token = torch.nn.Linear(encoder.config.hidden_size, 4)
            self.whole = torch.nn.Linear(encoder.config.hidden_size, 2)

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            states = self.enc(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).last_hidden_state
            return torch.cat([self.token(states), self.whole(states)], dim=-1)

    return Network()


def write(folder: Path, module: Any, base: str, longest: int, notes: Mapping[str, Any]) -> None:
    """Write what training changed of `network` to *folder*; *notes* say how it was trained.

    A matrix is kept as whole numbers from -127 to 127, with what one is worth in each row.
    """
    import torch
    from safetensors.torch import save_file

    kept: dict[str, Any] = {}
    for name, value in module.state_dict().items():
        if name.startswith("enc.embeddings.") or name.endswith("position_ids"):
            continue
        value = value.detach().float().cpu()
        if value.ndim == 2:
            unit = value.abs().amax(dim=1, keepdim=True).clamp(min=1e-8) / 127
            kept[name] = (value / unit).round().to(torch.int8)
            kept[f"{name}.unit"] = unit
        else:
            kept[name] = value
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in kept.items()}, folder / "reader.safetensors")
    told = {"base": base, "longest": longest, **notes}
    (folder / "reader.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def read_into(module: Any, directory: Path) -> None:
    """Set what training changed of `network` to what is in *directory*."""
    from safetensors.torch import load_file

    kept = load_file(directory / "reader.safetensors")
    values = {
        name: value.float() * kept[f"{name}.unit"] if f"{name}.unit" in kept else value
        for name, value in kept.items()
        if not name.endswith(".unit")
    }
    missing, unknown = module.load_state_dict(values, strict=False)
    lost = [name for name in missing if not name.startswith("enc.embeddings.")]
    if lost or unknown:
        raise ModelError(f"'{directory}' does not fit its base model: {', '.join([*lost, *unknown][:3])}")


def _convert(base: Path, directory: Path, folder: Path) -> None:
    module = network(base)
    read_into(module, directory)
    save(module, ("input_ids", "attention_mask", "token_type_ids"), folder)
    (folder / "notes.json").write_text(json.dumps({"reader": str(directory.name)}))
