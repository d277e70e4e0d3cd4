"""A question to its answer: rewrite, retrieve, fuse, read, refine, gate, focus, generate, verify, policy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.messages import BaseMessage
from langchain_core.retrievers import BaseRetriever
from pydantic import PositiveFloat

from ragkit import policy
from ragkit.answer import Answer
from ragkit.config import components
from ragkit.config.spec import rebound
from ragkit.corpus import Corpus
from ragkit.document import (
    Span,
    facts_of,
    key_of,
    led_to,
    score_of,
    scored,
    scores_of,
    searchable,
    span_of,
)
from ragkit.errors import DeadlinePassed
from ragkit.flow import Flow, Pipeline, Reached, call, emit, gather, overhear, within
from ragkit.fuse import Fusion, MinMaxFusion, Ranking
from ragkit.gate import Gate, Relevance, support
from ragkit.generate import Generator
from ragkit.index import Snapshot
from ragkit.policy import Policy
from ragkit.retrieve import FilteredRetriever
from ragkit.rewrite import QueryRewriter
from ragkit.text.question import Said, answers, unmentioned
from ragkit.verify import Verifier
from ragkit.verify.streaming import Draft
from ragkit.where import Where, both, parse

T = TypeVar("T")

_TRIES = 3  # searches for one question, while papers that are found are being replaced


@dataclass(frozen=True)
class Question:
    """What is asked, of which state of a corpus, after which messages (oldest first), and of which passages (all, if None)."""

    snapshot: Snapshot
    text: str
    history: Sequence[BaseMessage] = ()
    where: Where | None = None


@dataclass(frozen=True, kw_only=True)
class AnswerPipeline(Pipeline[Question, Answer]):
    """rewrite -> retrieve -> fuse -> read -> refine -> gate -> focus -> generate -> verify -> policy.

    The gate, the verifier and `otherwise` see all that `refine` leaves; `generate` sees what `focus` leaves of that.
    `where` filters what is answered from, together with the question's own filter.  A question that takes longer than
    `deadline` seconds ends in an abstention, whatever it waits for.  Where nothing is left of what `generate` writes, it
    declines, or it does not say the kind of thing that is asked for (a number, a name), `otherwise` writes the answer, if that does.
    """

    deadline: PositiveFloat | None = None
    where: Where | None = parse("kind != references")
    rewrite: Sequence[QueryRewriter] = ()
    retrieve: Sequence[BaseRetriever]
    fuse: Fusion = MinMaxFusion()
    refine: Sequence[BaseDocumentCompressor] = ()
    gate: Gate | None = None
    focus: Sequence[BaseDocumentCompressor] = ()
    generate: Generator
    otherwise: Generator | None = None
    verify: Verifier | None = None
    policy: Policy = "drop"

    def flow(self, given: Question) -> Flow[Answer]:
        begun = time.monotonic()
        searching = self.search(replace(given, where=both(self.where, given.where)))
        searched = yield from self._in_time(begun, searching)
        if searched is None:
            return self._late(given.text, ())
        answer = yield from self.answer(*searched, time.monotonic() - begun)
        return answer.model_copy(update={"question": given.text})

    def answer(self, question: str, found: Sequence[Document], taken: float = 0.0) -> Flow[Answer]:
        """The answer to *question* from what was *found* for it, which has *taken* so many seconds of its time."""
        begun = time.monotonic() - taken
        passages = yield from self._in_time(begun, self.refined(question, found))
        if passages is None:
            return self._late(question, found)
        answer = yield from self._in_time(begun, self.respond(question, passages))
        if answer is None:
            return self._late(question, passages)
        lost = (
            ()
            if answer.abstained
            else unmentioned(question, [Said.by(searchable(passage)) for passage in passages])
        )
        return answer.model_copy(update={"unmentioned": tuple(lost)})

    def _in_time(self, begun: float, flow: Flow[T]) -> Flow[T | None]:
        """What *flow* comes to, or None where the time of a question that was *begun* then is over before."""
        if self.deadline is None:
            return (yield from flow)
        try:
            return (yield from within(begun + self.deadline, flow))
        except DeadlinePassed:
            return None

    def _late(self, question: str, passages: Sequence[Document]) -> Answer:
        return policy.abstain(
            question, f"the {self.deadline:g} seconds that a question may take were over", passages
        )

    def refined(self, question: str, found: Sequence[Document]) -> Flow[Sequence[Document]]:
        """The passages that an answer is written from."""
        return (yield from _refined(self.refine, question, found))

    def ranking(self, given: Question) -> Flow[list[Document]]:
        """Everything found, best first: what the refiners keep (whole or in part) as they score it, then the rest as it was found."""
        question, found = yield from self.search(given)
        refined = yield from self.refined(question, found)
        spans = {span_of(passage): passage for passage in found}
        ranked: dict[Span, Document] = {}
        for kept in sorted(
            refined, key=score_of, reverse=True
        ):  # a refiner may order what it keeps for the generator
            own = span_of(kept)
            for span in [own] if own in spans else [s for s in spans if own.holds(s) or s.holds(own)]:
                ranked.setdefault(span, scored(spans[span], score_of(kept)))
        return list(
            (ranked | {span: passage for span, passage in spans.items() if span not in ranked}).values()
        )

    def respond(self, question: str, passages: Sequence[Document]) -> Flow[Answer]:
        """The answer to *question* from *passages* and nothing else."""
        yield from emit(Reached("context", passages))
        relevance = (
            (yield from call("gate", self.gate.weigh, question, passages)) if self.gate else Relevance()
        )
        if relevance.refusal:
            return policy.abstain(question, relevance.refusal, passages, round(relevance.score, 4))
        shown = yield from _refined(self.focus, question, passages)
        draft = Draft(self.verify, self.policy)
        first = yield from self._written(self.generate, draft, question, shown, passages)
        answer = self._settled(relevance, first)
        if self.otherwise and not _answers(question, answer):
            second = yield from self._written(self.otherwise, draft, question, passages, passages)
            other = self._settled(relevance, second)
            if answer.abstained or _answers(question, other):
                return (yield from self._translated(self.otherwise, draft, other))
            yield from draft.tell(first)
        return (yield from self._translated(self.generate, draft, answer))

    def _translated(self, generate: Generator, draft: Draft, answer: Answer) -> Flow[Answer]:
        translated = yield from generate.translated(answer)
        if translated != answer:
            yield from draft.tell(translated)
        return translated

    def _written(
        self,
        generate: Generator,
        draft: Draft,
        question: str,
        shown: Sequence[Document],
        passages: Sequence[Document],
    ) -> Flow[Answer]:
        """What *generate* writes from what it is *shown* of *passages*, with its verdicts.

        Each claim is told of (`Checked`), while the next is written if that can be.
        """

        def so_far(text: str) -> Answer | None:
            answer = generate.so_far(question, text, shown)
            return answer and _over(passages, answer)

        def judged(writing: Flow[Answer]) -> Flow[Answer]:
            answer = _over(
                passages,
                (
                    yield from overhear(writing, draft.listening(so_far))
                    if draft.judges_as_written
                    else writing
                ),
            )
            yield from emit(Reached("draft", answer))
            if self.verify and not answer.abstained:
                answer = yield from self.verify.flow(answer)
            yield from emit(Reached("judged", answer))
            yield from draft.tell(answer)
            return answer

        answer = yield from judged(generate.flow(question, shown))
        if self.policy == "regenerate" and answer.faults:
            another = yield from judged(generate.again(question, shown, answer))
            answer = policy.better(answer, another)
            yield from draft.tell(answer)
        return answer

    def _settled(self, relevance: Relevance, judged: Answer) -> Answer:
        """*judged* as the reader may see it."""
        sure = self.gate.confirm(relevance, judged) if self.gate else Relevance(support(judged))
        if sure.refusal and not judged.abstained:
            return policy.abstain(judged.question, sure.refusal, judged.context, round(sure.score, 4))
        return policy.apply(self.policy, judged.model_copy(update={"confidence": round(sure.score, 4)}))

    def search(self, given: Question) -> Flow[tuple[str, list[Document]]]:
        """The question as it is searched for, and every passage found for it, best first."""
        queries = [given.text]
        for rewriter in self.rewrite:
            queries = yield from rewriter.flow(queries, given.history)
        snapshot = given.snapshot
        for _ in range(_TRIES):
            fused = yield from self._fused(snapshot, queries, given.where)
            passages = yield from call("read", read, snapshot.corpus, fused)
            newest = snapshot if len(passages) == len(fused) else snapshot.newest()
            if newest is snapshot:
                break
            snapshot = newest  # of a paper that was replaced meanwhile
        if given.where:  # a retriever of another make knows nothing of the filter
            passages = [passage for passage in passages if given.where.matches(facts_of(passage.metadata))]
        yield from emit(Reached("found", passages))
        return queries[0], passages

    def _fused(self, snapshot: Snapshot, queries: Sequence[str], where: Where | None) -> Flow[list[Document]]:
        among = (yield from call("filter", snapshot.corpus.matching, where)) if where else None
        retrievers = [_bound(retriever, snapshot, among) for retriever in self.retrieve]
        asked = [(retriever, query) for query in queries for retriever in retrievers]
        found = yield from _found(asked)
        rankings = [
            Ranking(label(retriever), documents)
            for (retriever, _), documents in zip(asked, found, strict=True)
        ]
        return (yield from call("fuse", self.fuse.fuse, rankings))


def _refined(
    refiners: Sequence[BaseDocumentCompressor], question: str, passages: Sequence[Document]
) -> Flow[Sequence[Document]]:
    for refiner in refiners:
        passages = yield from call("refine", refiner.compress_documents, passages, question)
    return passages


def _over(passages: Sequence[Document], answer: Answer) -> Answer:
    """*answer*, which may cite anything in *passages*."""
    return answer.model_copy(update={"context": tuple(passages)})


def _answers(question: str, answer: Answer) -> bool:
    """Does *answer* say the kind of thing that *question* asks for?"""
    return not answer.abstained and answers(question, " ".join(claim.text for claim in answer.claims))


def _found(asked: Sequence[tuple[BaseRetriever, str]]) -> Flow[list[list[Document]]]:
    """What each retriever finds for its query, in the order asked; those that wait for a server do so at the same time."""
    computes = [isinstance(retriever, FilteredRetriever) and retriever.computes for retriever, _ in asked]
    waiting = [
        (retriever.invoke, query)
        for (retriever, query), here in zip(asked, computes, strict=True)
        if not here
    ]
    heard = iter((yield from gather("retrieve", waiting)) if waiting else [])
    found = []
    for (retriever, query), here in zip(asked, computes, strict=True):
        found.append((yield from call("retrieve", retriever.invoke, query)) if here else next(heard))
    return found


def _bound(retriever: BaseRetriever, snapshot: Snapshot, among: frozenset[str] | None) -> BaseRetriever:
    """*retriever*, and those inside it, over the indexes of *snapshot*."""
    return rebound(
        retriever, lambda part: part.over(snapshot, among) if isinstance(part, FilteredRetriever) else part
    )


def label(retriever: BaseRetriever) -> str:
    """What a retriever's ranking is called in weights and scores: its `name`, else its component name."""
    return retriever.name or components.name_of(type(retriever)).rpartition(".")[2]


def read(corpus: Corpus, hits: Sequence[Document]) -> list[Document]:
    """The passages that *hits* name, read from the corpus.

    A hit of an index that has not heard of a deletion yet is passed over; a passage that another source brought
    whole stays as it came.
    """
    known = corpus.passages(str(h.id) for h in hits)
    read = []
    for found in hits:
        if passage := known.get(str(found.id)):
            key = corpus.key(str(found.id), key_of(found)) if key_of(found) else None
            passage = led_to(passage, key) if key else passage
            read.append(scored(passage, score_of(found), scores_of(found)))
        elif found.page_content and "document_id" not in found.metadata:
            read.append(found)
    return read
