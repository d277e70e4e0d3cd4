"""Traces questions and ingests: flows and their calls as OpenTelemetry spans (GenAI conventions).

    with telemetry.tracing():  # or tracing(my_tracer_provider)
        rag.ask("How many parameters has BERT-base?")

gives a span `ragkit.ask` and inside it one for each call, named after its stage: `retrieve`, `fuse`,
`generate` and so on; spans of other libraries, such as an instrumentation of LangChain, are nested in the
call's.  Questions and answers are left out, unless OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT is
`true`.  Needs `pip install 'ragkit[otel]'`.

The packages that instrument LangChain do not replace this: opentelemetry-instrumentation-langchain 0.62 and
openinference-instrumentation-langchain 0.1 record contents unless told otherwise, give embeddings no span and
servers no address, and patch the whole process; the second does not follow the GenAI conventions.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import urlsplit

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.utils import convert_to_messages
from langchain_core.retrievers import BaseRetriever

from ragkit import __version__
from ragkit.answer import Answer
from ragkit.config import components
from ragkit.corpus.vectors import CachedEmbeddings
from ragkit.document import score_of, span_of
from ragkit.errors import UsageError, needs
from ragkit.flow import Call, Flow, Watch, watching
from ragkit.ingest.report import IngestReport
from ragkit.retrieve import FilteredRetriever

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Tracer, TracerProvider

Attributes = dict[str, str | bool | int | float | Sequence[str]]

log = logging.getLogger("ragkit")

_ROOTS = {
    "AnswerPipeline.flow": "ragkit.ask",
    "AnswerPipeline.ranking": "ragkit.search",
    "AnswerPipeline.found": "ragkit.search",
    "AnswerPipeline.respond": "ragkit.answer",
    "IngestPipeline.flow": "ragkit.ingest",
    "IngestPipeline.fill": "ragkit.repair",
}
"""The spans of whole flows; any other flow is a part of the span that it runs in."""

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_MOST = 20  # documents that a span names
_PATIENCE = 3.0  # seconds that the end of a command waits for its spans to be sent


@contextmanager
def tracing(tracer_provider: TracerProvider | None = None) -> Iterator[None]:
    """Trace the flows that run inside, in this thread and wherever its context is copied (asyncio tasks).

    Without *tracer_provider*, OpenTelemetry's global one is used.  Raises `UsageError` if OpenTelemetry is
    not installed.
    """
    with needs("otel", "tracing"):
        from opentelemetry import trace
    tracer = trace.get_tracer("ragkit", __version__, tracer_provider)
    contents = _setting("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT").lower()
    before = watching.set(_Tracing(tracer, contents in ("true", "span_only", "span_and_event")))
    try:
        yield
    finally:
        watching.reset(before)


@contextmanager
def from_environment() -> Iterator[None]:
    """`tracing` with the exporter that OpenTelemetry's environment variables name, if they name one.

    OTEL_TRACES_EXPORTER is `otlp` (the default where OTEL_EXPORTER_OTLP_ENDPOINT is set), `console` (JSON on
    standard error) or `none`.  The spans are sent at the end; a collector that does not take them within
    three seconds causes a warning.  Raises `UsageError` for another exporter or protocol, or if the exporter
    is not installed.
    """
    wanted = _exporters_wanted()
    if not wanted:
        yield
        return
    with needs("otel", "tracing"):
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider

        processors = [_PROCESSORS[name]() for name in wanted]
    named = Resource.create({"service.name": "ragkit", "service.version": __version__}).merge(
        OTELResourceDetector().detect()
    )
    provider = TracerProvider(resource=named, shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    with _complaints() as heard:
        try:
            with tracing(provider):
                yield
        finally:
            sent = threading.Thread(target=provider.shutdown, daemon=True)
            sent.start()
            sent.join(_PATIENCE)
            if sent.is_alive() and not heard:
                heard.append("no answer in time")
            if heard:
                where = _setting(*_ENDPOINTS) or "http://localhost:4318"
                log.warning("not all traces could be sent to %s: %s", where, heard[-1])


def _setting(*names: str) -> str:
    """The first of these environment variables that is set; signal-specific names come first."""
    return next((value for name in names if (value := os.environ.get(name, "").strip())), "")


def _exporters_wanted() -> list[str]:
    """The names of the exporters, if there are to be any."""
    named = _setting("OTEL_TRACES_EXPORTER").lower()
    wanted = [
        name.strip()
        for name in (named or ("otlp" if _setting(*_ENDPOINTS) else "")).split(",")
        if name.strip()
    ]
    if wanted == ["none"] or _setting("OTEL_SDK_DISABLED").lower() == "true":
        return []
    if unknown := [name for name in wanted if name not in _PROCESSORS]:
        raise UsageError(
            f"OTEL_TRACES_EXPORTER is '{named}', but ragkit knows no '{unknown[0]}'; set it to otlp, console or none"
        )
    protocol = (
        _setting("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    )
    if "otlp" in wanted and protocol != "http/protobuf":
        raise UsageError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is '{protocol}', but ragkit sends http/protobuf; set it so (collectors take that on"
            " port 4318), or set OTEL_TRACES_EXPORTER to none"
        )
    return wanted


def _otlp() -> SpanProcessor:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    patient = _setting("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
    return BatchSpanProcessor(OTLPSpanExporter(timeout=None if patient else _PATIENCE))


def _console() -> SpanProcessor:
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

    return SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr))  # the answer is on standard output


_PROCESSORS: dict[str, Callable[[], SpanProcessor]] = {"otlp": _otlp, "console": _console}


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What OpenTelemetry logs meanwhile, kept instead of shown: it says the same thing of every batch.

    Once there is something, what it logs later, while the process ends, is not shown either.
    """
    heard: list[str] = []

    class Hearing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    hearing = Hearing(logging.WARNING)
    loggers = [logging.getLogger("opentelemetry.sdk"), logging.getLogger("opentelemetry.exporter")]
    for logger in loggers:
        logger.propagate = False
        logger.addHandler(hearing)
    try:
        yield heard
    finally:
        for logger in loggers if not heard else ():
            logger.propagate = True
            logger.removeHandler(hearing)


# --- spans


class _Tracing(Watch):
    """Begins a span for each flow that has a name and for each call, in the span that is current."""

    def __init__(self, tracer: Tracer, contents: bool, parent: Context | None = None) -> None:
        self.tracer, self.contents, self.context = tracer, contents, parent

    def begin(self, what: Flow[Any] | Call) -> Watch:
        if isinstance(what, Call):
            told = partial(_returned, what, contents=self.contents)
            return _Span(self, what.stage, _given(what, self.contents), told)
        name = _ROOTS.get(getattr(what, "__qualname__", ""))
        return _Span(self, name, {}, _outcome) if name else self


class _Span(_Tracing):
    """A span from here on; current while `working`."""

    def __init__(
        self, outer: _Tracing, name: str, attributes: Attributes, told: Callable[[Any], Attributes]
    ) -> None:
        from opentelemetry import trace

        kind = trace.SpanKind.CLIENT if "gen_ai.operation.name" in attributes else trace.SpanKind.INTERNAL
        self.span = outer.tracer.start_span(name, outer.context, kind, attributes)
        self.told = told
        super().__init__(outer.tracer, outer.contents, trace.set_span_in_context(self.span, outer.context))

    @contextmanager
    def working(self) -> Iterator[None]:
        from opentelemetry import context

        assert self.context is not None
        token = context.attach(self.context)
        try:
            yield
        finally:
            context.detach(token)

    def returned(self, result: Any) -> None:
        if self.span.is_recording():
            self.span.set_attributes(self.told(result))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from opentelemetry.trace import Status, StatusCode

        if isinstance(error, Exception):  # any other, such as GeneratorExit, is no failure
            self.span.record_exception(error)
            module, name = type(error).__module__, type(error).__qualname__
            self.span.set_attribute("error.type", name if module == "builtins" else f"{module}.{name}")
            self.span.set_status(Status(StatusCode.ERROR, f"{name}: {error}"))
        self.span.end()


# --- what they say


def _given(made: Call, contents: bool) -> Attributes:
    """The attributes of a call that are known before it is made."""
    owner = getattr(made.method, "__self__", None)
    found: Attributes = {"ragkit.component": made.component}
    if given := [argument for argument in made.arguments if _are_documents(argument)]:
        found["ragkit.documents.given"] = len(given[0])
    if isinstance(owner, BaseChatModel):
        found |= {"gen_ai.operation.name": "chat", **_model(owner)}
        if made.streaming:
            found["gen_ai.request.stream"] = True
        for name in ("temperature", "max_tokens"):
            if isinstance(value := getattr(owner, name, None), int | float):
                found[f"gen_ai.request.{name}"] = value
        if contents:
            messages = [_message(message) for message in _messages(made.arguments[0])]
            found["gen_ai.input.messages"] = json.dumps(messages, ensure_ascii=False)
    if isinstance(owner, Embeddings):
        embed, texts = owner.embed if isinstance(owner, CachedEmbeddings) else owner, made.arguments[0]
        found |= {"gen_ai.operation.name": "embeddings", **_model(embed)}
        found["ragkit.texts"] = 1 if isinstance(texts, str) else len(texts)
    if isinstance(owner, BaseRetriever):
        found["gen_ai.operation.name"] = "retrieval"
        for name in owner.searched if isinstance(owner, FilteredRetriever) else ():
            found["gen_ai.data_source.id"] = name
        if isinstance(k := getattr(owner, "k", None), int):
            found["gen_ai.request.top_k"] = float(k)
        if contents:
            found["gen_ai.retrieval.query.text"] = str(made.arguments[0])
    return found


def _returned(made: Call, result: Any, contents: bool) -> Attributes:
    """The attributes of a call that are known once it has returned."""
    owner = getattr(made.method, "__self__", None)
    if isinstance(owner, BaseChatModel):
        return _reply(result, contents) if isinstance(result, AIMessage) else {}
    if isinstance(owner, Embeddings):
        return {"gen_ai.embeddings.dimension.count": np.shape(result)[-1]} if len(result) else {}
    if not _are_documents(result):
        return {}
    found: Attributes = {"ragkit.documents.returned": len(result)}
    if isinstance(owner, BaseRetriever):
        found["gen_ai.retrieval.documents"] = _ranking(result)
    elif any(map(score_of, result)):
        found["ragkit.documents.best"] = _ranking(result)
    return found


def _outcome(result: Any) -> Attributes:
    """The attributes of a whole flow that are known at its end."""
    if isinstance(result, Answer):
        return {
            "ragkit.answer.claims": len(result.claims),
            "ragkit.answer.citations": len(result.citations),
            "ragkit.answer.abstained": result.abstained is not None,
        }
    if isinstance(result, IngestReport):
        counts = {name: value for name, value in result if isinstance(value, int)}
        counts["failed"] = len(result.failed)
        return {f"ragkit.ingest.{name}": value for name, value in counts.items()}
    return {"ragkit.documents.returned": len(result)} if _are_documents(result) else {}


def _are_documents(value: object) -> TypeGuard[Sequence[Document]]:
    return isinstance(value, list | tuple) and all(isinstance(each, Document) for each in value)


def _ranking(documents: Sequence[Document]) -> str:
    """The ids and scores of the best documents, as the conventions' JSON."""
    return json.dumps(
        [{"id": str(d.id or span_of(d).document_id), "score": score_of(d)} for d in documents[:_MOST]]
    )


_PROVIDERS = {
    "langchain_anthropic": "anthropic",
    "langchain_aws": "aws.bedrock",
    "langchain_google_genai": "gcp.gemini",
    "langchain_google_vertexai": "gcp.vertex_ai",
    "langchain_ibm": "ibm.watsonx.ai",
    "langchain_mistralai": "mistral_ai",
    "langchain_xai": "x_ai",
}
"""Where the conventions' name for a provider is not that of its LangChain package."""


def _model(model: BaseChatModel | Embeddings) -> Attributes:
    """Who is asked: provider, model and server."""
    package = type(model).__module__.partition(".")[0]
    provider = _PROVIDERS.get(package, package.removeprefix("langchain_"))
    if package == "ragkit":
        provider = components.name_of(type(model))
    if type(model).__name__ in ("AzureChatOpenAI", "AzureOpenAIEmbeddings"):
        provider = "azure.ai.openai"
    found: Attributes = {"gen_ai.provider.name": provider}
    if name := _text(model, "model_name", "model", "model_id"):
        found["gen_ai.request.model"] = name
    if (url := urlsplit(_text(model, "openai_api_base", "base_url"))).hostname:
        found["server.address"] = url.hostname
        found["server.port"] = url.port or (80 if url.scheme == "http" else 443)
    return found


def _text(thing: object, *names: str) -> str:
    """The first of these attributes that is a text."""
    return next((value for name in names if isinstance(value := getattr(thing, name, None), str)), "")


def _reply(reply: AIMessage, contents: bool) -> Attributes:
    """What a chat model's reply says of itself."""
    about, counted = reply.response_metadata, reply.usage_metadata
    reason = str(about.get("finish_reason") or about.get("stop_reason") or about.get("done_reason") or "")
    found: Attributes = {}
    if reply.id and not reply.id.startswith(("run-", "lc_run-")):  # LangChain's own
        found["gen_ai.response.id"] = reply.id
    if name := about.get("model_name") or about.get("model"):
        found["gen_ai.response.model"] = str(name)
    if reason:
        found["gen_ai.response.finish_reasons"] = [reason]
    if counted:
        found["gen_ai.usage.input_tokens"] = counted["input_tokens"]
        found["gen_ai.usage.output_tokens"] = counted["output_tokens"]
        details: dict[str, Any] = {
            **counted.get("input_token_details", {}),
            **counted.get("output_token_details", {}),
        }
        for key, name in (
            ("cache_read", "cache_read.input_tokens"),
            ("reasoning", "reasoning.output_tokens"),
        ):
            if (count := details.get(key)) is not None:
                found[f"gen_ai.usage.{name}"] = count
    if contents:
        said = {**_message(reply), "finish_reason": reason or "stop"}
        found["gen_ai.output.messages"] = json.dumps([said], ensure_ascii=False)
    return found


def _messages(prompt: Any) -> Sequence[BaseMessage]:
    """What a chat model is given: a text, a prompt, or messages in any of LangChain's forms."""
    if hasattr(prompt, "to_messages"):
        return list(prompt.to_messages())
    return convert_to_messages([prompt] if isinstance(prompt, str) else prompt)


_ROLES: Mapping[str, str] = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}


def _message(message: BaseMessage) -> dict[str, Any]:
    """A message in the form of the conventions."""
    return {
        "role": _ROLES.get(message.type, message.type),
        "parts": [{"type": "text", "content": str(message.text)}],
    }
