"""When not to answer: what the passages and the judged answer tell, and what is made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from support import ROOT

import ragkit
from ragkit import config, pipeline_file
from ragkit.answer import Answer, Cited, Claim, Finding, Verdict
from ragkit.document import scored
from ragkit.errors import ConfigError
from ragkit.flow import run
from ragkit.gate import (
    FOUND,
    CalibratedGate,
    Gate,
    Logistic,
    Relevance,
    found_signals,
    judged_signals,
    support,
)
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.testing import check_component, passages
from ragkit.text.question import Asked, ParsedQuestion
from ragkit.verify.evidence import EvidenceVerifier

BRIDGES = "How many people do glass bridges carry?"
ASKED = Asked.of(BRIDGES)


def found(text: str, cosine: float | None = 0.6, title: str = "") -> Document:
    return scored(
        Document(page_content=text, metadata={"title": title}),
        1.0,
        {} if cosine is None else {"dense": cosine},
    )


def said(*claims: tuple[str, Verdict, float], question: str = BRIDGES) -> Answer:
    """An answer of claims, each with the verdict on it and the score of its citation."""
    cited = [
        (text, verdict, Cited(mark=n, finding=Finding(verdict=verdict, score=score, reason="so it is")))
        for n, (text, verdict, score) in enumerate(claims, 1)
    ]
    made = tuple(Claim(text=text, verdict=verdict, cites=(each,)) for text, verdict, each in cited)
    return Answer(question=question, claims=made)


def test_the_calibrated_gate_is_a_component() -> None:
    check_component(CalibratedGate, retriever="dense")


# --- what the passages tell


def test_the_signals_of_passages_that_answer() -> None:
    assert found_signals(
        ParsedQuestion.of("How many people does GlassNet-2 carry?"), [found("GlassNet-2 carries 40 people.")]
    ) == {
        "nearest": 0.6,
        "coverage": 1.0,
        "codes_missing": 0.0,
        "names_missing": 0.0,
        "together": 1.0,
        "asked_missing": 0.0,
        "number_missing": 0.0,
    }


def test_the_signals_of_passages_that_do_not() -> None:
    signals = found_signals(
        ParsedQuestion.of("How many tourists did GlassNet-2 and Oslo count?"),
        [found("Wooden bridges rot."), found("They carry 12.", 0.1)],
    )
    assert signals == {
        "nearest": 0.6,
        "coverage": 0.0,
        "codes_missing": 1.0,
        "names_missing": 1.0,
        "together": 0.0,
        "asked_missing": 1.0,
        "number_missing": 1.0,
    }


def test_without_the_retriever_there_is_no_nearest_passage() -> None:
    assert "nearest" not in found_signals(
        ParsedQuestion.of(BRIDGES), [found("Glass bridges carry 40 people.", None)]
    )


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("Self-RAG reflects.", 0.0),
        ("Self RAG reflects.", 0.0),
        ("RAG that reflects on it by itself: self reflection", 1.0),
        ("Self-RAGs reflect.", 0.0),
    ],
)
def test_a_name_of_several_parts_has_them_side_by_side(text: str, missing: float) -> None:
    assert (
        found_signals(ParsedQuestion.of("What does Self-RAG do?"), [found(text)])["codes_missing"] == missing
    )


def test_names_that_stand_in_different_passages_are_not_together() -> None:
    question = "Does BEIR contain MS-MARCO?"
    assert (
        found_signals(ParsedQuestion.of(question), [found("BEIR is broad."), found("MS-MARCO is large.")])[
            "together"
        ]
        == 0.0
    )
    assert found_signals(ParsedQuestion.of(question), [found("BEIR contains MS-MARCO.")])["together"] == 1.0


@pytest.mark.parametrize(
    ("question", "text", "missing"),
    [
        ("How many stories does it tell?", "It tells 12 stories.", 0.0),
        ("How many stories does it tell?", "It tells stories. It has 12 pages.", 1.0),
        ("How many of the 12 stories are true?", "It tells 12 stories.", 1.0),
        ("What learning rate was used?", "We train with 0.001.", 0.0),
        ("What learning rate was used?", "We train it for long.", 1.0),
        ("What is a story?", "It is told.", 0.0),
    ],
)
def test_a_number_that_is_asked_for_must_be_there(question: str, text: str, missing: float) -> None:
    assert found_signals(ParsedQuestion.of(question), [found(text)])["number_missing"] == missing


def test_a_number_in_a_table_need_not_stand_by_what_it_counts() -> None:
    rows = Document(
        page_content="glass | long | 40",
        metadata={"caption": "People that bridges carry", "header": "Bridge | Span | Number"},
    )
    asked = ParsedQuestion.of(BRIDGES)
    assert found_signals(asked, [scored(rows, 1.0)])["number_missing"] == 0.0
    other = rows.model_copy(update={"metadata": {**rows.metadata, "caption": "Cars"}})
    assert found_signals(asked, [scored(other, 1.0)])["number_missing"] == 1.0


def test_what_is_asked_for_must_stand_where_the_names_do() -> None:
    question = "Under which license is Dolma released?"
    assert (
        found_signals(
            ParsedQuestion.of(question), [found("Dolma is released."), found("The license is free.")]
        )["asked_missing"]
        == 1.0
    )
    assert (
        found_signals(ParsedQuestion.of(question), [found("Dolma has a free license.")])["asked_missing"]
        == 0.0
    )


@given(st.text(max_size=60), st.lists(st.text(max_size=80), min_size=1, max_size=4))
def test_every_signal_is_a_share_whatever_the_texts(question: str, texts: list[str]) -> None:
    signals = found_signals(ParsedQuestion.of(question), [found(text) for text in texts])
    assert {name: value for name, value in signals.items() if not 0 <= value <= 1 + 1e-9} == {}


# --- what is made of them


def test_a_question_that_its_passages_answer_passes() -> None:
    assert CalibratedGate().weigh(ASKED, passages()).refusal is None


@pytest.mark.parametrize(
    ("question", "passage", "reason"),
    [
        (
            "Who won the match?",
            found("Glass bridges carry 40 people.", 0.05),
            "no relevant passage was found",
        ),
        (
            "What accuracy does ZorgNet-9 reach?",
            found("The accuracy of BERT is 93.2.", 0.5),
            "none of the closest passages mentions 'ZorgNet-9'",
        ),
        (
            "Wie groß, so Hößl, ist Kovačevićs ZorgNet-9?",
            found("The accuracy of BERT is 93.2.", 0.5),
            "none of the closest passages mentions 'ZorgNet-9'",
        ),
        (
            "In what year was Mozart born?",
            found("In 1990 it was born.", 0.1),
            "no relevant passage was found",
        ),
        (
            "How many bridges rot?",
            found("Wooden bridges rot.", 0.5),
            "no passage contains the requested number",
        ),
    ],
)
def test_a_question_is_declined_for_what_speaks_most_against_it(
    question: str, passage: Document, reason: str
) -> None:
    assert CalibratedGate().weigh(Asked.of(question), [passage]).refusal == reason


def test_nothing_found_is_declined() -> None:
    assert CalibratedGate().weigh(ASKED, []) == Relevance(0.0, "nothing was found")


def test_where_the_retriever_scored_nothing_the_words_decide() -> None:
    gate = CalibratedGate(retriever="another")
    assert gate.weigh(ASKED, passages()).refusal is None
    assert gate.weigh(Asked.of("Who won the match?"), passages()).refusal == "no relevant passage was found"


def test_a_probability_is_the_logistic_function_of_the_weighed_signals() -> None:
    part = Logistic({"nearest": 2.0, "together": 1.0}, bias=-1.0)
    assert part({"nearest": 0.5, "coverage": 0.3}) == 0.5
    assert round(part({"nearest": 0.5, "together": 1.0}), 4) == 0.7311


# --- what the answer tells


def test_the_signals_of_a_judged_answer() -> None:
    answer = said(
        ("Glass bridges carry 40 people.", Verdict.SUPPORTED, 1.0),
        ("Many cross them.", Verdict.UNSUPPORTED, 0.5),
    )
    assert judged_signals(ASKED.parsed, Relevance(0.5), answer) == {
        "covered": 0.45,
        "lead": 0.34,
        "chance": 1.68,
        "answers": 0.17,
        "found": 0.0,
        "support": 0.75,
        "supported": 0.5,
        "said": 1.0,
        "number_unsaid": 0.0,
        "written": 1.0,
    }


def test_what_is_only_quoted_is_not_written() -> None:
    quoted = run(
        EvidenceVerifier().flow(
            ASKED,
            run(
                ExtractiveGenerator(most=1).flow(
                    Asked.of("How many people do glass bridges carry?"), passages()
                )
            ),
        )
    )
    assert judged_signals(ASKED.parsed, Relevance(0.5), quoted)["written"] == 0.0


def test_a_number_that_only_an_unsupported_claim_gives_is_not_said() -> None:
    answer = said(
        ("Glass bridges carry people.", Verdict.SUPPORTED, 1.0),
        ("They carry 40 people.", Verdict.UNSUPPORTED, 0.2),
    )
    assert judged_signals(ASKED.parsed, Relevance(0.5), answer)["number_unsaid"] == 1.0


def test_an_answer_is_surer_the_better_its_citations_support_it() -> None:
    gate = CalibratedGate()
    good, bad = (
        gate.confirm(
            ASKED, Relevance(0.9), said(("Glass bridges carry 40 people.", Verdict.SUPPORTED, score))
        )
        for score in (1.0, 0.2)
    )
    assert good.score > bad.score
    assert good.refusal is None
    assert bad.refusal == "the best answer found is too uncertain (about 47% of such answers are right)"


def test_passages_with_everything_but_too_little_of_it_are_not_relevant_enough() -> None:
    gate = CalibratedGate(found=Logistic(FOUND.weights, FOUND.bias, threshold=0.9999))
    relevance = gate.weigh(ASKED, [found("Glass bridges carry 40 people.", 0.8)])
    assert relevance.refusal == "no relevant passage was found"


def test_an_answer_below_the_threshold_is_refused() -> None:
    gate = CalibratedGate(judged=Logistic({"support": 4.0}, bias=-2.0, threshold=0.5))
    assert gate.confirm(ASKED, Relevance(), said(("They carry 40.", Verdict.SUPPORTED, 0.6))).refusal is None
    assert (
        gate.confirm(ASKED, Relevance(), said(("They carry 40.", Verdict.SUPPORTED, 0.4))).refusal
        == "the best answer found is too uncertain (about 40% of such answers are right)"
    )


def test_a_gate_of_another_make_need_only_weigh_passages() -> None:
    class Open(Gate):
        def weigh(self, asked: Asked, passages: object) -> Relevance:
            return Relevance(0.5)

    assert Open().confirm(
        ASKED, Relevance(0.5), said(("They carry 40.", Verdict.SUPPORTED, 0.8))
    ) == Relevance(0.4)


def test_support_is_the_mean_of_the_claims_best_citations_and_whole_where_none_was_judged() -> None:
    assert support(said(("One.", Verdict.SUPPORTED, 1.0), ("Two.", Verdict.UNSUPPORTED, 0.5))) == 0.75
    assert support(said(("One.", Verdict.UNCHECKED, 0.0))) == 0.5
    assert support(Answer(question="", claims=(Claim(text="One."),))) == 1.0
    assert support(Answer(question="")) == 1.0


# --- in a pipeline file


def default_with(gate: str) -> ragkit.Rag:
    text = (ROOT / "ragkit" / "presets" / "default.yaml").read_text()
    return config.loads(pipeline_file.Rag, text.replace("gate: calibrated", f"gate: {gate}"))


def test_the_numbers_are_plain_in_a_pipeline_file() -> None:
    rag = default_with(
        "{type: calibrated, found: {weights: {nearest: 6, coverage: 2}, bias: -3, threshold: 0.4}}"
    )
    assert rag.answer_pipeline.gate == CalibratedGate(
        found=Logistic({"nearest": 6.0, "coverage": 2.0}, -3.0, 0.4)
    )
    assert config.loads(pipeline_file.Rag, ragkit.dump(rag)).answer_pipeline.gate == rag.answer_pipeline.gate


def test_a_signal_that_there_is_not_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(
        ConfigError, match=r"there is no signal 'nearset' to weigh in found \(did you mean 'nearest'\?\)"
    ):
        default_with("{type: calibrated, found: {weights: {nearset: 6}, bias: -3}}")
