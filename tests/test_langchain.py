"""ragkit and the real LangChain packages, both ways: chains, agents, stores, other parts, and LangChain's standard tests."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import postgres as postgres_server
import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnablePassthrough
from langchain_core.tools import BaseTool, create_retriever_tool
from langchain_tests.integration_tests import EmbeddingsIntegrationTests, RetrieversIntegrationTests
from support import NOTES, ROOT, ModelServer, free_port, static_model
from test_docs import blocks
from tiny_models import tiny_cross_encoder

import ragkit
from ragkit.config import components
from ragkit.models.embeddings import SentenceTransformersEmbeddings, StaticEmbeddings
from ragkit.runnables import PassageRetriever
from ragkit.testing import HashedEmbeddings

PAGE = (ROOT / "docs" / "langchain.md").read_text()
ALLOWED = PAGE.partition('RAGKIT_ALLOW_IMPORT="')[2].partition('"')[0]
BERT = "How many parameters do BERT-base and BERT-large have?"


# --- ragkit in LangChain programs


def shown(passages: Sequence[Document]) -> str:
    return "\n\n".join(passage.page_content for passage in passages)


def test_the_retriever_feeds_a_chain(rag: ragkit.Rag) -> None:
    seen: list[str] = []

    def note(prompt: Any) -> Any:
        seen.append(prompt.to_string())
        return prompt

    prompt = ChatPromptTemplate.from_template("{context}\n\nQuestion: {question}")
    chain: Runnable[str, str] = (
        {"context": rag.as_retriever(k=3) | shown, "question": RunnablePassthrough()}
        | prompt
        | note
        | FakeListChatModel(responses=["340 million."])
        | StrOutputParser()
    )
    assert chain.invoke(BERT) == "340 million."
    assert "15% of the input tokens" in seen[0]
    assert seen[0].endswith(f"Question: {BERT}")
    assert "".join(chain.stream(BERT)) == "340 million."


class Scripted(GenericFakeChatModel):
    """A chat model that says what it was given, and that tools can be bound to."""

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self


def scripted(tool: str, **arguments: str) -> Scripted:
    call = AIMessage("", tool_calls=[{"name": tool, "args": arguments, "id": "1"}])
    return Scripted(messages=iter([call, AIMessage("340 million.")]))


def tools_of(rag: ragkit.Rag) -> list[BaseTool]:
    return [
        rag.as_runnable().as_tool(),
        create_retriever_tool(rag.as_retriever(k=3), "find_passages", "Finds passages of papers."),
    ]


@pytest.mark.parametrize(
    ("tool", "arguments", "read"),
    [
        ("ask_papers", {"question": BERT}, "word for word in its source"),
        ("ask_papers", {"question": BERT, "where": "year >= 2018"}, "340 million. [1]"),
        ("ask_papers", {"question": BERT, "where": "year >"}, "expected a value after"),
        ("ask_papers", {"question": " "}, "the question is empty"),
        ("find_passages", {"query": BERT}, "15% of the input tokens"),
    ],
)
async def test_langgraphs_agent_calls_the_tools_and_reads_what_they_return(
    tool: str, arguments: dict[str, str], read: str, rag: ragkit.Rag
) -> None:
    asked = {"messages": [("user", BERT)]}
    for is_async in (False, True):
        agent: Any = create_agent(scripted(tool, **arguments), tools_of(rag))
        said = (await agent.ainvoke(asked) if is_async else agent.invoke(asked))["messages"]
        [reply] = [message for message in said if isinstance(message, ToolMessage)]
        assert (reply.name, said[-1].content) == (tool, "340 million.")
        assert read in str(reply.content)


# --- LangChain's parts in ragkit: the pipeline files of the page


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_server: ModelServer) -> Path:
    """The folder of a reader of the page, with a few papers, who allows what the page says."""
    (tmp_path / "examples" / "papers").mkdir(parents=True)
    for name in ("bert.md", "colbert.md", "dense-passage-retrieval.md"):
        shutil.copy(NOTES / name, tmp_path / "examples" / "papers")
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "RAGKIT_ALLOW_IMPORT": ALLOWED,
        "OPENAI_API_KEY": "some-key",
        "OPENAI_API_BASE": model_server.url,
        "OPENAI_BASE_URL": model_server.url,
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def chroma_port(tmp_path: Path) -> Iterator[int]:
    """The port of a Chroma server."""
    port = free_port()
    server = subprocess.Popen(
        [Path(sys.executable).with_name("chroma"), "run", "--path", tmp_path / "chroma", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as asking:
                if asking.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield port
    finally:
        server.kill()
        server.wait()


STORES = [block for block in blocks("yaml", PAGE) if "retrieve: [{type: dense, store: *papers}]" in block]


@pytest.mark.parametrize("text", STORES, ids=lambda text: text.partition("type: langchain")[2].split()[0])
def test_the_stores_of_the_page_are_filled_and_searched(
    text: str, reader: Path, postgres: postgres_server.Server, request: pytest.FixtureRequest
) -> None:
    if "port: 8000" in text:
        text = text.replace("8000", str(request.getfixturevalue("chroma_port")))
    if "PGVector" in text:
        text = text.replace(
            "//ragkit@127.0.0.1:5432/papers", postgres.database("vectors").removeprefix("postgresql:")
        )
    (reader / "ragkit.yaml").write_text(text)
    rag = ragkit.load("ragkit.yaml")
    papers = reader / "examples" / "papers"
    assert rag.ingest(papers).documents == 3
    assert "340 million." in rag.ask(BERT).text
    assert {
        hit.metadata["title"] for hit in rag.search("late interaction", where="title contains ColBERT")
    } == {"ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over BERT"}
    (papers / "bert.md").unlink()
    assert rag.ingest(papers, prune=True).documents == 2
    assert "340 million" not in rag.ask(BERT).text
    if engine := getattr(rag.ingest_pipeline.index[0], "_engine", None):
        engine.dispose()  # PGVector leaves its connections open


def test_a_chroma_server_that_is_gone_is_an_error_and_no_empty_answer(
    reader: Path, chroma_port: int, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    [text] = [block for block in STORES if "port: 8000" in block]
    (reader / "ragkit.yaml").write_text(text.replace("8000", str(chroma_port)))
    chosen = ("--config", "ragkit.yaml")
    assert command("ingest", reader / "examples" / "papers", *chosen).returncode == 0
    (reader / "ragkit.yaml").write_text(text.replace("8000", str(free_port())))
    done = command("ask", BERT, *chosen)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Could not connect to a Chroma server" in done.stderr


def test_there_are_the_stores_that_users_ask_for() -> None:
    assert [
        name for name in ("Qdrant", "Chroma", "PGVector", "FAISS", "InMemory") if name not in str(STORES)
    ] == []


def test_the_other_parts_of_the_page_work_together(reader: Path, model_server: ModelServer) -> None:
    [text] = [block for block in blocks("yaml", PAGE) if block not in STORES]
    reranker = str(tiny_cross_encoder(reader / "reranker"))
    (reader / "ragkit.yaml").write_text(text.replace("BAAI/bge-reranker-base", reranker))
    rag = ragkit.load("ragkit.yaml")
    model_server.says = "340 million [1]."
    assert rag.ingest().documents == 3
    answer = rag.ask(BERT)
    assert model_server.asked[-1]["model"] == "gpt-4o-mini"
    assert {asked["model"] for asked in model_server.asked if "input" in asked} == {"text-embedding-3-small"}
    assert len(answer.context) <= 3
    assert answer.citations


def test_the_python_of_the_page_runs(
    reader: Path, model_server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    model_server.says = "Late interaction compares vectors of words."
    exec(compile("\n".join(blocks("python", PAGE)), "langchain.md", "exec"), {})
    assert capsys.readouterr().out.count(model_server.says) == 2
    prompt, agent = model_server.asked[-2:]
    assert "ColBERT" in prompt["messages"][0]["content"]
    assert [tool["function"]["name"] for tool in agent["tools"]] == ["ask_papers", "find_passages"]


def test_a_class_that_names_no_arguments_takes_them_as_a_list() -> None:
    import faiss
    from langchain_community.vectorstores import FAISS

    assert components.parameters(faiss.IndexFlatL2)["args"].spread
    assert "args" not in components.parameters(FAISS)
    assert components.parameters(object) == {}


def test_what_an_object_puts_into_a_mapping_leaves_the_configuration_as_it_was(reader: Path) -> None:
    [text] = [block for block in STORES if "FAISS" in block]
    (reader / "ragkit.yaml").write_text(text)
    rag = ragkit.load("ragkit.yaml")
    before = ragkit.dump(rag)
    rag.ingest(reader / "examples" / "papers")
    assert ragkit.dump(rag) == before


# --- LangChain's standard tests


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _over_the_example_papers(self, rag: ragkit.Rag) -> None:
        self.rag = rag

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return PassageRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"rag": self.rag}

    @property
    def retriever_query_example(self) -> str:
        return "late interaction"


class TestHashed(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return HashedEmbeddings


class TestSentenceTransformers(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return SentenceTransformersEmbeddings


class TestStatic(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _of_a_small_model(self, tmp_path: Path) -> None:
        self.folder = static_model(tmp_path, np.eye(4))

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return StaticEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": self.folder}
