"""Events as JSON: one schema, whoever reads it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support import ROOT

import ragkit
from ragkit import events
from ragkit.answer import Abstention, Answer, Cited, Claim, Finding, Quote, Verdict
from ragkit.flow import Called, Event, Finished, Progress, StateReached, Token
from ragkit.verify.streaming import CitationReady, ClaimReady

CITED = Cited(
    quote=Quote(document_id="p1", title="On Bridges", end=30, quote="Glass bridges carry 40 people."),
    finding=Finding(verdict=Verdict.SUPPORTED, score=1.0, reason="word for word"),
)
ANSWER = Answer(
    question="How many?",
    claims=(
        Claim(text="Glass bridges carry 40 people.", verdict=Verdict.SUPPORTED, cites=(CITED,), before=" "),
    ),
)
[CLAIM], [CITATION] = ANSWER.numbered, ANSWER.citations


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (
            Called("gate", "CalibratedGate", 0.0123456, None),
            {"type": "stage", "stage": "gate", "component": "CalibratedGate", "ms": 12.35},
        ),
        (Token("Glass "), {"type": "token", "text": "Glass "}),
        (CitationReady(CITATION), {"type": "citation", **CITATION.model_dump(mode="json")}),
        (
            ClaimReady(0, CLAIM, True),
            {
                "type": "claim",
                "index": 0,
                "before": " ",
                "text": CLAIM.text,
                "verdict": "supported",
                "citations": [1],
                "shown": True,
                "reason": "",
            },
        ),
        (Finished(ANSWER), {"type": "answer", **ANSWER.as_json()}),
        (
            Finished(
                Answer(
                    question="Why?",
                    abstained=Abstention(reason="nothing was found", nearest=("On Bridges",)),
                )
            ),
            {
                "type": "answer",
                "question": "Why?",
                "answer": "I cannot answer this from the papers: nothing was found. Closest papers: On Bridges.",
                "abstained": {"reason": "nothing was found", "nearest": ["On Bridges"]},
                "confidence": 1.0,
                "claims": [],
                "citations": [],
                "usage": {},
                "timings_ms": {},
            },
        ),
    ],
    ids=lambda given: type(given).__name__,
)
def test_an_event_is_a_line_of_json_with_its_type_first_and_is_read_back(
    event: Event, told: dict[str, object]
) -> None:
    found = events.of(event)
    assert found is not None
    assert found.as_json() == json.loads(found.model_dump_json()) == told
    assert next(iter(found.as_json())) == "type"
    assert events.read(found.model_dump_json()) == found


@pytest.mark.parametrize("event", [Progress("read", 1, 2), StateReached("draft", ANSWER), Finished(3)])
def test_what_is_of_no_use_outside_is_not_told(event: Event) -> None:
    assert events.of(event) is None


def test_a_failure_is_one_sentence() -> None:
    assert events.failed(ragkit.ModelError("the model is away")).as_json() == {
        "type": "error",
        "message": "the model is away",
    }
    assert events.failed(KeyError("boom")).as_json() == {"type": "error", "message": "KeyError: 'boom'"}


def test_a_line_that_is_no_event_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="does not match any of the expected tags"):
        events.read('{"type": "song"}')


def test_the_schema_names_every_type() -> None:
    assert set(events.schema()["discriminator"]["mapping"]) == {
        "stage",
        "trace",
        "token",
        "citation",
        "claim",
        "answer",
        "error",
    }


def test_a_question_tells_its_stages_the_citations_before_their_claims_and_at_last_the_answer(
    rag: ragkit.Rag,
) -> None:
    told = [
        event
        for event in map(events.of, rag.stream("How many parameters do BERT-base and BERT-large have?"))
        if event
    ]
    kinds = [event.type for event in told if event.type != "stage"]
    assert kinds[0] == "token"
    assert kinds[-1] == "answer"
    assert kinds.index("citation") < kinds.index("claim")
    last = told[-1]
    assert isinstance(last, events.AnswerEvent)
    assert [c.number for c in told if isinstance(c, events.CitationEvent)] == [
        c.number for c in last.citations
    ]
    assert [c.text for c in told if isinstance(c, events.ClaimEvent) and c.shown] == [
        c.text for c in last.claims
    ]


DOCUMENT = (ROOT / "docs" / "streaming.md").read_text()


def test_the_document_shows_every_type_as_it_is() -> None:
    [block] = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)
    lines = block.splitlines()
    assert [events.read(line).as_json() for line in lines] == [json.loads(line) for line in lines]
    assert {json.loads(line)["type"] for line in lines} == set(events.schema()["discriminator"]["mapping"])


def test_the_documents_python_runs(
    ingested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".ragkit").symlink_to(ingested)
    monkeypatch.chdir(tmp_path)
    [block] = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    exec(block, {})
    assert events.read(capsys.readouterr().out.splitlines()[-1]).type == "answer"
