"""Key writers that need no chat model: by sentences, entities, acronyms and headings."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from langchain_core.documents import Document
from pydantic import PositiveInt

from ragkit.config.components import component
from ragkit.document import above, span_of, title_of
from ragkit.flow import Flow, call
from ragkit.keys import Estimate, KeptReplies, KeyWriter
from ragkit.text.definitions import expansions, spelled_out
from ragkit.text.syntax import noun_phrases
from ragkit.text.words import sentences, stems


class PlainKeyWriter(KeyWriter):
    """Writes keys without a chat model; a subclass says which."""

    def flow(self, passages: Sequence[Document], replies: KeptReplies) -> Flow[Sequence[Sequence[str]]]:
        return (yield from call("keys", self.write, passages))

    @abstractmethod
    def write(self, passages: Sequence[Document]) -> Sequence[Sequence[str]]:
        """The texts of further keys for each of *passages*."""

    def estimate(self, passages: Sequence[Document], replies: KeptReplies) -> Estimate:
        return Estimate(keys=sum(map(len, self.write(passages))))


@component("sentences")
@dataclass(frozen=True)
class SentenceKeys(PlainKeyWriter):
    """Each sentence of a passage, behind the paper's title: small texts are found, the passage is read.

    (Related: the sentence level of "Enhancing Retrieval-Augmented Generation: A Study of Best Practices".)
    """

    kind: ClassVar[str] = "sentence"

    def write(self, passages: Sequence[Document]) -> Sequence[Sequence[str]]:
        return [self._keys(passage) for passage in passages]

    def _keys(self, passage: Document) -> list[str]:
        text = passage.page_content
        found = [text[start:end] for start, end in sentences(text)]
        return [_lines(title_of(passage), each) for each in found if stems(each)] if len(found) > 1 else []


@component("entities")
@dataclass(frozen=True)
class EntityKeys(PlainKeyWriter):
    """For each of the `most` entities of a passage that are related most: it, and what it is related to.

    Entities are noun phrases, found by the parser, and two are related that share a sentence.  (Idea: the
    pairs of entities of "Synthetic continued pretraining", here without a model that writes about them.)
    """

    most: PositiveInt = 2

    kind: ClassVar[str] = "entity"

    def write(self, passages: Sequence[Document]) -> Sequence[Sequence[str]]:
        return [self._keys(passage) for passage in passages]

    def _keys(self, passage: Document) -> list[str]:
        related: dict[str, list[str]] = defaultdict(list)
        written: dict[str, str] = {}
        for phrases in noun_phrases(passage.page_content):
            known = {" ".join(stems(phrase)): phrase for phrase in phrases if stems(phrase)}
            for name in known:
                written.setdefault(name, known[name])
                related[name] += [other for other in known if other != name]
        best = sorted(related, key=lambda name: (-len(set(related[name])), name))[: self.most]
        return [
            f"{written[name]}: {'; '.join(written[other] for other in dict.fromkeys(related[name]))}"
            for name in best
            if related[name]
        ]

    def estimate(self, passages: Sequence[Document], replies: KeptReplies) -> Estimate:
        return Estimate(keys=self.most * len(passages))  # without parsing


@component("expansions")
@dataclass(frozen=True)
class ExpansionKeys(PlainKeyWriter):
    """The passage with its acronyms written out, where the paper says elsewhere what they stand for.

    A passage that writes them out itself gets no key.
    """

    kind: ClassVar[str] = "expansion"

    def write(self, passages: Sequence[Document]) -> Sequence[Sequence[str]]:
        known: dict[str, dict[str, str]] = defaultdict(dict)
        for passage in passages:
            for code, phrase in expansions(passage.page_content).items():
                known[span_of(passage).document_id].setdefault(code, phrase)
        return [self._keys(passage, known[span_of(passage).document_id]) for passage in passages]

    def _keys(self, passage: Document, known: dict[str, str]) -> list[str]:
        own = expansions(passage.page_content)
        others = {code: phrase for code, phrase in known.items() if code not in own}
        text = spelled_out(passage.page_content, others)
        return [_lines(above(passage), text)] if text != passage.page_content else []


@component("headings")
@dataclass(frozen=True)
class HeadingKeys(PlainKeyWriter):
    """Title and headings, by which the passage is found that opens a section, or the paper."""

    kind: ClassVar[str] = "heading"

    def write(self, passages: Sequence[Document]) -> Sequence[Sequence[str]]:
        seen: Counter[tuple[str, str]] = Counter()
        keys = []
        for passage in passages:
            place = (span_of(passage).document_id, above(passage))
            seen[place] += 1
            keys.append([place[1]] if place[1] and seen[place] == 1 else [])
        return keys


def _lines(*parts: str) -> str:
    return "\n".join(part for part in parts if part)
