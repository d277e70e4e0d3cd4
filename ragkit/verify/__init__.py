"""Does each citation support its claim?  By words and numbers (`evidence`), an entailment model (`entailment`), a chat model (`judge`).

A verifier judges; what becomes of a claim that nothing supports is the policy's.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from ragkit.answer import Answer, Citation, Claim, Finding, Verdict
from ragkit.citation import cite, judged, render
from ragkit.config.components import interface
from ragkit.document import Span, span_of, title_of
from ragkit.flow import Flow
from ragkit.text.words import names, numbers, stems
from ragkit.verify.support import Setting, clauses, smallest_support, support_of


@interface
class Verifier(ABC):
    """Gives every citation and claim of an answer a verdict."""

    quick: ClassVar[bool] = False
    """Is it quick enough to judge each sentence while a chat model writes the next?"""

    @abstractmethod
    def flow(self, answer: Answer) -> Flow[Answer]:
        """*answer*, judged; its sentences are as they were, and so are its marks, but for those that now point to another source."""


class Pair(NamedTuple):
    """A claim and what is cited for it, from the paper *title* (of several papers, their titles)."""

    claim: str
    quote: str
    title: str
    papers: frozenset[str] = frozenset()
    """Their ids in the corpus."""


Findings = Mapping[Pair, Finding]


class ClaimVerifier(Verifier):
    """Holds each claim against each of its quotes, and one that none of them supports against all of them together.

    Such a claim, and one that cites nothing, is also held against the best span of the answer's context, and cites that
    from then on if it is supported by it.  Failing that, its parts (what `, and` joins) are held against the best span for each, and it
    cites these if all parts are supported; so is a claim about several papers, whose quotes are not taken together.  A
    citation of several claims has the verdict of the one that it supports least.
    """

    @abstractmethod
    def weigh(self, pairs: Sequence[Pair], settings: Sequence[Setting]) -> Flow[Sequence[Finding]]:
        """What is found of each of *pairs*, of which there is at least one, in its setting."""

    def flow(self, answer: Answer) -> Flow[Answer]:
        sources = {c.number: c for c in answer.citations if c.document_id is not None}
        found = yield from self._weighed(
            answer, [p for claim in answer.claims for p in _pairs(claim, sources)]
        )
        doubtful = [
            i
            for i, claim in enumerate(answer.claims)
            if _may_move(claim, sources) and not _holds(claim, sources, found)
        ]
        best = {
            i: (other,) for i in doubtful if (other := _best_span(answer.claims[i].text, answer)) is not None
        }
        wanted = [_together(answer.claims[i], sources) for i in doubtful] + [
            _pair(answer.claims[i], *other) for i, other in best.items()
        ]
        found |= yield from self._weighed(
            answer, [pair for pair in wanted if pair is not None and pair not in found]
        )
        doubtful = [i for i in doubtful if not _holds(answer.claims[i], sources, found)]
        moved: dict[int, Sequence[Citation]] = {
            i: best[i]
            for i in doubtful
            if i in best and found[_pair(answer.claims[i], *best[i])].verdict is Verdict.SUPPORTED
        }
        for i in doubtful:
            if i not in moved and (
                held := (yield from self._held_by_parts(answer, answer.claims[i], sources))
            ):
                moved[i] = tuple(held)
                found |= {_pair(answer.claims[i], other): finding for other, finding in held.items()}
        return _judged(_repointed(answer, moved) if moved else answer, found)

    def _held_by_parts(
        self, answer: Answer, claim: Claim, sources: Mapping[int, Citation]
    ) -> Flow[dict[Citation, Finding]]:
        """The best spans for the parts of *claim*, and what is found of each; nothing unless all parts are supported."""
        spans = _best_spans(claim, answer, [sources[n] for n in claim.citations if n in sources])
        found = yield from self._weighed(answer, list(spans))
        held = all(finding.verdict is Verdict.SUPPORTED for finding in found.values())
        return {spans[pair]: finding for pair, finding in found.items()} if held else {}

    def _weighed(self, answer: Answer, pairs: Sequence[Pair]) -> Flow[dict[Pair, Finding]]:
        once = list(dict.fromkeys(pairs))
        settings = [_setting(answer, pair) for pair in once]
        return dict(zip(once, (yield from self.weigh(once, settings)), strict=True)) if once else {}


def _setting(answer: Answer, pair: Pair) -> Setting:
    """What the answer's context has of the papers that *pair* quotes, and of each other."""
    found: dict[str, list[str]] = {}
    for passage in answer.context:
        found.setdefault(span_of(passage).document_id, [title_of(passage)]).append(passage.page_content)
    own = [text for paper, (_, *texts) in found.items() if paper in pair.papers for text in texts]
    return Setting(
        answer.question,
        "\n".join(own),
        tuple("\n".join(texts) for paper, texts in found.items() if paper not in pair.papers),
    )


def _pair(claim: Claim, citation: Citation) -> Pair:
    return Pair(claim.text, citation.quote, citation.title, frozenset({str(citation.document_id)}))


def _pairs(claim: Claim, sources: Mapping[int, Citation]) -> list[Pair]:
    return [_pair(claim, sources[n]) for n in claim.citations if n in sources]


def _together(claim: Claim, sources: Mapping[int, Citation]) -> Pair | None:
    """The claim and all its quotes as one, if there are several; not those of several papers, where the facts of these could mix."""
    pairs = _pairs(claim, sources)
    titles = dict.fromkeys(p.title for p in pairs)
    papers = frozenset[str]().union(*(p.papers for p in pairs))
    if len(papers) > 1:
        written = {
            number for word in claim.text.split() if any(map(str.isdigit, word)) for number in numbers(word)
        }
        shared = frozenset(numbers(pairs[0].quote)).intersection(*(numbers(p.quote) for p in pairs))
        if written - shared or max(len(part(claim.text)) for part in (clauses, names)) > 1:
            return None
    return (
        Pair(claim.text, "\n".join(p.quote for p in pairs), " ".join(titles), papers)
        if len(pairs) > 1
        else None
    )


def _against(claim: Claim, sources: Mapping[int, Citation], found: Findings) -> list[Finding]:
    """All that was found of a claim and its quotes, alone and together."""
    return [
        found[p] for p in [*_pairs(claim, sources), _together(claim, sources)] if p is not None and p in found
    ]


def _holds(claim: Claim, sources: Mapping[int, Citation], found: Findings) -> bool:
    return any(f.verdict is Verdict.SUPPORTED for f in _against(claim, sources, found))


def _verdict(claim: Claim, sources: Mapping[int, Citation], found: Findings) -> Verdict:
    if not claim.citations:
        return Verdict.UNSUPPORTED if any(c.isalnum() for c in claim.text) else Verdict.UNCHECKED
    against = _against(claim, sources, found)
    verdicts = {f.verdict for f in against}
    if not verdicts:
        return Verdict.UNRESOLVED
    together = found.get(pair) if (pair := _together(claim, sources)) else None
    if together and together.verdict is Verdict.UNCHECKED and not any(f.in_words for f in against):
        return Verdict.UNCHECKED  # the numbers and names that one source lacks are in another
    return next(v for v in (Verdict.SUPPORTED, Verdict.UNSUPPORTED, Verdict.UNCHECKED) if v in verdicts)


def _judged(answer: Answer, found: Findings) -> Answer:
    """*answer* with the verdicts that follow from what was *found*."""
    sources = {c.number: c for c in answer.citations if c.document_id is not None}
    claims = []
    for claim in answer.claims:
        findings = {n: found[_pair(claim, sources[n])] for n in claim.citations if n in sources}
        claims.append(
            claim.model_copy(update={"verdict": _verdict(claim, sources, found), "findings": findings})
        )
    return answer.model_copy(update={"claims": tuple(claims), "citations": judged(answer.citations, claims)})


# --- other sources


def _may_move(claim: Claim, sources: Mapping[int, Citation]) -> bool:
    """Does it say something, and name at least one source, or none?  Marks that name no source stay, to be seen."""
    return bool(stems(claim.text)) and (not claim.citations or any(n in sources for n in claim.citations))


def _best_span(claim: str, answer: Answer, among: str | None = None) -> Citation | None:
    """The span of the context, or of the paper *among* it, that supports *claim* best by its words, as a citation still without a number."""
    passages = [p for p in answer.context if among is None or span_of(p).document_id == among]
    found = [
        (smallest_support(claim, p.page_content, title_of(p), question=answer.question), p) for p in passages
    ]
    if not found:
        return None
    (offsets, _), passage = max(found, key=lambda each: each[0][1].score)
    whole = span_of(passage)
    return cite(0, passage, Span(whole.document_id, whole.start + offsets[0], whole.start + offsets[1]))


def _best_spans(claim: Claim, answer: Answer, cited: Sequence[Citation]) -> dict[Pair, Citation]:
    """Each part of *claim* with what supports it best, of what is *cited* for it or else of the context; nothing if it has no parts.

    A part is of the paper that the one before is of, unless it names what the question asks about, or what the other paper's
    title has.
    """
    parts = clauses(claim.text)
    found: dict[Pair, Citation] = {}
    paper: str | None = None
    for part in parts if len(parts) > 1 else ():
        here = [
            c
            for c in cited
            if paper is None or c.document_id == paper or _is_about(part, c.title, answer.question)
        ]
        best = next(
            (c for c in here if support_of(part, c.quote, c.title, setting=Setting(answer.question)).holds),
            None,
        )
        best = best or _best_span(part, answer)
        if (
            best is not None
            and paper not in (None, best.document_id)
            and not _is_about(part, best.title, answer.question)
        ):
            best = _best_span(part, answer, paper)
        if best is None:
            return {}
        found[Pair(part, best.quote, best.title, frozenset({str(best.document_id)}))] = best
        paper = best.document_id
    return found


def _is_about(part: str, title: str, question: str) -> bool:
    """Does *part* name something that stands in *title*, or that the question names?"""
    known = f"{title} {question}".casefold()
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", known) for name in names(f"of {part}"))


def _repointed(answer: Answer, moved: Mapping[int, Sequence[Citation]]) -> Answer:
    """*answer*, in which the claims at the places in *moved* cite these instead; citations are numbered in order of appearance."""
    known = {(c.document_id, c.start, c.end): c for c in answer.citations}
    highest = max((c.number for c in answer.citations), default=0)
    claims = list(answer.claims)
    for i, others in moved.items():
        spans = [(other.document_id, other.start, other.end) for other in others]
        for span, other in zip(spans, others, strict=True):
            if span not in known:
                highest += 1
                known[span] = other.model_copy(update={"number": highest})
        unresolved = [
            c.number for c in answer.citations if c.document_id is None and c.number in claims[i].citations
        ]
        claims[i] = claims[i].model_copy(
            update={"citations": (*(known[span].number for span in spans), *unresolved)}
        )
    every = {c.number: c for c in [*answer.citations, *known.values()]}
    order = {old: new for new, old in enumerate(dict.fromkeys(n for c in claims for n in c.citations), 1)}
    claims = [c.model_copy(update={"citations": tuple(order[n] for n in c.citations)}) for c in claims]
    citations = tuple(every[old].model_copy(update={"number": new}) for old, new in order.items())
    return answer.model_copy(update={"text": render(claims), "claims": tuple(claims), "citations": citations})
