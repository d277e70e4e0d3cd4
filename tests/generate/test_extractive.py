"""Which sentences and rows the verbatim generator chooses."""

from __future__ import annotations

from langchain_core.documents import Document

from ragkit.flow import run
from ragkit.generate.extractive import ExtractiveGenerator
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
