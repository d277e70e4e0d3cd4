"""What of the ranked passages the generator sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, PositiveInt

from ragkit.registry import component


@component("top")
class Top(BaseDocumentCompressor):
    """The best `k`."""

    model_config = ConfigDict(frozen=True)

    k: PositiveInt = 6

    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Any = None) -> Sequence[Document]:
        return list(documents)[: self.k]
