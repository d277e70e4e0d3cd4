"""The question as asked to the queries that are searched for."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import BaseMessage, HumanMessage
from pydantic import PositiveInt

from ragkit.flow import Flow, done
from ragkit.registry import component, interface
from ragkit.text import names, stems


@interface
class QueryRewriter(ABC):
    """Turns queries into the queries to search for."""

    @abstractmethod
    def flow(self, queries: Sequence[str], history: Sequence[BaseMessage]) -> Flow[list[str]]:
        """The queries in place of *queries*; the first one stands for the question. *history* is oldest first."""


_POINTS_BACK = re.compile(
    r"^\s*(and|but|also|what about|how about|so)\b|\b(it|its|they|their|them|this|that|these|those|he|she|his|her|the (paper|method|model|authors))\b",
    re.IGNORECASE,
)


@component("follow_up")
@dataclass(frozen=True)
class FollowUpRewriter(QueryRewriter):
    """Carries what earlier questions were about into one that points back ("and how many does it use?").

    Needs no model: a question that is short, or points back, takes along the last `turns` questions it leans on.
    """

    turns: PositiveInt = 1
    short: PositiveInt = 3

    def flow(self, queries: Sequence[str], history: Sequence[BaseMessage]) -> Flow[list[str]]:
        asked = [str(m.text) for m in history if isinstance(m, HumanMessage)][-self.turns :]
        return done([self._carried(query, asked) for query in queries])

    def _carried(self, query: str, asked: Sequence[str]) -> str:
        new = len(stems(query)) > self.short and not _POINTS_BACK.search(query)
        if not asked or new or names(query) - set().union(*(names(a) for a in asked)):
            return query
        return " ".join([*asked, query])
