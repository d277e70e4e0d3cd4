"""What happens while a question is answered, as JSON: one schema for Python, the command line and HTTP.

for event in rag.stream("How many hard negatives does PEG use?"):
    if told := events.of(event):
        print(told.model_dump_json())
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ragkit.answer import Answer, Citation, NumberedClaim
from ragkit.errors import RagkitError
from ragkit.flow import Called, Event, Finished, Token
from ragkit.verify.streaming import CitationReady, ClaimReady


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, serialize_by_alias=True)

    type: str

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


class StageEvent(_Told):
    """A component returned, after so many milliseconds."""

    type: Literal["stage"] = "stage"
    stage: str
    component: str
    ms: float


class TraceEvent(_Told):
    """A line that tells people what a stage did, for a question that asks for its trace."""

    type: Literal["trace"] = "trace"
    text: str


class TokenEvent(_Told):
    """A piece of what a chat model writes, unchecked."""

    type: Literal["token"] = "token"
    text: str


class CitationEvent(Citation, _Told):
    """A numbered source that a claim to come cites; it replaces one of that number."""

    type: Literal["citation"] = "citation"


class ClaimEvent(NumberedClaim, _Told):
    """A sentence of the answer with its verdict; it replaces one of that index.

    `index` counts the sentences of the draft from 0, `before` is what stands between the sentence before and
    this one, `citations` are numbers, `reason` says why it is not supported.  A claim that is not `shown` is
    not for the reader, or not before the `answer` event.
    """

    type: Literal["claim"] = "claim"
    index: int
    before: str = ""
    shown: bool
    reason: str = ""


class AnswerEvent(Answer, _Told):
    """The final answer, as `ragkit ask --json` prints it; always the last event of a question."""

    type: Literal["answer"] = "answer"

    def as_json(self) -> dict[str, Any]:
        return {"type": self.type, **super().as_json()}


class ErrorEvent(_Told):
    """The question failed; nothing follows."""

    type: Literal["error"] = "error"
    message: str


AnyEvent = Annotated[
    StageEvent | TraceEvent | TokenEvent | CitationEvent | ClaimEvent | AnswerEvent | ErrorEvent,
    Field(discriminator="type"),
]


def of(event: Event) -> AnyEvent | None:
    """What *event* of `Rag.stream` is in JSON; None for one that is of no use outside."""
    match event:
        case Called():
            return StageEvent(stage=event.stage, component=event.component, ms=round(1000 * event.seconds, 2))
        case Token():
            return TokenEvent(text=event.text)
        case CitationReady():
            return CitationEvent(**event.citation.model_dump())
        case ClaimReady():
            claim = event.claim
            return ClaimEvent(
                **claim.model_dump(),
                before=claim.before,
                index=event.index,
                shown=event.shown,
                reason=event.reason,
            )
        case Finished(result=Answer() as answer):
            return AnswerEvent(**answer.as_json())
    return None


def failed(error: Exception) -> ErrorEvent:
    """What ends a stream in place of an answer."""
    return ErrorEvent(
        message=str(error) if isinstance(error, RagkitError) else f"{type(error).__name__}: {error}"
    )


def read(line: str) -> AnyEvent:
    """The event that a line of JSON tells of.  Raises `ValueError` if it is none."""
    return _ANY.validate_json(line)


def schema() -> dict[str, Any]:
    """The JSON Schema of a line."""
    return _ANY.json_schema(mode="serialization")


_ANY: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)
