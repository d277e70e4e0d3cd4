"""The shape of the package: what it exports, what imports what, and what importing it costs."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import BaseDocumentCompressor, BaseDocumentTransformer
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore

import ragkit
import ragkit.evaluate.judge
import ragkit.pipeline_file
from ragkit.config import components
from ragkit.corpus.store import CorpusPlace
from ragkit.fuse import Fusion
from ragkit.gate import Gate
from ragkit.generate import Generator
from ragkit.index import LexicalIndex, VectorIndex
from ragkit.keys import KeyWriter
from ragkit.models.reader import PassageReader
from ragkit.read.formats import FileFormat
from ragkit.read.lookup import LookupService
from ragkit.rewrite import QueryRewriter
from ragkit.testing import imports_heavy
from ragkit.verify import Verifier

PACKAGE = Path(ragkit.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up: a room imports rooms above it, and in its own row only where no circle comes of it.
ROWS = [
    {"errors", "platform", "effects", "object_store"},
    {"document", "answer", "where", "text", "private", "notebook", "confined"},
    {"flow", "citation"},
    {"config"},
    {"models"},
    {"read", "chunk", "corpus", "index", "policy"},
    {"rewrite", "retrieve", "fuse", "refine", "gate", "generate", "verify"},
    {"keys", "ingest", "ask"},
    {"mismatch", "check", "papers", "export", "runnables"},
    {"rag"},
    {"pipeline_file", "conversation", "events", "trace", "doctor", "plan"},
    {"evaluate", "telemetry", "testing", "serve"},
    {"cli"},
    {"__init__", "__main__"},
]
STAGES = ROWS[6]

# The room of each slot: the key of a pipeline file that takes it, or what the keys stand on.
ROOMS = {
    BaseLoader: "read",
    FileFormat: "read",
    LookupService: "read",
    BaseDocumentTransformer: "chunk",
    VectorStore: "index",
    LexicalIndex: "index",
    VectorIndex: "index",
    KeyWriter: "keys",
    QueryRewriter: "rewrite",
    BaseRetriever: "retrieve",
    Fusion: "fuse",
    BaseDocumentCompressor: "refine",
    Gate: "gate",
    Generator: "generate",
    Verifier: "verify",
    Embeddings: "models",
    BaseChatModel: "models",
    PassageReader: "models",
    CorpusPlace: "corpus",
    ragkit.evaluate.judge.Judge: "evaluate",
}


def name_of(path: Path) -> str:
    """The module in *path*, without the leading `ragkit.`; the package's own `__init__` keeps its name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {name_of(path): path for path in FILES}


@cache
def imports_of(module: str) -> frozenset[str]:
    """The modules of ragkit that *module* imports wherever it does, type-checking imports left out."""
    tree = ast.parse(MODULES[module].read_text())
    hidden = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if node in hidden:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "ragkit":
            home = str(node.module).partition(".")[2]
            for alias in node.names:
                inner = f"{home}.{alias.name}".strip(".")
                found |= {inner} if inner in MODULES else {home} if home else set()
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("ragkit.")
            }
    return frozenset(found - {module, ""})


def room_of(module: str) -> str:
    return module.partition(".")[0]


@pytest.mark.parametrize("room", sorted({room_of(module) for module in MODULES}))
def test_imports_go_one_way(room: str) -> None:
    [height] = [i for i, row in enumerate(ROWS) if room in row]
    allowed = set().union(*ROWS[: height + (0 if room in STAGES else 1)]) | {room}
    imported = {other for module in MODULES if room_of(module) == room for other in imports_of(module)}
    assert {other for other in imported if room_of(other) not in allowed} == set()


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {m: {other for other in imports_of(m) if not m.startswith(f"{other}.")} for m in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(f"a circle: {circle.args[1]}")


def test_each_slot_has_a_room_of_its_name() -> None:
    slots = {
        name
        for pipeline in (ragkit.IngestPipeline, ragkit.AnswerPipeline)
        for name, parameter in components.parameters(pipeline).items()
        if components.slots_in(item_hint(parameter.hint))
    }
    rooms = {room_of(module) for module in MODULES}
    assert slots - rooms == set()


def item_hint(hint: object) -> object:
    from ragkit.config.checker import item_of

    return item_of(hint) or hint


@pytest.mark.parametrize(
    ("name", "maker"), components.registered(), ids=lambda v: v if isinstance(v, str) else v.__name__
)
def test_each_component_lives_in_the_room_of_its_slot(name: str, maker: components.Maker) -> None:
    made = components.makes(maker)
    home = maker.__module__.removeprefix("ragkit.")
    if home == "testing":
        return
    assert room_of(home) in {room for slot, room in ROOMS.items() if issubclass(made, slot)}, (
        f"'{name}' is in {home}"
    )


def test_private_names_are_never_imported() -> None:
    found = [
        f"{module}: {alias.name}"
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ragkit")
        for alias in node.names
        if alias.name.startswith("_") and alias.name != "__version__"
    ]
    assert found == []


def test_each_class_name_means_one_thing() -> None:
    homes: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(module)
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


def test_no_module_is_too_long_to_be_read_at_once() -> None:
    assert {module: n for module, path in MODULES.items() if (n := path.read_text().count("\n")) > 500} == {}


def test_the_public_names_are_sorted_and_all_there() -> None:
    assert ragkit.__all__ == sorted(ragkit.__all__)
    assert [name for name in ragkit.__all__ if not hasattr(ragkit, name)] == []
    assert set(ragkit._HOME) == set(ragkit.__all__)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ragkit' has no attribute 'raag'"):
        _ = ragkit.raag


def test_importing_ragkit_imports_nothing_heavy() -> None:
    assert imports_heavy("import ragkit; import ragkit.cli") == []


def test_only_the_document_module_spells_its_metadata_keys() -> None:
    """Others may pass whole metadata on; `corpus` stores it and `read` makes it."""
    spelled = re.compile(r"metadata(?:\.get\(|\[)\"(?:document_id|start|end|score|scores)\"")
    excepted = ("document", "corpus", "testing")
    assert [
        m for m, path in MODULES.items() if room_of(m) not in excepted and spelled.search(path.read_text())
    ] == []


def test_the_version_is_said_once() -> None:
    assert f'version = "{ragkit.__version__}"' in (PACKAGE.parent / "pyproject.toml").read_text()


def test_every_module_opens_with_what_lives_there() -> None:
    assert [m for m, path in MODULES.items() if not ast.get_docstring(ast.parse(path.read_text()))] == []
