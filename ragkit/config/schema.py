"""The JSON Schema of a pipeline file, for editors: completion, documentation and checking while typing."""

from __future__ import annotations

import functools
import typing
from typing import Any

from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema

from ragkit.config import components, presets
from ragkit.config.checker import item_of
from ragkit.config.layers import DEFINITIONS, EXTENDS


class _Definitions(dict[str, Any]):
    """The definition of each slot.  In a file that *extends* another, anything may be left out or be null."""

    def __init__(self, extends: bool = False) -> None:
        super().__init__()
        self.extends = extends

    def name_of(self, slot: type) -> str:
        return f"Changed{slot.__name__}" if self.extends else slot.__name__


def json_schema(root: components.Maker) -> dict[str, Any]:
    """The schema of a file that describes a *root*; every component has a definition of its own."""
    whole, changed = _Definitions(), _Definitions(extends=True)
    full, partial = _call(root, whole), _call(root, changed)
    for schema in (full, partial):
        schema["properties"][DEFINITIONS] = {"description": "a place for anchors; its value is not used"}
    partial["properties"][EXTENDS] = {
        "description": "the preset to start from, or a file below the folder of this one",
        "anyOf": [{"enum": presets.names()}, {"type": "string", "pattern": r"/|\.ya?ml$"}],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ragkit pipeline",
        "description": components.summary(root),
        "type": "object",
        "if": {"required": [EXTENDS]},
        "then": partial,
        "else": full,
        "$defs": {**whole, **changed},
    }


def _call(maker: components.Maker, definitions: _Definitions, name: str = "") -> dict[str, Any]:
    parameters = components.parameters(maker)
    properties: dict[str, Any] = {"type": {"const": name}} if name else {}
    for word, parameter in parameters.items():
        schema = _value(parameter.hint, definitions)
        if definitions.extends and not components.is_part(parameter.hint):
            schema = {"anyOf": [schema, {"type": "null"}]}
        about = components.about(maker, word)
        properties[word] = _with_default(schema, parameter) | ({"description": about} if about else {})
    required = [] if definitions.extends else [word for word, p in parameters.items() if p.required]
    return {
        "type": "object",
        "description": components.summary(maker),
        "properties": properties,
        "required": (["type"] if name else []) + required,
        "additionalProperties": False,
    }


def _value(hint: Any, definitions: _Definitions) -> dict[str, Any]:
    if slots := components.slots_in(hint):
        choices = [{"$ref": f"#/$defs/{_slot(slot, definitions)}"} for slot in slots]
        if type(None) in typing.get_args(hint):
            choices.append({"type": "null"})
        if plain := components.plain_in(hint):
            choices.append(_plain(plain))
        if part := components.part_in(hint):
            choices.append(_call(part, definitions))
        return choices[0] if len(choices) == 1 else {"anyOf": choices}
    if components.is_part(hint):
        return _call(hint, definitions)
    if item := item_of(hint):
        one = _value(item, definitions)
        return {"anyOf": [one, {"type": "array", "items": one}]}
    return _plain(hint)


def _slot(slot: type, definitions: _Definitions) -> str:
    title = definitions.name_of(slot)
    if title not in definitions:
        definitions[title] = {}  # in place before it is filled: a component may hold another of its kind
        named = sorted(components.names(slot).items())
        bare = [
            name
            for name, maker in named
            if not any(p.required for p in components.parameters(maker).values())
        ]
        choices: list[dict[str, Any]] = [{"enum": bare}] if bare else []
        choices += [_call(maker, definitions, name) for name, maker in named]
        imported = {
            "type": "object",
            "properties": {"type": {"type": "string", "pattern": r"\."}},
            "required": ["type"],
        }
        choices.append(imported)
        if definitions.extends:
            choices.append({"type": "object", "properties": {"type": False}})
        definitions[title] = {"discriminator": {"propertyName": "type"}, "anyOf": choices}
    return title


@functools.cache
def _plain(hint: Any) -> dict[str, Any]:
    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).json_schema()
    except (PydanticUserError, PydanticSchemaGenerationError, PydanticInvalidForJsonSchema):
        return {}


def _with_default(schema: dict[str, Any], parameter: components.Parameter) -> dict[str, Any]:
    if not parameter.required and isinstance(parameter.default, str | int | float | bool):
        return {**schema, "default": parameter.default}
    return schema
