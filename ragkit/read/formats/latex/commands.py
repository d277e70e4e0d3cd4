"""The LaTeX commands and environments that are known by name.

Some print nothing or a sign, others hold tables or formulas.
"""

from __future__ import annotations

import functools
import re

from ragkit.read.formats.latex.affiliations import AFFILIATIONS
from ragkit.read.formats.latex.units import PRINTERS

SECTIONS = {
    "part": 0,
    "chapter": 0,
    "section": 1,
    "subsection": 2,
    "subsubsection": 3,
    "paragraph": 4,
    "subparagraph": 5,
}

# The number of leading arguments of a command that are not text; further arguments are.
_DROPPED = {
    1: """label bibliographystyle addbibresource usepackage RequirePackage documentclass documentstyle includegraphics
        pagestyle thispagestyle vspace hspace addvspace index phantom hphantom vphantom color pagecolor textcolor
        colorbox hypersetup graphicspath setlist captionsetup geometry selectlanguage foreignlanguage hyphenation nocite scalebox
        rotatebox raisebox parbox newcounter stepcounter refstepcounter usetikzlibrary lstset thanks date email affiliation affil
        institute address inst orcidID orcid keywords pacs received accepted acmConference ccsdesc newlength newsavebox pgfplotsset
        tikzset urlstyle theoremstyle href subjclass cline cmidrule bstctlcite lfoot cfoot rfoot lhead chead rhead markright nobibliography
        tag epsfbox epsfig psfig authorrunning titlerunning institution icmlkeywords pdfbookmark captionof rowcolor cellcolor
        arrayrulecolor preprint shortauthors shorttitle footnotemark enlargethispage fontfamily fontseries footnotetext icmlauthor
        icmlaffiliation icmlcorrespondingauthor acmYear acmJournal copyrightyear setcitestyle bibinfo@ hskip@ fancyhead fancyfoot
        setcopyright ccsdesc todo glsresetall newacronym@ iclrfinalcopy@ crefname@ linespread author title""",
    2: """setlength addtolength setcounter addtocounter resizebox multicolumn multirow markboth definecolor colorlet newtheorem
        fcolorbox fontsize counterwithin numberwithin newcolumntype crefname Crefname rule titleformat newglossaryentry import
        newenvironment@ bibinfo bibfield altaffiltext""",
    3: "specialrule addcontentsline crefformat titlespacing addtocontents newacronym",
}  # fmt: skip
ARGUMENTS = {name: count for count, names in _DROPPED.items() for name in names.split() if "@" not in name}

REFERENCE = re.compile(
    r"(?:(?=[A-Za-z]*+\Z).*[cC]ite(?!style)[a-zA-Z]*+|(?:auto|eq|page|c|C|name|v|sub)?ref)\Z"
)
SPACES = set("quad qquad hfill hfil space enspace enskip thinspace nobreakspace xspace".split())
BREAKS = set("par newpage clearpage maketitle bigskip medskip smallskip appendix and And AND".split())
LINES = set("newline linebreak tabularnewline cr midrule hline toprule bottomrule".split())
METADATA = frozenset(
    [
        "title",
        "icmltitle",
        "author",
        "icmlauthor",
        "keywords",
        "icmlkeywords",
        "acmDOI",
        "date",
        *AFFILIATIONS,
    ]
)
"""What says something of the paper, and is no part of its text."""

HIDDEN = set(
    "comment tikzpicture picture CCSXML filecontents filecontents* pspicture pgfpicture forest overpic tikzcd".split()
)
VERBATIM = set("verbatim verbatim* Verbatim lstlisting minted alltt".split())
MATH = set("equation align gather multline eqnarray displaymath math flalign alignat dmath mathpar".split())
TABLES = set("tabular tabularx tabulary longtable tabu supertabular deluxetable array".split())
LISTS = set("itemize enumerate description compactitem compactenum enumerate* itemize*".split())
ENVIRONMENT_ARGUMENTS = {
    "tabular": 1, "tabular*": 2, "tabularx": 2, "tabulary": 2, "longtable": 1, "supertabular": 1, "tabu": 1, "minipage": 1, "array": 1,
    "thebibliography": 1, "multicols": 1, "adjustbox": 1, "spacing": 1, "wrapfigure": 2, "wraptable": 2, "subfigure": 1, "subtable": 1,
    "list": 2, "otherlanguage": 1, "adjustwidth": 2, "alignat": 1, "alignat*": 1, "deluxetable": 1, "CJK": 2, "CJK*": 2,
}  # fmt: skip

MARKS = {
    "`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", "=": "\u0304", "u": "\u0306", ".": "\u0307", '"': "\u0308", "r": "\u030a",
    "H": "\u030b", "v": "\u030c", "c": "\u0327", "k": "\u0328", "d": "\u0323", "b": "\u0331",
}  # fmt: skip
LETTER = re.compile(
    r"\s*+(?:\{\s*+(?:\\([ij])(?![a-zA-Z])\s*+|([^\W\d_]))?\s*+\}|\\([ij])(?![a-zA-Z])\s*+|([^\W\d_]))"
)
_SIGNS = {
    "S": "§", "P": "¶", "LaTeX": "LaTeX", "TeX": "TeX", "BibTeX": "BibTeX", "i": "ı", "j": "ȷ", "slash": "/", "textbar": "|",
    "textless": "<", "textgreater": ">", "textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textunderscore": "_",
    "dots": "…", "ldots": "…", "cdots": "⋯", "dotsc": "…", "dotsb": "…", "lbrace": "{", "rbrace": "}", "lvert": "|", "rvert": "|",
    "texttimes": "×", "textmu": "µ", "eg": "e.g.", "ie": "i.e.", "mid": "|", "sqrt": "√", "prime": "′", "vert": "|", "iff": "⇔", "Vert": "‖",
}  # fmt: skip
LIGATURES = {"---": "—", "--": "–", "``": "“", "''": "”", "`": "‘"}
_SILENT = re.compile(r"left|right|[bB]igg?[lr]?|nonumber|notag|displaystyle|textstyle|limits|nolimits|middle|protect|rm|bf|it|cal|sf|tt|em|(?=\w*+\Z).*math.*|text\w{2}|emph|mbox|hbox")  # fmt: skip


@functools.cache
def signs() -> dict[str, str]:
    """What commands without arguments print."""
    from pylatexenc.latex2text import get_default_latex_context_db

    table = {spec.macroname: spec.simplify_repl for spec in get_default_latex_context_db().iter_macro_specs()}
    known = {
        name: sign
        for name, sign in table.items()
        if isinstance(sign, str) and re.fullmatch(r"\S{1,2}|[a-z]{3,6}", sign)
    }
    for name in {"item", "and", "today", *MARKS, *SECTIONS, *ARGUMENTS, *BREAKS, *LINES, *SPACES}:
        known.pop(name, None)
    return {**{name: sign for name, sign in known.items() if not _SILENT.fullmatch(name)}, **_SIGNS}


METHODS = {
    "begin": "_environment", "end": "_end", "caption": "_caption", "abstract": "_abstract", "footnote": "_footnote", "footnotetext": "_footnote",
    "verb": "_verb", "lstinline": "_verb", "bibitem": "_bibitem", "item": "_item", "url": "_as_written", "path": "_as_written",
    "nolinkurl": "_as_written", "doi": "_as_written", "text": "_words", "textrm": "_words", "mbox": "_words", "hbox": "_words",
    "operatorname": "_words", **dict.fromkeys(("makecell", "thead", "shortstack"), "_cell"),
    **dict.fromkeys(("sout", "st", "xout", "hcancel"), "_struck"), **dict.fromkeys(("frac", "dfrac", "tfrac", "nicefrac", "sfrac"), "_fraction"),
    **dict.fromkeys(SECTIONS, "_heading"), **dict.fromkeys(PRINTERS, "_quantity"),
}  # fmt: skip
"""The reader's method for each command that prints in a special way."""


def is_known(name: str) -> bool:
    """Does a command keep its meaning here whatever the paper redefines it to, as headings and citations do?"""
    return (
        METHODS.get(name, "_quantity") != "_quantity"
        or name in ARGUMENTS
        or name in METADATA
        or name == "label"
        or bool(REFERENCE.match(name))
    )
