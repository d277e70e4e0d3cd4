"""The answer flow: what each stage is asked, attempts in order, and claims that another model mends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from langchain_core.documents import BaseDocumentCompressor, Document

import ragkit
from ragkit.answer import Answer
from ragkit.ask import AnswerPipeline, Attempt
from ragkit.document import Span, score_of, span_of
from ragkit.evaluate.outcome import observed
from ragkit.flow import Flow, run
from ragkit.gate import Gate, Relevance
from ragkit.generate import Generator
from ragkit.generate.chat import CitedGenerator
from ragkit.models.chat import openai_chat
from ragkit.testing import passages, scripted_chat
from ragkit.text import question
from ragkit.text.question import Asked
from ragkit.verify.evidence import EvidenceVerifier

QUESTION = "How many people do glass bridges carry?"
ASKED = Asked.of(QUESTION)
RIGHT, WRONG = "Glass bridges carry 40 people [1].", "Glass bridges carry 50 people [1]."
YEARLY = "They are tested every year [2]."


def cited(*replies: str) -> CitedGenerator:
    return CitedGenerator(scripted_chat(list(replies)))


def answered(*attempts: Generator | Attempt, policy: Any = "drop") -> Answer:
    pipeline = AnswerPipeline(retrieve=[], generate=attempts, verify=EvidenceVerifier(), policy=policy)
    return run(pipeline.respond(ASKED, passages()))


@dataclass(frozen=True)
class Never(Generator):
    """Must not be asked."""

    def flow(self, asked: Asked, passages: Sequence[Document], judged: Answer | None = None) -> Flow[Answer]:
        raise AssertionError("this attempt is not due")
        yield


def test_the_first_attempt_that_answers_is_the_last() -> None:
    assert answered(cited(RIGHT), Never()).text == "Glass bridges carry 40 people. [1]"


def test_a_later_attempt_is_made_where_the_answer_lacks_what_is_asked_for() -> None:
    for first in ("NOT IN THE SOURCES", WRONG, "Glass bridges carry people [1]."):
        assert answered(cited(first), cited(RIGHT)).text == "Glass bridges carry 40 people. [1]"


def test_the_better_answer_is_given_and_the_first_of_equals() -> None:
    assert answered(cited(YEARLY), cited("NOT IN THE SOURCES")).text == "They are tested every year. [1]"
    assert answered(cited(YEARLY), cited("Wooden ones are cheaper, but do not last [3].")).text == (
        "They are tested every year. [1]"
    )


def test_an_attempt_may_be_made_for_each_unsupported_claim_too() -> None:
    first = cited(f"{RIGHT} They fly [2].")
    assert answered(first, Never()).text == "Glass bridges carry 40 people. [1]"
    second = Attempt(cited(f"{RIGHT} {YEARLY}"), when="unsupported")
    assert answered(first, second).text == (
        "Glass bridges carry 40 people. [1] They are tested every year. [2]"
    )


def test_a_mending_attempt_is_given_only_the_claims_that_failed(model_server: Any) -> None:
    model_server.says = YEARLY
    mends = Attempt(
        CitedGenerator(openai_chat(model="m", base_url=model_server.url)), mends=True, when="unsupported"
    )
    answer = answered(cited(f"They fly to Mars [2]. {RIGHT}"), mends)
    assert answer.text == "They are tested every year. [1] Glass bridges carry 40 people. [2]"
    [request] = model_server.asked
    data = request["messages"][1]["content"]
    assert "They fly to Mars.\n</rejected-" in data
    assert "Glass bridges carry 40 people.\n</kept-" in data


def test_a_mending_attempt_that_finds_nothing_leaves_the_answer_as_it_was() -> None:
    mends = Attempt(cited("NOT IN THE SOURCES"), mends=True, when="unsupported")
    assert answered(cited(f"{RIGHT} They fly [2]."), mends, policy="flag").text == (
        "Glass bridges carry 40 people. [1] They fly. [2]"
    )


@dataclass(frozen=True)
class Recording(Generator):
    """Keeps what it is asked."""

    heard: list[Asked]

    def flow(self, asked: Asked, passages: Sequence[Document], judged: Answer | None = None) -> Flow[Answer]:
        self.heard.append(asked)
        return Answer(question=str(asked.text), context=tuple(passages))
        yield


@dataclass(frozen=True)
class Open(Gate):
    """Lets all questions pass, and keeps them."""

    heard: list[Asked]

    def weigh(self, asked: Asked, passages: Sequence[Document]) -> Relevance:
        self.heard.append(asked)
        return Relevance()


def test_of_a_follow_up_the_stages_are_asked_what_the_user_wrote(rag: ragkit.Rag) -> None:
    heard: list[Asked] = []
    pipeline = rag.answer_pipeline
    asked = AnswerPipeline(
        rewrite=pipeline.rewrite,
        retrieve=pipeline.retrieve,
        refine=pipeline.refine,
        gate=Open(heard),
        generate=[Recording(heard)],
    )
    moved = ragkit.Rag(corpus=rag.corpus.directory, ingest=rag.ingest_pipeline, answer=asked)
    before = [{"role": "user", "content": "What kind of negatives does DPR train with?"}]
    answer = moved.ask("and how many questions in a batch?", before)
    assert answer.question == "and how many questions in a batch?"
    assert [str(each.text) for each in heard] == ["and how many questions in a batch?"] * 2
    assert [str(each.standalone) for each in heard] == ["and how many questions in a batch?"] * 2
    assert all("DPR" in each.searches[0] for each in heard)


def test_a_chat_model_is_shown_the_questions_before_a_follow_up(model_server: Any) -> None:
    model_server.says = RIGHT
    history = question.messages([{"role": "user", "content": "What carries people?"}])
    follow_up = Asked(
        question.Query("And how many?"),
        question.Query("And how many?"),
        (question.Query("people And how many?"),),
        history,
    )
    run(CitedGenerator(openai_chat(model="m", base_url=model_server.url)).flow(follow_up, passages()))
    instruction, data = (message["content"] for message in model_server.asked[0]["messages"])
    assert "The question continues a conversation" in instruction
    assert "And how many?\n</question-" in data
    assert "What carries people?\n</conversation-" in data


class Reversed(BaseDocumentCompressor):
    """A reranker of another make, which only orders."""

    def compress_documents(self, documents: Any, query: str, callbacks: Any = None) -> Any:
        return list(reversed(documents))


class Scoring(BaseDocumentCompressor):
    """A reranker of another make, which says its scores as LangChain's do: the shortest passage first."""

    def compress_documents(self, documents: Any, query: str, callbacks: Any = None) -> Any:
        shortest = sorted(documents, key=lambda d: len(d.page_content))
        said = [{**d.metadata, "relevance_score": 0.9 - n / 100} for n, d in enumerate(shortest)]
        return [d.model_copy(update={"metadata": m}) for d, m in zip(shortest, said, strict=True)]


@pytest.mark.parametrize("refiner", [Reversed(), Scoring()])
def test_the_order_of_a_langchain_reranker_holds_in_search_and_for_the_answer(
    rag: ragkit.Rag, refiner: BaseDocumentCompressor
) -> None:
    pipeline = rag.answer_pipeline
    plain = AnswerPipeline(retrieve=pipeline.retrieve, generate=[Recording([])])
    before = ragkit.Rag(corpus=rag.corpus.directory, ingest=rag.ingest_pipeline, answer=plain)
    wanted = [d.id for d in refiner.compress_documents(before.search("hard negatives", 500), "")]
    reranked = AnswerPipeline(retrieve=pipeline.retrieve, refine=[refiner], generate=[Recording([])])
    after = ragkit.Rag(corpus=rag.corpus.directory, ingest=rag.ingest_pipeline, answer=reranked)
    assert [d.id for d in after.search("hard negatives", 500)] == wanted
    outcome = observed(after.stream("hard negatives"))
    assert [span_of(d) for d in after.search("hard negatives", 5)] == [
        Span(hit.document_id, hit.start, hit.end) for hit in outcome.context[:5]
    ]
    scores = [score_of(d) for d in after.search("hard negatives", 5)]
    assert scores == sorted(scores, reverse=True)


def test_a_question_is_parsed_once(rag: ragkit.Rag, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    of = question.ParsedQuestion.of.__func__  # type: ignore[attr-defined]

    def counting(cls: type[question.ParsedQuestion], text: str) -> question.ParsedQuestion:
        parsed.append(text)
        return of(cls, text)  # type: ignore[no-any-return]

    monkeypatch.setattr(question.ParsedQuestion, "of", classmethod(counting))
    rag.ask("How many layers does BERT-base have, and how many questions are in a batch of DPR?")
    assert len(parsed) == 3  # the question and its two parts
    assert len(set(parsed)) == 3


def test_an_answer_says_what_another_paper_says_otherwise() -> None:
    other = Document(
        page_content="Glass bridges carry 90 people and are rarely tested.",
        metadata={"document_id": "other", "start": 0, "end": 52, "title": "A survey"},
    )
    pipeline = AnswerPipeline(retrieve=[], generate=[cited(RIGHT)], verify=EvidenceVerifier())
    answer = run(pipeline.respond(ASKED, [*passages(), other]))
    [claim] = answer.claims
    assert claim.verdict.holds
    assert claim.against is not None
    assert (claim.against.title, claim.against.quote[:30]) == ("A survey", "Glass bridges carry 90 people ")
    assert claim.against.reason == "the claim says '40' where the source says '90'"
    assert Answer.model_validate(answer.as_json()).claims[0].against == claim.against


def test_the_papers_that_an_answer_cites_are_not_against_it() -> None:
    assert answered(cited(RIGHT)).claims[0].against is None


class Doubting(Gate):
    """Trusts the passages, and no answer."""

    def weigh(self, asked: Asked, passages: Sequence[Document]) -> Relevance:
        return Relevance()

    def confirm(self, asked: Asked, relevance: Relevance, answer: Answer) -> Relevance:
        return Relevance(0.2, "it is too uncertain")


def test_an_answer_that_is_too_uncertain_is_shown_as_the_closest_passages() -> None:
    pipeline = AnswerPipeline(
        retrieve=[], gate=Doubting(), generate=[cited(RIGHT)], verify=EvidenceVerifier()
    )
    answer = run(pipeline.respond(ASKED, passages()))
    assert answer.abstained is not None
    assert answer.text == (
        "I cannot answer this from the papers: it is too uncertain. The closest passages:\n\n"
        "“On Bridges”: Glass bridges carry 40 people. [1]"
    )
    assert answer.citation(1).verdict == "quoted"
    for number in (0, -1, 2):
        with pytest.raises(IndexError, match=rf"the answer has no citation \[{number}\]; it has 1"):
            answer.citation(number)
    assert Answer.model_validate(answer.as_json()).text == answer.text
