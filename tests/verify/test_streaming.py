"""Streamed answers: what is reported about each claim and when, and that it agrees with the end."""

from __future__ import annotations

import asyncio
import string
from collections.abc import Sequence
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from ragkit.answer import Answer, Verdict
from ragkit.ask import AnswerPipeline, Attempt
from ragkit.citation import Marked, parse, whole
from ragkit.flow import Event, Finished, Flow, Token, asteps, call, run, steps
from ragkit.generate import Generator
from ragkit.generate.chat import CitedGenerator, Task
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.policy import Policy
from ragkit.refine.context import Top
from ragkit.testing import passages, scripted_chat
from ragkit.text.question import Asked
from ragkit.verify import Verifier
from ragkit.verify.evidence import EvidenceVerifier
from ragkit.verify.streaming import CitationReady, ClaimReady

QUESTION = "How many people do glass bridges carry?"
SAID = "Glass bridges carry 40 people [1]. They carry 50 cars [3]. They are tested every year [2]."


def events(
    said: str,
    policy: Policy = "drop",
    verify: Verifier | None = EvidenceVerifier(),
    generate: Generator | None = None,
) -> list[Event]:
    """What happens while a model says *said*, a character a token; sync and async alike."""
    generate = generate or CitedGenerator(scripted_chat([said]))
    pipeline = AnswerPipeline(retrieve=[], generate=generate, verify=verify, policy=policy)

    async def streamed() -> list[Event]:
        return [event async for event in asteps(pipeline.respond(Asked.of(QUESTION), passages()))]

    happened = list(steps(pipeline.respond(Asked.of(QUESTION), passages())))
    told = [event for event in happened if isinstance(event, Token | CitationReady | ClaimReady)]
    assert told == [
        event for event in asyncio.run(streamed()) if isinstance(event, Token | CitationReady | ClaimReady)
    ]
    return happened


def outcome(happened: list[Event]) -> Answer:
    last = happened[-1]
    assert isinstance(last, Finished)
    assert isinstance(last.result, Answer)
    return last.result


def claims(happened: list[Event]) -> list[tuple[int, str, str, bool]]:
    return [
        (e.index, e.claim.text, str(e.claim.verdict), e.shown) for e in happened if isinstance(e, ClaimReady)
    ]


def said_before(happened: list[Event], index: int) -> str:
    """What the model had said when the claim was told of."""
    at = next(i for i, e in enumerate(happened) if isinstance(e, ClaimReady) and e.index == index)
    return "".join(e.text for e in happened[:at] if isinstance(e, Token))


def test_a_sentence_is_checked_once_the_next_one_begins() -> None:
    happened = events(SAID)
    assert said_before(happened, 0) == "Glass bridges carry 40 people [1]. T"
    assert said_before(happened, 1) == "Glass bridges carry 40 people [1]. They carry 50 cars [3]. T"
    assert said_before(happened, 2) == SAID


def test_what_drop_takes_out_is_never_shown_and_the_rest_is_numbered_as_in_the_answer() -> None:
    happened = events(SAID)
    assert claims(happened) == [
        (0, "Glass bridges carry 40 people.", "quoted", True),
        (1, "They carry 50 cars.", "unsupported", False),
        (2, "They are tested every year.", "quoted", True),
    ]
    assert [(e.claim.citations, e.reason) for e in happened if isinstance(e, ClaimReady)] == [
        ((1,), ""),
        ((), "the source does not have the number 50"),
        ((2,), ""),
    ]
    assert [e.citation.quote for e in happened if isinstance(e, CitationReady)] == [
        "Glass bridges carry 40 people.",
        "They are tested every year.",
    ]
    shown = [e.claim for e in happened if isinstance(e, ClaimReady) and e.shown]
    assert tuple(shown) == outcome(happened).numbered


def test_flag_shows_what_is_unsupported_with_its_verdict() -> None:
    happened = events(SAID, "flag")
    assert claims(happened)[1] == (1, "They carry 50 cars.", "unsupported", True)
    assert tuple(e.claim for e in happened if isinstance(e, ClaimReady)) == outcome(happened).numbered


def test_abstain_shows_nothing_before_all_is_judged() -> None:
    happened = events("Glass bridges carry 40 people [1]. They are tested every year [2].", "abstain")
    assert [shown for *_, shown in claims(happened)] == [False, False]
    assert outcome(happened).text == "Glass bridges carry 40 people. [1] They are tested every year. [2]"


def test_without_a_verifier_claims_are_told_of_unchecked() -> None:
    happened = events(SAID, verify=None)
    assert {verdict for _, _, verdict, _ in claims(happened)} == {"unchecked"}
    assert said_before(happened, 0) == "Glass bridges carry 40 people [1]. T"


class SlowVerifier(Verifier):
    """Asks someone."""

    def flow(self, asked: Asked, answer: Answer) -> Flow[Answer]:
        return (yield from call("verify", lambda given: run(EvidenceVerifier().flow(asked, given)), answer))


def test_a_verifier_that_takes_its_time_is_asked_once_and_at_the_end() -> None:
    happened = events(SAID, verify=SlowVerifier())
    assert said_before(happened, 0) == SAID
    assert claims(happened) == claims(events(SAID))


class FickleVerifier(EvidenceVerifier):
    """Finds the first claim unsupported once it has seen a second one."""

    quick: ClassVar[bool] = True

    def flow(self, asked: Asked, answer: Answer) -> Flow[Answer]:
        judged = yield from super().flow(asked, answer)
        if len(judged.claims) < 2:
            return judged
        first, *others = judged.claims
        return judged.model_copy(
            update={"claims": (first.model_copy(update={"verdict": Verdict.UNSUPPORTED}), *others)}
        )


def test_a_claim_whose_verdict_changes_is_told_of_again() -> None:
    happened = events(
        "Glass bridges carry 40 people [1]. They are tested every year [2].", verify=FickleVerifier()
    )
    assert claims(happened) == [
        (0, "Glass bridges carry 40 people.", "quoted", True),
        (0, "Glass bridges carry 40 people.", "unsupported", False),
        (1, "They are tested every year.", "quoted", True),
    ]


class RegrettingGenerator(CitedGenerator):
    """Takes back what it said."""

    def flow(self, asked: Asked, passages: Sequence[Document], judged: Answer | None = None) -> Flow[Answer]:
        yield from super().flow(asked, passages, judged)
        return Answer(question=str(asked.text), context=tuple(passages))


def test_a_claim_that_is_no_part_of_the_answer_is_taken_back() -> None:
    happened = events("", generate=RegrettingGenerator(scripted_chat([SAID])))
    assert claims(happened) == [
        (0, "Glass bridges carry 40 people.", "quoted", True),
        (1, "They carry 50 cars.", "unsupported", False),
        (0, "Glass bridges carry 40 people.", "quoted", False),
    ]
    assert outcome(happened).abstained


def test_an_answer_that_comes_whole_is_told_of_claim_by_claim() -> None:
    happened = events("", generate=ExtractiveGenerator(most=2))
    assert tuple(e.claim for e in happened if isinstance(e, ClaimReady)) == outcome(happened).numbered
    assert outcome(happened).text == "".join(e.text for e in happened if isinstance(e, Token))


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", ""),
        ("Glass bridges carry 40 people. ", ""),
        ("Glass bridges carry 40 people. [", ""),
        ("Glass bridges carry 40 people. [1] ", ""),
        ("Glass bridges carry 40 people. [1] T", "Glass bridges carry 40 people. [1]"),
        ("Glass bridges carry 40 people [1]. T", "Glass bridges carry 40 people [1]."),
        ("Glass bridges carry 40 people.\n[2] T", "Glass bridges carry 40 people."),
        ("- Glass bridges carry 40 people [1]\n- T", "- Glass bridges carry 40 people [1]"),
        ("They hold, e.g. f", ""),
    ],
)
def test_a_sentence_is_whole_when_no_mark_can_follow_it(text: str, sentences: str) -> None:
    assert whole(text) == sentences


pieces = st.sampled_from(
    [
        "Glass bridges carry 40 people",
        " [1]",
        "[2]",
        ". ",
        ".",
        "\n",
        "- ",
        "They last",
        "3.5",
        "e.g. ",
        "[",
        "] ",
    ]
)
texts = st.lists(pieces | st.text(string.ascii_letters + " .[]1\n", max_size=5), max_size=12).map("".join)


@given(texts)
def test_whole_sentences_are_a_beginning_of_the_text_and_leave_something(text: str) -> None:
    found = whole(text)
    assert text.startswith(found)
    assert not found or len(found) < len(text)


@given(
    st.lists(
        st.sampled_from(
            [
                "Glass bridges carry 40 people [1].",
                "They carry 50 cars. [1]",
                "They are tested every year [2].",
                "Whales sing.",
                "Wooden ones are cheaper, but do not last [2][9][3].",
                "Glass bridges carry 40 people and are tested every year [9][2][1].",
            ]
        ),
        max_size=4,
        unique=True,  # what is said twice is shown once
    )
)
def test_what_is_shown_in_the_end_is_the_answer(sentences: list[str]) -> None:
    happened = events(" ".join(sentences) or "Nothing.")
    last = {e.index: e for e in happened if isinstance(e, ClaimReady)}
    shown = tuple(e.claim for _, e in sorted(last.items()) if e.shown)
    assert shown == outcome(happened).numbered
    cited = {e.citation.number: e.citation.quote for e in happened if isinstance(e, CitationReady)}
    assert [cited[c.number] for c in outcome(happened).citations] == [
        c.quote for c in outcome(happened).citations
    ]
    assert len(last) == len(parse(" ".join(sentences) or "Nothing."))


# --- another generator


def second(said: str, question: str = QUESTION) -> Answer:
    """The answer of a pipeline whose model says *said* and which otherwise quotes.

    Checks that the claims and citations reported last are those of the answer.
    """
    writes, quotes = CitedGenerator(scripted_chat([said])), ExtractiveGenerator(most=1)
    pipeline = AnswerPipeline(retrieve=[], generate=[writes, quotes], verify=EvidenceVerifier())
    happened = list(steps(pipeline.respond(Asked.of(question), passages())))
    answer = outcome(happened)
    last = {e.index: e for e in happened if isinstance(e, ClaimReady)}
    assert [e.claim.text for _, e in sorted(last.items()) if e.shown] == [c.text for c in answer.claims]
    cited = {e.citation.number: e.citation.quote for e in happened if isinstance(e, CitationReady)}
    assert [cited[c.number] for c in answer.citations] == [c.quote for c in answer.citations]
    return answer


@pytest.mark.parametrize(
    "said",
    [
        "NOT IN THE SOURCES.",
        "They carry 50 cars [3].",
        "Glass bridges carry people [1].",
        "They are tested every year [2]. Bridges carry people [1].",
    ],
    ids=["declines", "is not supported", "does not say the number", "says several things"],
)
def test_the_papers_own_sentence_answers_where_the_model_does_not(said: str) -> None:
    assert (
        second(said, "How many people may be on a glass bridge?").text
        == "“On Bridges”: Glass bridges carry 40 people. [1]"
    )


def test_an_answer_of_the_model_stays_where_it_says_what_is_asked_for() -> None:
    assert (
        second("40 people can walk on glass bridges [1].").text == "40 people can walk on glass bridges. [1]"
    )


def test_an_answer_of_the_model_stays_where_the_papers_say_no_more() -> None:
    told = "They are tested every year [2]. Glass bridges carry people [1]."
    assert (
        second(told, "Who has built the glass bridges?").text
        == "They are tested every year. [1] Glass bridges carry people. [2]"
    )


def test_the_model_is_shown_what_focus_leaves_and_the_verifier_sees_all() -> None:
    shown: list[str] = []
    model = scripted_chat(["They are tested every year [1]. Glass bridges carry 40 people [1]."])

    class Listening(CitedGenerator):
        def write(self, task: Task) -> Flow[list[Marked]]:
            shown.append(task.context.text())
            return (yield from super().write(task))

    pipeline = AnswerPipeline(
        retrieve=[], generate=[Attempt(Listening(model), focus=[Top(k=1)])], verify=EvidenceVerifier()
    )
    answer = outcome(list(steps(pipeline.respond(Asked.of(QUESTION), passages()))))
    assert shown == ["“On Bridges”\n[1] Glass bridges carry 40 people."]
    assert answer.text == "They are tested every year. [1] Glass bridges carry 40 people. [2]"
    assert len(answer.context) == len(passages())
