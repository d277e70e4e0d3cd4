"""What requests to the own API have in them.  Unknown keys and values of another type are errors."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LONGEST_NAME = 1000  # characters of the name of a configuration
LONGEST_QUESTION = 20_000  # characters
LONGEST_TEXT = 1_000_000  # characters of a text that is checked
MOST_TURNS = 200  # messages of a conversation
MOST_PASSAGES = 200  # that one search returns


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Turn(_Strict):
    """An earlier message of the conversation."""

    role: Literal["user", "assistant"]
    content: str = Field(max_length=LONGEST_TEXT)


class Ask(_Strict):
    """A question.  `model`: one of the configurations; `where`: a filter; `stream`: events instead of JSON, those of
    the `trace` among them if it is asked for.
    """

    question: str = Field(max_length=LONGEST_QUESTION)
    history: list[Turn] = Field(default=[], max_length=MOST_TURNS)
    where: str | None = Field(default=None, max_length=LONGEST_QUESTION)
    versions: bool = False
    model: str | None = Field(default=None, max_length=LONGEST_NAME)
    stream: bool = False
    trace: bool = False


class SearchFor(_Strict):
    """A search for the best `k` passages."""

    query: str = Field(max_length=LONGEST_QUESTION)
    k: int = Field(default=10, ge=1, le=MOST_PASSAGES)
    where: str | None = Field(default=None, max_length=LONGEST_QUESTION)
    versions: bool = False
    model: str | None = Field(default=None, max_length=LONGEST_NAME)


class CheckText(_Strict):
    """A text whose claims are checked.  `references`: BibTeX, RIS or a list, for what the text cites."""

    text: str = Field(max_length=LONGEST_TEXT)
    references: str = Field(default="", max_length=LONGEST_TEXT)
    where: str | None = Field(default=None, max_length=LONGEST_QUESTION)
    versions: bool = False
    model: str | None = Field(default=None, max_length=LONGEST_NAME)
