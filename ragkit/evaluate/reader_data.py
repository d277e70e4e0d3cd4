"""What a reader is trained on: rows that people labelled, claims made from them, and passages near a question.

A row is a line of JSON in a file `*.jsonl` or `*.jsonl.gz`:

    {"task": "answers", "a": "Who built it?", "title": "The bridge", "s": ["It is old.", "Ann built it."], "y": [0, 1]}

`task` is `answers` (then `a` is a question) or `supports` (then `a` is a claim), `s` are the sentences of a
source, `y` the label of each (1, 0, or null where nobody knows), `whole` that of the source, `set` a name.
"""

from __future__ import annotations

import gzip
import math
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ragkit.errors import UsageError
from ragkit.models.reader import SourceText
from ragkit.verify.opposition import OPPOSITES

Task = Literal["supports", "answers"]
UNKNOWN = math.nan


@dataclass(frozen=True, kw_only=True)
class ReaderRecipe:
    """How a reader, and its teacher before it, is trained: for `steps`, or else for `minutes` each.

    `held_out` is the share of the texts that are only measured on.  `near` passages of other texts are added
    to each question.  A step reads `batch_tokens` tokens, by default what suits the device, in texts of at
    most `longest`.  The learning rates are for steps of 32,768 tokens; they shrink with the square root of
    a step, as Adam's should.  `labels` is what the labels weigh where a teacher has an opinion as well.
    """

    steps: int | None = None
    minutes: float = 30
    seed: int = 0
    held_out: float = 0.04
    near: int = 4
    longest: int = 320
    batch_tokens: int | None = None
    learning_rate: float = 3e-4
    teacher_rate: float = 5e-5
    head_rate: float = 1e-3
    smoothing: float = 0.04
    labels: float = 0.4


class LabelledRow(BaseModel):
    """A line of a file of rows."""

    model_config = ConfigDict(frozen=True)

    task: Task
    first: str = Field(alias="a", min_length=1)
    title: str = ""
    sentences: tuple[str, ...] = Field(alias="s", min_length=1)
    labels: tuple[Literal[0, 1] | None, ...] = Field(alias="y")
    whole: Literal[0, 1] | None = None
    name: str = Field("", alias="set")

    @model_validator(mode="after")
    def _one_label_for_each_sentence(self) -> LabelledRow:
        if len(self.labels) != len(self.sentences):
            raise ValueError(f"y has {len(self.labels)} labels for the {len(self.sentences)} sentences of s")
        return self


class ReaderExample(NamedTuple):
    """A question or claim, a source, and the labels of its sentences and of the whole: 1, 0 or NaN.

    `kind` is the set of the row, `planted` or `near`.  Examples of one `group` are about one text: they are
    all trained on or all held out.
    """

    task: Task
    first: str
    source: SourceText
    labels: tuple[float, ...]
    whole: float
    kind: str
    group: str

    def cut(self, start: int, end: int) -> ReaderExample:
        """The same with only the sentences from *start* to *end*.

        Whether these suffice is unknown if the source did and no sentence that does is left.
        """
        labels = self.labels[start:end]
        lost = len(labels) < len(self.labels) and self.whole == 1 and 1 not in labels
        return self._replace(
            source=SourceText(self.source.title, self.source.sentences[start:end]),
            labels=labels,
            whole=UNKNOWN if lost else self.whole,
        )


def rows_in(folder: Path) -> list[LabelledRow]:
    """The rows of all files in *folder*.  Raises `UsageError` with file and line if one is no row."""
    files = sorted(path for path in folder.glob("*") if path.name.endswith((".jsonl", ".jsonl.gz")))
    rows = [row for path in files for row in _rows_of(path)]
    if not rows:
        raise UsageError(
            f"'{folder}' has no rows to train on: put files of labelled rows there, *.jsonl or *.jsonl.gz"
        )
    return rows


def _rows_of(path: Path) -> Iterator[LabelledRow]:
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _row(line, f"{path}:{number}")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UsageError(f"'{path}' cannot be read: {error}; leave it out or write it again") from None


def _row(line: str, place: str) -> LabelledRow:
    try:
        return LabelledRow.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        reason = f"'{key}': {first['msg']}" if key else first["msg"]
        raise UsageError(
            f"{place}: {reason}; a row is a JSON object with task, a, s and y, see docs/verification.md"
        ) from None


def example_of(row: LabelledRow) -> ReaderExample:
    """The row; what the label of the source says of its sentences, and they of it, is filled in.

    A source answers if a sentence does, and not if none does; a claim may follow only from several sentences.
    """
    labels = [UNKNOWN if label is None else float(label) for label in row.labels]
    whole = UNKNOWN if row.whole is None else float(row.whole)
    alone = len(labels) == 1
    if math.isnan(whole):
        if 1 in labels:
            whole = 1.0
        elif not any(map(math.isnan, labels)) and (alone or row.task == "answers"):
            whole = 0.0
    elif alone and math.isnan(labels[0]):
        labels = [whole]
    source = SourceText(row.title, row.sentences)
    return ReaderExample(
        row.task, row.first, source, tuple(labels), whole, row.name, row.title or row.sentences[0]
    )


_LONG = 250  # characters from which a source is a passage rather than a sentence


def passages_of(examples: Sequence[ReaderExample]) -> list[ReaderExample]:
    """One example for each source that is as long as a passage."""
    distinct = {each.source.sentences: each for each in examples}
    return [each for each in distinct.values() if sum(map(len, each.source.sentences)) > _LONG]


def window(example: ReaderExample, characters: int, chance: random.Random) -> ReaderExample:
    """*example* with as many sentences as fit, in a row, around one that is right if there is one."""
    lengths = [len(sentence) + 1 for sentence in example.source.sentences]
    right = [n for n, label in enumerate(example.labels) if label == 1]
    start = chance.choice(right or range(len(lengths)))
    end, used = start + 1, lengths[start]
    while True:
        sides = [n for n in (start - 1, end) if 0 <= n < len(lengths) and used + lengths[n] <= characters]
        if not sides:
            return example.cut(start, end)
        taken = chance.choice(sides)
        used += lengths[taken]
        start, end = min(start, taken), max(end, taken + 1)


def split_by_text(
    examples: Sequence[ReaderExample], recipe: ReaderRecipe, chance: random.Random
) -> tuple[list[ReaderExample], list[ReaderExample]]:
    """To train on, and held out; no text is in both.  Sources are cut to windows around what is right."""
    groups = sorted({example.group for example in examples})
    chance.shuffle(groups)
    kept = set(groups[: max(1, round(recipe.held_out * len(groups)))])
    if len(kept) == len(groups):
        raise UsageError("all rows are about one text, so none can be held out; add rows about others")
    room = _CHARACTERS * recipe.longest
    cut = [window(each, int(room) - min(len(each.first), 300), chance) for each in examples]
    return [each for each in cut if each.group not in kept], [each for each in cut if each.group in kept]


_CHARACTERS = 3.6  # of English prose in a token, on the rows that the shipped reader was trained on


# --- passages near a question

_NEAREST = 25  # of so many passages nearest to a question some are drawn: the very nearest often answer it


def near_passages(
    questions: Sequence[ReaderExample],
    passages: Sequence[ReaderExample],
    vectors: tuple[NDArray[np.float32], NDArray[np.float32]],
    each: int,
    chance: random.Random,
) -> Iterator[ReaderExample]:
    """For each question, *each* passages of other texts that are near it, none of whose sentences answers it.

    *vectors* are those of the questions and of the passages, of length one, (texts, dimensions).
    """
    asked, held = vectors
    depth = min(_NEAREST, len(passages))
    for start in range(0, len(questions), 512):
        scores = asked[start : start + 512] @ held.T
        nearest = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
        for question, indices in zip(questions[start : start + 512], nearest, strict=True):
            own = set(question.source.sentences)
            others = [
                passages[i]
                for i in indices
                if passages[i].group != question.group and not own.intersection(passages[i].source.sentences)
            ]
            for passage in chance.sample(others, min(each, len(others))):
                yield question._replace(
                    source=passage.source,
                    labels=(0.0,) * len(passage.source.sentences),
                    whole=0.0,
                    kind="near",
                )


# --- planted claims

_PLANTED = 2  # sentences of a passage that claims are made from
_ELSEWHERE = 0.3  # so many of them are also held against another sentence of their passage, which lacks them


def planted_claims(passages: Sequence[ReaderExample], chance: random.Random) -> Iterator[ReaderExample]:
    """True and false claims: sentences of the passages, reworded, and as many with one thing changed.

    Half of them are held against their sentence alone and half against the passage.  Text without capitals
    is left out, as the rules know names by theirs.
    """
    for passage in passages:
        sentences = passage.source.sentences
        good = [n for n, sentence in enumerate(sentences) if 50 < len(sentence) < 400]
        if not any(character.isupper() for sentence in sentences for character in sentence):
            continue
        for n in chance.sample(good, min(_PLANTED, len(good))):
            others = [sentence for i, sentence in enumerate(sentences) if i != n]
            other = chance.choice(others) if others else ""
            alone = chance.random() < 0.5
            read = (sentences[n],) if alone else sentences
            known = (1.0,) if alone else tuple(1.0 if i == n else UNKNOWN for i in range(len(sentences)))
            true = reworded(sentences[n], chance)
            yield _claim(passage, true, read, known)
            false = changed(sentences[n], other, chance)
            false = reworded(false, chance) if false else ""
            if false and false != true and not any(false in sentence for sentence in sentences):
                yield _claim(passage, false, read, (0.0,) * len(read))
            if other and chance.random() < _ELSEWHERE:
                yield _claim(passage, reworded(other, chance), (sentences[n],), (0.0,))


def _claim(
    passage: ReaderExample, text: str, sentences: tuple[str, ...], labels: tuple[float, ...]
) -> ReaderExample:
    source = SourceText(passage.source.title, sentences)
    return ReaderExample("supports", text, source, labels, float(1 in labels), "planted", passage.group)


_LEAD = re.compile(
    r"^(?:However|In addition|Moreover|Furthermore|Therefore|Thus|Also|In contrast|Interestingly|Finally"
    r"|Here|Additionally|Consequently|Similarly|Indeed), "
)
_JOINT = re.compile(r",? (?:while|whereas|but|and) (?=(?:the|it|they|this|we|these|he|she)\b)")
_SPEAKERS = {"We": "The authors", "we": "they", "Our": "Their", "our": "their"}


_ASIDE = re.compile(r" ?\([^()]*+\)")


def reworded(sentence: str, chance: random.Random) -> str:
    """What *sentence* says, told as an answer would: one of its clauses, by others, without asides.

    True and false claims are reworded alike, or whatever is not verbatim would look false.
    """
    text = _LEAD.sub("", sentence)
    if chance.random() < 0.6:
        text = re.sub(r"\b(?:We|we|Our|our)\b", lambda m: _SPEAKERS[m[0]], text)
    if chance.random() < 0.7:
        text = _ASIDE.sub("", text)
    clauses = _JOINT.split(text)
    if len(clauses) > 1 and min(map(len, clauses)) > 30:
        text = chance.choice(clauses)
    if chance.random() < 0.15:
        text = text.rstrip(".")
    return text[:1].upper() + text[1:] or sentence


def changed(sentence: str, other: str, chance: random.Random) -> str | None:
    """*sentence* with one thing changed so that it is false; None where no rule applies.

    *other* is a sentence of the same source, from which a name or number may be taken.
    """
    for rule in chance.sample(RULES, len(RULES)):
        if text := rule(sentence, other, chance):
            return text
    return None


_NUMBER = re.compile(r"(?<![\w.,])\d+(?:,\d{3})*(?:\.\d+)?(?!\w|[.,]\d)")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][\w-]+(?: [A-Z][\w-]+)*")
_AUXILIARY = r"\b(is|are|was|were|has|have|had|can|could|will|would|may|might|does|did|do)\b"
_COMPARED = re.compile(
    r"(?<![\w-])([A-Za-z][\w-]*+(?: [a-z][\w-]++)?) (than|compared with|compared to|versus|over|from) "
    r"((?:the )?[A-Za-z][\w-]*(?: [a-z][\w-]+)?)\b"
)
_SUBJECT = re.compile(
    r"^((?:The |An? )?[\w-]+(?: [\w-]+){0,3}) "
    r"(causes?|inhibits?|activates?|outperforms?|includes?|produces?|regulates?|uses?|requires?|replaces?"
    r"|contains?|reduces?|increases?|improves?|binds?|follows?|leads? to|results? in|precedes?|consists? of"
    r"|was (?:built|made|written|founded|followed|replaced) by) "
    r"((?:the |an? )?[\w-]+(?: [\w-]+){0,3})([.,;])"
)
_MORE_PAIRS = (
    "increased/decreased reduced/increased improved/worsened all/some most/few always/sometimes men/women male/female north/south"
    " east/west left/right major/minor significant/insignificant effective/ineffective including/excluding"
    " won/lost supports/opposes outperforms/underperforms"
)
"""Inflected, and pairs that exclude each other in most contexts, though no opposites: a claim has either."""


@cache
def _swaps() -> dict[str, tuple[str, ...]]:
    swaps: dict[str, tuple[str, ...]] = {}
    for one, other in (pair.split("/") for pair in f"{OPPOSITES} {_MORE_PAIRS}".split()):
        swaps[one] = (*swaps.get(one, ()), other)
        swaps[other] = (*swaps.get(other, ()), one)
    return swaps


def _put(text: str, match: re.Match[str], new: str) -> str:
    return text[: match.start()] + new + text[match.end() :]


def _two_exchanged(pattern: re.Pattern[str], sentence: str, chance: random.Random) -> str | None:
    found = list(pattern.finditer(sentence))
    if len({match[0] for match in found}) < 2:
        return None
    one = chance.choice(found)
    other = chance.choice([match for match in found if match[0] != one[0]])
    first, second = sorted((one, other), key=re.Match.start)
    return _put(_put(sentence, second, first[0]), first, second[0])


def _from_elsewhere(pattern: re.Pattern[str], sentence: str, other: str, chance: random.Random) -> str | None:
    own = list(pattern.finditer(sentence))
    new = [match[0] for match in pattern.finditer(other) if match[0] not in sentence]
    return _put(sentence, chance.choice(own), chance.choice(new)) if own and new else None


def numbers_exchanged(sentence: str, other: str, chance: random.Random) -> str | None:
    """The words are all there, but values belong to others."""
    return _two_exchanged(_NUMBER, sentence, chance)


def names_exchanged(sentence: str, other: str, chance: random.Random) -> str | None:
    """The words are all there, but who did what is not the same."""
    return _two_exchanged(_NAME, sentence, chance)


def other_number(sentence: str, other: str, chance: random.Random) -> str | None:
    """A model that writes answers takes the number of a neighbouring sentence."""
    return _from_elsewhere(_NUMBER, sentence, other, chance)


def other_name(sentence: str, other: str, chance: random.Random) -> str | None:
    """A model that writes answers takes the name of a neighbouring sentence."""
    return _from_elsewhere(_NAME, sentence, other, chance)


def other_digit(sentence: str, other: str, chance: random.Random) -> str | None:
    """Numbers must agree to the digit."""
    if not (found := list(_NUMBER.finditer(sentence))):
        return None
    number = chance.choice(found)
    at = chance.choice([i for i, character in enumerate(number[0]) if character.isdigit()])
    digit = chance.choice([d for d in "123456789" if d != number[0][at]])
    return _put(sentence, number, number[0][:at] + digit + number[0][at + 1 :])


def opposite_word(sentence: str, other: str, chance: random.Random) -> str | None:
    """More for less, before for after."""
    found = [match for match in re.finditer(r"\w+", sentence) if match[0].lower() in _swaps()]
    if not found:
        return None
    word = chance.choice(found)
    new = chance.choice(_swaps()[word[0].lower()])
    return _put(sentence, word, new.capitalize() if word[0][0].isupper() else new)


def negated(sentence: str, other: str, chance: random.Random) -> str | None:
    """One short word turns a sentence round."""
    auxiliary = re.search(rf"{_AUXILIARY}(?! not|n't)", sentence)
    return _put(sentence, auxiliary, f"{auxiliary[0]} not") if auxiliary else None


def negation_dropped(sentence: str, other: str, chance: random.Random) -> str | None:
    """A claim that lacks the `not` of its source has no word that the source lacks."""
    negation = re.search(rf"{_AUXILIARY} not\b", sentence)
    return _put(sentence, negation, negation[1]) if negation else None


def hedge_dropped(sentence: str, other: str, chance: random.Random) -> str | None:
    """What may be so is told as if it were."""
    hedge = re.search(r"\b(?:may|might|could) (?!be\b|have\b|not\b)(\w+)", sentence)
    return _put(sentence, hedge, hedge[1]) if hedge else None


def sides_exchanged(sentence: str, other: str, chance: random.Random) -> str | None:
    """A outperforms B for B outperforms A, higher in A than in B for the other way round."""
    if found := _SUBJECT.search(sentence):
        one, verb, two, mark = found.groups()
        one = one[0].lower() + one[1:] if one.split()[0] in ("The", "A", "An") else one
        return _put(sentence, found, f"{two[:1].upper()}{two[1:]} {verb} {one}{mark}")
    if compared := list(_COMPARED.finditer(sentence)):
        sides = chance.choice(compared)
        return _put(sentence, sides, f"{sides[3]} {sides[2]} {sides[1]}")
    return None


Rule = Callable[[str, str, random.Random], str | None]
RULES: tuple[Rule, ...] = (
    numbers_exchanged,
    names_exchanged,
    other_number,
    other_name,
    other_digit,
    opposite_word,
    negated,
    negation_dropped,
    hedge_dropped,
    sides_exchanged,
)
"""Each makes of a sentence, another of its source and chance a false sentence; None where it does not apply."""
