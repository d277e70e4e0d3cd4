"""Reliable chat models: retries, fallbacks, prices, deadlines, and errors that say what to do."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from langchain_core.exceptions import ModelTimeoutError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import SecretStr
from support import ROOT

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import WholeChunker
from ragkit.errors import ConfigError, DeadlinePassed
from ragkit.flow import Called, Flow, Token, arun, asteps, before, call, gather, run, steps, stream
from ragkit.generate.chat import CitedGenerator
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index.bm25 import Bm25Index
from ragkit.ingest import IngestPipeline
from ragkit.models.chat import explained, fallback_chat, openai_chat, spent
from ragkit.models.embeddings import openai_embeddings
from ragkit.retrieve import LexicalRetriever
from ragkit.rewrite import MultiQueryRewriter
from ragkit.testing import scripted_chat
from ragkit.text.language import language_of

QUESTION = "How many people do glass bridges carry?"
KEY = "sk-very-secret-0123456789"


@dataclass(frozen=True)
class Reply:
    """How the server handles one request.

    `says` are the pieces of a stream; None in place of a piece cuts the connection.
    """

    status: int = 200
    message: str = "no"
    headers: dict[str, str] = field(default_factory=dict)
    says: tuple[str | None, ...] = ("Yes ", "[1].")
    hangs: bool = False


class ScriptedServer(ThreadingHTTPServer):
    """A local OpenAI-compatible server that gives its replies in order and repeats the last one."""

    def __init__(self, *replies: Reply) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.replies = list(replies)
        self.asked: list[dict[str, Any]] = []
        self.over = threading.Event()

    def handle_error(self, *_: Any) -> None:
        """A client may go away before its reply is written."""


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedServer
    protocol_version = "HTTP/1.1"  # connections are kept, unless they are cut

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        reply = self.server.replies[min(len(self.server.asked), len(self.server.replies) - 1)]
        self.server.asked.append(asked)
        self.close_connection = None in reply.says
        if reply.hangs and reply.says == ():
            self.server.over.wait()
        elif reply.status != 200:
            self._send(
                "application/json",
                json.dumps({"error": {"message": reply.message}}),
                reply.status,
                reply.headers,
            )
        elif asked.get("stream"):
            self._stream(reply)
        elif None not in reply.says:
            choice = {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "".join(map(str, reply.says))},
            }
            counted = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
            self._send(
                "application/json",
                json.dumps({"id": "x", "model": "m", "choices": [choice], "usage": counted}),
            )

    def _stream(self, reply: Reply) -> None:
        whole = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m"}
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in ("", *reply.says):
            if piece is None:
                return  # the end of the chunks is missing
            self._chunk(
                {
                    **whole,
                    "choices": [
                        {"index": 0, "finish_reason": None, "delta": {"role": "assistant", "content": piece}}
                    ],
                }
            )
        if reply.hangs:
            self.server.over.wait()
        self._chunk(
            {
                **whole,
                "choices": [],
                "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
            }
        )
        self.wfile.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    def _chunk(self, event: dict[str, Any]) -> None:
        line = f"data: {json.dumps(event)}\n\n".encode()
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()

    def _send(self, kind: str, text: str, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "content-type": kind,
            "content-length": str(len(text.encode())),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None: ...


Serve = Callable[..., ScriptedServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server with these replies."""
    started: list[ScriptedServer] = []

    def start(*replies: Reply) -> ScriptedServer:
        server = ScriptedServer(*replies)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have waited before each retry."""
    waits: list[float] = []
    monkeypatch.setattr("openai._base_client.time.sleep", waits.append)
    return waits


def chat(server: ScriptedServer, **settings: Any) -> BaseChatModel:
    return openai_chat("m", base_url=server.url, api_key=SecretStr(KEY), **settings)


def no_server() -> BaseChatModel:
    """A model at a port where nobody listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        return openai_chat("m", base_url=f"http://127.0.0.1:{closed.server_port}/v1", max_retries=0)


def bridges(folder: Path, **answer: Any) -> ragkit.Rag:
    """A paper about glass bridges, keyword search, and what else is given."""
    (folder / "papers").mkdir()
    (folder / "papers" / "glass.md").write_text("# Glass Bridges\n\nGlass bridges carry 40 people.\n")
    words = Bm25Index()
    rag = ragkit.Rag(
        corpus=folder / "corpus",
        ingest=IngestPipeline(chunk=WholeChunker(), index=[words]),
        answer=AnswerPipeline(
            **{"retrieve": [LexicalRetriever(index=words, k=5)], "generate": ExtractiveGenerator(), **answer}
        ),
    )
    rag.ingest(folder / "papers")
    return rag


# --- retries


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_request_that_fails_for_the_moment_is_made_again_after_waits_that_double(
    serve: Serve, slept: list[float], status: int
) -> None:
    server = serve(Reply(status), Reply(status), Reply())
    assert chat(server).invoke(QUESTION).text == "Yes [1]."
    assert len(server.asked) == 3
    assert [0.375 <= slept[0] <= 0.5, 0.75 <= slept[1] <= 1.0] == [True, True]


def test_the_server_says_how_long_to_wait(serve: Serve, slept: list[float]) -> None:
    server = serve(Reply(429, headers={"retry-after": "7"}), Reply())
    assert "".join(chunk.text for chunk in chat(server).stream(QUESTION)) == "Yes [1]."
    assert slept == [7.0]


def test_a_connection_that_is_cut_before_the_reply_is_made_again(serve: Serve, slept: list[float]) -> None:
    server = serve(Reply(says=(None,)), Reply())
    assert chat(server).invoke(QUESTION).text == "Yes [1]."
    assert (len(server.asked), len(slept)) == (2, 1)


def test_no_more_retries_than_asked_for(serve: Serve, slept: list[float]) -> None:
    server = serve(Reply(503))
    with pytest.raises(Exception, match="503"):
        chat(server, max_retries=1).invoke(QUESTION)
    assert (len(server.asked), len(slept)) == (2, 1)


def test_a_model_may_be_asked_in_one_event_loop_after_another(serve: Serve) -> None:
    model = chat(serve(Reply()), max_retries=0)
    assert [asyncio.run(model.ainvoke(QUESTION)).text for _ in range(3)] == ["Yes [1]."] * 3


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_request_that_is_wrong_is_made_once(serve: Serve, status: int) -> None:
    server = serve(Reply(status))
    with pytest.raises(Exception, match=str(status)):
        chat(server).invoke(QUESTION)
    assert len(server.asked) == 1


# --- models that stand in for each other


def verbs(model: BaseChatModel) -> list[Callable[[], str]]:
    """The four ways to ask a model."""

    async def astreamed() -> str:
        return "".join([chunk.text async for chunk in model.astream(QUESTION)])

    return [
        lambda: model.invoke(QUESTION).text,
        lambda: asyncio.run(model.ainvoke(QUESTION)).text,
        lambda: "".join(chunk.text for chunk in model.stream(QUESTION)),
        lambda: asyncio.run(astreamed()),
    ]


@pytest.mark.parametrize("verb", range(4), ids=["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize(
    "fails",
    [Reply(429), Reply(503), Reply(says=(None,)), Reply(hangs=True, says=())],
    ids=["429", "503", "cut", "hangs"],
)
def test_the_next_model_is_asked_when_one_cannot_answer_now(
    serve: Serve, fails: Reply, verb: int, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = serve(fails), serve(Reply(says=("Second.",)))
    model = fallback_chat([chat(first, max_retries=0, timeout=0.2), chat(second)])
    assert verbs(model)[verb]() == "Second."
    assert (len(first.asked), len(second.asked)) == (1, 1)
    assert [
        r.message.endswith("; the next model is asked") for r in caplog.records if r.name == "ragkit"
    ] == [True]


@pytest.mark.parametrize("verb", range(4), ids=["invoke", "ainvoke", "stream", "astream"])
def test_a_model_whose_server_is_down_is_passed_over(serve: Serve, verb: int) -> None:
    assert verbs(fallback_chat([no_server(), chat(serve(Reply(says=("Second.",))))]))[verb]() == "Second."


@pytest.mark.parametrize("verb", range(4), ids=["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_request_that_is_wrong_is_an_error_and_not_the_next_models(
    serve: Serve, status: int, verb: int
) -> None:
    second = serve(Reply())
    with pytest.raises(Exception, match=str(status)):
        verbs(fallback_chat([chat(serve(Reply(status))), chat(second)]))[verb]()
    assert second.asked == []


@pytest.mark.parametrize("verb", range(4), ids=["invoke", "ainvoke", "stream", "astream"])
def test_the_last_models_error_is_the_error(serve: Serve, verb: int) -> None:
    with pytest.raises(Exception, match="503"):
        verbs(fallback_chat([no_server(), chat(serve(Reply(503)), max_retries=0)]))[verb]()


def test_once_a_token_has_come_a_stream_that_breaks_is_an_error(serve: Serve) -> None:
    second = serve(Reply())
    chunks = fallback_chat([chat(serve(Reply(says=("Glass ", None)))), chat(second)]).stream(QUESTION)
    assert next(chunk.text for chunk in chunks if chunk.text) == "Glass "
    with pytest.raises(Exception, match="[Cc]onnection"):
        next(chunks)
    assert second.asked == []


def test_what_is_bound_to_a_fallback_reaches_the_model_that_answers(serve: Serve) -> None:
    first, second = serve(Reply(503)), serve(Reply())
    model = fallback_chat([chat(first, max_retries=0), chat(second)]).bind(
        response_format={"type": "json_object"}, logprobs=True
    )
    model.invoke(QUESTION)
    assert [(s.asked[0]["response_format"], s.asked[0]["logprobs"]) for s in (first, second)] == [
        ({"type": "json_object"}, True)
    ] * 2


def test_a_fallback_without_models_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "ingest: {chunk: whole, index: &i {type: bm25}}\n"
        "answer:\n  retrieve: {type: lexical, index: *i}\n  generate: {type: cited, llm: {type: fallback, models: []}}\n"
    )
    with pytest.raises(ConfigError, match="c.yaml:4:"):
        ragkit.load(tmp_path / "c.yaml")


# --- what a question costs


class Counted(BaseChatModel):
    """Says one thing, and says that it took 100 tokens to read and 10 to write."""

    says: str

    @property
    def _llm_type(self) -> str:
        return "counted"

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> ChatResult:
        usage: Any = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.says, usage_metadata=usage))])


@dataclass(frozen=True)
class Asking:
    """Asks a model twice while it is called, as a reranker does."""

    llm: BaseChatModel

    def compress(self, text: str) -> str:
        return "".join(
            reply.text for reply in run(gather("rerank", [(self.llm.invoke, text), (self.llm.invoke, text)]))
        )

    async def acompress(self, text: str) -> str:
        return "".join(
            reply.text
            for reply in await arun(gather("rerank", [(self.llm.invoke, text), (self.llm.invoke, text)]))
        )


def test_an_answers_usage_counts_every_call_of_its_question(tmp_path: Path, serve: Serve) -> None:
    server = serve(
        Reply(says=("What do ", "bridges carry?")), Reply(says=("Glass bridges ", "carry 40 people [1]."))
    )
    llm = chat(server, input_price=2.0, output_price=5.0)
    rag = bridges(tmp_path, rewrite=[MultiQueryRewriter(llm)], generate=CitedGenerator(llm))
    for answer in (rag.ask(QUESTION), asyncio.run(rag.aask(QUESTION))):
        assert answer.text == "Glass bridges carry 40 people. [1]"
        assert answer.usage == {"input_tokens": 200, "output_tokens": 20, "cost": pytest.approx(2 * 250e-6)}
    assert [type(n) for n in json.loads(json.dumps(answer.as_json()))["usage"].values()] == [int, int, float]


def test_without_prices_there_is_no_cost_and_without_a_model_no_usage(tmp_path: Path) -> None:
    rag = bridges(tmp_path, rewrite=[MultiQueryRewriter(Counted(says="What do bridges carry?"))])
    assert rag.ask(QUESTION).usage == {"input_tokens": 100, "output_tokens": 10}
    (tmp_path / "other").mkdir()
    assert bridges(tmp_path / "other").ask(QUESTION).usage == {}


def test_a_langchain_model_of_another_make_has_its_prices_in_its_metadata() -> None:
    model = Counted(says="Yes.", metadata={"input_price": 3.0, "output_price": 15.0})
    assert spent(model, model.invoke("?")) == {
        "input_tokens": 100,
        "output_tokens": 10,
        "cost": pytest.approx(450e-6),
    }
    assert spent(model.bind(logprobs=True), model.invoke("?"))["cost"] == pytest.approx(450e-6)
    assert spent(model, "no message") == {}


@pytest.mark.parametrize("verb", ["invoke", "stream"])
def test_a_reply_of_a_fallback_costs_what_the_model_that_gave_it_asks(serve: Serve, verb: str) -> None:
    dear, cheap = (
        chat(serve(Reply(503)), max_retries=0, input_price=50.0),
        chat(serve(Reply()), input_price=1.0, output_price=2.0),
    )
    model = fallback_chat([fallback_chat([dear, cheap]), scripted_chat(["never"])])
    called = [
        e
        for e in steps((call if verb == "invoke" else stream)("ask", getattr(model, verb), QUESTION))
        if isinstance(e, Called)
    ]
    assert [spent(c.owner, c.result) for c in called] == [
        {"input_tokens": 100, "output_tokens": 10, "cost": pytest.approx(120e-6)}
    ]


def test_a_call_knows_the_calls_that_were_made_inside_it() -> None:
    asking = Asking(Counted(says="7"))

    async def events() -> list[Any]:
        return [event async for event in asteps(call("refine", asking.compress, "?"))]

    for heard in (list(steps(call("refine", asking.compress, "?"))), asyncio.run(events())):
        outer = heard[0]
        assert (outer.stage, outer.owner, outer.result) == ("refine", asking, "77")
        assert [(c.stage, c.owner, c.result.text) for c in outer.inside] == [("rerank", asking.llm, "7")] * 2


# --- a deadline


NEVER, MIDWAY, LATER = (
    Reply(hangs=True, says=()),
    Reply(hangs=True, says=("Glass ",)),
    Reply(429, headers={"retry-after": "100"}),
)


@pytest.mark.parametrize("hangs", [NEVER, MIDWAY, LATER], ids=["never", "midway", "later"])
def test_a_question_that_takes_too_long_is_declined_with_the_nearest_papers(
    tmp_path: Path, serve: Serve, hangs: Reply
) -> None:
    rag = bridges(tmp_path, deadline=0.3, generate=CitedGenerator(chat(serve(hangs))))
    for answer in (rag.ask(QUESTION), asyncio.run(rag.aask(QUESTION))):
        assert answer.abstained == ragkit.Abstention(
            reason="the 0.3 seconds that a question may take were over", nearest=("Glass Bridges",)
        )
        assert (answer.question, answer.claims, answer.citations) == (QUESTION, (), ())


def test_the_deadline_holds_for_all_stages_together(tmp_path: Path, serve: Serve) -> None:
    rag = bridges(tmp_path, deadline=0.3, rewrite=[MultiQueryRewriter(chat(serve(NEVER)))])
    for answer in (rag.ask(QUESTION), asyncio.run(rag.aask(QUESTION))):
        assert answer.abstained == ragkit.Abstention(
            reason="the 0.3 seconds that a question may take were over"
        )


def test_tokens_that_came_before_the_deadline_were_heard(tmp_path: Path, serve: Serve) -> None:
    rag = bridges(tmp_path, deadline=0.5, generate=CitedGenerator(chat(serve(MIDWAY))))
    assert "".join(event.text for event in rag.stream(QUESTION) if isinstance(event, Token)) == "Glass "


def test_a_question_in_time_is_answered_as_without_a_deadline(tmp_path: Path, serve: Serve) -> None:
    rag = bridges(
        tmp_path,
        deadline=60,
        generate=CitedGenerator(chat(serve(Reply(says=("They carry ", "40 people [1]."))))),
    )
    for answer in (rag.ask(QUESTION), asyncio.run(rag.aask(QUESTION))):
        assert (answer.text, answer.abstained) == ("They carry 40 people. [1]", None)


class Reranking:
    """Asks a model about one passage after another."""

    def __init__(self, llm: BaseChatModel) -> None:
        self.llm = llm

    def flow(self) -> Flow[None]:
        for passage in ("1", "2"):
            with suppress(DeadlinePassed):
                yield from call("rerank", self.llm.invoke, passage)

    def compress(self) -> None:
        run(self.flow())

    async def acompress(self) -> None:
        await arun(self.flow())


@pytest.mark.parametrize("driver", [run, lambda flow: asyncio.run(arun(flow))], ids=["sync", "async"])
def test_a_component_makes_no_more_requests_after_the_deadline_of_its_caller(
    serve: Serve, driver: Callable[[Flow[None]], None]
) -> None:
    server = serve(NEVER)
    reranking = Reranking(chat(server))
    with suppress(DeadlinePassed):  # in async code the component itself is cancelled
        driver(before(time.monotonic() + 0.5, call("refine", reranking.compress)))
    assert [asked["messages"][0]["content"] for asked in server.asked] == ["1"]


def test_a_deadline_ends_a_request_once_however_often_it_may_be_made(serve: Serve) -> None:
    server = serve(NEVER)
    model, begun = chat(server, max_retries=9), time.monotonic()
    with pytest.raises(DeadlinePassed) as caught:
        run(before(begun + 0.3, call("ask", model.invoke, QUESTION)))
    assert 0.3 <= time.monotonic() - begun < 1.3
    assert len(server.asked) == 1
    assert str(caught.value) == (
        "the deadline passed before stage 'ask' was over; give it longer with 'deadline'"
    )
    assert isinstance(caught.value.__cause__, httpx2.ReadTimeout)


def test_a_request_that_is_refused_for_the_moment_is_made_again_before_the_deadline(
    serve: Serve, slept: list[float]
) -> None:
    server = serve(Reply(429, headers={"retry-after": "7"}), Reply(503), Reply())
    reply = run(before(time.monotonic() + 60, call("ask", chat(server).invoke, QUESTION)))
    assert (reply.text, len(server.asked), slept[0]) == ("Yes [1].", 3, 7.0)


@pytest.mark.parametrize("later", ["100", "{date}"], ids=["seconds", "date"])
def test_a_server_that_wants_to_be_asked_later_than_the_deadline_is_waited_for_until_then(
    serve: Serve, slept: list[float], later: str
) -> None:
    date = formatdate(time.time() + 100, usegmt=True)
    server = serve(Reply(429, headers={"retry-after": later.format(date=date)}), Reply())
    assert run(before(time.monotonic() + 5, call("ask", chat(server).invoke, QUESTION))).text == "Yes [1]."
    assert 0 < slept[0] <= 5


@pytest.mark.parametrize("verb", ["invoke", "stream"])
@pytest.mark.parametrize("bound", [False, True], ids=["plain", "bound"])
def test_models_that_stand_in_for_each_other_share_the_time_that_is_left(
    serve: Serve, caplog: pytest.LogCaptureFixture, verb: str, bound: bool
) -> None:
    first, second = serve(NEVER), serve(NEVER)
    model: Any = fallback_chat([chat(first, timeout=0.2, max_retries=0), chat(second)])
    model = model.bind(logprobs=True) if bound else model
    begun = time.monotonic()
    with pytest.raises(DeadlinePassed):
        run(before(begun + 1.0, (call if verb == "invoke" else stream)("ask", getattr(model, verb), "?")))
    assert time.monotonic() - begun < 2.0
    assert (len(first.asked), len(second.asked), len(caplog.messages)) == (1, 1, 1)


def test_a_stream_that_stalls_is_ended_and_its_error_is_the_cause(serve: Serve) -> None:
    model, begun = chat(serve(MIDWAY)), time.monotonic()
    with pytest.raises(DeadlinePassed) as caught:
        run(before(begun + 0.3, stream("ask", model.stream, QUESTION)))
    assert time.monotonic() - begun < 1.3
    assert isinstance(caught.value.__cause__, ModelTimeoutError)


class Endless:
    """Streams until it is closed."""

    closed = False

    def stream(self) -> Iterator[AIMessageChunk]:
        try:
            while True:
                yield AIMessageChunk("and ")
        finally:
            self.closed = True

    async def astream(self) -> AsyncIterator[AIMessageChunk]:
        try:
            while True:
                yield AIMessageChunk("and ")
                await asyncio.sleep(0)
        finally:
            self.closed = True


@pytest.mark.parametrize("driver", [run, lambda flow: asyncio.run(arun(flow))], ids=["sync", "async"])
def test_a_stream_that_goes_on_is_closed_at_the_deadline(driver: Callable[[Flow[Any]], Any]) -> None:
    endless = Endless()
    with pytest.raises(DeadlinePassed):
        driver(before(time.monotonic() + 0.1, stream("ask", endless.stream)))
    assert endless.closed


def test_a_search_with_the_embeddings_of_a_server_ends_at_the_deadline(tmp_path: Path, serve: Serve) -> None:
    embed = openai_embeddings("m", base_url=serve(NEVER).url, api_key=SecretStr(KEY))
    rag = bridges(tmp_path, deadline=0.3, generate=ExtractiveGenerator(embed=embed))
    begun = time.monotonic()
    answer = rag.ask(QUESTION)
    assert answer.abstained == ragkit.Abstention(
        reason="the 0.3 seconds that a question may take were over", nearest=("Glass Bridges",)
    )
    assert time.monotonic() - begun < 1.3


@dataclass(frozen=True)
class Blocking:
    """A component of another make, which takes no timeout; it has an async twin that can be cancelled."""

    over: threading.Event

    def ask(self, _: str) -> str:
        self.over.wait()
        return "late"

    async def aask(self, _: str) -> str:
        return str(await asyncio.Event().wait())


def test_a_component_that_takes_no_timeout_is_waited_for_or_cancelled_in_async_code() -> None:
    late = time.monotonic() + 0.1
    over, made = threading.Event(), list[str]()

    def flow() -> Flow[None]:
        made.append((yield from call("ask", Blocking(over).ask, "?")))
        yield from call("ask", made.append, "more")

    threading.Timer(0.2, over.set).start()
    with pytest.raises(DeadlinePassed):
        run(before(late, flow()))
    assert (made, over.is_set()) == (["late"], True)
    with pytest.raises(DeadlinePassed):
        asyncio.run(arun(before(time.monotonic() + 0.1, flow())))
    assert made == ["late"]


def test_a_timeout_of_a_components_own_is_the_cause_once_the_deadline_is_over() -> None:
    def ask() -> None:
        time.sleep(0.1)
        raise TimeoutError("the disk is slow")

    with pytest.raises(DeadlinePassed) as caught:
        run(before(time.monotonic() + 0.05, call("ask", ask)))
    assert str(caught.value.__cause__) == "the disk is slow"


def test_a_translation_that_is_late_costs_no_answer(tmp_path: Path, serve: Serve) -> None:
    question = "Wie viele Menschen können gleichzeitig auf Glasbrücken (glass bridges) stehen?"
    assert language_of(question) == "de"
    server = serve(Reply(says=("Glass bridges carry ", "40 people [1].")), NEVER)
    answer = bridges(tmp_path, deadline=3, generate=CitedGenerator(chat(server))).ask(question)
    assert (answer.text, len(server.asked)) == ("Glass bridges carry 40 people. [1]", 2)


def test_a_call_after_the_deadline_is_not_made() -> None:
    made: list[str] = []
    for driver in (run, lambda flow: asyncio.run(arun(flow))):
        with pytest.raises(DeadlinePassed):
            driver(before(time.monotonic(), call("ask", made.append, "made")))
    assert made == []


@pytest.mark.parametrize("error", [TimeoutError("the disk is slow"), KeyError("x")])
def test_a_calls_own_error_passes_through_a_deadline(error: Exception) -> None:
    def fail() -> None:
        raise error

    for driver in (run, lambda flow: asyncio.run(arun(flow))):
        with pytest.raises(type(error)) as caught:
            driver(before(time.monotonic() + 60, call("ask", fail)))
        assert str(caught.value) == str(error)


def test_a_flow_may_catch_what_it_was_not_given_time_for() -> None:
    def patient() -> Flow[str]:
        try:
            yield from before(time.monotonic(), call("ask", str, 1))
        except DeadlinePassed:
            return (yield from call("ask", str, 2))
        return "in time"

    assert (run(patient()), asyncio.run(arun(patient()))) == ("2", "2")


def test_a_deadline_inside_another_is_the_earlier_of_both() -> None:
    with pytest.raises(DeadlinePassed):
        run(before(time.monotonic() + 60, before(time.monotonic(), call("ask", str))))
    with pytest.raises(DeadlinePassed):
        run(before(time.monotonic(), before(time.monotonic() + 60, call("ask", str))))


def test_a_question_without_a_deadline_of_its_own_keeps_to_that_of_its_caller(tmp_path: Path) -> None:
    rag = bridges(tmp_path)
    with pytest.raises(DeadlinePassed):
        run(before(time.monotonic(), rag.answer_pipeline.flow(rag.question(QUESTION))))


# --- errors that say what to do

PIPELINE = """\
ingest: {{chunk: whole, index: &i {{type: bm25}}}}
answer:
  retrieve: {{type: lexical, index: *i}}
  generate: {{type: cited, llm: {{type: openai, model: small, base_url: "{url}", api_key: "${{RAGKIT_SECRET}}", max_retries: 0, timeout: 0.5}}}}
"""

SENTENCES = {
    "401": (
        Reply(401, message=f"Incorrect API key provided: {KEY}"),
        "the model server at {server} refuses the key; give another as 'api_key' or in OPENAI_API_KEY",
    ),
    "403": (
        Reply(403, message=f"no access with {KEY}"),
        "the model server at {server} does not let this key ask this model; give another as 'api_key', or another 'model'",
    ),
    "404": (
        Reply(404, message="The model 'small' does not exist."),
        "the model server at {server} does not have what is asked for (The model 'small' does not exist.);"
        " correct 'model', or the path of 'base_url' (most end in /v1)",
    ),
    "too long": (
        Reply(400, message="the request exceeds the available context size, try increasing it"),
        "the model server at {server} cannot take so long a prompt (the request exceeds the available context size, try increasing it);"
        " give it less to read with {type: token_budget, max_tokens: ...} under 'refine', or start it with a longer context",
    ),
    "400": (
        Reply(400, message=f"bad temperature, {KEY}"),
        "the model server at {server} does not take the request (bad temperature, ...); correct the model's settings",
    ),
    "429": (
        Reply(429, message="quota used up"),
        "the model server at {server} takes no more requests for now (quota used up); ask later, or add another model with 'fallback'",
    ),
    "503": (
        Reply(503, message="loading"),
        "the model server at {server} failed (loading); look at its log, or add another model with 'fallback'",
    ),
    "cut": (
        Reply(says=("Glass ", None)),
        "the model server at {server} cannot be reached or broke off; see that it runs and that 'base_url' is right",
    ),
    "hangs": (
        NEVER,
        "the model server at {server} took too long; give it longer with 'timeout', or ask a smaller model",
    ),
}


@pytest.mark.parametrize(("reply", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_an_error_of_the_server_is_one_sentence(serve: Serve, reply: Reply, sentence: str) -> None:
    server = serve(reply)
    llm = chat(server, max_retries=0, timeout=0.3)
    for verb in verbs(llm)[2:] if "Glass " in reply.says else verbs(llm):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            verb()
        assert explained(caught.value) == sentence.replace(
            "{server}", f"http://127.0.0.1:{server.server_port}"
        )


def test_an_error_that_is_no_servers_is_not_explained() -> None:
    assert explained(ValueError("no")) is None


@pytest.mark.parametrize("kind", ["401", "cut"])
def test_on_the_command_line_it_is_that_sentence_and_status_1(
    command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, serve: Serve, kind: str
) -> None:
    reply, sentence = SENTENCES[kind]
    server = serve(reply)
    (tmp_path / "ragkit.yaml").write_text(PIPELINE.format(url=server.url))
    (tmp_path / "glass.md").write_text("# Glass Bridges\n\nGlass bridges carry 40 people.\n")
    assert command("ingest", "glass.md", "--config", "ragkit.yaml", RAGKIT_SECRET=KEY).returncode == 0
    done = command("ask", QUESTION, "--config", "ragkit.yaml", RAGKIT_SECRET=KEY)
    assert (done.returncode, done.stderr) == (
        1,
        sentence.replace("{server}", f"http://127.0.0.1:{server.server_port}") + "\n",
    )


def test_a_server_that_is_down_is_one_sentence_on_the_command_line(
    command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "ragkit.yaml").write_text(PIPELINE.format(url="http://127.0.0.1:9/v1"))
    (tmp_path / "glass.md").write_text("# Glass Bridges\n\nGlass bridges carry 40 people.\n")
    assert command("ingest", "glass.md", "--config", "ragkit.yaml", RAGKIT_SECRET=KEY).returncode == 0
    done = command("ask", QUESTION, "--config", "ragkit.yaml", RAGKIT_SECRET=KEY)
    sentence = "the model server at http://127.0.0.1:9 cannot be reached or broke off; see that it runs and that 'base_url' is right\n"
    assert (done.returncode, done.stderr) == (1, sentence)


def test_a_model_without_a_key_is_a_problem_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (tmp_path / "c.yaml").write_text(
        "ingest: {chunk: whole, index: &i {type: bm25}}\n"
        "answer:\n  retrieve: {type: lexical, index: *i}\n  generate: {type: cited, llm: {type: openai, model: gpt-4o-mini}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        ragkit.load(tmp_path / "c.yaml")
    assert (
        "there is no key for 'gpt-4o-mini'; set OPENAI_API_KEY, or name a server of your own with 'base_url'"
        in str(caught.value)
    )


def test_the_key_is_never_shown(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("RAGKIT_SECRET", KEY)
    server = serve(Reply(401))
    (tmp_path / "c.yaml").write_text(PIPELINE.format(url=server.url))
    (tmp_path / "glass.md").write_text("# Glass Bridges\n\nGlass bridges carry 40 people.\n")
    rag = ragkit.load(tmp_path / "c.yaml", corpus=tmp_path / "corpus")
    rag.ingest(tmp_path / "glass.md")
    with pytest.raises(Exception, match="401") as caught:
        rag.ask(QUESTION)
    shown = [
        ragkit.dump(rag),
        repr(rag.answer_pipeline),
        str(rag.answer_pipeline),
        rag.state(),
        "".join(traceback.format_exception(caught.value)),
        "\n".join(f"{record.getMessage()} {record.args!r}" for record in caplog.records),
    ]
    assert [text for text in shown if KEY in text] == []
    assert "${RAGKIT_SECRET}" in shown[0]


def test_the_pipelines_that_the_document_shows_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "RAGKIT_API_KEY"):
        monkeypatch.setenv(name, KEY)
    shown = re.findall(
        r"^```yaml\n(.*?)^```$", (ROOT / "docs" / "models.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert len(shown) >= 2
    for text in shown:
        (tmp_path / "shown.yaml").write_text(
            "ingest: {chunk: whole, index: &i {type: bm25}}\n"
            + text
            + "  retrieve: {type: lexical, index: *i}\n"
        )
        ragkit.load(tmp_path / "shown.yaml")
