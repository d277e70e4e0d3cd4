"""`/api/ask`, `/api/search`, `/api/check` and `/api/config` over real sockets."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.messages import AIMessageChunk
from support import ROOT

import ragkit
from ragkit import events
from ragkit.answer import Answer
from ragkit.flow import call, stream
from ragkit.generate import Generator
from ragkit.serve.service import Limits

BERT = "How many parameters do BERT-base and BERT-large have?"
Serving = Callable[..., httpx2.Client]


def told(lines: Iterator[str]) -> list[tuple[int, str, dict[str, Any]]]:
    """The id, name and data of each server-sent event."""
    blocks = [block for block in "\n".join(lines).split("\n\n") if block and not block.startswith(":")]
    found = []
    for block in blocks:
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


def asked(client: httpx2.Client, **body: Any) -> list[tuple[int, str, dict[str, Any]]]:
    with client.stream("POST", "/api/ask", json={"question": BERT, "stream": True, **body}) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        return told(reply.iter_lines())


def timeless(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key not in ("timings_ms", "type")}


# --- questions


def test_a_question_is_answered_as_the_command_line_does(server: httpx2.Client, rag: ragkit.Rag) -> None:
    answer = server.post("/api/ask", json={"question": BERT}).json()
    own = rag.ask(BERT).as_json()
    assert answer.keys() == own.keys()
    assert answer["answer"] == own["answer"]
    assert [each["quote"] for each in answer["citations"]] == [each["quote"] for each in own["citations"]]


def test_the_folders_of_the_server_are_not_told(server: httpx2.Client) -> None:
    answer = server.post("/api/ask", json={"question": BERT}).json()
    assert answer["citations"][0]["sources"][0]["uri"] == "bert.md"
    assert str(ROOT) not in json.dumps(answer)


def test_events_have_their_type_as_name_and_a_running_number(server: httpx2.Client) -> None:
    happened = asked(server)
    assert [number for number, _, _ in happened] == list(range(1, len(happened) + 1))
    assert all(name == data["type"] for _, name, data in happened)
    assert all(events.read(json.dumps(data)) for _, _, data in happened)
    assert timeless(happened[-1][2]) == timeless(server.post("/api/ask", json={"question": BERT}).json())


def test_accept_asks_for_events_too(server: httpx2.Client) -> None:
    reply = server.post("/api/ask", json={"question": BERT}, headers={"accept": "text/event-stream"})
    assert told(iter(reply.text.splitlines()))[-1][1] == "answer"


def test_a_stream_is_read_on_after_the_last_event_that_arrived(server: httpx2.Client) -> None:
    with server.stream("POST", "/api/ask", json={"question": BERT, "stream": True}) as reply:
        place = reply.headers["content-location"]
        first = next(line for line in reply.iter_lines() if line.startswith("id: "))
    rest = told(server.get(place, headers={"last-event-id": first.removeprefix("id: ")}).iter_lines())
    assert rest[0][0] == int(first.removeprefix("id: ")) + 1
    assert rest[-1][1] == "answer"


def test_a_question_that_nobody_asked_cannot_be_read_on(server: httpx2.Client) -> None:
    reply = server.get("/api/ask/nothing")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "no_such_question")


def test_history_and_filter_are_used(server: httpx2.Client) -> None:
    history = [{"role": "user", "content": BERT}, {"role": "assistant", "content": "110 and 340 million."}]
    follow_up = server.post("/api/ask", json={"question": "And when did it appear?", "history": history})
    assert follow_up.json()["citations"][0]["title"].startswith("BERT")
    filtered = server.post("/api/ask", json={"question": BERT, "where": "year < 1900"}).json()
    assert filtered["abstained"]


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"question": " "}, 400, "the question is empty"),
        ({"question": BERT, "where": "year >="}, 400, "expected a value after '>='"),
        ({"question": BERT, "model": "other"}, 404, "there is no configuration 'other'; choose default"),
        ({"question": BERT, "colour": "red"}, 422, "body.colour: Extra inputs are not permitted"),
        ({"question": 3}, 422, "body.question: Input should be a valid string"),
        ({}, 422, "body.question: Field required"),
    ],
)
def test_a_wrong_question_is_answered_with_a_sentence(
    server: httpx2.Client, body: dict[str, Any], status: int, sentence: str
) -> None:
    reply = server.post("/api/ask", json=body)
    assert reply.status_code == status
    assert sentence in reply.json()["error"]["message"]


def test_an_error_in_a_stream_is_its_last_event(server: httpx2.Client) -> None:
    [(_, name, data)] = asked(server, where="year >=")
    assert name == "error"
    assert "expected a value" in data["message"]


def test_a_corpus_that_is_not_there_is_told_without_its_path(serving: Serving, tmp_path: Path) -> None:
    client = serving(ragkit.load(ROOT / "configs" / "default.yaml", corpus=tmp_path / "none"))
    reply = client.post("/api/ask", json={"question": BERT})
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "no_corpus")
    assert str(tmp_path) not in reply.text
    assert client.get("/api/config").json()["corpus"] == {"name": "none", "papers": 0, "passages": 0}


# --- a client that goes away


class Slow(Generator):
    """Writes a word every tenth of a second, for ten seconds, and says when it was stopped."""

    def __init__(self) -> None:
        self.stopped = False

    def flow(self, asked: Any, passages: Any, last: Any = None) -> Any:
        if asked.text != BERT:  # the question with which a server loads its models
            return Answer(question=asked.text)
        yield from stream("generate", self.write, asked.text)
        raise AssertionError("the client went away")

    def write(self, question: str) -> Iterator[AIMessageChunk]:
        raise AssertionError("the server streams without blocking")
        yield

    async def awrite(self, question: str) -> AsyncIterator[AIMessageChunk]:
        import asyncio

        try:
            for _ in range(100):
                await asyncio.sleep(0.1)
                yield AIMessageChunk("word ")
        finally:
            self.stopped = True


@pytest.fixture
def slow(ingested: Path) -> tuple[ragkit.Rag, Slow]:
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=ingested)
    writer = Slow()
    answer = replace(rag.answer_pipeline, generate=writer, gate=None)
    return ragkit.Rag(corpus=ingested, ingest=rag.ingest_pipeline, answer=answer), writer


def stops(writer: Slow) -> bool:
    until = time.monotonic() + 5
    while not writer.stopped and time.monotonic() < until:
        time.sleep(0.02)
    return writer.stopped


def test_a_client_that_leaves_a_stream_stops_the_chat_model(
    serving: Serving, slow: tuple[ragkit.Rag, Slow]
) -> None:
    client = serving(slow[0], limits=Limits(resumed_for=0.2))
    with client.stream("POST", "/api/ask", json={"question": BERT, "stream": True}) as reply:
        assert any(line == "event: token" for line in reply.iter_lines())
    assert stops(slow[1])


def test_a_client_that_leaves_a_plain_request_stops_the_chat_model(
    serving: Serving, slow: tuple[ragkit.Rag, Slow]
) -> None:
    client = serving(slow[0])
    with pytest.raises(httpx2.ReadTimeout):
        client.post("/api/ask", json={"question": BERT}, timeout=2)
    assert stops(slow[1])


def test_a_question_is_stopped_on_request_and_others_go_on(
    serving: Serving, slow: tuple[ragkit.Rag, Slow]
) -> None:
    client = serving(slow[0])
    with client.stream("POST", "/api/ask", json={"question": BERT, "stream": True}) as reply:
        lines = reply.iter_lines()
        assert any(line == "event: token" for line in lines)
        assert client.get("/api/config", timeout=1).status_code == 200  # it is not kept waiting
        assert client.delete(reply.headers["content-location"]).json() == {"stopped": True}
        assert stops(slow[1])
        list(lines)  # the stream ends


class Held(Generator):
    """Computes until it is let go."""

    def __init__(self) -> None:
        self.go_on, self.begun = threading.Event(), threading.Semaphore(0)

    def flow(self, asked: Any, passages: Any, last: Any = None) -> Any:
        yield from call("generate", self.compute, asked.text)
        return Answer(question=asked.text)

    def compute(self, question: str) -> None:
        if question == BERT:
            self.begun.release()
            self.go_on.wait(60)


def test_searches_do_not_wait_for_the_questions_that_compute(serving: Serving, ingested: Path) -> None:
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=ingested)
    held = Held()
    answer = replace(rag.answer_pipeline, generate=held, gate=None)
    client = serving(ragkit.Rag(corpus=ingested, ingest=rag.ingest_pipeline, answer=answer))
    many = 3 * (os.cpu_count() or 1) + 30  # more than threads that compute
    with ThreadPoolExecutor(many) as pool:
        asking = [pool.submit(client.post, "/api/ask", json={"question": BERT}) for _ in range(many)]
        assert held.begun.acquire(timeout=60)
        try:
            assert client.post("/api/search", json={"query": BERT}, timeout=20).status_code == 200
        finally:
            held.go_on.set()
        assert [each.result().status_code for each in asking] == [200] * many


class HeldRefiner(BaseDocumentCompressor):
    """Keeps the searches for `WAITING` until they are let go."""

    held: Any

    def compress_documents(self, documents: Any, query: str, callbacks: Any = None) -> Any:
        if query == WAITING:
            self.held.compute(BERT)
        return documents


WAITING = "Which search has to wait?"


def test_questions_do_not_wait_for_the_searches_that_run(serving: Serving, ingested: Path) -> None:
    rag = ragkit.load(ROOT / "configs" / "default.yaml", corpus=ingested)
    held = Held()
    pipeline = rag.answer_pipeline
    answer = replace(pipeline, refine=(*pipeline.refine, HeldRefiner(held=held)))
    client = serving(ragkit.Rag(corpus=ingested, ingest=rag.ingest_pipeline, answer=answer))
    many = 3 * (os.cpu_count() or 1) + 30
    with ThreadPoolExecutor(many) as pool:
        searching = [pool.submit(client.post, "/api/search", json={"query": WAITING}) for _ in range(many)]
        assert held.begun.acquire(timeout=60)
        try:
            reply = client.post("/api/ask", json={"question": BERT}, timeout=60)
            assert reply.json()["claims"]
        finally:
            held.go_on.set()
        assert [each.result().status_code for each in searching] == [200] * many


# --- searches and checks


def test_a_search_gives_passages_with_spans(server: httpx2.Client, rag: ragkit.Rag) -> None:
    found = server.post("/api/search", json={"query": "hard negatives", "k": 3}).json()["results"]
    assert len(found) == 3
    own: list[Document] = rag.search("hard negatives", 3)
    assert [(hit["document_id"], hit["start"]) for hit in found] == [
        (hit.metadata["document_id"], hit.metadata["start"]) for hit in own
    ]
    assert found[0]["text"] == own[0].page_content


def test_a_text_is_checked_claim_by_claim(server: httpx2.Client) -> None:
    text = "DPR adds one hard negative per question taken from the top BM25 results. BERT-large has 900 million parameters."
    checked = server.post("/api/check", json={"text": text}).json()
    assert [claim["verdict"] for claim in checked["claims"]] == ["supported", "unsupported"]


def test_the_references_of_a_checked_text_are_used(server: httpx2.Client) -> None:
    entry = "@article{b, title={BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding}}"
    body = {"text": r"BERT-large has 340 million parameters \cite{b}.", "references": entry}
    [claim] = server.post("/api/check", json=body).json()["claims"]
    assert claim["references"][0]["title"].startswith("BERT")


def test_what_is_served_is_told(server: httpx2.Client) -> None:
    config = server.get("/api/config").json()
    assert config["corpus"]["papers"] == 48
    assert config["configurations"] == [{"name": "default", "chat_model": False, "policy": "drop"}]


def test_many_questions_at_once_have_the_answers_of_each_alone(server: httpx2.Client) -> None:
    questions = [BERT, "What kind of negatives does DPR train with?", "What is the capital of France?"]
    alone = [server.post("/api/ask", json={"question": each}).json()["answer"] for each in questions]
    with ThreadPoolExecutor(9) as pool:
        together = list(
            pool.map(lambda q: server.post("/api/ask", json={"question": q}).json()["answer"], questions * 3)
        )
    assert together == alone * 3


def test_a_text_cannot_break_out_of_its_event(server: httpx2.Client) -> None:
    evil = "x\n\nevent: answer\ndata: {}\n\n\u2028\r\n"
    happened = asked(server, question=evil)
    assert [name for _, name, _ in happened].count("answer") == 1
    assert not re.search("[\u2028\r]", json.dumps(happened, ensure_ascii=False).replace(r"\r", ""))


def test_the_trace_of_a_question_comes_where_it_is_asked_for(server: httpx2.Client) -> None:
    asked = {"question": "How many parameters does BERT-large have?", "stream": True}
    plain = server.post("/api/ask", json=asked).text
    traced = server.post("/api/ask", json={**asked, "trace": True}).text
    assert "event: trace" not in plain
    assert "event: trace" in traced
    assert "passages, dropped" in traced
