"""Prompts: instructions with checked placeholders, and fenced texts; and what models reply.

An instruction is text with placeholders such as `{fence}`.  The texts that it speaks of are data: each stands
between tags with a random ending, which the instruction names, so that nothing in a paper can close them or
pass for the instruction.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

Prompt = list[BaseMessage]


def check(
    instruction: str,
    name: str = "instruction",
    placeholders: Collection[str] = ("fence",),
    optional: Collection[str] = (),
) -> str:
    """*instruction*, after checking that it has all *placeholders* and only *optional* ones besides.

    *name* is the component's argument for it.  Raises `ValueError` if a placeholder is missing or unknown.
    """
    known = " and ".join(f"'{{{placeholder}}}'" for placeholder in (*placeholders, *optional))
    if unknown := [
        found for found in re.findall(r"\{(\w+)\}", instruction) if found not in (*placeholders, *optional)
    ]:
        raise ValueError(f"'{name}' has the placeholder '{{{unknown[0]}}}'; there is only {known}")
    if missing := [placeholder for placeholder in placeholders if f"{{{placeholder}}}" not in instruction]:
        why = ", so that the model can tell data from instructions" if missing[0] == "fence" else ""
        raise ValueError(f"'{name}' must have the placeholder '{{{missing[0]}}}'{why}")
    return instruction


def fenced(instruction: str, texts: Mapping[str, str], **values: str) -> Prompt:
    """*instruction* with its placeholders filled in, and each of *texts* between tags that it cannot close.

    Servers split a prompt into turns of a conversation at special tokens.  Where a text has such a token, it
    is taken apart.
    """
    fence = secrets.token_hex(8)
    for placeholder, value in {"fence": fence, **values}.items():
        instruction = instruction.replace(f"{{{placeholder}}}", value)
    parts = [f"<{name}-{fence}>\n{_without_turns(text)}\n</{name}-{fence}>" for name, text in texts.items()]
    return [SystemMessage(instruction), HumanMessage("\n\n".join(parts))]


_TURN = re.compile(r"<(?=[|｜][^<>\s]{1,40}[|｜]>|/?s>|/?(?:start|end)_of_turn>|</?SYS>>)|\[(?=/?INST\])")


def _without_turns(text: str) -> str:
    return _TURN.sub(r"\g<0> ", text)


def again(prompt: Prompt) -> Prompt:
    """*prompt*, whose reply could not be read as the JSON that it asks for, once more."""
    *before, last = prompt
    return [
        *before,
        HumanMessage(f"{last.text}\n\nReply with the JSON object asked for and with nothing else."),
    ]


def said(reply: BaseMessage | None) -> str:
    """What a model says: without its reasoning, a fence of code around it all, and fence tags that it repeats."""
    text = "" if reply is None else _FENCE.sub("", str(reply.text))
    return _without_code(_without_reasoning(text).strip())


_FENCE = re.compile(r"</?\w+-[0-9a-f]{16}>")
_TAG = re.compile(
    r"<(/?)([A-Za-z_]\w{0,30})>|[\[◁](/?)(think)[\]▷]|<\|(/?)((?:begin|end)_of_thought)\|>", re.IGNORECASE
)
_REASONING = frozenset(
    "think thinking thought thoughts reason reasoning reflect reflection analysis scratchpad scratch_pad rationale plan planning"
    " monologue inner_monologue begin_of_thought".split()
)
_ANSWER = frozenset("answer final final_answer response output reply result".split())


def _without_reasoning(text: str) -> str:
    """*text* without what stands in tags of reasoning, of which the first or the last may be missing, and without the
    tags around an answer.  Whatever tags a reply begins with are of reasoning, if there is more behind them.
    """
    kept, at, inside = "", 0, ""
    for tag in _TAG.finditer(text):
        closes, name = bool(tag[1] or tag[3] or tag[5]), (tag[2] or tag[4] or tag[6]).casefold()
        if name == "end_of_thought":
            closes, name = True, "begin_of_thought"
        if inside:
            if closes and name == inside:
                at, inside = tag.end(), ""
        elif name in _REASONING:
            kept = "" if closes else kept + text[at : tag.start()]
            at, inside = tag.end(), "" if closes else name
        elif name in _ANSWER:
            kept, at = kept + text[at : tag.start()], tag.end()
        elif not closes and not (kept + text[at : tag.start()]).strip():
            behind = text.find(f"</{tag[2]}>", tag.end())
            if behind >= 0 and text[behind + len(name) + 3 :].strip():
                at, inside = tag.end(), name
    return kept if inside else kept + text[at:]


def _without_code(text: str) -> str:
    """*text*, taken out of the fence of code that stands around all of it."""
    first, _, rest = text.partition("\n")
    fence = first[:3]
    if fence in ("```", "~~~") and rest.endswith(fence) and not first[3:].strip().count(" "):
        inside = rest.removesuffix(fence)
        return text if fence in inside else inside.strip()
    return text


def usage(*replies: BaseMessage | None) -> dict[str, int]:
    """The tokens that *replies* took: `input_tokens` and `output_tokens`, where the server counts them."""
    counted = [getattr(reply, "usage_metadata", None) or {} for reply in replies]
    return {
        name: sum(int(each.get(name, 0)) for each in counted)
        for name in ("input_tokens", "output_tokens")
        if any(name in each for each in counted)
    }


def objects(text: str, keys: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The JSON objects in *text* that have one of *keys*, in order.

    The inside of one of them is not searched.
    """
    wanted, decoder, at = set(keys), json.JSONDecoder(strict=False), 0
    while (start := text.find("{", at)) >= 0:
        at = start + 1
        try:
            thing, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if wanted & thing.keys():
            yield thing
            at = end


def shortened(text: str, most: int = 100) -> str:
    """*text* on one line, cut behind *most* characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}..."


# --- lists of texts in replies

_ITEM = re.compile(r"^\s*(?:[-*•]+|\(?\d{1,2}[.):]|[a-zA-Z][.)]|[qQ]\d{1,2}[.:)])\s+")
_LABEL = re.compile(
    r"^[\W_]*(?:(?:the|your|standalone|stand-alone|rewritten|rephrased|hypothetical|final|sub)[\s-]+){0,2}"
    r"(?:questions?|quer(?:y|ies)|passage|thought|sentence)(?:\s*\d{1,2})?[*_\"']*\s*:",
    re.IGNORECASE,
)


def lines_of(reply: str) -> list[str]:
    """The texts that a model lists, without list markers and labels.

    They are those of a JSON list or object, else the items of a list, else every line.
    """
    texts = _texts_in_json(reply)
    if not texts:
        lines = [line for line in reply.splitlines() if not line.strip().startswith("```")]
        texts = [_ITEM.sub("", line) for line in lines if _ITEM.match(line)] or lines
    clean = (unlabelled(text) for text in texts)
    return [text for text in clean if any(c.isalnum() for c in text) and not text.endswith((":", "："))]


def _texts_in_json(reply: str) -> list[str]:
    """The texts in the first JSON list or object of *reply* that has any, in order."""
    decoder = json.JSONDecoder()
    for opening in re.finditer(r"[\[{]", reply):
        try:
            thing, _ = decoder.raw_decode(reply, opening.start())
        except (ValueError, RecursionError):
            continue
        if texts := [text for text in _leaves(thing) if text.strip()]:
            return texts
    return []


def _leaves(thing: object) -> list[str]:
    if isinstance(thing, str):
        return [thing]
    inside = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, list) else ()
    return [text for each in inside for text in _leaves(each)]


def unlabelled(text: str) -> str:
    """*text* on one line, without a label before it (`Question:`) or quotation marks around it."""
    bare = _LABEL.sub("", " ".join(text.split())).strip(" *_`")
    quoted = re.fullmatch(r"[\"'“‘](.+)[\"'”’]", bare)
    text = quoted[1].strip() if quoted else bare
    return text if any(c.isalnum() for c in text) else ""


T = TypeVar("T", bound=str)


def distinct(texts: Iterable[T]) -> tuple[T, ...]:
    """*texts* without those that differ from one before in case, spacing and the closing mark only."""
    found: dict[str, T] = {}
    for text in texts:
        found.setdefault(" ".join(text.casefold().split()).rstrip(" ?.!"), text)
    return tuple(found.values())
