"""Answers over a corpus of papers, with citations that have been checked.

    import ragkit
    rag = ragkit.load()                     # or ragkit.load("my.yaml"), or ragkit.Rag(...) built in Python
    rag.ingest("papers/")
    print(rag.ask("How many in-batch negatives does PEG train with?"))

Importing ragkit imports no heavy library: each name below is looked up when it is first used.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from ragkit.text.printable import PrintableRecords

__version__ = "0.1.0"

logging.getLogger(__name__).addFilter(PrintableRecords())

_HOME = {
    "Abstention": "answer",
    "Answer": "answer",
    "AnswerPipeline": "ask",
    "Check": "check.result",
    "CheckedClaim": "check.result",
    "Citation": "answer",
    "Claim": "answer",
    "ConfigError": "errors",
    "Conversation": "conversation",
    "Corpus": "corpus",
    "CorpusError": "errors",
    "FileChatHistory": "conversation",
    "IndexMismatch": "errors",
    "IngestPipeline": "ingest",
    "IngestReport": "ingest.report",
    "LoadError": "errors",
    "ModelError": "errors",
    "NoCorpus": "errors",
    "Rag": "rag",
    "RagkitError": "errors",
    "UsageError": "errors",
    "Verdict": "answer",
    "component": "config.components",
    "dump": "pipeline_file",
    "interface": "config.components",
    "load": "pipeline_file",
    "use": "config",
}
__all__ = [
    "Abstention",
    "Answer",
    "AnswerPipeline",
    "Check",
    "CheckedClaim",
    "Citation",
    "Claim",
    "ConfigError",
    "Conversation",
    "Corpus",
    "CorpusError",
    "FileChatHistory",
    "IndexMismatch",
    "IngestPipeline",
    "IngestReport",
    "LoadError",
    "ModelError",
    "NoCorpus",
    "Rag",
    "RagkitError",
    "UsageError",
    "Verdict",
    "component",
    "dump",
    "interface",
    "load",
    "use",
]

if TYPE_CHECKING:
    from ragkit.answer import Abstention, Answer, Citation, Claim, Verdict
    from ragkit.ask import AnswerPipeline
    from ragkit.check.result import Check, CheckedClaim
    from ragkit.config import use
    from ragkit.config.components import component, interface
    from ragkit.conversation import Conversation, FileChatHistory
    from ragkit.corpus import Corpus
    from ragkit.errors import (
        ConfigError,
        CorpusError,
        IndexMismatch,
        LoadError,
        ModelError,
        NoCorpus,
        RagkitError,
        UsageError,
    )
    from ragkit.ingest import IngestPipeline
    from ragkit.ingest.report import IngestReport
    from ragkit.pipeline_file import dump, load
    from ragkit.rag import Rag


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ragkit' has no attribute '{name}'")
    return getattr(importlib.import_module(f"ragkit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
