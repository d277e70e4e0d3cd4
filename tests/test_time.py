"""No text takes more than a moment, whatever it repeats: as a question, a passage, a claim or a reply."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from langchain_core.messages import AIMessage

from ragkit import citation
from ragkit.generate.chat import accepted, read_claims
from ragkit.models.prompt import fenced, said
from ragkit.text import facts, language, marks, words
from ragkit.text.question import Mentions, ParsedQuestion, parsed, unmentioned
from ragkit.verify import support

HOSTILE = {
    "word": "a" * 60_000,
    "capitals": "AB" * 30_000,
    "blank": " " * 60_000,
    "lines": "\n" * 60_000,
    **{repr(unit): unit * 8_000 for unit in ("7", "[", "(", "{", "\\", "“", "1,", "A ", "Ab1-", "of ", "not ", "知")},
    **{repr(unit): unit * 2_000 for unit in ("[1]", "more than ", '{"text":', "<think>", "a. ")},
}  # fmt: skip
MOST = 10.0
"""Seconds of processor time for all functions together; ordinary texts of this length take under two."""
QUESTIONS = (
    "What does ABC stand for?",
    "What is BERT?",
    "How many tasks does BERT have?",
    "Which model is larger, BERT or GPT-3?",
    "Who proposed BERT, and when?",
)
CLAIM = "BERT (ABC) is a model of 40 tasks."


def as_question(text: str) -> Iterator[Callable[[], object]]:
    for question in (
        "{}",
        "What does {} stand for?",
        "What is {}?",
        "How many {} are there?",
        "Compare {} with {}",
    ):
        yield lambda asked=question.replace("{}", text): _answered(asked, CLAIM)
    yield lambda: unmentioned(parsed(f"Does {text} use BERT?"), [Mentions.of(CLAIM)])
    yield lambda: Mentions.of(CLAIM).has(text)


def as_passage(text: str) -> Iterator[Callable[[], object]]:
    for question in QUESTIONS:
        yield lambda asked=question: _answered(asked, text)
    for read in (words.sentences, words.stems, words.numbers, words.quantities, words.names, words.codes):
        yield lambda read=read: read(text)
    yield lambda: unmentioned(parsed("Does GPT-4 use BERT?"), [Mentions.of(text)])
    yield lambda: [marks.unmarked(text), language.language_of(text), fenced("{fence}", {"sources": text})]
    yield lambda: support.smallest_support(CLAIM, text, text)
    yield lambda: support.support_of(CLAIM, text, text)


def as_reply(text: str) -> Iterator[Callable[[], object]]:
    for read in (
        citation.parse,
        citation.whole,
        lambda reply: accepted(reply, citation.Context((), ())),
        read_claims,
        support.clauses,
        words.without_asides,
    ):
        yield lambda read=read: read(text)
    yield lambda: said(AIMessage(text))
    yield lambda: support.support_of(text, CLAIM)
    yield lambda: support.support_of(
        f"{text} b", f"{text} c", text, setting=support.Setting(text, text, (text,))
    )
    yield lambda: [facts.lacking(text, CLAIM), facts.lacking(CLAIM, text), facts.sizes(text, text)]


def _answered(question: str, text: str) -> list[object]:
    asked = ParsedQuestion.of(question)
    return [
        *(asked.parts, asked.gives(text), asked.gives_number(text), asked.gives_name(text)),
        *(asked.defines(text), asked.defines(text, text), asked.is_answered_by(text)),
    ]


@pytest.mark.parametrize("used", [as_question, as_passage, as_reply])
@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_takes_more_than_a_moment(
    name: str, used: Callable[[str], Iterator[Callable[[], object]]]
) -> None:
    began = time.process_time()
    for call in used(HOSTILE[name]):
        call()
        assert time.process_time() - began < MOST
