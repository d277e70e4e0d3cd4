"""Components of other makers: import paths, class methods and nested objects, with the real packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

import pytest
import yaml
from jsonschema import Draft202012Validator
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_qdrant import QdrantVectorStore
from langchain_text_splitters import RecursiveCharacterTextSplitter, TextSplitter, TokenTextSplitter
from qdrant_client import QdrantClient

import ragkit
from ragkit import config
from ragkit.config import components
from ragkit.errors import ConfigError
from ragkit.pipeline_file import schema
from ragkit.rag import Rag
from ragkit.testing import HashedEmbeddings

if TYPE_CHECKING:
    from somewhere import Something  # type: ignore[import-not-found]

SPLITTER = "langchain_text_splitters.RecursiveCharacterTextSplitter.from_huggingface_tokenizer"
REST = "answer: {retrieve: [], generate: extractive}\n"


def pipeline(chunk: str = "whole", index: str = "bm25") -> str:
    return f"ingest:\n  chunk: {chunk}\n  index: {index}\n{REST}"


def loaded(text: str, *allow: str) -> Rag:
    return config.loads(Rag, text, "my.yaml", allow)


def problems(text: str, *allow: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        loaded(text, *allow)
    return [f"{p.line}:{p.column}: {p.path}: {p.message}" for p in error.value.problems]


# --- class methods


def test_a_class_method_makes_a_splitter_and_passes_its_keywords_on_to_the_constructor() -> None:
    text = pipeline(
        "{type: langchain_text_splitters.RecursiveCharacterTextSplitter.from_language,"
        " language: latex, chunk_size: 300, chunk_overlap: 0, strip_whitespace: false}"
    )
    rag = loaded(text)
    splitter = rag.ingest_pipeline.chunk
    assert isinstance(splitter, RecursiveCharacterTextSplitter)
    assert (splitter._chunk_size, splitter._chunk_overlap, splitter._strip_whitespace) == (300, 0, False)
    assert yaml.safe_load(ragkit.dump(rag))["ingest"]["chunk"] == {
        "type": "langchain_text_splitters.RecursiveCharacterTextSplitter.from_language",
        "language": "latex",
        "chunk_size": 300,
        "chunk_overlap": 0,
        "strip_whitespace": False,
    }
    assert ragkit.dump(loaded(ragkit.dump(rag))) == ragkit.dump(rag)


def test_an_argument_that_the_class_method_gives_itself_is_refused_with_its_place() -> None:
    made = "{type: langchain_text_splitters.RecursiveCharacterTextSplitter.from_tiktoken_encoder, length_function: x, chunk_sise: 3}"
    assert problems(pipeline(made)) == [
        "2:96: ingest.chunk.length_function: langchain_text_splitters.RecursiveCharacterTextSplitter.from_tiktoken_encoder"
        " has no argument 'length_function' (known: encoding_name, model_name, allowed_special, disallowed_special,"
        " separators, keep_separator, is_separator_regex, chunk_size, chunk_overlap, add_start_index, strip_whitespace)",
        "2:116: ingest.chunk.chunk_sise: langchain_text_splitters.RecursiveCharacterTextSplitter.from_tiktoken_encoder"
        " has no argument 'chunk_sise'; did you mean 'chunk_size'?",
    ]


@pytest.mark.parametrize(
    ("method", "made"),
    [
        (RecursiveCharacterTextSplitter.from_tiktoken_encoder, RecursiveCharacterTextSplitter),  # -> Self
        (TokenTextSplitter.from_tiktoken_encoder, TokenTextSplitter),  # -> Self, of a subclass
        (
            RecursiveCharacterTextSplitter.from_huggingface_tokenizer,
            RecursiveCharacterTextSplitter,
        ),  # -> its base
        (TextSplitter.from_huggingface_tokenizer, TextSplitter),  # -> 'TextSplitter'
        (
            QdrantVectorStore.from_existing_collection,
            QdrantVectorStore,
        ),  # beside a hint that cannot be resolved
    ],
)
def test_a_class_method_makes_the_class_that_it_is_called_on(method: components.Maker, made: type) -> None:
    assert components.makes(method) is made


Made = TypeVar("Made", bound="Store")


class Store:
    """Its class methods are annotated in all the ways that there are."""

    def __init__(self, client: Something = None, size: int = 3) -> None:
        self.client, self.size = client, size

    @classmethod
    def of_a_type_variable(cls: type[Made]) -> Made:
        return cls()

    @classmethod
    def of_itself(cls, **more: Any) -> Self:
        return cls(**more)

    @classmethod
    def of_anything(cls):  # type: ignore[no-untyped-def]
        return cls()

    @staticmethod
    def of_nothing(size: int) -> Store:
        return Store(size=size)

    def method(self) -> Store:
        return self


def test_annotations_of_every_kind_tell_what_is_made() -> None:
    made = [Store.of_a_type_variable, Store.of_itself, Store.of_anything, Store.of_nothing]
    assert [components.makes(maker) for maker in made] == [Store, Store, object, Store]


def test_a_hint_that_cannot_be_resolved_costs_only_itself() -> None:
    assert components.hints_of(Store.__init__) == {"size": int, "return": type(None)}
    assert list(components.parameters(Store.of_itself)) == ["client", "size"]


# --- nested objects

QDRANT = """
  index:
    type: langchain_qdrant.QdrantVectorStore
    client: {type: qdrant_client.QdrantClient, location: ":memory:"}
    collection_name: papers
    embedding: {type: hashed}
    distance: Dot
    validate_collection_config: false
    validate_embeddings: false
"""


def test_a_nested_object_is_made_checked_and_dumped() -> None:
    text = f"ingest:\n  chunk: whole{QDRANT}{REST}"
    rag = loaded(text, "qdrant_client")
    [store] = rag.ingest_pipeline.index
    assert isinstance(store, QdrantVectorStore)
    assert isinstance(store.client, QdrantClient)
    assert yaml.safe_load(ragkit.dump(rag))["ingest"]["index"] == [yaml.safe_load(QDRANT)["index"]]
    assert ragkit.dump(loaded(ragkit.dump(rag), "qdrant_client")) == ragkit.dump(rag)
    assert list(Draft202012Validator(schema()).iter_errors(yaml.safe_load(text))) == []


def test_a_class_method_makes_a_vector_store_that_holds_passages(tmp_path: Any) -> None:
    text = pipeline(
        index="{type: langchain_qdrant.QdrantVectorStore.construct_instance, embedding: {type: hashed},"
        f" collection_name: papers, client_options: {{path: {tmp_path}/qdrant}}}}"
    )
    [store] = loaded(text, "langchain_qdrant").ingest_pipeline.index
    assert isinstance(store, QdrantVectorStore)
    store.add_documents([Document("Glass bridges carry people.", id="1" * 32)])
    assert [d.page_content for d in store.similarity_search("glass bridges", k=1)] == [
        "Glass bridges carry people."
    ]
    store.client.close()


def test_the_class_of_a_nested_object_must_be_allowed() -> None:
    assert problems(f"ingest:\n  chunk: whole{QDRANT}{REST}") == [
        "5:20: ingest.index.client: importing 'qdrant_client.QdrantClient' is not allowed; if you trust it,"
        " pass --allow-import qdrant_client.QdrantClient"
    ]


def test_what_a_trusted_package_imports_from_another_is_not_trusted() -> None:
    for path, defined in [
        ("langchain_qdrant.qdrant.QdrantClient", "qdrant_client.qdrant_client.QdrantClient"),
        ("langchain_qdrant.qdrant.itemgetter", "operator.itemgetter"),
    ]:
        assert problems(
            f"ingest:\n  chunk: whole{QDRANT}{REST}".replace("qdrant_client.QdrantClient", path),
            "langchain_qdrant",
        ) == [
            f"5:20: ingest.index.client: importing '{defined}' is not allowed; if you trust it,"
            f" pass --allow-import {defined}"
        ]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("qdrant_client.models.VectorParams", "'qdrant_client.models.VectorParams' does not make a QdrantClient"),
        ("qdrant_client.QdrantClient.close", "'qdrant_client.QdrantClient.close' is a method of an object; only class methods can be called here"),
        ("qdrant_client.QdrantClient.open", "'qdrant_client.QdrantClient' has no 'open'"),
        ("qdrant_client.models", "'qdrant_client.models' is not a class, a class method or a function"),
        ("qdrant_client.qdrant_client.warnings.warn", "'qdrant_client.qdrant_client.warnings' is not a class"),
        ("qdrant_client.nowhere.Client", "'qdrant_client' has no 'nowhere'"),
    ],
)  # fmt: skip
def test_every_mistake_in_an_import_path_has_its_message(path: str, message: str) -> None:
    text = f"ingest:\n  chunk: whole{QDRANT}{REST}".replace("qdrant_client.QdrantClient", path)
    assert problems(text, "qdrant_client") == [f"5:20: ingest.index.client: {message}"]


def test_a_nested_argument_is_checked_like_any_other() -> None:
    text = f"ingest:\n  chunk: whole{QDRANT}{REST}".replace('location: ":memory:"', "port: many")
    assert problems(text, "qdrant_client") == [
        "5:54: ingest.index.client.port: input should be a valid integer, got 'many'"
    ]


def test_what_a_foreign_constructor_raises_is_a_problem_with_its_place() -> None:
    text = f"ingest:\n  chunk: whole{QDRANT}{REST}".replace("client: {", "client: {url: 'http://x', ")
    assert problems(text, "qdrant_client") == [
        "5:13: ingest.index.client: qdrant_client.QdrantClient: Only one of <location>, <url>, <host> or <path>"
        " should be specified."
    ]


class Remote(BaseRetriever):
    """Asks clients that its makers made."""

    client: Any = None
    stores: list[Any] = []
    options: Mapping[str, Any] = {}

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        return []


@dataclass
class Client:
    """What a retriever of another make talks to; no component, and of no slot."""

    embed: Embeddings
    retries: int = 2


def retriever(arguments: str) -> str:
    return f"ingest: {{chunk: whole, index: []}}\nanswer:\n  retrieve: {{type: test_imports.Remote, {arguments}}}\n  generate: extractive\n"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "test_imports", sys.modules[__name__])
    for cls in (Remote, Client, Store):
        monkeypatch.setattr(cls, "__module__", "test_imports")


def test_objects_may_be_nested_where_anything_is_accepted_in_lists_and_in_each_other() -> None:
    client = "{type: test_imports.Client, embed: {type: hashed, size: 8}}"
    rag = loaded(retriever(f"client: {client}, stores: [{client}, 3]"), "test_imports")
    [made] = rag.answer_pipeline.retrieve
    assert isinstance(made, Remote)
    assert made.client == Client(HashedEmbeddings(size=8))
    assert made.stores == [made.client, 3]
    assert made.stores[0] is made.client  # equal specs share one object
    assert ragkit.dump(loaded(ragkit.dump(rag), "test_imports")) == ragkit.dump(rag)


def test_a_mapping_with_a_dotted_type_stays_a_mapping_where_a_mapping_is_wanted() -> None:
    rag = loaded(retriever("options: {type: application.json}"), "test_imports")
    [made] = rag.answer_pipeline.retrieve
    assert isinstance(made, Remote)
    assert made.options == {"type": "application.json"}


def test_a_nested_object_made_in_python_with_use_can_be_dumped() -> None:
    made = ragkit.use(Remote, client=ragkit.use(Store.of_itself, size=4))
    assert yaml.safe_load(config.dump(made)) == {
        "type": "test_imports.Remote",
        "client": {"type": "test_imports.Store.of_itself", "size": 4},
    }


def test_an_anchor_inside_itself_ends_in_a_message() -> None:
    assert problems(
        retriever("client: &c {type: test_imports.Client, embed: hashed, retries: *c}"), "test_imports"
    ) == ["3:49: answer.retrieve.client.retries: the anchor stands for something that contains itself"]
