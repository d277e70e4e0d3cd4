"""The question as a value (`Asked`), the queries searched for, and what a question names and wants."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from ragkit.errors import UsageError
from ragkit.text.definitions import begin_with, spells_out, tells_what
from ragkit.text.language import is_english
from ragkit.text.letters import compose, without_accents
from ragkit.text.syntax import counted as counted_noun
from ragkit.text.words import STOPWORDS, apart, codes, names, numbers, quantities, stem, stems, words
from ragkit.where import Where

# --- the question as a value


class Query(str):
    """A text to search for.

    `weight` multiplies what its rankings are worth in fusion; queries of one `group` count together as one.
    """

    weight: float
    group: int

    def __new__(cls, text: str, weight: float = 1.0, group: int = 0) -> Self:
        query = super().__new__(cls, text)
        query.weight, query.group = weight, group
        return query

    @cached_property
    def parsed(self) -> ParsedQuestion:
        return ParsedQuestion.of(str(self))

    def reworded(self, text: str) -> Query:
        """*text* in place of it, with its weight and in its group."""
        return self if text == self else Query(text, self.weight, self.group)


@dataclass(frozen=True)
class Asked:
    """A question, as the user wrote it and as the stages read it.

    The gate, the verdicts and the answer's language are about `text`; the generator is asked `standalone`,
    which can be understood without the conversation.  `searches` are the queries to search for, the question
    first; `history` is earlier messages, oldest first; `where` filters what it is asked of.
    """

    text: Query
    standalone: Query
    searches: tuple[Query, ...]
    history: tuple[BaseMessage, ...] = ()
    where: Where | None = None

    @classmethod
    def of(cls, text: str, history: Sequence[BaseMessage] = ()) -> Asked:
        """*text* as asked: nothing is rewritten yet."""
        query = text if isinstance(text, Query) else Query(text)
        return cls(query, query, (query,), tuple(history))

    @property
    def parsed(self) -> ParsedQuestion:
        """What `text` asks, parsed once."""
        return self.text.parsed

    @property
    def is_follow_up(self) -> bool:
        """Does it take the conversation to understand `standalone`?"""
        return bool(self.history) and self.standalone == self.text and self.searches[0] != self.text

    @property
    def understood(self) -> ParsedQuestion:
        """What is asked, with what a follow-up takes along from the conversation."""
        return (self.searches[0] if self.is_follow_up else self.standalone).parsed

    @property
    def earlier(self) -> list[str]:
        """The user's questions before this one, oldest first; thanks and other small talk are none."""
        replies = [*self.history[1:], None]
        return [
            str(message.text)
            for message, reply in zip(self.history, replies, strict=False)
            if isinstance(message, HumanMessage) and not _is_small_talk(reply)
        ]


def _is_small_talk(reply: BaseMessage | None) -> bool:
    """Does a message, as a conversation keeps it, reply to small talk?"""
    kept = reply.response_metadata.get("ragkit") if isinstance(reply, AIMessage) else None
    return isinstance(kept, Mapping) and bool(kept.get("small_talk"))


def question_text(question: str) -> str:
    """What a user asks, as it is compared: without white space around it, its accents composed (NFC).

    Raises `UsageError` for what is no text, or empty.
    """
    if not isinstance(question, str):
        raise UsageError(f"a question is a text, not {type(question).__name__}")
    if not question.strip():
        raise UsageError(
            "the question is empty; ask something, such as `ragkit ask 'What is dense retrieval?'`"
        )
    return compose(question.strip())


def messages(history: Sequence[BaseMessage | Mapping[str, str]]) -> tuple[BaseMessage, ...]:
    """*history* as LangChain's messages; each may be `{"role": "user" | "assistant", "content": ...}`.

    Raises `UsageError` for one that is neither.
    """
    for each in history:
        if not isinstance(each, BaseMessage) and not (
            isinstance(each, Mapping) and isinstance(each.get("content"), str)
        ):
            raise UsageError(
                "a message of the history has no text: give LangChain's messages, or"
                ' {"role": "user", "content": "..."}'
            )
    return tuple(
        each
        if isinstance(each, BaseMessage)
        else (AIMessage if each.get("role") == "assistant" else HumanMessage)(each["content"])
        for each in history
    )


def parsed(question: str) -> ParsedQuestion:
    """What *question* asks; a `Query` is parsed only once."""
    return question.parsed if isinstance(question, Query) else ParsedQuestion.of(question)


# --- the parts of a question

_PARTS = re.compile(r"[?;]\s++|(?:,|(?<!\s))\s++and\s++")
_SIDES = (  # of a comparison: what is asked of both, the one, the other, and what more is asked of both
    re.compile(r"^(which\b[^,:]*[,:] )(.+?),? or ([^,]+)(.*)", re.IGNORECASE),
    re.compile(
        r"^(compare (?:the [\w -]{1,40}? of )?)(.+?) (?:with|to|against|and) (.+)()",
        re.IGNORECASE,
    ),
    re.compile(r"^()(.+?) (?:versus|vs\.?) (.+)()", re.IGNORECASE),
)
_ASKS = re.compile(r"\b(what|which|who|whose|whom|where|when|why|how)\b", re.IGNORECASE)


def parts(question: str) -> list[str]:
    """The things that *question* asks for, each as a question.

    It is cut at `and`, `;` and `?` where a question word or another name stands behind, and where it compares
    one name with another.  A part without a name is asked of the names before it; one without a question word
    asks what was asked before, of its own name.
    """
    if both := _sides(question):
        return both
    found: list[str] = []
    for piece in _PARTS.split(question):
        if not stems(piece):
            continue
        if not found or _ASKS.search(piece) or _named(piece).keys() - _named(found[-1]).keys():
            found.append(piece.strip(" ,"))
        else:
            found[-1] += f" and {piece.strip(' ,')}"
    return [found[0], *(_whole(part, found[0]) for part in found[1:])] if len(found) > 1 else [question]


def _sides(question: str) -> list[str]:
    """What *question* asks of each of two that it compares by name; nothing if it does more than that."""
    plain = " ".join(question.split()).rstrip(" ?.")
    if re.search(r"[?.;]\s(?<!vs\.\s)", plain):
        return []
    for compared in filter(None, (form.match(plain) for form in _SIDES)):
        before, one, other, behind = compared.groups()
        named = _named(one) and _named(other).keys() - _named(one).keys() and _named(other.split()[-1])
        if named and not (
            "," in one or _named(before[:1].lower() + before[1:]) or _ASKS.search(f"{one} {other}")
        ):
            return [f"{before}{one}{behind}", f"{before}{other}{behind}"]
    return []


def _named(text: str) -> dict[str, str]:
    """The words of *text* that name something, as keys, and as they are written."""
    found = names(f"of {text}")  # no name may be taken for the capital of a sentence
    whole = {name: re.compile(rf"(?<!\w){re.escape(name)}(?!\w)") for name in found}
    return {
        name: word.strip(".,;:?!()\"'")
        for word in text.split()
        for name in found
        if whole[name].search(word.casefold())
    }


def _whole(part: str, first: str) -> str:
    """What *part* asks, with what it leaves out because *first* stands before it."""
    about = _named(first)
    if _ASKS.search(part):
        return part if _named(part) else " ".join([*about.values(), part])
    return " ".join([*(word for word in first.split() if not _named(word).keys() & about.keys()), part])


class Mentions(NamedTuple):
    """The words of a text, to look for what a question names."""

    plain: str
    stems: frozenset[str]

    @classmethod
    @functools.lru_cache(maxsize=1024)  # a question's passages are looked into at several stages
    def of(cls, text: str) -> Mentions:
        plain = without_accents(apart(unicodedata.normalize("NFKC", text)).casefold())
        return cls(plain, frozenset(stems(text)))

    def has(self, name: str) -> bool:
        """Is it called so, its parts side by side?  `Self-RAG` is `Self RAG`; `GPT3` is `GPT-3`; `Gödel` is `Godel`."""
        parts = words(name)
        if len(parts) == 1 and stem(parts[0]) in self.stems:
            return True
        parts = [without_accents(part) for part in parts]
        runs = [run for part in parts for run in re.findall(r"[^\W\d_]+|[^\w]+|\d+|_+", part)]
        together = r"[\W_]{0,2}".join(map(re.escape, runs))
        return bool(re.search(rf"(?<![^\W_]){together}(?:e?s)?(?![^\W_])(?!(?<=\d)\.\d)", self.plain))


def mentioned(asked: ParsedQuestion, texts: Sequence[Mentions]) -> bool:
    """Does one of *texts* mention a name of *asked*, or does that name nothing?"""
    return not asked.names or any(text.has(name) for name in asked.names for text in texts)


def unmentioned(asked: ParsedQuestion, texts: Sequence[Mentions]) -> list[str]:
    """The names of *asked* that none of *texts* mentions, as written.

    Names such as `GPT-4` count.  A name that has only a capital (`Mozart`) counts where *texts* mention no
    other name of its part and the question is one sentence: it may be paraphrased, or begin a sentence.
    """
    known = [any(text.has(name) for name in part.names for text in texts) for part in asked.parts]
    is_one = not re.search(r"[?.!;:]\s+\S", asked.text)
    wanted = {
        name
        for part, told in zip(asked.parts, known, strict=True)
        for name in (part.names if is_one and not told else part.codes)
    }
    return list(
        dict.fromkeys(
            written
            for name, written in as_written(asked.text, wanted).items()
            if not any(text.has(name) or _is_spelled_out(written, text.plain) for text in texts)
        )
    )


def as_written(question: str, names: Collection[str]) -> dict[str, str]:
    """Those of *names* that *question* has, in its order, as it writes each."""
    return {n: re.sub(r"['’]s$", "", written) for n, written in _named(question).items() if n in names}


def _is_spelled_out(code: str, text: str) -> bool:
    """Is *code*, all capitals, written with dots, or do neighbouring words begin with its letters?"""
    dotted = r"\.\s?".join(code)
    return (
        code.isalpha()
        and code.isupper()
        and (begin_with(text, code) or bool(re.search(rf"(?<!\w){dotted}", text, re.IGNORECASE)))
    )


# --- the kind of thing that is asked for

_AUXILIARIES = frozenset("are can could did do does has have is was were will would".split())
_HOW = re.compile(
    r"\bhow (?:(many)|much|often|(?:large|big|long|far|fast|old|high|deep|wide|heavy|tall|small)"
    rf"(?=\s+(?:an?|{'|'.join(sorted(_AUXILIARIES))})\b|\s*[?.,]|\s*$))\b((?:\s+[\w-]+){{0,4}})",
    re.I,
)
_WHICH = re.compile(
    r"\b(?:what|which|whose)(?:\s+(?:is|was|are|were)(?:\s+(?:the|an?))?)?\b((?:\s+[\w-]+){1,4})", re.I
)
_QUANTITIES = frozenset(
    "accuracy age amount auc bleu chrf cost count date decrease dose duration error f1 fid frequency gain height improvement incidence "
    "increase length map margin mrr ndcg number percent percentage perplexity precision prevalence price proportion rate rates ratio recall "
    "reduction rouge score scores share size speed speedup temperature time weight wer year".split()
)
_SIZES = re.compile(
    r"^which\b(?=[^,:]*+[,:]\s)[^,:]*"
    r"\b(?:bigger|cheaper|deeper|faster|fewer|greater|higher|larger|longer|lower|more|older|quicker|shorter|slower|smaller|younger)\b"
    r"|^compare\s+the\s+(?:\w+\s+)?(\w+)\s+of\b",
    re.IGNORECASE,
)
_LETTERS = re.compile(r"(?i:\b(?:stands?|short) for\b|\babbreviat|\bacronym\b)|\bdoes [A-Z]{2}[\w-]*+ mean\b")
_STANDS = re.compile(r"\bdo(?:es)? (.{1,60}?) stand\b", re.IGNORECASE)
_NAME = re.compile(r"^\s*(?:who|which|where|name|list)\b|\b(?:called|name of)\b", re.IGNORECASE)
_CHOICE = re.compile(
    r"(?:^|[,:;.?]\s*|\band\s+)(?:\w+\s+)?which\s+(?!(?:are|can|could|did|do|does|has|have|is|of|was|were|will|would)\b)[\w-]",
    re.IGNORECASE,
)
_THING = re.compile(
    r"\b(?:which|what(?: (?:kind|type|sort)s? of)?)\s+((?:[\w-]+\s+){0,3}?[\w-]+)"
    r"(?=\s+(?:is|are|was|were|do|does|did|has|have|can|could|will|would|to|in|for|of|on|that|used|tested)\b|[?.,]|$)",
    re.IGNORECASE,
)

_DEFINED = re.compile(
    r"^\W*(?:(?:what|(who))(?:['’]s| (?:is|are|was|were))(?: meant by)?|define|explain|describe|what (?:does|do|did)(?=.* (?:mean|do)$))"
    r" (?:(?:an?|the) )?(.{1,60}?)(?: (?:mean|do))?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ParsedQuestion:
    """What a question names, and what would answer it."""

    text: str
    names: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()
    """Those of its names that can be nothing else, such as `GPT-4`."""
    things: frozenset[str] = frozenset()
    """The stems of the words that say what is asked for: which *data set*, how many *stories*."""
    thing: str = ""
    """The last of them, if it is one of several: which data *set*."""
    counted: str = ""
    """The last of them, if it is counted: how many *stories*."""
    asks_number: bool = False
    compares_numbers: bool = False
    """Would a number tell, though it need not be what is asked for: which is *larger*?"""
    asks_name: bool = False
    """In so many words (*who*, *what is it called*)?"""
    asks_choice: bool = False
    """For one of several (*which model*)?"""
    letters: frozenset[str] = frozenset()
    """What is to be spelled out."""
    subject: str = ""
    """What is to be defined, as the question writes it: what is *a word-pooled tokenizer*."""
    known: frozenset[str] = frozenset()
    """The numbers that the question says itself."""
    said: frozenset[str] = frozenset()
    """The stems of its words."""

    @classmethod
    def of(cls, question: str) -> ParsedQuestion:
        """What can be told of *question*; of one that is not in English, its codes and its numbers."""
        if not is_english(question):
            known, said = frozenset(numbers(question)), frozenset(stems(question))
            named = frozenset(filter(None, (_core(code, question) for code in codes(question))))
            return cls(question, names=named, codes=named, known=known, said=said)
        how, which, thing, sizes = (form.search(question) for form in (_HOW, _WHICH, _THING, _SIZES))
        found = _leading(how[2] if how[1] else "") if how else _leading(which[1]) if which else []
        if how and how[1] and len(found) > 1:
            found = _counted(question, found, how[2].casefold().split()[len(found) :])
        things = [s for word in found for s in stems(word)]
        counted = things[-1] if how and how[1] and things else ""
        called = (
            set()
            if question.isupper()
            else {n for n in names(question) if not counted or stem(n) not in things}
        )
        return cls(
            text=question,
            names=frozenset(called),
            codes=frozenset(called & codes(question)),
            things=frozenset(things) - {stem(w) for n in called for w in words(n)},
            thing=(stems(thing[1]) or [""])[-1] if thing else "",
            counted=counted,
            asks_number=bool(how) or any(word.casefold() in _QUANTITIES for word in found[-1:]),
            compares_numbers=bool(
                sizes and (not sizes[1] or stem(sizes[1]) in {stem(word) for word in _QUANTITIES})
            ),
            asks_name=bool(_NAME.search(question)),
            asks_choice=bool(_CHOICE.search(question)),
            letters=_letters(question),
            subject=_subject(question),
            known=frozenset(numbers(question)),
            said=frozenset(stems(question)),
        )

    @cached_property
    def parts(self) -> tuple[ParsedQuestion, ...]:
        """Each thing that is asked for; the question itself, if that is one."""
        texts = parts(self.text)
        return (self,) if len(texts) == 1 else tuple(map(ParsedQuestion.of, texts))

    @property
    def asks_once(self) -> bool:
        """Has it one question word only?"""
        return len(_ASKS.findall(self.text)) == 1

    def is_answered_by(self, text: str) -> bool:
        """Does *text* have the kind of thing that each part asks for?  A comparison is one question."""
        return all(part.gives(text) for part in ((self,) if _sides(self.text) else self.parts))

    def gives_number(self, text: str) -> bool:
        """Does *text* give a number that the question does not, beside what is counted, if anything is?"""
        if not self.counted:
            return bool(numbers(text) - self.known)
        every = [word for word in text.split() if word.strip(".,;:()").casefold() not in STOPWORDS]
        given = [at for at, word in enumerate(every) if numbers(word) - self.known]
        things = [at for at, word in enumerate(every) if self.counted in stems(word)] if given else []
        before = _BEHIND if _NUMBER_OF.search(text) else _BEFORE
        return any(number - before <= thing <= number + _BEHIND for number in given for thing in things)

    def gives_name(self, text: str) -> bool:
        """Does *text* name something that the question does not?"""
        return bool(names(text) - self.names)

    @property
    def asks_definition(self) -> bool:
        """Does it ask what letters stand for, or what a thing is?"""
        return bool(self.letters or self.subject)

    def defines(self, text: str, title: str = "") -> bool:
        """Does a sentence, of the paper *title*, say what the letters stand for, or else what the subject is?"""
        if self.letters:
            return any(spells_out(text, code) for code in self.letters)
        return bool(self.subject) and tells_what(text, self.subject, title)

    def gives(self, text: str) -> bool:
        """Does *text* have something of the kind that is asked for, as far as its form tells?"""
        if self.asks_number:
            counted = [unit for number, unit in quantities(text) if unit and number not in self.known]
            return self.gives_number(text) or bool(numbers(text) - self.known and not counted)
        if self.letters:
            return self.defines(text) or any(begin_with(text, code) for code in self.letters)
        if self.asks_name or self.asks_choice:
            said = names(f"of {text}")  # an answer may begin with the name
            one_of_them = bool(self.names & said) and not self.names <= said
            return (
                self.gives_name(text)
                or one_of_them
                or (len(words(text)) <= _BRIEF and bool(said - self.names))
            )
        return bool(set(stems(text)) - self.said)


def _letters(question: str) -> frozenset[str]:
    """Which letters it wants spelled out: those that *stand for* something, or else those nearest to *short for*."""
    if not (asked := _LETTERS.search(question)):
        return frozenset()
    if (said := _STANDS.search(question)) and (among := codes(said[1])):
        return frozenset(among)
    folded = question.casefold()
    return frozenset(sorted(codes(question), key=lambda code: abs(folded.find(code) - asked.start()))[:1])


def _subject(question: str) -> str:
    """What *question* wants to be defined: no relation (the size *of* something), nor what is to be named."""
    found = _DEFINED.search(" ".join(question.split()).rstrip(" ?.!"))
    said = found[2].partition("(")[0].rstrip().strip("\"'“”‘’«»") if found else ""
    bare = [word.casefold() for word in said.split()]
    called = not bare or bare[-1] in ("called", "named") or (found and found[1] and said.islower())
    return "" if called or len(bare) > 6 or any(word in STOPWORDS for word in bare) else said


_NUMBER_OF = re.compile(r"\bnumbers? of\b|\bcount\b", re.IGNORECASE)
_BEFORE, _BEHIND = 3, 7
"""How many words before and behind its number a counted thing may stand: *19K accurate choice questions*."""

_BRIEF = 4
"""An answer of so many words may be the name itself."""


def _core(name: str, question: str) -> str:
    """The name in *name* without the German nouns joined to it: of `BERT-Modell` BERT."""
    found = re.search(re.escape(name), question, re.IGNORECASE)
    written = re.split(r"([-.+])", found[0] if found else name)
    kept = [
        i
        for i in range(0, len(written), 2)
        if len(written[i]) == 1 or any(c.isupper() or c.isdigit() for c in written[i][1:])
    ]
    return "".join(written[kept[0] : kept[-1] + 1]).casefold() if kept else ""


def _counted(question: str, words: list[str], then: list[str]) -> list[str]:
    """Those of the *words* after *how many* that name what is counted: *teams* of *teams handed in projects*.

    Before an auxiliary (how many hard negatives *does*) it is all of them; then the parser need not be loaded.
    """
    head = "" if then and then[0] in _AUXILIARIES else counted_noun(question)
    return words[: words.index(head) + 1] if head in words else words


def _leading(text: str) -> list[str]:
    """The first words of *text*, at most three, up to one that says nothing of its own."""
    found: list[str] = []
    for word in text.split()[:3]:
        if word.casefold() in STOPWORDS:
            break
        found.append(word)
    return found
