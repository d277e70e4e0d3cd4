"""From a question to its answer: the answer pipeline.

rewrite -> retrieve -> fuse -> refine -> gate -> (generate -> attribute -> verify)+ -> policy -> translate
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import Literal, NamedTuple, TypeVar

from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from pydantic import PositiveFloat

from ragkit import policy
from ragkit.answer import Against, Answer
from ragkit.config import components
from ragkit.config.spec import rebound
from ragkit.corpus import Corpus, CorpusReader
from ragkit.document import (
    Span,
    facts_of,
    key_of,
    led_to,
    named,
    relevance_of,
    score_of,
    scored,
    scores_of,
    span_of,
)
from ragkit.errors import DeadlinePassed
from ragkit.flow import Called, Event, Finished, Flow, Pipeline, StateReached, before, call, emit, gather
from ragkit.fuse import Fusion, MinMaxFusion, Ranking
from ragkit.gate import Gate, Relevance, support
from ragkit.generate import Generator
from ragkit.index import Snapshot
from ragkit.models.chat import spent
from ragkit.policy import Policy
from ragkit.retrieve import FilteredRetriever, Passing
from ragkit.rewrite import QueryRewriter
from ragkit.text.question import Asked, Mentions, Query, unmentioned
from ragkit.verify import Verifier
from ragkit.verify.against import against
from ragkit.verify.streaming import ClaimStream
from ragkit.where import Where, both, parse

T = TypeVar("T")

NEWEST = parse("not superseded_by exists")
"""What passes the newest version of each work."""

_TRIES = 3  # searches for one question, while papers that are found are being replaced


@dataclass(frozen=True)
class Question:
    """What is asked, of which state of a corpus, and of which passages (all, if None): those of the newest
    version of each work, or of all `versions`.
    """

    snapshot: Snapshot
    asked: Asked
    where: Where | None = None
    versions: bool = False


@dataclass(frozen=True)
class Attempt:
    """One way to write the answer: who writes it, and what of the context it is shown.

    It is made for questions that its generator `suits`.  An attempt after the first is made `when` the answer so far is `unanswered` (it abstains, or does not give
    the kind of thing that is asked for: a number, a name), or when a claim of it is `unsupported`, too.  With
    `mends`, the generator is given the unsupported claims only, and the others stay.
    """

    generate: Generator
    focus: Sequence[BaseDocumentCompressor] = ()
    when: Literal["unanswered", "unsupported"] = "unanswered"
    mends: bool = False

    def is_due(self, asked: Asked, best: Tried) -> bool:
        """Is it made after *best*?"""
        return not best.answers(asked) or (self.when == "unsupported" and bool(best.judged.faults))


class Tried(NamedTuple):
    """An attempt: the answer with its verdicts, and as the policy lets it be seen."""

    attempt: Attempt
    judged: Answer
    answer: Answer

    def answers(self, asked: Asked) -> bool:
        """Does it give the kind of thing that is asked for, as far as its form tells?"""
        if self.answer.abstained:
            return False
        text = " ".join(claim.text for claim in self.answer.claims)
        return not self.attempt.generate.reads_passages or asked.parsed.is_answered_by(text)

    def worth(self, asked: Asked) -> tuple[bool, bool, float]:
        """Better attempts compare greater: those that answer, then those with more supported claims."""
        supported = 1 - len(self.judged.faults) / max(len(self.judged.claims), 1)
        return not self.answer.abstained, self.answers(asked), supported


@dataclass(frozen=True, kw_only=True)
class AnswerPipeline(Pipeline[Question, Answer]):
    """Answers questions from the papers, stage by stage.

    rewrite -> retrieve -> fuse -> refine -> gate -> (generate -> attribute -> verify)+ -> policy -> translate

    `where` filters what is answered from, together with the question's own filter.  The gate and the verifier
    see all that `refine` leaves.  `generate` is one generator or several attempts, made in order until one
    answers.  A question that takes longer than `deadline` seconds ends in an abstention.

    Examples:
        >>> from ragkit.chunk import SentenceChunker
        >>> from ragkit.generate.extractive import ExtractiveGenerator
        >>> from ragkit.index.bm25 import Bm25Index
        >>> from ragkit.models.embeddings import SentenceTransformersEmbeddings
        >>> from ragkit.retrieve import LexicalRetriever
        >>> words, minilm = Bm25Index(), SentenceTransformersEmbeddings("all-MiniLM-L6-v2")
        >>> built = ragkit.Rag(
        ...     corpus=Path("built"),
        ...     ingest=ragkit.IngestPipeline(chunk=SentenceChunker(max_tokens=100), index=[words]),
        ...     answer=ragkit.AnswerPipeline(
        ...         retrieve=[LexicalRetriever(index=words, k=20)], generate=[ExtractiveGenerator(minilm)]
        ...     ),
        ... )
        >>> built.ingest("examples/papers/bert.md").documents
        1
    """

    deadline: PositiveFloat | None = None
    where: Where | None = parse("kind != references")
    rewrite: Sequence[QueryRewriter] = ()
    retrieve: Sequence[BaseRetriever]
    fuse: Fusion = MinMaxFusion()
    refine: Sequence[BaseDocumentCompressor] = ()
    gate: Gate | None = None
    generate: Sequence[Generator | Attempt]
    verify: Verifier | None = None
    policy: Policy = "drop"

    @property
    def attempts(self) -> list[Attempt]:
        given = [self.generate] if isinstance(self.generate, Generator | Attempt) else self.generate
        return [each if isinstance(each, Attempt) else Attempt(each) for each in given]

    def flow(self, question: Question) -> Flow[Answer]:
        began = time.monotonic()
        for attempt in self.attempts:
            writer = attempt.generate
            if not writer.needs_search and (yield from call("generate", writer.suits, question.asked)):
                return (yield from writer.flow(question.asked, ()))
        question = replace(question, where=both(self.where, question.where))
        search = yield from self._before_deadline(began, self.found(question))
        if search is None:
            return self._late(question.asked, ())
        return (yield from self.answer(*search, time.monotonic() - began))

    def answer(self, asked: Asked, found: Sequence[Document], taken: float = 0.0) -> Flow[Answer]:
        """The answer from the passages *found* by a search that took *taken* seconds of the deadline."""
        answer = yield from self._before_deadline(time.monotonic() - taken, self.answered(asked, found))
        return self._late(asked, found) if answer is None else answer

    def answered(self, asked: Asked, found: Sequence[Document]) -> Flow[Answer]:
        """refine -> gate -> (generate -> attribute -> verify)+ -> policy -> translate."""
        context = yield from refined(self.refine, asked, found)
        return (yield from self.respond(asked, context))

    def respond(self, asked: Asked, context: Sequence[Document]) -> Flow[Answer]:
        """The answer from *context* and, by generators that do not read passages, from what else they know."""
        yield from emit(StateReached("asked", asked))
        yield from emit(StateReached("context", context))
        relevance = (yield from call("gate", self.gate.weigh, asked, context)) if self.gate else Relevance()
        stream = ClaimStream(asked, self.verify, self.policy)
        best: Tried | None = None
        for attempt in self.attempts:
            if relevance.refusal and attempt.generate.reads_passages:
                continue
            if not (yield from _suits(attempt.generate, asked)):
                continue
            if best is None:
                best = yield from self.tried(attempt, asked, context, relevance, stream)
            elif attempt.is_due(asked, best):
                tried = yield from self.tried(attempt, asked, context, relevance, stream, best.judged)
                best = max(best, tried, key=lambda each: each.worth(asked))  # the first of equals
        if best is None or (relevance.refusal and best.answer.abstained):
            reason = relevance.refusal or "no generator is made for such a question"
            return policy.abstained(asked.text, reason, context, round(relevance.score, 4))
        answer = yield from best.attempt.generate.translate(asked, best.answer)
        yield from stream.tell(best.judged if answer == best.answer else answer)
        names = (
            ()
            if answer.abstained or not best.attempt.generate.reads_passages
            else unmentioned(asked.parsed, [Mentions.of(named(p)) for p in context])
        )
        return answer.model_copy(update={"unmentioned": tuple(names)})

    def tried(
        self,
        attempt: Attempt,
        asked: Asked,
        context: Sequence[Document],
        relevance: Relevance,
        stream: ClaimStream,
        last: Answer | None = None,
    ) -> Flow[Tried]:
        """What *attempt* writes from *context* after the answer *last*, with verdicts.

        Each claim is reported as soon as it is judged.
        """
        shown = yield from refined(attempt.focus, asked, context)
        if attempt.mends and last:
            draft = yield from attempt.generate.mend(asked, shown, last)
        else:
            writing = attempt.generate.flow(asked, shown, last)
            draft = yield from stream.following(
                writing, lambda text: _over(context, attempt.generate.so_far(asked, text, shown))
            )
        judged = draft = draft.model_copy(update={"context": tuple(context)})
        yield from emit(StateReached("draft", draft))
        if self.verify and not draft.abstained and attempt.generate.reads_passages:
            judged = yield from self.verify.flow(asked, draft)
            judged = _contested(judged, (yield from call("verify", _opposing, judged)))
        if attempt.mends and last:
            judged = mended(last, judged)
        yield from emit(StateReached("judged", judged))
        yield from stream.tell(judged)
        return Tried(attempt, judged, self.settled(attempt, asked, relevance, judged))

    def settled(self, attempt: Attempt, asked: Asked, relevance: Relevance, judged: Answer) -> Answer:
        """*judged* as the gate and the policy let the reader see it."""
        if not attempt.generate.reads_passages:
            return policy.apply(self.policy, judged)
        sure = self.gate.confirm(asked, relevance, judged) if self.gate else Relevance(support(judged))
        confidence = round(sure.score, 4)
        answer = policy.apply(self.policy, judged.model_copy(update={"confidence": confidence}))
        return policy.unsure(answer, sure.refusal) if sure.refusal and not answer.abstained else answer

    # --- searching

    def found(self, question: Question) -> Flow[tuple[Asked, list[Document]]]:
        """The rewritten question and every passage found for it, best first.

        rewrite -> retrieve -> fuse -> read -> filter
        """
        snapshot = question.snapshot
        where = _of_newest(snapshot.corpus, question.where, question.versions)
        only_newest = where is not question.where
        asked = replace(question.asked, where=where)
        for rewriter in self.rewrite:
            asked = yield from rewriter.flow(asked)
        for _ in range(_TRIES):
            fused = yield from self._fused(snapshot, asked, where)
            passages = yield from call("read", read, snapshot.corpus, fused)
            complete = len(passages) == len(fused) and not only_newest
            newest = snapshot if complete else (yield from call("read", snapshot.newest))
            if newest is snapshot:
                break
            snapshot = newest  # a paper was replaced meanwhile
        if where:
            passages = yield from call("filter", _among, passages, where)
        yield from emit(StateReached("found", passages))
        return asked, passages

    def _fused(self, snapshot: Snapshot, asked: Asked, where: Where | None) -> Flow[list[Document]]:
        among = Passing(snapshot.corpus, where) if where else None
        retrievers = [_bound(retriever, snapshot, among) for retriever in self.retrieve]
        rankings = yield from _rankings(retrievers, asked)
        return (yield from call("fuse", self.fuse.fuse, rankings))

    def found_each(
        self,
        snapshot: Snapshot,
        queries: Sequence[Query],
        where: Where | None = None,
        papers: Collection[str] | None = None,
        versions: bool = False,
    ) -> Flow[list[list[Document]]]:
        """The passages found for each of *queries* as it stands, best first; of *papers* only, if given.

        They are of the newest version of each work, or of all *versions*.
        retrieve -> fuse -> read -> filter.  Queries that this machine embeds are embedded in one batch.
        """
        where = _of_newest(snapshot.corpus, both(self.where, where), versions)
        among: Set[str] | Passing | None = Passing(snapshot.corpus, where) if where else None
        if papers is not None:
            own = yield from call("filter", snapshot.corpus.passages_of, papers)
            among = (yield from call("filter", snapshot.corpus.passing, where, own)) if where else own
        rankings: list[list[Ranking]] = [[] for _ in queries]
        for retriever in self.retrieve:
            bound = _bound(retriever, snapshot, among)
            if isinstance(bound, FilteredRetriever) and bound.computes:
                lists = yield from call("retrieve", bound.each, queries)
            else:
                lists = yield from gather("retrieve", [(bound.invoke, query) for query in queries])
            for own_rankings, query, documents in zip(rankings, queries, lists, strict=True):
                own_rankings.append(Ranking(label(retriever), documents, query))
        found = []
        for each in rankings:
            fused = yield from call("fuse", self.fuse.fuse, each)
            passages = yield from call("read", read, snapshot.corpus, fused)
            found.append(_among(passages, where, papers))
        return found

    def ranking(self, question: Question) -> Flow[list[Document]]:
        """Every passage found, best first: those that the refiners keep, by their scores, then the rest.

        A passage of which the refiners keep only a part counts as kept.
        """
        asked, found = yield from self.found(question)
        kept = yield from refined(self.refine, asked, found)
        spans = {span_of(passage): passage for passage in found}
        ranked: dict[Span, Document] = {}
        for passage in sorted(kept, key=score_of, reverse=True):  # a refiner may order for the generator
            own = span_of(passage)
            for span in [own] if own in spans else [s for s in spans if own.holds(s) or s.holds(own)]:
                ranked.setdefault(span, scored(spans[span], score_of(passage)))
        return list((ranked | {span: p for span, p in spans.items() if span not in ranked}).values())

    # --- in time

    def _before_deadline(self, began: float, flow: Flow[T]) -> Flow[T | None]:
        """What *flow* returns, or None where the time of a question that *began* then is over before."""
        if self.deadline is None:
            return (yield from flow)
        try:
            return (yield from before(began + self.deadline, flow))
        except DeadlinePassed:
            return None

    def _late(self, asked: Asked, passages: Sequence[Document]) -> Answer:
        reason = f"the {self.deadline:g} seconds that a question may take were over"
        return policy.abstained(asked.text, reason, passages)


def _suits(generator: Generator, asked: Asked) -> Flow[bool]:
    """Is *generator* made for the question?  One that looks into the corpus may take a while to say."""
    if isinstance(generator, CorpusReader):
        return (yield from call("generate", generator.suits, asked))
    return generator.suits(asked)


def _opposing(judged: Answer) -> list[Against | None]:
    """For each claim that holds what another paper of the context says otherwise."""
    found: list[Against | None] = []
    for claim in judged.claims:
        own = {cited.quote.document_id for cited in claim.cites if cited.quote}
        others = [passage for passage in judged.context if span_of(passage).document_id not in own]
        found.append(against(claim.text, others) if claim.verdict.holds else None)
    return found


def _contested(judged: Answer, opposing: Sequence[Against | None]) -> Answer:
    """*judged*, each claim with what opposes it."""
    pairs = zip(judged.claims, opposing, strict=True)
    claims = tuple(claim.model_copy(update={"against": each}) if each else claim for claim, each in pairs)
    return judged.model_copy(update={"claims": claims})


def mended(last: Answer, judged: Answer) -> Answer:
    """*last*, with the claims of *judged* in place of its unsupported ones."""
    if judged.abstained:
        return last
    at = next((i for i, claim in enumerate(last.claims) if claim.is_fault), len(last.claims))
    after = [claim for claim in last.claims[at:] if not claim.is_fault]
    return last.model_copy(update={"claims": (*last.claims[:at], *judged.claims, *after)})


def refined(
    refiners: Sequence[BaseDocumentCompressor], asked: Asked, passages: Sequence[Document]
) -> Flow[Sequence[Document]]:
    """*passages* as *refiners* leave them, one after another."""
    for refiner in refiners:
        kept = yield from call("refine", refiner.compress_documents, passages, asked.searches[0])
        passages = kept if components.is_ours(type(refiner)) else _rescored(kept)
    return passages


def _rescored(passages: Sequence[Document]) -> Sequence[Document]:
    """*passages* with scores that agree with the order that a refiner of another make put them in.

    LangChain's rerankers say `relevance_score`, or only order; a passage that they did not score has the
    score that it came with.
    """
    scores = [relevance_of(passage) for passage in passages]
    if not any(score is None for score in scores):
        return [
            scored(passage, score)
            for passage, score in zip(passages, scores, strict=True)
            if score is not None
        ]
    if all(score_of(one) >= score_of(next_) for one, next_ in pairwise(passages)):
        return passages
    return [scored(passage, 1 - place / len(passages)) for place, passage in enumerate(passages)]


def _over(context: Sequence[Document], answer: Answer | None) -> Answer | None:
    """*answer*, which may cite anything in *context*."""
    return answer and answer.model_copy(update={"context": tuple(context)})


def _rankings(retrievers: Sequence[BaseRetriever], asked: Asked) -> Flow[list[Ranking]]:
    """What each retriever finds for each query; those that wait for a server do so at the same time."""
    pairs = [(retriever, query) for query in asked.searches for retriever in retrievers]
    computes = [isinstance(retriever, FilteredRetriever) and retriever.computes for retriever, _ in pairs]
    waiting = [
        (retriever.invoke, query)
        for (retriever, query), here in zip(pairs, computes, strict=True)
        if not here
    ]
    arrived = iter((yield from gather("retrieve", waiting)) if waiting else [])
    rankings = []
    for (retriever, query), here in zip(pairs, computes, strict=True):
        found = (yield from call("retrieve", retriever.invoke, query)) if here else next(arrived)
        rankings.append(Ranking(label(retriever), found, query))
    return rankings


def _of_newest(corpus: Corpus, where: Where | None, versions: bool) -> Where | None:
    """*where*, and the newest version of each work unless all *versions* are wanted."""
    return where if versions or not corpus.has_versions() else both(where, NEWEST)


def _among(
    passages: Sequence[Document], where: Where | None, papers: Collection[str] | None = None
) -> list[Document]:
    """Those of *passages* that pass, as a retriever of another make knows nothing of the filter."""
    return [
        passage
        for passage in passages
        if (where is None or where.matches(facts_of(passage.metadata)))
        and (papers is None or span_of(passage).document_id in papers)
    ]


def _bound(retriever: BaseRetriever, snapshot: Snapshot, among: Set[str] | Passing | None) -> BaseRetriever:
    """*retriever*, and those inside it, over the indexes of *snapshot*."""
    return rebound(
        retriever, lambda part: part.over(snapshot, among) if isinstance(part, FilteredRetriever) else part
    )


def label(retriever: BaseRetriever) -> str:
    """The name of a retriever's ranking in weights and scores: its `name`, else its component name."""
    return retriever.name or components.name_of(type(retriever)).rpartition(".")[2]


def read(corpus: Corpus, hits: Sequence[Document]) -> list[Document]:
    """The passages that *hits* name, read from the corpus.

    A hit of an index that has not heard of a deletion yet is passed over; a passage that another source
    brought whole stays as it came.
    """
    known = corpus.passages(str(h.id) for h in hits)
    read = []
    for found in hits:
        if passage := known.get(str(found.id)):
            if (n := key_of(found)) and (key := corpus.key(str(found.id), n)):
                passage = led_to(passage, key)
            read.append(scored(passage, score_of(found), scores_of(found)))
        elif found.page_content and "document_id" not in found.metadata:
            read.append(found)
    return read


class Account:
    """Adds up stage times and chat model usage, and writes both into the final answer."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.seconds: dict[str, float] = {}
        self.usage: dict[str, int | float] = {}

    def __call__(self, event: Event) -> Event:
        if isinstance(event, Called):
            self.seconds[event.stage] = self.seconds.get(event.stage, 0.0) + event.seconds
            for what, amount in chain.from_iterable(
                spent(called.owner, called.result).items() for called in event.whole()
            ):
                self.usage[what] = self.usage.get(what, 0) + amount
        if not isinstance(event, Finished):
            return event
        whole = {**self.seconds, "total": time.perf_counter() - self.started}
        timings = {stage: round(1000 * s, 2) for stage, s in whole.items()}
        return Finished(event.result.model_copy(update={"usage": self.usage, "timings_ms": timings}))
