"""Sentences, words, numbers and names of a text.

Pure functions; offsets are characters of the given text.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator

from ragkit.text.letters import compose

Offsets = tuple[int, int]

# A full stop after these ends no sentence; the sentence model knows most, these are the ones that papers add.
_ABBREVIATIONS = re.compile(
    r"(?<![^\s(\[])(?:al|approx|cf|ca|chap|def|e\.g|eq|eqs|eqn|fig|figs|i\.e|incl|resp|sec|sect|tab|thm|vol|vs|viz"
    r"|w\.r\.t|dr|mr|mrs|prof)\.$",
    re.IGNORECASE,
)
# `... tasks.We show ...`: a stop glued to the next sentence, which is told from `torch.Tensor` by its first
# word; and the stops of scripts that put no space after them.
_GLUED = re.compile(
    r"(?<=[a-z)\]%”\"])[.!?](?=(?:A|Additionally|Also|Although|An|As|At|Because|Besides|Both|But|By|Code|Compared|"
    r"Consequently|Current|Despite|Due|Each|Empirical|Existing|Experimental|Experiments|Extensive|Finally|First|Firstly|For|From|"
    r"Furthermore|Given|Hence|Here|How|However|I|If|In|Instead|It|Its|Lastly|Many|Moreover|More|Most|Motivated|Nevertheless|Next|"
    r"Notably|On|Once|One|Our|Overall|Prior|Previous|Recent|Recently|Results|Second|Secondly|Several|Similarly|Since|So|Some|"
    r"Specifically|Such|That|The|Their|Then|There|Therefore|These|They|This|Those|Through|Thus|To|Together|Traditional|"
    r"Two|Under|Unlike|Using|We|What|When|Where|Whereas|While|With|Without|Yet)(?:[\s,]|$))"
    r"|[。！？]+[」』”）]*"
)
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n|\r\n?[ \t]*\r\n?")
ITEM = r"(?:[-*+•‣◦▪●]|\d{1,3}[.)]|\((?:\d{1,2}|[a-z]|[ivx]{1,4})\))"
"""What a line begins with, before white space, that is an item of a list."""
_LINE_ITEM = re.compile(
    rf"\n(?=[ \t]*(?:{ITEM}|\d+[.)]|#{{1,6}}|>|\|)[ \t])|(?<=\n)#{{1,6}}[^\n]*\n|^#{{1,6}}[^\n]*\n"
)


# The rows of a table, a line each.
_ROWS = re.compile(r"(?:^(?>[^\n]*?(?<!\S)\|(?!\S))[^\n]*+(?:\n|\Z)){2,}+", re.MULTILINE)
_LINE = re.compile(r"[^\n]+")


def sentences(text: str) -> list[Offsets]:
    """The sentences of *text* in order, without the white space around them.

    Blank lines, headings and list items end a sentence; abbreviations, decimals, initials and URLs do not; a
    sentence glued to the one before it (`tasks.We`) is a sentence of its own, and so is each row of a table.
    Together they cover all but white space.
    """
    found: list[Offsets] = []
    at = 0
    for table in _ROWS.finditer(text) if "|" in text else ():
        found += _in_prose(text, at, table.start())
        found += _trimmed(text, [row.span() for row in _LINE.finditer(text, *table.span())])
        at = table.end()
    return found + _in_prose(text, at, len(text))


def _in_prose(text: str, at: int, end: int) -> list[Offsets]:
    found: list[Offsets] = []
    for start, stop in _blocks(text, at, end):
        found += _trimmed(text, _joined(text, _split_glued(text, _model()(text, start, stop))))
    return found


def _blocks(text: str, at: int, end: int) -> Iterator[Offsets]:
    for cut in sorted(
        {m.end() for m in _BLANK_LINE.finditer(text, at, end)}
        | {m.end() for m in _LINE_ITEM.finditer(text, at, end)}
    ):
        yield at, cut
        at = cut
    yield at, end


@functools.cache
def _model() -> Callable[[str, int, int], list[Offsets]]:
    from nupunkt import sent_spans

    def split(text: str, start: int, end: int) -> list[Offsets]:
        block = text[start:end]
        if not block.strip():
            return []
        # The model's spans are taken as cuts, so that no character can fall between two sentences.
        cuts = sorted({start + b for _, b in sent_spans(block) if 0 < b < len(block)})
        return list(zip([start, *cuts], [*cuts, end], strict=True))

    return split


def _split_glued(text: str, spans: list[Offsets]) -> list[Offsets]:
    found: list[Offsets] = []
    for start, end in spans:
        for glue in _GLUED.finditer(text, start, end):
            if glue.end() < end and not _in_address(text, glue.start()):
                found.append((start, glue.end()))
                start = glue.end()
        found.append((start, end))
    return found


def _in_address(text: str, at: int) -> bool:
    """Is the stop at *at* inside a URL, an e-mail address or a path?"""
    word = re.split(r"\s", text[max(at - 200, 0) : at])[-1]
    return bool(re.search(r"://|www\.|@|\w/\w", word))


def _joined(text: str, spans: list[Offsets]) -> list[Offsets]:
    found: list[Offsets] = []
    for start, end in spans:
        if found and _ends_in_abbreviation(text, *trimmed(text, *found[-1])):
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _ends_in_abbreviation(text: str, start: int, end: int) -> bool:
    return bool(_ABBREVIATIONS.search(text, max(start, end - 10), end))


def _trimmed(text: str, spans: list[Offsets]) -> list[Offsets]:
    return [s for s in (trimmed(text, start, end) for start, end in spans) if s[0] < s[1]]


def trimmed(text: str, start: int, end: int) -> Offsets:
    """`start, end` moved inwards past white space."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


_SOURCES = r"(?:the|these|this) (?:given |provided )?(?:articles?|contexts?|papers?|sources?|study|texts?)\b"
_ASIDE = re.compile(
    r"^(?:additionally|also|consequently|finally|furthermore|hence|however|in addition|in summary|moreover|notably|overall|specifically"
    rf"|therefore|thus|(?:according to|based on) {_SOURCES}),\s+"
    rf"|,\s+as (?:described|mentioned|noted|stated) in {_SOURCES}(?=[.!?]?$)",
    re.IGNORECASE,
)


def without_asides(claim: str) -> str:
    """*claim* without asides about its sources or its place in the answer, which no source repeats."""
    return _ASIDE.sub("", claim).strip() or claim


STOPWORDS = frozenset(
    "a about above after again against all also am an and any are aren't as at be because been before being below between both but by can "
    "can't cannot could couldn't did didn't do does doesn't doing don't down during each either else etc ever every few for from further had "
    "hadn't has hasn't have haven't having he her here hers herself him himself his how however i if in into is isn't it its itself just "
    "let's many may me might more most much must my myself neither no nor not of off on once one only or other ought our ours ourselves out "
    "over own per please same she should shouldn't so some such tell than that the their theirs them themselves then there these they this "
    "those through to too under until up upon us use used uses using very via was wasn't we were weren't what when where whether which while "
    "who whom whose why will with within without won't would wouldn't you your yours yourself yourselves".split()
)

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_NUMBER_WORDS = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()
    )
}
_SCALES = {"k": 3, "thousand": 3, "m": 6, "million": 6, "b": 9, "billion": 9, "t": 12, "trillion": 12}
_NUMBER = re.compile(
    r"(?<![\w.])(?<![A-Za-z]-)(\d{1,3}(?:,\d{3})+(?!\d)|\d+)(\.\d+)?(?:\s?(thousand|million|billion|trillion)\b|([kKmMbBT])(?![A-Za-z\d]))?(?!\w*[A-Za-z]{3})"
)


def words(text: str) -> list[str]:
    """Every word in lower case, in order; accents compare equal whether composed or not (NFC)."""
    return [w.casefold() for w in _WORD.findall(compose(text))]


_UNSPACED = (
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]"
)
"""A character of Chinese, Japanese, Korean, Thai and others, which put no spaces between words, or not all."""
_RUN = re.compile(rf"{_UNSPACED}+")


def segmented(text: str) -> str:
    """*text* with the neighbouring pairs of characters in place of what is written without spaces.

    Pairs stand for the words of Chinese, Japanese, Thai and others where nothing marks these, as in most
    search engines.
    """
    if text.isascii():
        return text

    def pairs(run: re.Match[str]) -> str:
        found = [run[0][at : at + 2] for at in range(max(len(run[0]) - 1, 1))]
        return f" {' '.join(found)} "

    return _RUN.sub(pairs, text)


def stems(text: str) -> list[str]:
    """The stems of the content words, in order: what two phrasings of a thing share."""
    return [stem(w) for w in words(segmented(text)) if w not in STOPWORDS and (len(w) > 1 or w.isdigit())]


@functools.lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """The Snowball stem of a lower-case English word."""
    found = _stemmer()(word)
    return found[0] if found else word


@functools.cache
def _stemmer() -> Callable[[str], list[str]]:
    import tantivy

    english = (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.raw()).filter(tantivy.Filter.stemmer("english")).build()
    )
    analyze: Callable[[str], list[str]] = english.analyze
    return analyze


def numbers(text: str) -> set[str]:
    """The numbers in *text*, normalised: `80,000`, `80k` and `80 thousand` are `80000`; `two` is `2`."""
    found = {number for number, _ in quantities(text)}
    return found | {
        str(_NUMBER_WORDS[w]) for w in words(text) if w in _NUMBER_WORDS and w not in ("zero", "one")
    }


_UNIT = re.compile(r"[\s-]?(%|[^\W\d_]+)")


def quantities(text: str) -> list[tuple[str, str]]:
    """The numbers that *text* writes in digits, in order, each with its unit: the sign or word after it.

    The unit is `%`, for example, or "" if there is none.
    """
    found = []
    text = apart(text)
    for match in _NUMBER.finditer(text):
        whole, fraction, scale_word, scale_letter = match.groups()
        power = _SCALES[(scale_word or scale_letter).lower()] if scale_word or scale_letter else 0
        unit = _UNIT.match(text, match.end())
        named = "" if unit is None or unit[1].casefold() in STOPWORDS else unit[1].casefold()
        found.append((_canonical(whole.replace(",", ""), (fraction or ".")[1:], power), named))
    return found


def in_full(text: str) -> str:
    """*text* with its large numbers in digits: `340 million` and `340M` become `340,000,000`."""

    def written(match: re.Match[str]) -> str:
        whole, fraction, scale_word, scale_letter = match.groups()
        scale = scale_word or scale_letter
        if not scale:
            return match[0]
        value = _canonical(whole.replace(",", ""), (fraction or ".")[1:], _SCALES[scale.lower()])
        integer, point, rest = value.partition(".")
        return f"{int(integer):,}{point}{rest}"

    return _NUMBER.sub(written, text)


def _canonical(whole: str, fraction: str, power: int) -> str:
    fraction = fraction.ljust(power, "0")
    whole, fraction = whole + fraction[:power], fraction[power:].rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")


_NAME = re.compile(r"[^\W\d_]\w*(?:[-.+](?![a-z]{3})\w+)*")  # of `LLM-written`, only `LLM`


def names(text: str) -> set[str]:
    """The words that name something, in lower case.

    These are `codes`, and capitalised words that do not begin a sentence.
    """
    openings = {start for start, _ in sentences(text)}
    return codes(text) | {
        word.casefold()
        for match in _NAME.finditer(text)
        if len(word := match.group()) > 1
        and word[0].isupper()
        and match.start() not in openings
        and word.casefold() not in STOPWORDS
    }


def codes(text: str) -> set[str]:
    """The words with a capital or a digit inside, in lower case: `BEIR`, `GPT-4`, `bge-m3`, `LoRA`."""
    return {
        word.casefold()
        for word in _NAME.findall(apart(text))
        if any(c.isupper() or c.isdigit() for c in word[1:])
    }


_ONE_UNSPACED = re.compile(_UNSPACED)


def apart(text: str) -> str:
    """*text* with spaces around each character of a script written without spaces, such as Chinese.

    So names and numbers between them become words of their own.
    """
    return text if text.isascii() else _ONE_UNSPACED.sub(r" \g<0> ", text)
