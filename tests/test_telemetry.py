"""Traces: what a collector is told of questions and ingests, and what it is not."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from collections.abc import Generator as PyGenerator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessageChunk, HumanMessage
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support import ModelServer

import ragkit
from ragkit import telemetry
from ragkit.ask import AnswerPipeline
from ragkit.chunk import WholeChunker
from ragkit.document import score_of
from ragkit.errors import UsageError
from ragkit.flow import Event, Flow, Token, arun, asteps, call, gather, run, steps, stream, watching
from ragkit.generate import Generator
from ragkit.generate.chat import CitedGenerator
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index.bm25 import Bm25Index
from ragkit.index.chroma import ChromaIndex
from ragkit.ingest import IngestPipeline
from ragkit.models.chat import openai_chat
from ragkit.models.embeddings import SentenceTransformersEmbeddings
from ragkit.retrieve import DenseRetriever, LexicalRetriever
from ragkit.testing import HashedEmbeddings
from ragkit.text.question import Asked
from ragkit.verify.evidence import EvidenceVerifier

QUESTION = "How many people do glass bridges carry?"


class Collector:
    """Takes the spans of its provider, in the order in which they ended."""

    def __init__(self) -> None:
        self.exporter, self.provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> ReadableSpan:
        [found] = [span for span in self.spans if span.name == name]
        return found

    def paths(self) -> list[str]:
        """Each span after those it is in, in the order in which they began."""
        known = {span.context.span_id: span for span in self.spans if span.context}

        def path(span: ReadableSpan) -> str:
            return f"{path(known[span.parent.span_id])} > {span.name}" if span.parent else span.name

        return [path(span) for span in sorted(self.spans, key=lambda span: span.start_time or 0)]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.fixture
def collector() -> Collector:
    return Collector()


def bridges(folder: Path, generate: Generator) -> ragkit.Rag:
    """Two papers, keyword search, and a generator."""
    (folder / "papers").mkdir()
    (folder / "papers" / "glass.md").write_text("# Glass Bridges\n\nGlass bridges carry 40 people.\n")
    (folder / "papers" / "wood.md").write_text("# Wooden Bridges\n\nWooden bridges carry 12 people.\n")
    words = Bm25Index()
    rag = ragkit.Rag(
        corpus=folder / "corpus",
        ingest=IngestPipeline(chunk=WholeChunker(), index=[words]),
        answer=AnswerPipeline(
            retrieve=[LexicalRetriever(index=words, k=5)], generate=generate, verify=EvidenceVerifier()
        ),
    )
    rag.ingest(folder / "papers")
    return rag


class Speaker:
    """Says two words, and notes in which span it does so."""

    def __init__(self) -> None:
        self.inside: list[trace.Span] = []

    def speak(self, words: list[str]) -> Iterator[AIMessageChunk]:
        for word in words:
            self.inside.append(trace.get_current_span())
            yield AIMessageChunk(content=word)

    async def aspeak(self, words: list[str]) -> AsyncIterator[AIMessageChunk]:
        for word in words:
            self.inside.append(trace.get_current_span())
            yield AIMessageChunk(content=word)


# --- questions and ingests


def test_a_question_is_a_span_with_one_inside_for_each_call(tmp_path: Path, collector: Collector) -> None:
    rag = bridges(tmp_path, ExtractiveGenerator(embed=HashedEmbeddings()))
    with telemetry.tracing(collector.provider):
        rag.ask(QUESTION)
    assert collector.paths() == [
        "ragkit.ask",
        "ragkit.ask > retrieve",
        "ragkit.ask > fuse",
        "ragkit.ask > read",
        "ragkit.ask > filter",
        "ragkit.ask > embed",
        "ragkit.ask > embed",
        "ragkit.ask > verify",
    ]
    assert attributes(collector.named("ragkit.ask")) == {
        "ragkit.answer.claims": 1,
        "ragkit.answer.citations": 1,
        "ragkit.answer.abstained": False,
    }


def test_a_question_asked_without_blocking_has_the_same_spans(tmp_path: Path, collector: Collector) -> None:
    rag = bridges(tmp_path, ExtractiveGenerator())
    with telemetry.tracing(collector.provider):
        rag.ask(QUESTION)
        asyncio.run(rag.aask(QUESTION))
    one, other = (
        collector.paths()[: len(collector.spans) // 2],
        collector.paths()[len(collector.spans) // 2 :],
    )
    assert one == other
    assert len({span.context.trace_id for span in collector.spans if span.context}) == 2


def test_a_search_is_a_span_of_its_own(tmp_path: Path, collector: Collector) -> None:
    rag = bridges(tmp_path, ExtractiveGenerator())
    with telemetry.tracing(collector.provider):
        rag.search("bridges")
    assert collector.paths() == [
        "ragkit.search",
        "ragkit.search > retrieve",
        "ragkit.search > fuse",
        "ragkit.search > read",
    ]


def test_an_ingest_is_a_span_that_says_what_was_done(tmp_path: Path, collector: Collector) -> None:
    with telemetry.tracing(collector.provider):
        bridges(tmp_path, ExtractiveGenerator())
    assert set(collector.paths()) == {
        "ragkit.ingest",
        *(f"ragkit.ingest > {stage}" for stage in ("read", "chunk", "index")),
    }
    assert attributes(collector.named("chunk")) == {
        "ragkit.component": "WholeChunker",
        "ragkit.documents.given": 2,
    }
    assert attributes(collector.named("ragkit.ingest")) == {
        "ragkit.ingest.files": 2,
        "ragkit.ingest.new": 2,
        "ragkit.ingest.changed": 0,
        "ragkit.ingest.unchanged": 0,
        "ragkit.ingest.looked_up": 0,
        "ragkit.ingest.entries": 2,
        "ragkit.ingest.documents": 2,
        "ragkit.ingest.duplicates": 0,
        "ragkit.ingest.variants": 0,
        "ragkit.ingest.descriptions": 0,
        "ragkit.ingest.chunks": 2,
        "ragkit.ingest.failed": 0,
        "ragkit.ingest.pruned": 0,
        "ragkit.ingest.encoded": 0,
    }


def test_nothing_is_traced_after_the_end(collector: Collector) -> None:
    with telemetry.tracing(collector.provider):
        pass
    assert run(call("count", len, [1, 2])) == 2
    assert collector.spans == []


# --- what the spans say


def test_a_retrieval_names_what_it_found_and_not_what_was_asked(tmp_path: Path, collector: Collector) -> None:
    rag = bridges(tmp_path, ExtractiveGenerator())
    with telemetry.tracing(collector.provider):
        found = rag.search("wooden bridges")
    [retriever] = rag.answer_pipeline.retrieve
    assert isinstance(retriever, LexicalRetriever)
    hits = retriever.over(rag.snapshot(), None).invoke("wooden bridges")
    assert [hit.id for hit in hits] == [passage.id for passage in found]
    assert attributes(collector.named("retrieve")) == {
        "ragkit.component": "LexicalRetriever",
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": rag.ingest_pipeline.name_of(rag.ingest_pipeline.index[0]),
        "gen_ai.request.top_k": 5.0,
        "ragkit.documents.returned": 2,
        "gen_ai.retrieval.documents": json.dumps([{"id": hit.id, "score": score_of(hit)} for hit in hits]),
    }
    assert attributes(collector.named("read")) == {
        "ragkit.component": "function",
        "ragkit.documents.given": 2,
        "ragkit.documents.returned": 2,
        "ragkit.documents.best": json.dumps(
            [{"id": passage.id, "score": score_of(passage)} for passage in found]
        ),
    }
    assert collector.named("retrieve").kind is trace.SpanKind.CLIENT
    assert collector.named("read").kind is trace.SpanKind.INTERNAL


def test_a_span_names_twenty_documents_at_most(collector: Collector) -> None:
    def many(_: int) -> list[Document]:
        return [Document(id=str(n), page_content="", metadata={"score": 1.0}) for n in range(30)]

    with telemetry.tracing(collector.provider):
        run(call("fuse", many, 1))
    said = attributes(collector.named("fuse"))
    assert said["ragkit.documents.returned"] == 30
    assert json.loads(said["ragkit.documents.best"]) == [{"id": str(n), "score": 1.0} for n in range(20)]


def test_an_embedding_names_its_model(collector: Collector) -> None:
    with telemetry.tracing(collector.provider):
        run(call("embed", HashedEmbeddings(size=8).embed_documents, ["one", "two"]))
        run(call("embed", SentenceTransformersEmbeddings().embed_query, "one"))
    assert [attributes(span) for span in collector.spans] == [
        {
            "ragkit.component": "HashedEmbeddings",
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": "hashed",
            "ragkit.texts": 2,
            "gen_ai.embeddings.dimension.count": 8,
        },
        {
            "ragkit.component": "SentenceTransformersEmbeddings",
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": "sentence_transformers",
            "gen_ai.request.model": "all-MiniLM-L6-v2",
            "ragkit.texts": 1,
            "gen_ai.embeddings.dimension.count": 384,
        },
    ]


def test_a_cached_embedding_names_the_model_behind_the_cache(tmp_path: Path, collector: Collector) -> None:
    (tmp_path / "glass.md").write_text("# Glass Bridges\n\nGlass bridges carry 40 people.\n")
    store = ChromaIndex(embed=HashedEmbeddings(size=8))
    ingest = IngestPipeline(chunk=WholeChunker(), index=[store])
    answer = AnswerPipeline(retrieve=[DenseRetriever(store=store)], generate=ExtractiveGenerator())
    with telemetry.tracing(collector.provider):
        ragkit.Rag(corpus=tmp_path / "corpus", ingest=ingest, answer=answer).ingest(tmp_path / "glass.md")
    assert attributes(collector.named("embed")) == {
        "ragkit.component": "CachedEmbeddings",
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "hashed",
        "ragkit.texts": 1,
        "gen_ai.embeddings.dimension.count": 8,
    }


def chat_attributes(server: ModelServer) -> dict[str, Any]:
    return {
        "ragkit.component": "ChatOpenAI",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "small",
        "server.address": "127.0.0.1",
        "server.port": server.server_port,
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 512,
        "gen_ai.response.model": "m",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 5,
    }


def test_a_chat_model_is_named_with_its_tokens_and_without_its_words(
    tmp_path: Path, collector: Collector, model_server: ModelServer
) -> None:
    model_server.says = "They carry 40 people. [1]"
    rag = bridges(tmp_path, CitedGenerator(openai_chat("small", base_url=model_server.url)))
    with telemetry.tracing(collector.provider):
        rag.ask(QUESTION)
        asyncio.run(rag.aask(QUESTION))
    chats = [span for span in collector.spans if span.name == "generate"]
    assert [attributes(span) for span in chats] == [chat_attributes(model_server)] * 2
    assert {span.kind for span in chats} == {trace.SpanKind.CLIENT}


def test_words_are_recorded_where_the_environment_says_so(
    collector: Collector, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    model_server.says = "They carry 40 people. [1]"
    chat = openai_chat("small", base_url=model_server.url)
    with telemetry.tracing(collector.provider):
        run(stream("generate", chat.stream, [HumanMessage(QUESTION)]))
    asked = [{"role": "user", "parts": [{"type": "text", "content": QUESTION}]}]
    said = [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": "They carry 40 people. [1]"}],
            "finish_reason": "stop",
        }
    ]
    assert attributes(collector.named("generate")) == {
        **chat_attributes(model_server),
        "gen_ai.input.messages": json.dumps(asked),
        "gen_ai.output.messages": json.dumps(said),
    }


def test_a_query_is_recorded_where_the_environment_says_so(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    rag = bridges(tmp_path, ExtractiveGenerator())
    with telemetry.tracing(collector.provider):
        rag.search("wooden bridges")
    assert attributes(collector.named("retrieve"))["gen_ai.retrieval.query.text"] == "wooden bridges"


def test_an_error_is_recorded_in_the_span_of_the_call_and_of_the_question(
    tmp_path: Path, collector: Collector
) -> None:
    class Failing(Generator):
        def flow(self, asked: Asked, passages: object, judged: object = None) -> Flow[ragkit.Answer]:
            return (yield from call("generate", self.write, str(asked.text)))

        def write(self, question: str) -> ragkit.Answer:
            raise KeyError("boom")

    rag = bridges(tmp_path, Failing())
    with telemetry.tracing(collector.provider), pytest.raises(KeyError, match="boom"):
        rag.ask(QUESTION)
    for name in ("generate", "ragkit.ask"):
        span = collector.named(name)
        assert (span.status.status_code, span.status.description) == (
            trace.StatusCode.ERROR,
            "KeyError: 'boom'",
        )
        assert attributes(span)["error.type"] == "KeyError"
        [event] = span.events
        assert (event.name, dict(event.attributes or {})["exception.message"]) == ("exception", "'boom'")
    assert {span.name for span in collector.spans if span.status.is_ok} == {
        "filter",
        "retrieve",
        "fuse",
        "read",
    }


# --- nesting


def test_what_others_trace_inside_a_call_is_nested_in_its_span(collector: Collector) -> None:
    tracer = collector.provider.get_tracer("other")

    def ask(name: str) -> str:
        with tracer.start_as_current_span(f"{name}'s request"):
            return name

    def both() -> Flow[list[str]]:
        yield from call("first", ask, "one")
        return (yield from gather("both", [(ask, "two"), (ask, "three")]))

    expected = ["both > three's request", "both > two's request", "first > one's request"]
    ways: list[Callable[[], object]] = [lambda: run(both()), lambda: asyncio.run(arun(both()))]
    for go in ways:
        collector.exporter.clear()
        with telemetry.tracing(collector.provider):
            go()
        assert sorted(path for path in collector.paths() if ">" in path) == expected


def test_a_flow_that_a_component_runs_is_nested_in_its_call(collector: Collector) -> None:
    def nested(number: int) -> int:
        return sum(run(gather("inner", [(abs, number), (abs, number)])))

    with telemetry.tracing(collector.provider):
        run(gather("outer", [(nested, 1), (nested, 2)]))
    assert sorted(collector.paths()) == ["outer", "outer", *["outer > inner"] * 4]


async def taken(flow: Flow[Any], note: Callable[[], None]) -> None:
    async for event in asteps(flow):
        if isinstance(event, Token):
            note()


def test_the_span_of_a_stream_lasts_until_its_end_and_is_not_its_readers(collector: Collector) -> None:
    def note() -> None:
        between.append((trace.get_current_span(), len(collector.spans)))

    def read(flow: Flow[Any]) -> None:
        for event in steps(flow):
            if isinstance(event, Token):
                note()

    for go in (read, lambda flow: asyncio.run(taken(flow, note))):
        collector.exporter.clear()
        between: list[tuple[trace.Span, int]] = []
        speaker = Speaker()
        with telemetry.tracing(collector.provider):
            go(stream("speak", speaker.speak, ["glass ", "bridge"]))
        assert [inside.get_span_context() for inside in speaker.inside] == [
            collector.named("speak").context
        ] * 2
        assert between == [(trace.INVALID_SPAN, 0)] * 2


def test_a_question_that_nobody_waits_for_is_no_error(
    tmp_path: Path, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    rag = bridges(tmp_path, ExtractiveGenerator())
    with telemetry.tracing(collector.provider):
        events = rag.stream(QUESTION)
        next(events)
        contextvars.Context().run(cast(PyGenerator[Event, None, None], events).close)
    assert [(span.name, span.status.is_ok) for span in collector.spans] == [
        ("retrieve", True),
        ("ragkit.ask", True),
    ]
    assert caplog.messages == []


# --- the command line and its environment


def test_running_a_flow_imports_no_tracer() -> None:
    code = "import sys; from ragkit import flow; flow.run(flow.call('count', len, [])); print('opentelemetry' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False\n"
    )


def test_without_a_word_in_the_environment_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    before = watching.get()
    with telemetry.from_environment():
        assert watching.get() is before


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_the_environment_can_forbid_traces(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with telemetry.from_environment():
        run(call("count", len, []))
    assert capsys.readouterr() == ("", "")


def test_the_console_shows_spans_on_standard_error_with_the_name_of_the_service(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    for named, expected in (("", "ragkit"), ("papers", "papers")):
        monkeypatch.setenv("OTEL_SERVICE_NAME", named)
        with telemetry.from_environment():
            run(call("count", len, []))
        shown = capsys.readouterr()
        span = json.loads(shown.err)
        assert shown.out == ""
        assert (span["name"], span["resource"]["attributes"]["service.name"]) == ("count", expected)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"OTEL_TRACES_EXPORTER": "zipkin"},
            "OTEL_TRACES_EXPORTER is 'zipkin', but ragkit knows no 'zipkin'; set it to otlp, console or none",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc', but ragkit sends http/protobuf; set it so (collectors take that on port 4318),"
            " or set OTEL_TRACES_EXPORTER to none",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
            "tracing needs opentelemetry.exporter.otlp.proto.http.trace_exporter; pip install 'ragkit[otel]'",
        ),
    ],
)
def test_an_environment_that_cannot_be_served_is_told_in_a_sentence(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as error, telemetry.from_environment():
        pass
    assert str(error.value) == message


def test_the_commands_trace_and_their_output_stays_as_it_is(
    ingested: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    for arguments, root in (
        (["search", "BERT", "--json"], "ragkit.search"),
        (["ask", "What is BERT?", "--json"], "ragkit.ask"),
    ):
        done = command(*arguments, "--corpus", ingested, OTEL_TRACES_EXPORTER="console")
        assert done.returncode == 0
        assert json.loads(done.stdout)
        assert f'"name": "{root}"' in done.stderr


class CollectorServer(ThreadingHTTPServer):
    """Takes what is sent to it, as an OTLP collector does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _CollectorHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.received: list[tuple[str, bytes]] = []


class _CollectorHandler(BaseHTTPRequestHandler):
    server: CollectorServer

    def do_POST(self) -> None:
        self.server.received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def collector_server() -> Iterator[CollectorServer]:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs ragkit[otel]")
    with CollectorServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_collector_has_all_spans_when_the_command_is_over(
    ingested: Path,
    command: Callable[..., subprocess.CompletedProcess[str]],
    collector_server: CollectorServer,
) -> None:
    done = command(
        "ask", "What is BERT?", "--corpus", ingested, OTEL_EXPORTER_OTLP_ENDPOINT=collector_server.url
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {path for path, _ in collector_server.received} == {"/v1/traces"}
    names = [
        span.name
        for _, body in collector_server.received  # a slow machine sends more than one batch
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert (names[-1], names.count("retrieve")) == ("ragkit.ask", 2)


def test_a_collector_that_is_not_there_or_does_not_answer_costs_a_warning(
    ingested: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs ragkit[otel]")
    with socket.create_server(("127.0.0.1", 0)) as deaf, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for port in (deaf.getsockname()[1], closed.getsockname()[1]):
            url = f"http://127.0.0.1:{port}"
            done = command("search", "BERT", "--json", "--corpus", ingested, OTEL_EXPORTER_OTLP_ENDPOINT=url)
            assert done.returncode == 0
            assert json.loads(done.stdout)["results"]
            [warning] = done.stderr.splitlines()
            assert warning.startswith(f"not all traces could be sent to {url}: ")
