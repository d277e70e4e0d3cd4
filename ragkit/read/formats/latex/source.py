"""LaTeX source with its braces and environments paired, so that arguments can be found."""

from __future__ import annotations

import re

# The depth of nested groups and environments, far below Python's limit on recursion; what is deeper is read as if it
# were not nested.
DEPTH = 60
VERB = r"\\(?:verb|lstinline)\*?([^a-zA-Z\s*{\[])[^\r\n]{0,200}?\1"
ADDRESSES = frozenset("url path nolinkurl doi href".split())
"""Commands whose first argument is taken as it is written, so that a `%` in it begins no comment."""
_ADDRESS = rf"\\(?:{'|'.join(sorted(ADDRESSES))})\s*+(?=\{{)"
_PAIR = re.compile(
    rf"{VERB}|\\(begin|end)\s*\{{\s*([a-zA-Z]+\*?)\s*\}}|(?P<address>{_ADDRESS})|\\[\s\S]|%[^\r\n]*|[{{}}]"
)
_GAP = re.compile(
    r"(?:[ \t]*(?:%[^\r\n]*(?:\r?\n|\r|\Z))?)*+(?:\r?\n[ \t]*)?(?:[ \t]*%[^\r\n]*(?:\r?\n|\r|\Z)[ \t]*)*"
)
_IN_ADDRESS = re.compile(r"\\[\s\S]|[{}]|\n[ \t]*+\r?\n")
_LONGEST_ADDRESS, _DEEPEST_ADDRESS = 2000, 3  # characters, and braces in braces


def address_end(text: str, at: int, end: int) -> int:
    """The offset of the brace that closes the argument at *at*, where `%` begins no comment; 0 for none."""
    inside = 0
    for found in _IN_ADDRESS.finditer(text, at, min(end, at + _LONGEST_ADDRESS)):
        inside += {"{": 1, "}": -1}.get(found[0], 0)
        if found[0] == "}" and inside == 0:
            return found.start()
        if found[0].startswith("\n") or inside > _DEEPEST_ADDRESS:
            break
    return 0


class LatexSource:
    """A source text, with its pairs of braces and of `\\begin` and `\\end`.

    `closing` maps the offset of a brace or `\\begin` to that of the brace or `\\end` which closes it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.closing: dict[int, int] = {}
        braces: list[int] = []
        begun: list[tuple[str, int]] = []
        after = 0
        while pair := _PAIR.search(text, after):
            after = pair.end()
            if pair["address"]:
                if close := address_end(text, after, len(text)):
                    self.closing[after], after = close, close + 1
            elif pair[0] == "{":
                braces.append(pair.start())
            elif pair[0] == "}" and braces:
                self.closing[braces.pop()] = pair.start()
            elif pair[2] == "begin":
                begun.append((pair[3], pair.start()))
            elif pair[2] == "end":
                at = next(
                    (
                        n
                        for n in range(len(begun) - 1, max(len(begun) - DEPTH, 0) - 1, -1)
                        if begun[n][0] == pair[3]
                    ),
                    None,
                )
                if at is not None:
                    self.closing[begun[at][1]] = pair.start()
                    del begun[at:]

    def argument(self, at: int, end: int) -> tuple[tuple[int, int], int]:
        """The range of the next braced argument, and the offset behind it.

        Bracketed arguments before it are skipped.
        """
        for _ in range(4):
            begin = self.gap(at, end)
            if self.text.startswith("[", begin):
                _, at = self.optional(begin, end)
                if at == begin:
                    return (begin, begin), begin
                continue
            if self.text.startswith("{", begin) and begin in self.closing and self.closing[begin] < end + 1:
                return (begin + 1, self.closing[begin]), self.closing[begin] + 1
            break
        return (at, at), at

    def gap(self, at: int, end: int) -> int:
        """The offset behind the white space and comments that may stand before an argument."""
        gap = _GAP.match(self.text, at, end)
        return gap.end() if gap else at

    def optional(self, at: int, end: int) -> tuple[tuple[int, int], int]:
        """The range of a bracketed argument at *at*, if there is one, and the offset behind it."""
        if not self.text.startswith("[", at) or self.text.find("]", at, at + 2000) < 0:
            return (at, at), at
        inside, place = 0, at + 1
        for found in re.compile(r"\\.|[\[\]{]", re.DOTALL).finditer(self.text, at + 1, min(end, at + 2000)):
            if found.start() < place:
                continue
            place = found.end()
            if found[0] == "{":
                place = self.closing.get(found.start(), found.start()) + 1
            elif found[0] == "[":
                inside += 1
            elif found[0] == "]" and inside == 0:
                return (at + 1, found.start()), found.end()
            elif found[0] == "]":
                inside -= 1
        return (at, at), at
