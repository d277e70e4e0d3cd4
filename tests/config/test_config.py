"""Pipeline files: every mistake at once, with its place; and from YAML to objects and back."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import ROOT

import ragkit
import ragkit.pipeline_file  # registers every component
from ragkit import config
from ragkit.ask import AnswerPipeline
from ragkit.chunk import SentenceChunker, WholeChunker
from ragkit.errors import ConfigError
from ragkit.fuse import MinMaxFusion, ReciprocalRankFusion
from ragkit.gate import CalibratedGate
from ragkit.generate.chat import CitedGenerator
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index.bm25 import Bm25Index
from ragkit.index.chroma import ChromaIndex
from ragkit.ingest import IngestPipeline
from ragkit.rag import Rag
from ragkit.retrieve import DenseRetriever, LexicalRetriever
from ragkit.testing import HashedEmbeddings, scripted_chat

GOLDEN = sorted((ROOT / "tests" / "config" / "errors").glob("*.yaml"))
DEFAULT = (ROOT / "ragkit" / "presets" / "default.yaml").read_text()
SMALL = "ingest: {chunk: whole, index: bm25}\nanswer: {retrieve: {type: lexical, index: bm25}, generate: extractive}\n"


# --- mistakes


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_every_mistake_has_its_message(path: Path) -> None:
    """RAGKIT_WRITE_GOLDENS=1 writes the messages as they now are, to be read before they are committed."""
    with pytest.raises(ConfigError) as error:
        config.loads(
            Rag, path.read_bytes(), path.name, allow=["langchain_core.documents", "langchain_nowhere"]
        )
    golden = path.with_suffix(".txt")
    if os.environ.get("RAGKIT_WRITE_GOLDENS"):
        golden.write_text(f"{error.value}\n")
    assert f"{error.value}\n" == golden.read_text()


def test_there_are_messages_for_at_least_twenty_kinds_of_mistake() -> None:
    assert len(GOLDEN) >= 20


def test_problems_are_values_with_place_path_and_message() -> None:
    with pytest.raises(ConfigError) as error:
        config.loads(Rag, SMALL + "corpse: x\n", "my.yaml")
    [problem] = error.value.problems
    assert (problem.line, problem.column, problem.path) == (3, 1, "corpse")
    assert problem.message == "there is no key 'corpse' here; did you mean 'corpus'?"


def test_a_mistake_behind_an_anchor_is_reported_once() -> None:
    text = "define: {words: &words {type: bm25, memory_mb: 0}}\ningest: {chunk: whole, index: *words}\n"
    with pytest.raises(ConfigError) as error:
        config.loads(Rag, text + "answer: {retrieve: {type: lexical, index: *words}, generate: extractive}\n")
    assert [p.path for p in error.value.problems] == ["ingest.index.memory_mb"]


def test_a_file_that_is_not_there_or_a_directory_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(ragkit.UsageError, match="there is no file '.*nowhere.yaml'"):
        ragkit.load(tmp_path / "nowhere.yaml")
    with pytest.raises(ragkit.UsageError, match="is a directory; name the YAML file in it"):
        ragkit.load(tmp_path)


def test_a_hostile_file_imports_nothing_that_is_not_allowed() -> None:
    for hostile in ("this.s", "antigravity.fly", "os.system"):
        sys.modules.pop(hostile.partition(".")[0], None) if not hostile.startswith("os") else None
        with pytest.raises(ConfigError, match="is not allowed"):
            config.loads(Rag, SMALL.replace("whole", f"{{type: {hostile}}}"))
    assert "antigravity" not in sys.modules
    assert "this" not in sys.modules


def test_a_package_can_be_allowed_by_argument_or_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    text = SMALL.replace("whole", "{type: ragkit.chunk.WholeChunker}")
    with pytest.raises(ConfigError, match="pass --allow-import ragkit"):
        config.loads(Rag, text)
    assert isinstance(config.loads(Rag, text, allow=["ragkit"]).ingest_pipeline.chunk, WholeChunker)
    monkeypatch.setenv("RAGKIT_ALLOW_IMPORT", "other, ragkit")
    assert isinstance(config.loads(Rag, text).ingest_pipeline.chunk, WholeChunker)


HINTED = """
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_core.documents import BaseDocumentTransformer
from langchain_core.embeddings import Embeddings

if TYPE_CHECKING:
    from collections.abc import Callable


class Plain(BaseDocumentTransformer):
    def __init__(self, size: int = 3, embed: Embeddings | None = None, length: Callable[[str], int] | None = None) -> None:
        self.size, self.embed, self.length = size, embed, length

    def transform_documents(self, documents, **_):
        return documents


@dataclass
class Data(BaseDocumentTransformer):
    size: int = 3
    embed: Embeddings | None = None
    length: Callable[[str], int] | None = None

    def transform_documents(self, documents, **_):
        return documents


def function(size: int = 3, embed: Embeddings | None = None, length: Callable[[str], int] | None = None) -> Plain:
    return Plain(size, embed, length)
"""


@pytest.mark.parametrize("maker", ["Plain", "Data", "function"])
def test_one_hint_that_was_imported_for_type_checkers_only_leaves_the_others_checked(
    maker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hinted_parts.py").write_text(HINTED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "hinted_parts", raising=False)
    wrong = SMALL.replace(
        "whole", f"{{type: hinted_parts.{maker}, size: many, embed: {{type: hashd}}, length: any}}"
    )
    with pytest.raises(ConfigError) as error:
        config.loads(Rag, wrong, allow=["hinted_parts"])
    assert [(problem.path, problem.message) for problem in error.value.problems] == [
        ("ingest.chunk.size", "input should be a valid integer, got 'many'"),
        ("ingest.chunk.embed", "no Embeddings is called 'hashd'; did you mean 'hashed'?"),
    ]
    right = SMALL.replace(
        "whole", f"{{type: hinted_parts.{maker}, size: 5, embed: {{type: hashed}}, length: any}}"
    )
    made = vars(config.loads(Rag, right, allow=["hinted_parts"]).ingest_pipeline.chunk)
    assert (made["size"], made["embed"], made["length"]) == (5, HashedEmbeddings(), "any")


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(at=st.integers(0, len(DEFAULT) - 1), length=st.integers(0, 12), instead=st.text(max_size=8))
def test_a_damaged_file_loads_or_is_a_config_error(at: int, length: int, instead: str) -> None:
    damaged = (DEFAULT[:at] + instead + DEFAULT[at + length :]).encode("utf-8", "surrogatepass")
    try:
        config.loads(Rag, damaged)
    except ConfigError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.message
            assert problem.line >= 1


# --- objects


def test_equal_specs_are_one_object() -> None:
    rag = ragkit.load(ROOT / "configs" / "default.yaml")
    dense, words = rag.ingest_pipeline.index
    assert rag.answer_pipeline.retrieve[0].store is dense  # type: ignore[attr-defined]
    assert rag.answer_pipeline.retrieve[1].index is words  # type: ignore[attr-defined]


def test_one_item_may_stand_for_a_list_of_one_and_a_name_for_a_component_without_arguments() -> None:
    rag = config.loads(Rag, SMALL)
    assert rag.ingest_pipeline.index == [Bm25Index()]
    assert rag.answer_pipeline.generate == [ExtractiveGenerator()]


def test_variables_are_read_when_built_and_stay_out_of_dumps(monkeypatch: pytest.MonkeyPatch) -> None:
    model = "{type: openai, model: '${RAGKIT_WORD:-none}', base_url: 'http://localhost'}"
    text = SMALL.replace("extractive", f"{{type: cited, llm: {model}}}")
    assert config.loads(Rag, text).answer_pipeline.generate[0].llm.model_name == "none"  # type: ignore[attr-defined]
    monkeypatch.setenv("RAGKIT_WORD", "hush")
    rag = config.loads(Rag, text)
    assert rag.answer_pipeline.generate[0].llm.model_name == "hush"  # type: ignore[attr-defined]
    assert "${RAGKIT_WORD:-none}" in ragkit.dump(rag)
    assert "hush" not in ragkit.dump(rag)


# --- and back


def test_the_default_survives_dumping_with_and_without_defaults() -> None:
    rag = config.loads(Rag, DEFAULT)
    for defaults in (False, True):
        again = config.loads(Rag, ragkit.dump(rag, defaults))
        assert ragkit.dump(again) == ragkit.dump(rag)
        assert ragkit.dump(again, defaults=True) == ragkit.dump(rag, defaults=True)


def test_a_dump_writes_what_differs_from_the_defaults() -> None:
    assert yaml.safe_load(
        ragkit.dump(config.loads(Rag, SMALL.replace("whole", "{type: sentence, overlap: 2}")))
    ) == {
        "ingest": {"chunk": {"type": "sentence", "overlap": 2}, "index": [{"type": "bm25"}]},
        "answer": {
            "retrieve": [{"type": "lexical", "index": {"type": "bm25"}}],
            "generate": [{"type": "extractive"}],
        },
    }


def test_a_pipeline_made_in_python_can_be_dumped(tmp_path: Path) -> None:
    words = Bm25Index(language="german")
    rag = ragkit.Rag(
        corpus=tmp_path,
        ingest=IngestPipeline(chunk=SentenceChunker(max_tokens=100), index=[words]),
        answer=AnswerPipeline(
            retrieve=[LexicalRetriever(index=words)],
            generate=[CitedGenerator(ragkit.use(scripted_chat, responses=["yes"]))],
            policy="flag",
        ),
    )
    again = config.loads(Rag, ragkit.dump(rag))
    assert ragkit.dump(again) == ragkit.dump(rag)
    assert again.corpus.directory == tmp_path
    assert again.answer_pipeline.policy == "flag"


def test_a_live_object_that_no_yaml_describes_is_named_with_its_path(tmp_path: Path) -> None:
    answer = AnswerPipeline(retrieve=[], generate=[CitedGenerator(scripted_chat(["yes"]))])
    rag = ragkit.Rag(corpus=tmp_path, ingest=IngestPipeline(chunk=WholeChunker(), index=[]), answer=answer)
    with pytest.raises(
        TypeError,
        match=r"answer.generate\[0\].llm: cannot write a FakeListChatModel to YAML; make it with ragkit.use",
    ):
        ragkit.dump(rag)


components = st.fixed_dictionaries(
    {
        "chunk": st.one_of(
            st.just(WholeChunker()),
            st.builds(
                SentenceChunker,
                max_tokens=st.integers(1, 500),
                overlap=st.integers(0, 5),
                model=st.text(max_size=9),
            ),
        ),
        "embed": st.builds(HashedEmbeddings, size=st.integers(1, 500)),
        "language": st.sampled_from(["english", "german", "none"]),
        "fuse": st.one_of(
            st.builds(ReciprocalRankFusion, k=st.integers(1, 99)),
            st.builds(
                MinMaxFusion, weights=st.dictionaries(st.sampled_from(["dense", "lexical"]), st.floats(0, 9))
            ),
        ),
        "gate": st.one_of(
            st.none(), st.builds(CalibratedGate, retriever=st.sampled_from(["dense", "other"]))
        ),
        "policy": st.sampled_from(["flag", "drop", "abstain"]),
        "k": st.integers(1, 99),
    }
)


@settings(max_examples=60)
@given(parts=components)
def test_any_pipeline_survives_dumping_and_loading(parts: dict[str, object]) -> None:
    dense, words = ChromaIndex(embed=parts["embed"]), Bm25Index(language=parts["language"])  # type: ignore[arg-type]
    rag = ragkit.Rag(
        corpus=Path("somewhere"),
        ingest=IngestPipeline(chunk=parts["chunk"], index=[dense, words]),  # type: ignore[arg-type]
        answer=AnswerPipeline(
            retrieve=[DenseRetriever(store=dense, k=parts["k"]), LexicalRetriever(index=words)],  # type: ignore[arg-type]
            fuse=parts["fuse"],  # type: ignore[arg-type]
            gate=parts["gate"],  # type: ignore[arg-type]
            generate=[ExtractiveGenerator()],
            policy=parts["policy"],  # type: ignore[arg-type]
        ),
    )
    for defaults in (False, True):
        assert ragkit.dump(config.loads(Rag, ragkit.dump(rag, defaults))) == ragkit.dump(rag)


@pytest.mark.parametrize("mark", ["\r", "\x85", "\u2028", "\u2029", "\n"])
def test_line_breaks_of_every_kind_survive(mark: str) -> None:
    folder = Path(f"a{mark}b")
    pipeline = IngestPipeline(chunk=SentenceChunker(model=f"{mark}x{mark}"), index=[])
    rag = Rag(
        corpus=folder, ingest=pipeline, answer=AnswerPipeline(retrieve=[], generate=[ExtractiveGenerator()])
    )
    assert ragkit.dump(config.loads(Rag, ragkit.dump(rag))) == ragkit.dump(rag)
