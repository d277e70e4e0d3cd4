"""The clients people have, unchanged, against a real server: do citations arrive, whole and streamed?

OpenAI's and LangChain's clients in Python.  The numbers are those of `docs/serving.md`.
"""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from support import ROOT

import ragkit

BERT = "How many parameters do BERT-base and BERT-large have?"
ASKED: Any = [{"role": "user", "content": BERT}]
Serving = Callable[..., httpx2.Client]


@pytest.fixture
def client(server: httpx2.Client) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.base_url}/v1".replace("//v1", "/v1"), api_key="none")


def sound(text: str, annotations: list[Any], server: httpx2.Client) -> None:
    """Each annotation stands on its `[n]`, and leads to the characters that it quotes."""
    assert len(annotations) >= 2
    for each in annotations:
        assert text[each.start_index : each.end_index] == f"[{each.number}]"
        found = server.get(each.url, headers={"accept": "application/json"}).json()
        assert found["marked"]["quote"] == each.quote
        assert found["title"] == each.title


def test_a_chat_completion(client: openai.OpenAI, server: httpx2.Client, rag: ragkit.Rag) -> None:
    reply = client.chat.completions.create(model="default", messages=ASKED)
    message: Any = reply.choices[0].message
    assert message.content == rag.ask(BERT).text
    sound(message.content, [each.url_citation for each in message.annotations], server)
    assert len(set(reply.citations)) == len(reply.search_results)  # type: ignore[attr-defined]
    assert reply.ragkit["answer"] == message.content  # type: ignore[attr-defined]


def test_a_streamed_chat_completion(client: openai.OpenAI, server: httpx2.Client, rag: ragkit.Rag) -> None:
    options: Any = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(model="default", messages=ASKED, stream=True, stream_options=options)
    )
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    text = "".join(delta.content or "" for delta in deltas)
    assert text == rag.ask(BERT).text
    found = [each for delta in deltas for each in getattr(delta, "annotations", None) or []]
    assert [each["index"] for each in found] == list(range(len(found)))
    assert all(
        text[c["start_index"] : c["end_index"]] == f"[{c['number']}]"
        for c in (each["url_citation"] for each in found)
    )
    assert chunks[-1].usage is not None
    finish = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert [each for each in finish if each] == ["stop"]


def test_the_stream_helper(client: openai.OpenAI, server: httpx2.Client) -> None:
    with client.chat.completions.stream(model="default", messages=ASKED) as stream:
        for _ in stream:
            pass
        message: Any = stream.get_final_completion().choices[0].message
    sound(message.content, [each.url_citation for each in message.annotations], server)


def test_a_response(client: openai.OpenAI, server: httpx2.Client, rag: ragkit.Rag) -> None:
    reply = client.responses.create(model="default", input=BERT)
    assert reply.output_text == rag.ask(BERT).text
    content: Any = reply.output[0].content[0]  # type: ignore[union-attr]
    sound(reply.output_text, content.annotations, server)


def test_a_streamed_response(client: openai.OpenAI, server: httpx2.Client) -> None:
    with client.responses.stream(model="default", input=BERT) as stream:
        happened = list(stream)
        reply = stream.get_final_response()
    numbers = [event.sequence_number for event in happened if hasattr(event, "sequence_number")]
    assert numbers == sorted(numbers)
    added = [event for event in happened if event.type == "response.output_text.annotation.added"]
    content: Any = reply.output[0].content[0]
    assert len(added) == len(content.annotations) >= 2
    sound(reply.output_text, content.annotations, server)


def test_langchain_has_citations_by_responses(server: httpx2.Client) -> None:
    address = f"{str(server.base_url).rstrip('/')}/v1"
    model = ChatOpenAI(model="default", base_url=address, api_key="none", use_responses_api=True)  # type: ignore[arg-type]
    reply = model.invoke(BERT)
    cited = [each for block in reply.content_blocks for each in block.get("annotations", [])]
    assert len(cited) >= 2
    assert all(each["type"] == "citation" and each["url"] for each in cited)
    whole: AIMessageChunk | None = None
    for chunk in model.stream(BERT):
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    streamed = [each for block in whole.content_blocks for each in block.get("annotations", [])]
    assert [each["url"] for each in streamed] == [each["url"] for each in cited]


def test_langchain_drops_citations_of_chat_completions(server: httpx2.Client, rag: ragkit.Rag) -> None:
    address = f"{str(server.base_url).rstrip('/')}/v1"
    model = ChatOpenAI(model="default", base_url=address, api_key="none")  # type: ignore[arg-type]
    reply = model.invoke(BERT)
    assert reply.content == rag.ask(BERT).text
    assert "annotations" not in reply.additional_kwargs
    assert "".join(str(chunk.content) for chunk in model.stream(BERT)) == reply.content


def test_the_conversation_is_read(client: openai.OpenAI) -> None:
    messages: Any = [
        {"role": "system", "content": "You are a pirate."},
        *ASKED,
        {"role": "assistant", "content": "110 and 340 million. [1]"},
        {"role": "user", "content": [{"type": "text", "text": "And when did it appear?"}]},
    ]
    reply = client.chat.completions.create(model="default", messages=messages)
    assert reply.search_results[0]["title"].startswith("BERT")  # type: ignore[attr-defined]


def test_a_filter_is_given_beside_the_messages(client: openai.OpenAI) -> None:
    extra = {"where": "year < 1900"}
    reply = client.chat.completions.create(model="default", messages=ASKED, extra_body=extra)
    assert reply.ragkit["abstained"]  # type: ignore[attr-defined]


def test_errors_are_those_that_clients_know(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="there is no configuration 'other'"):
        client.chat.completions.create(model="other", messages=ASKED)
    with pytest.raises(openai.BadRequestError, match="last message must be a question"):
        client.chat.completions.create(model="default", messages=[{"role": "system", "content": "x"}])
    with pytest.raises(openai.APIError, match="expected a value"):
        list(
            client.chat.completions.create(
                model="default", messages=ASKED, stream=True, extra_body={"where": "year >="}
            )
        )
    with pytest.raises(openai.BadRequestError, match="not kept"):
        client.responses.create(model="default", input=BERT, previous_response_id="resp_1")


def test_each_configuration_is_a_model(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["default"]
    assert client.models.retrieve("default").owned_by == "ragkit"


def test_embeddings(client: openai.OpenAI, server: httpx2.Client) -> None:
    texts = ["dense retrieval", "terns"]
    found = client.embeddings.create(model="default", input=texts)
    plain = client.embeddings.create(model="default", input=texts, encoding_format="float")
    assert np.allclose([each.embedding for each in found.data], [each.embedding for each in plain.data])
    raw = server.post("/v1/embeddings", json={"input": "terns", "encoding_format": "base64"}).json()
    vector = np.frombuffer(base64.b64decode(raw["data"][0]["embedding"]), dtype="<f4")
    assert np.allclose(vector, found.data[1].embedding)
    address = f"{str(server.base_url).rstrip('/')}/v1"
    embed = OpenAIEmbeddings(
        model="default",
        base_url=address,
        api_key="none",  # type: ignore[arg-type]
        check_embedding_ctx_length=False,
    )
    assert np.allclose(embed.embed_query("terns"), vector)


def test_open_webui_is_told_of_sources_before_the_text_that_cites_them(server: httpx2.Client) -> None:
    body = {"messages": ASKED, "stream": True}
    lines = server.post("/open-webui/v1/chat/completions", json=body).text.splitlines()
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    places = [n for n, chunk in enumerate(chunks) if "event" in chunk]
    first = next(n for n, chunk in enumerate(chunks) if chunk["choices"] and "[1]" in str(chunk["choices"]))
    assert places[0] < first
    sources = [chunks[n]["event"]["data"] for n in places]
    assert len({each["metadata"][0]["source"] for each in sources}) == len(sources)
    assert all(each["document"][0] for each in sources)
    assert not any("embed_url" in each["source"] for each in sources)  # its frame would be refused
    assert "event" not in server.post("/v1/chat/completions", json=body).text.replace("event-stream", "")


def test_a_chat_model_streams_checked_claims(
    serving: Serving, ingested: Path, model_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"BASE_URL": model_server.url, "MODEL": "m", "API_KEY": "none"}.items():
        monkeypatch.setenv(f"RAGKIT_{name}", value)
    chat = ragkit.load(ROOT / "configs" / "llm.yaml", corpus=ingested)
    told = serving(chat)
    model_server.says = "DPR adds one hard negative per question [1]. DPR adds nine hard negatives [1]."
    question = "What kind of negatives does DPR train with?"
    body = {"messages": [{"role": "user", "content": question}]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = told.post("/v1/chat/completions", json=body).json()
        streamed = told.post("/v1/chat/completions", json={**body, "stream": True}).text
    chunks = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
    text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
    assert text == whole["choices"][0]["message"]["content"]
    assert "nine" not in text
    assert told.get("/api/config").json()["configurations"][0]["chat_model"]
