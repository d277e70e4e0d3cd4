"""The shape of the package: what it exports, what imports what, and what importing it costs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import ragkit
from ragkit.testing import imports_heavy

PACKAGE = Path(ragkit.__file__).parent
MODULES = sorted([p.stem for p in PACKAGE.glob("*.py")] + [p.parent.name for p in PACKAGE.glob("*/__init__.py")])


def sources_of(module: str) -> list[str]:
    """The source of a module, or of every file of a package."""
    single = PACKAGE / f"{module}.py"
    return [p.read_text() for p in ([single] if single.exists() else sorted((PACKAGE / module).rglob("*.py")))]


# From the ground up: a module may import those in the rows above its own, and in its own row only where it says so.
LAYERS = [
    {"errors", "answer"},
    {"flow"},
    {"registry", "document", "where"},
    {"text", "language", "config", "model"},
    {"question", "corpus", "tokens", "openvino_models", "prompt"},
    {"evidence"},
    {"cite", "index", "formats", "cross_encoder"},
    {
        "files",
        "chunk",
        "embed",
        "store",
        "lexical",
        "rewrite",
        "retrieve",
        "fuse",
        "compress",
        "generate",
        "verify",
        "policy",
        "judge",
        "gate",
        "llm",
    },
    {"reader", "rerank", "draft"},
    {"events"},
    {"pipeline"},
    {"rag"},
    {"schema", "doctor", "plan", "session", "terminal", "telemetry"},
    {"main", "testing"},
    {"evaluate"},
    {"train"},
    {"cli"},
    {"__init__", "__main__"},
]


def imports_of(module: str) -> set[str]:
    """The ragkit modules that *module* imports, type-checking imports left out."""
    found = set()
    for tree in map(ast.parse, sources_of(module)):
        hidden = {
            n for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) for n in ast.walk(node)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node not in hidden and (node.module or "").startswith("ragkit"):
                name = str(node.module).partition(".")[2]
                found |= {name.partition(".")[0]} if name else {a.name for a in node.names if a.name in MODULES}
    return found - {module}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str) -> None:
    [height] = [i for i, layer in enumerate(LAYERS) if module in layer]
    below = set().union(*LAYERS[:height])
    assert imports_of(module) - below == set()


def test_the_public_names_are_sorted_and_all_there() -> None:
    assert ragkit.__all__ == sorted(ragkit.__all__)
    assert [name for name in ragkit.__all__ if not hasattr(ragkit, name)] == []
    assert set(ragkit._HOME) == set(ragkit.__all__)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ragkit' has no attribute 'raag'"):
        _ = ragkit.raag


def test_importing_ragkit_imports_nothing_heavy() -> None:
    assert imports_heavy("import ragkit; import ragkit.cli") == []


def test_the_packaged_default_is_the_one_in_configs() -> None:
    assert (PACKAGE.parent / "configs" / "default.yaml").read_text() == (PACKAGE / "default.yaml").read_text()


def test_only_the_document_module_spells_its_metadata_keys() -> None:
    """Others may pass whole metadata on; `corpus` stores it and `files` makes it."""
    spelled = re.compile(r"metadata(?:\.get\(|\[)\"(?:document_id|start|end|score|scores)\"")
    assert [m for m in MODULES if m not in ("document", "corpus", "testing") and any(map(spelled.search, sources_of(m)))] == []


def test_the_version_is_said_once() -> None:
    assert f'version = "{ragkit.__version__}"' in (PACKAGE.parent / "pyproject.toml").read_text()


def test_every_module_opens_with_what_lives_there() -> None:
    assert [m for m in MODULES if not all(ast.get_docstring(ast.parse(source)) for source in sources_of(m))] == []
