"""The reader that ships: what it says of sentences, however long the source, and where it is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document

from ragkit.answer import Quote, Verdict
from ragkit.document import score_of, scores_of
from ragkit.errors import ModelError
from ragkit.models import reader
from ragkit.models.reader import READ, JointReader, SourceText
from ragkit.refine.context import Top
from ragkit.refine.reader import ReaderRanking
from ragkit.verify.attribution import Pair
from ragkit.verify.evidence import EvidenceVerifier
from ragkit.verify.support import Setting

BRIDGES = SourceText(
    "Bridges of glass",
    (
        "Bridges of glass are built in many valleys.",
        "The one at Fernhill carries 40 people at a time.",
        "It was opened in 2011 by the mayor.",
    ),
)


def best(question: str, source: SourceText) -> str:
    [read] = JointReader().read(question, [source])
    assert read.answers.shape == read.supports.shape == (len(source.sentences),)
    return source.sentences[int(read.answers.argmax())]


@pytest.mark.parametrize(
    ("question", "number"),
    [("How many people does the bridge at Fernhill carry?", 1), ("When was the bridge opened?", 2)],
)
def test_the_sentence_that_answers_is_the_likeliest(question: str, number: int) -> None:
    assert best(question, BRIDGES) == BRIDGES.sentences[number]


def test_a_claim_follows_from_its_sentence_and_a_false_one_does_not() -> None:
    model = JointReader()
    [true] = model.read("The bridge at Fernhill carries 40 people.", [BRIDGES])
    [false] = model.read("The bridge at Fernhill carries 400 people.", [BRIDGES])
    assert true.supported > 0 > false.supported
    assert true.supports.argmax() == 1


def test_a_long_source_is_read_in_parts_and_nothing_is_left_out() -> None:
    filler = tuple(f"Valley number {n} has no bridge of any kind, only a ford." for n in range(200))
    [read] = JointReader().read(
        "How many people does the bridge at Fernhill carry?",
        [SourceText("Bridges", (*filler, BRIDGES.sentences[1], *filler))],
    )
    assert np.isfinite(read.answers).all()
    assert read.answers.argmax() == len(filler)
    assert read.answers.max() - np.median(read.answers) > 2


def test_a_source_without_sentences_has_no_odds() -> None:
    [read] = JointReader().read("What?", [SourceText("A title", ())])
    assert (len(read.answers), read.answered) == (0, -np.inf)


def test_what_was_read_lately_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    [first] = JointReader().read("Who opened it?", [BRIDGES])
    monkeypatch.setattr(reader, "_joint", None)
    [again] = JointReader().read("Who opened it?", [BRIDGES])
    assert again is first


def test_a_folder_without_a_reader_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is no reader.*ragkit train verifier"):
        JointReader(model=str(tmp_path)).read("What?", [BRIDGES])


# --- where it is used


def passage(number: int, text: str, score: float) -> Document:
    known = {"document_id": "a", "title": "Bridges", "start": 1000 * number, "end": 1000 * number + len(text)}
    return Document(page_content=text, metadata={**known, "score": score, "scores": {"dense": score}})


PASSAGES = [
    passage(0, "People like bridges and walk over them every day.", 0.9),
    passage(1, "It rains.", 0.8),
    passage(2, "The bridge at Fernhill carries 40 people at a time.", 0.7),
    passage(3, "Tolls are paid at the northern end of the bridge.", 0.6),
]
ASKED = "How many people does the bridge at Fernhill carry?"


def test_what_is_likely_to_answer_comes_first_and_what_was_not_read_follows() -> None:
    ranked = ReaderRanking(depth=3, blend=0.3).compress_documents(PASSAGES, ASKED)
    assert [d.metadata["start"] // 1000 for d in ranked] == [2, 0, 1, 3]
    assert [score_of(d) for d in ranked] == sorted(map(score_of, ranked), reverse=True)
    assert scores_of(ranked[0])[READ] > 0 > scores_of(ranked[1])[READ]
    assert READ not in scores_of(ranked[3])


def test_the_best_few_are_those_that_are_likely_to_answer() -> None:
    [kept] = Top(k=1, reader=JointReader()).compress_documents(PASSAGES, ASKED)
    assert kept.page_content == PASSAGES[2].page_content


class Doubting(reader.PassageReader):
    """Finds that nothing follows from anything."""

    def read(self, first: str, sources: object) -> list[reader.SentenceOdds]:
        assert isinstance(sources, list)
        return [
            reader.SentenceOdds(np.full(len(s.sentences), -9.0), np.full(len(s.sentences), -9.0), -9.0, -9.0)
            for s in sources
        ]


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("At Fernhill, the bridge carries 40 people at a time.", Verdict.UNSUPPORTED),
        ("The bridge at Fernhill carries 40 people at a time.", Verdict.SUPPORTED),  # word for word: not read
    ],
)
def test_what_the_reader_finds_improbable_is_not_supported_unless_it_is_verbatim(
    claim: str, verdict: Verdict
) -> None:
    text = PASSAGES[2].page_content
    quote = Quote(document_id="a", title="Bridges", quote=text, start=0, end=len(text))
    pair = Pair(claim, (quote,))
    [plain] = EvidenceVerifier().judged([pair], [Setting()])
    [read] = EvidenceVerifier(reader=Doubting()).judged([pair], [Setting()])
    assert plain.verdict is Verdict.SUPPORTED
    assert read.verdict is verdict
