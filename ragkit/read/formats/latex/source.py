"""LaTeX source with its braces and environments paired, so that arguments can be found."""

from __future__ import annotations

import re

# The depth of nested groups and environments, far below Python's limit on recursion; what is deeper is read as if it
# were not nested.
DEPTH = 60
_PAIR = re.compile(
    r"\\verb\*?([^a-zA-Z\s*])[^\r\n]{0,200}?\1|\\(begin|end)\s*\{\s*([a-zA-Z]+\*?)\s*\}|\\[\s\S]|%[^\r\n]*|[{}]"
)
_GAP = re.compile(
    r"(?:[ \t]*(?:%[^\r\n]*(?:\r?\n|\r|\Z))?)*+(?:\r?\n[ \t]*)?(?:[ \t]*%[^\r\n]*(?:\r?\n|\r|\Z)[ \t]*)*"
)


class Source:
    """A source text, with its pairs of braces and of `\\begin` and `\\end`.

    `closing` maps the offset of a brace or `\\begin` to that of the brace or `\\end` which closes it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.closing: dict[int, int] = {}
        braces: list[int] = []
        begun: list[tuple[str, int]] = []
        for pair in _PAIR.finditer(text):
            if pair[0] == "{":
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
            gap = _GAP.match(self.text, at, end)
            begin = gap.end() if gap else at
            if self.text.startswith("[", begin):
                _, at = self.optional(begin, end)
                if at == begin:
                    return (begin, begin), begin
                continue
            if self.text.startswith("{", begin) and begin in self.closing and self.closing[begin] < end + 1:
                return (begin + 1, self.closing[begin]), self.closing[begin] + 1
            break
        return (at, at), at

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
