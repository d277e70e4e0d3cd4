"""Which language a text is in."""

from __future__ import annotations

import pytest

from ragkit.text.language import LANGUAGES, is_english, language_of, likelier


@pytest.mark.parametrize(
    "text",
    [
        "How many people do glass bridges carry?",
        "GRAFENNE transforms allotropic graphs",
        "80,000",
        "",
        "Die casting of glass",
        "De facto, PEG wins.",
        "ColBERT MaxSim",
        "and how many hard negatives?",
        "token reduction Refiner RAG",
        "infantile autism.",
        "BERT-large, GPT-4, LLaMA-2-7B",
        "https://example.org/de/und/der",
    ],
)
def test_what_could_be_english_is(text: str) -> None:
    assert is_english(text)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("de", "Mit wie vielen In-Batch-Negativen wird PEG trainiert?"),
        ("de", "Was macht MaxSim?"),
        (
            "de",
            "Was sagt „The Power of Noise: Redefining Retrieval for RAG Systems“ über zufällige Dokumente?",
        ),
        ("fr", "Combien de négatifs PEG utilise-t-il par lot ?"),
        ("es", "¿Cuántos parámetros tiene Auto-J?"),
        ("it", "Quanti parametri ha il modello?"),
        ("nl", "Hoeveel parameters heeft het model van de auteurs?"),
        ("pt", "Quantos parâmetros tem o modelo?"),
        ("pl", "Ile parametrów ma BERT-large?"),
        ("sv", "Vilken metod minskar hallucinationer?"),
        ("tr", "BERT-large kaç parametreye sahip?"),
        ("hu", "Hány paramétere van a BERT-large-nak?"),
        ("zh", "PEG 使用多少批内负样本？"),
        ("ja", "BERT-largeのパラメータ数は?"),
        ("ko", "BERT-large의 매개변수는 몇 개인가요?"),
        ("ru", "Сколько параметров у модели?"),
        ("ar", "كم عدد معلمات BERT-large؟"),
    ],
)
def test_a_short_question_tells_its_language(code: str, text: str) -> None:
    assert language_of(text) == code
    assert not is_english(text)


def test_every_language_has_one_code_and_one_name() -> None:
    assert len(LANGUAGES) == len(set(LANGUAGES.values()))
    assert all(len(code) == 2 and name.istitle() for code, name in LANGUAGES.items())


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("it", "SFR-RAG ha 9B parametri."),
        ("de", "Auto-J hat 13B Parameter."),
        ("nl", "GPT-3.5 en GPT-4"),
        ("zh", "由 GPT-4 生成的。"),
    ],
)
def test_of_a_few_words_it_can_be_told_in_which_of_two_languages_they_are(code: str, text: str) -> None:
    assert likelier(text, code)
    assert not likelier(text, "en", code)


@pytest.mark.parametrize(
    ("code", "text"), [("de", "Auto-J has 13B parameters."), ("fr", "PEG beats BGE."), ("it", "SFR-RAG-9B")]
)
def test_names_and_english_words_are_likelier_english(code: str, text: str) -> None:
    assert not likelier(text, code)
