"""Queries with weights: what they are searched for, and how much they count in fusion."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from ragkit.document import scored
from ragkit.flow import arun, run
from ragkit.fuse import Ranking, ReciprocalRankFusion
from ragkit.rewrite import QueryRewriter
from ragkit.rewrite.weighted import CriteriaRewriter, IntentRewriter, KeywordRewriter, clusters
from ragkit.testing import HashedEmbeddings
from ragkit.text.question import Asked, Query


class InTurn(BaseChatModel):
    """Says one text after another, and counts the calls."""

    texts: list[str]
    asked: list[str] = []

    @property
    def _llm_type(self) -> str:
        return "in turn"

    def _generate(self, messages: list[BaseMessage], *given: Any, **more: Any) -> ChatResult:
        said = self.texts[len(self.asked) % len(self.texts)]
        self.asked.append(str(messages[0].text))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said))])


def searched(rewriter: QueryRewriter, asked: Asked) -> list[tuple[str, float, int]]:
    return [(str(q), round(q.weight, 3), q.group) for q in run(rewriter.flow(asked)).searches]


def test_criteria_share_their_weight_and_keywords_are_one_query() -> None:
    llm = InTurn(texts=["1. glass bridges\n2. load tests\n3. people"], asked=[])
    asked = Asked.of("Do they bear it?")
    assert searched(CriteriaRewriter(llm=llm, n=2, weight=0.5), asked) == [
        ("Do they bear it?", 1.0, 0),
        ("glass bridges", 0.25, 0),
        ("load tests", 0.25, 0),
    ]
    assert searched(KeywordRewriter(llm=llm, n=2, weight=2.0), asked)[1:] == [
        ("glass bridges load tests", 2.0, 0)
    ]
    listed = InTurn(texts=["glass bridges, load tests, people"], asked=[])
    assert searched(KeywordRewriter(llm=listed, n=2), asked)[1:] == [("glass bridges load tests", 1.0, 0)]


def test_alike_queries_are_one_intent_whose_weight_grows_with_their_number() -> None:
    texts = ["glass bridge load\nbridge load glass", "load glass bridge", "glass gardens"]
    rewriter = IntentRewriter(
        llm=InTurn(texts=texts, asked=[]),
        embed=HashedEmbeddings(size=512),
        prompts=["a {fence}", "b {fence}", "c {fence}"],
        weight=0.5,
    )
    [question, load, gardens] = searched(rewriter, Asked.of("glass bridge"))
    assert question == ("glass bridge", 1.0, 0)
    assert set(load[0].split()) == {"glass", "bridge", "load"}
    assert gardens[0] == "glass gardens"
    assert load[1] + gardens[1] == pytest.approx(0.5)
    near, far = 3 * 2 / 6**0.5, 1 * 1 / 2
    assert load[1] == pytest.approx(0.5 * near / (near + far), abs=0.002)


def test_no_more_calls_are_made_than_allowed() -> None:
    llm = InTurn(texts=["glass"], asked=[])
    asked = Asked(Query("a"), Query("a"), (Query("a"), Query("b", 0.5, 1)))
    found = searched(IntentRewriter(llm=llm, embed=HashedEmbeddings(), max_calls=3), asked)
    assert len(llm.asked) == 3
    assert [each[2] for each in found] == [0, 1, 0]
    run(IntentRewriter(llm=llm, embed=HashedEmbeddings()).flow(asked))
    assert len(llm.asked) == 7


def test_groups_of_vectors_have_the_likeness_asked_for() -> None:
    vectors = np.array([[1, 0], [0.99, 0.14], [0, 1]], dtype=np.float32)
    assert clusters(vectors, 0.8) == [[0, 1], [2]]
    assert clusters(vectors, -1) == [[0, 1, 2]]
    assert clusters(vectors[:1], 0.8) == [[0]]
    assert clusters(vectors[:0], 0.8) == []


@pytest.mark.parametrize("make", [IntentRewriter, CriteriaRewriter, KeywordRewriter])
@pytest.mark.parametrize("reply", ["", "  \n\n", "```", "...", "word " * 90, '{"a": [', "<think>what"])
def test_a_reply_without_a_query_adds_none(make: Any, reply: str) -> None:
    embed = {"embed": HashedEmbeddings()} if make is IntentRewriter else {}
    rewriter = make(llm=InTurn(texts=[reply], asked=[]), **embed)
    found = run(rewriter.flow(Asked.of("Do they bear it?")))
    assert found.searches[0] == "Do they bear it?"
    assert all(len(q.split()) <= 60 and any(c.isalnum() for c in q) for q in found.searches)
    assert sum(q.weight for q in found.searches) <= 2.0 + 1e-9
    assert found == asyncio.run(arun(rewriter.flow(Asked.of("Do they bear it?"))))


def test_fusion_gives_each_query_its_weight() -> None:
    one, two = (scored(Document(id=i, page_content=i), 1.0, {}) for i in "ab")
    rankings = [Ranking("r", [one], Query("q", 1.0)), Ranking("r", [two], Query("k", 3.0))]
    assert [d.id for d in ReciprocalRankFusion().fuse(rankings)] == ["b", "a"]
