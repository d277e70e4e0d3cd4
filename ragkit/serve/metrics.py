"""What is counted of the questions of a server."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ragkit import events

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
"""The bounds of the histograms: from a cold lookup to a large model's long answer."""
_MOST_REASONS = 30  # reasons of abstentions that are counted apart, since some name what was asked


class Metrics:
    """Counters in a registry of their own."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.questions = Counter("ragkit_questions", "Questions by outcome.", ["outcome"], registry=own)
        self.seconds = Histogram(
            "ragkit_question_seconds", "Seconds from question to answer.", buckets=_SECONDS, registry=own
        )
        self.stages = Histogram(
            "ragkit_stage_seconds", "Seconds of a stage.", ["stage"], buckets=_SECONDS, registry=own
        )
        self.claims = Counter("ragkit_claims", "Claims of answers by verdict.", ["verdict"], registry=own)
        self.abstentions = Counter("ragkit_abstentions", "Abstentions by reason.", ["reason"], registry=own)
        self.generation = Gauge("ragkit_generation", "The state of an index.", ["index"], registry=own)
        self.queue = Gauge("ragkit_queue", "Files that workers share, by state.", ["state"], registry=own)
        self.inflight = Gauge("ragkit_inflight", "Questions that are being answered.", registry=own)
        self._reasons: set[str] = set()

    async def counted(
        self, happening: AsyncGenerator[events.AnyEvent, None]
    ) -> AsyncGenerator[events.AnyEvent, None]:
        """The events of a question, counted."""
        began, outcome = time.perf_counter(), "cancelled"
        self.inflight.inc()
        try:
            async for event in happening:
                if isinstance(event, events.StageEvent):
                    self.stages.labels(event.stage).observe(event.ms / 1000)
                elif isinstance(event, events.AnswerEvent):
                    outcome = "abstained" if event.abstained else "answered"
                    self._count(event)
                yield event
        except Exception:
            outcome = "failed"
            raise
        finally:
            await happening.aclose()
            self.inflight.dec()
            self.questions.labels(outcome).inc()
            self.seconds.observe(time.perf_counter() - began)

    def _count(self, answer: events.AnswerEvent) -> None:
        for claim in answer.claims:
            self.claims.labels(str(claim.verdict)).inc()
        if answer.abstained:
            reason = answer.abstained.reason
            if len(self._reasons) < _MOST_REASONS:
                self._reasons.add(reason)
            self.abstentions.labels(reason if reason in self._reasons else "other").inc()
