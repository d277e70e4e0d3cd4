"""Which sentences and rows the verbatim generator chooses."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from support import Stretched

from ragkit.flow import run
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.testing import HashedEmbeddings
from ragkit.text.question import Asked

ROWS = ("Fielder | 93.3 | 12.5", "Fielder Ensemble | 95.1 | 14.0", "Sorter | 88.2 | 11.9")


def _passage(text: str, start: int, **metadata: object) -> Document:
    known = {"document_id": "a", "title": "Sorting of mail", "start": start, "end": start + len(text)}
    return Document(page_content=text, metadata={**known, **metadata})


def chosen(question: str) -> list[str]:
    table = _passage(
        "\n".join(ROWS), 400, kind="table", header="Model | Accuracy (%) | Hours", caption="Table 2: Results."
    )
    prose = _passage(
        "The accuracy of Fielder and others on mail was compared with what people reach. Results of Fielder vary.",
        0,
    )
    caption = _passage(
        "Table 2 Accuracy of Fielder on mail, in percent, by model and hour.", 200, kind="caption"
    )
    found = run(ExtractiveGenerator(most=1).chosen(Asked.of(question), [prose, caption, table]))
    return [sentence.text for sentence in found.sentences]


def test_a_row_whose_cell_the_question_names_is_chosen_before_prose_about_it() -> None:
    assert chosen("What accuracy does Fielder reach?") == ["Model: Fielder, Accuracy (%): 93.3, Hours: 12.5"]


def test_a_caption_is_no_answer_without_a_full_stop_behind_its_number_either() -> None:
    assert not any(
        text.startswith("Table 2") for text in chosen("Accuracy of Fielder on mail by model and hour?")
    )


def answered(question: str, *texts: str) -> list[tuple[str, int, int]]:
    """The claims that are quoted from passages of one paper, each with its place in the paper."""
    starts = [sum(len(text) for text in texts[:n]) for n in range(len(texts))]
    passages = [_passage(text, start) for text, start in zip(texts, starts, strict=True)]
    found = run(ExtractiveGenerator(most=2).chosen(Asked.of(question), passages))
    return [(each.text, each.span.start, each.span.end) for each in found.sentences]


def test_vectors_of_any_length_choose_the_same_sentences() -> None:
    asked = Asked.of("Why does a sorter of mail need cold rooms?")
    texts = ("Rooms that are cold need a sorter of paper.", "The sorter of mail overheats in warm rooms.")
    passages = [_passage(text, 100 * n) for n, text in enumerate(texts)]
    plain, stretched = (
        run(ExtractiveGenerator(embed=embed).chosen(asked, passages))
        for embed in (HashedEmbeddings(), Stretched(HashedEmbeddings()))
    )
    assert [each.text for each in stretched.sentences] == [each.text for each in plain.sentences]
    assert stretched.signals == pytest.approx(plain.signals)


REASON = "Large sums push the sorter of mail into regions where its gradient vanishes."
REMEDY = "To counteract this effect, the products of the sorter are scaled by the root of the width."


def test_a_sentence_that_points_back_brings_what_it_points_to() -> None:
    [(text, start, end)] = answered(
        "Why are the products of the sorter scaled by the root of the width?", f"{REASON} {REMEDY}"
    )
    assert text == f"{REASON} {REMEDY}"
    assert (start, end) == (0, len(text))


def test_what_stands_in_the_passage_before_is_brought_from_there() -> None:
    """Passages overlap: the sentence that points back may be the first one of the nearest."""
    first = _passage(f"{REASON} {REMEDY}", 0)
    second = _passage(REMEDY, len(REASON) + 1)
    question = Asked.of("Why are the products of the sorter scaled by the root of the width?")
    found = run(ExtractiveGenerator(most=1).chosen(question, [second, first]))
    assert [each.text for each in found.sentences] == [f"{REASON} {REMEDY}"]


def test_another_paragraph_is_not_what_a_sentence_points_to() -> None:
    [(text, start, _), *_] = answered(
        "Why are the products of the sorter scaled by the root of the width?", f"{REASON}\n\n{REMEDY}"
    )
    assert (text, start) == (REMEDY, len(REASON) + 2)


def test_a_sentence_that_came_along_is_not_quoted_twice() -> None:
    texts = answered(
        "Why does the gradient of the sorter vanish, and what scales its products?", f"{REASON} {REMEDY}"
    )
    assert [text for text, *_ in texts] == [f"{REASON} {REMEDY}"]


def chance(question: str, *texts: str) -> float:
    """The log odds that the sentence that answers is among those chosen."""
    starts = [sum(len(text) for text in texts[:n]) for n in range(len(texts))]
    passages = [_passage(text, start) for text, start in zip(texts, starts, strict=True)]
    return run(ExtractiveGenerator(most=1).chosen(Asked.of(question), passages)).signals["chance"]


def test_a_choice_is_surer_the_fewer_sentences_could_answer_as_well() -> None:
    question = "How many letters does the sorter of mail read in an hour?"
    answer = "The sorter of mail reads 40 letters in an hour."
    besides = "Paper was dear in those years and people wrote little."
    assert chance(question, answer, besides) > 1.0
    assert abs(chance(question, answer, "A sorter reads 30 letters of mail in an hour.")) < 0.1
