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
from typing import Any

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
