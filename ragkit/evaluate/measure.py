"""What is measured of one outcome: a number for each measure that applies to its case.

Every measure is a mean over the cases that it applies to, so that intervals and paired tests are the same for
all.  Rankings are measured by `ir_measures`.  Citation precision and recall follow "Enabling Large Language
Models to Generate Text with Citations" (ALCE): a claim is recalled if its citations together support it, and
a citation is precise if its claim is supported and needs it: alone it supports the claim, or the others do
not without it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from langchain_core.embeddings import Embeddings

from ragkit.answer import Answer, Cited, Claim, Quote
from ragkit.citation import parse
from ragkit.document import normalised_title
from ragkit.errors import needs
from ragkit.evaluate.dataset import Case, Dataset
from ragkit.evaluate.outcome import Outcome, RetrievedPassage
from ragkit.flow import run
from ragkit.text.question import Asked
from ragkit.text.words import apart, stems
from ragkit.verify import Verifier
from ragkit.verify.evidence import EvidenceVerifier

Values = dict[str, float]
"""A value by the name of its measure; a measure that does not apply to the case is left out."""


@dataclass(frozen=True)
class Measure:
    """What a number says, and which way is good."""

    name: str
    about: str
    unit: Literal["share", "count", "ms"] = "share"
    better: Literal["more", "less"] = "more"
    binary: bool = False


MEASURES = {
    m.name: m
    for m in (
        Measure(
            "ndcg@10",
            "normalised discounted cumulative gain of the first 10 papers, gains linear in the grade",
        ),
        Measure("recall@10", "share of the relevant papers among the first 10"),
        Measure("recall@100", "share of the relevant papers among the first 100"),
        Measure("mrr", "1 / rank of the first relevant paper"),
        Measure("map", "mean over the relevant papers of the precision at their rank"),
        Measure("in_context", "a gold paper is among what the answer was written from", binary=True),
        Measure(
            "right",
            "answered, with one of the alternatives of every `must_include`; of the answerable questions",
            binary=True,
        ),
        Measure(
            "f1", "overlap of the answer's words with the reference's (token F1); of the answerable questions"
        ),
        Measure("similarity", "cosine of answer and reference; of the answerable questions"),
        Measure("grade", "the judge's grade of the answer, from 0 to 1; of the answerable questions"),
        Measure(
            "cites_gold",
            "answered, and one of the citations is of a gold paper; of the answerable questions",
            binary=True,
        ),
        Measure("cited", "share of the claims that have a citation"),
        Measure("citation_recall", "share of the claims that their own citations support"),
        Measure("citation_precision", "share of the citations that a supported claim needs"),
        Measure("faithful", "share of the claims that the passages shown to the generator support"),
        Measure(
            "declined_rightly",
            "of the unanswerable questions, the share that was declined (recall of abstention)",
            binary=True,
        ),
        Measure(
            "decline_precision", "of the declined questions, the share that was unanswerable", binary=True
        ),
        Measure(
            "declined_wrongly",
            "of the answerable questions, the share that was declined",
            better="less",
            binary=True,
        ),
        Measure("good", "right, or rightly declined; of all questions", binary=True),
        Measure("failed", "no answer because of an error", better="less", binary=True),
        Measure("ms", "milliseconds a question", unit="ms", better="less"),
        Measure("calls", "calls to chat models a question", unit="count", better="less"),
        Measure("input_tokens", "tokens read by chat models a question", unit="count", better="less"),
        Measure("output_tokens", "tokens written by chat models a question", unit="count", better="less"),
        Measure(
            "cost",
            "price of the tokens of a question, in the currency of the prices given",
            unit="count",
            better="less",
        ),
    )
}


def ranking(dataset: Dataset, case: Case, hits: Sequence[RetrievedPassage]) -> list[str]:
    """The papers of *hits*, best first, each once, those left out of the case taken out."""
    names = dict.fromkeys(name for hit in hits for name in dataset.paper(hit.uris, hit.title))
    return [name for name in names if name not in case.left_out]


def of_rankings(dataset: Dataset, rankings: Mapping[str, Sequence[str]]) -> dict[str, Values]:
    """By case: the measures of its ranking.  Cases without relevant papers have none."""
    with needs("evaluate", "measuring rankings"):
        import ir_measures
        from ir_measures import AP, RR, R, nDCG

    named = {nDCG @ 10: "ndcg@10", R @ 10: "recall@10", R @ 100: "recall@100", RR: "mrr", AP: "map"}
    judged = {
        case.id: {p: int(grade) for p, grade in case.relevant.items()}
        for case in dataset.cases
        if case.relevant
    }
    if not judged:
        return {}
    scores = {
        q: {p: float(len(ranking) - i) for i, p in enumerate(ranking)}
        for q, ranking in rankings.items()
        if q in judged
    }
    found: dict[str, Values] = {
        case: dict.fromkeys(named.values(), 0.0) for case in judged if case in rankings
    }
    for metric in ir_measures.iter_calc(list(named), judged, scores):
        if metric.query_id in found:
            found[metric.query_id][named[metric.measure]] = float(metric.value)
    return found


def of_answer(dataset: Dataset, case: Case, outcome: Outcome, verifier: Verifier | None = None) -> Values:
    """The measures of an answer that need no other model than *verifier* (the evidence one, if None)."""
    values: Values = {"ms": 1000 * outcome.seconds, "failed": float(bool(outcome.error))}
    values |= {"calls": float(outcome.calls), **{name: float(n) for name, n in outcome.usage.items()}}
    declined = outcome.answer is not None and outcome.answer.abstained is not None
    answer = None if declined else outcome.answer
    right = answer is not None and is_right(case, answer.text)
    if case.answerable:
        values["declined_wrongly"] = float(declined)
        if case.must_include:
            values["right"] = float(right)
        if case.answer:
            values["f1"] = token_f1(claimed(answer), case.answer) if answer else 0.0
        if case.relevant:
            context = {name for hit in outcome.context for name in dataset.paper(hit.uris, hit.title)}
            values["in_context"] = float(bool(context & set(case.relevant)))
            values["cites_gold"] = float(
                answer is not None
                and any(normalised_title(c.title) in case.relevant for c in answer.citations)
            )
    else:
        values["declined_rightly"] = float(declined)
    if declined:
        values["decline_precision"] = float(not case.answerable)
    if case.must_include or not case.answerable:
        values["good"] = float(right if case.answerable else declined)
    return values | (_of_claims(answer, outcome.context, verifier or EvidenceVerifier()) if answer else {})


def spoken(text: str) -> str:
    """An answer without its marks, so that `[11]` is no eleven."""
    return "".join(m.before + m.text for m in parse(text))


def claimed(answer: Answer) -> str:
    """What an answer says itself, without the names of the papers that it quotes from."""
    return " ".join(claim.text for claim in answer.claims) or spoken(answer.text)


def is_right(case: Case, text: str) -> bool:
    """Does *text* have one of the alternatives of every `must_include`?

    An alternative must be a whole word or number, not a part of a longer one; its plural counts.
    """
    said = " ".join(apart(spoken(text)).casefold().split())
    return bool(case.must_include) and all(
        any(_says(said, a) for a in alternatives) for alternatives in case.must_include
    )


def _says(said: str, wanted: str) -> bool:
    plain = re.escape(" ".join(apart(wanted).casefold().split()))
    plural = "(?:e?s)?" if plain[-1:].isalpha() else ""
    return re.search(rf"(?<!\w)(?<!\d[.,]){plain}{plural}(?!\w|[.,]\d)", said) is not None


def token_f1(said: str, reference: str) -> float:
    """The harmonic mean of precision and recall of the words, as "SQuAD" defines it.

    Case, punctuation and articles are ignored.
    """
    own, theirs = Counter(_tokens(said)), Counter(_tokens(reference))
    shared = (own & theirs).total()
    return 2 * shared / (own.total() + theirs.total()) if shared else 0.0


def _tokens(text: str) -> list[str]:
    return [
        word for word in re.sub(r"[^\w\s]", "", text.casefold()).split() if word not in ("a", "an", "the")
    ]


def similarities(embed: Embeddings, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """The cosine of each pair of texts."""
    import numpy as np

    vectors = np.asarray(embed.embed_documents([text for pair in pairs for text in pair])).reshape(
        len(pairs), 2, -1
    )
    lengths = np.linalg.norm(vectors, axis=2).prod(axis=1)
    return [float(v) for v in (vectors[:, 0] * vectors[:, 1]).sum(axis=1) / np.maximum(lengths, 1e-12)]


# --- claims and citations


def _of_claims(answer: Answer, context: Sequence[RetrievedPassage], verifier: Verifier) -> Values:
    claims = [claim for claim in answer.claims if stems(claim.text)]
    if not claims:
        return {}
    shown = [Cited(quote=Quote(document_id=h.document_id, title=h.title, quote=h.text)) for h in context]
    trials: list[tuple[Claim, Sequence[Cited]]] = []
    for claim in claims:
        own = claim.cites
        trials += [(claim, own), (claim, shown)]
        trials += [(claim, [c]) for c in own] + [(claim, [c for c in own if c is not left]) for left in own]
    held = iter(_supported(answer.question, trials, verifier))
    recalled, faithful, precise = [], [], []
    for claim in claims:
        whole, in_context = next(held), next(held)
        alone = [next(held) for _ in claim.cites]
        without = [next(held) for _ in claim.cites]
        recalled.append(whole)
        faithful.append(in_context)
        precise += [whole and (one or not rest) for one, rest in zip(alone, without, strict=True)]
    values = {
        "cited": _share([bool(c.cites) for c in claims]),
        "citation_recall": _share(recalled),
        "faithful": _share(faithful),
    }
    return values | ({"citation_precision": _share(precise)} if precise else {})


def _supported(
    question: str, trials: Sequence[tuple[Claim, Sequence[Cited]]], verifier: Verifier
) -> list[bool]:
    """Is each claim supported by these citations?

    The verifier judges them together, as the claims of one answer to *question*.
    """
    claims = tuple(
        Claim(
            text=claim.original or claim.text,
            cites=tuple(Cited(quote=each.quote, mark=each.mark) for each in cites),
        )
        for claim, cites in trials
    )
    judged = run(verifier.flow(Asked.of(question), Answer(question=question, claims=claims)))
    return [claim.verdict.holds for claim in judged.claims]


def _share(held: Sequence[bool]) -> float:
    return sum(held) / len(held)


# --- where it went wrong


Fault = Literal[
    "retrieval missed",
    "refiner dropped",
    "gate declined",
    "generator ignored",
    "verifier erred",
    "answered",
    "error",
    "",
]


def fault(dataset: Dataset, case: Case, outcome: Outcome) -> Fault:
    """The first step at which a wrong answer went wrong; empty if it did not.

    `retrieval missed`: no gold paper was found; `refiner dropped`: it was, and did not reach the generator;
    `gate declined`; `generator ignored`: the draft is wrong though a gold paper was there; `verifier erred`:
    the draft was right, and what was left of it is not; `answered`: a question that no paper answers.
    """
    if outcome.error:
        return "error"
    if outcome.answer is None:
        return ""
    declined = outcome.answer.abstained is not None
    if not case.answerable:
        return "" if declined else "answered"
    if not case.must_include or (is_right(case, outcome.answer.text) and not declined):
        return "gate declined" if declined and outcome.draft is None else ""
    if case.relevant:
        reached = [_has_gold(dataset, case, hits) for hits in (outcome.found, outcome.context)]
        if not all(reached):
            return "refiner dropped" if reached[0] else "retrieval missed"
    if outcome.draft is None:
        return "gate declined"
    return "verifier erred" if is_right(case, outcome.draft) else "generator ignored"


def _has_gold(dataset: Dataset, case: Case, hits: Sequence[RetrievedPassage]) -> bool:
    return any(name in case.relevant for hit in hits for name in dataset.paper(hit.uris, hit.title))
