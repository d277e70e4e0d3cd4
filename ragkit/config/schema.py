"""The JSON Schema of a pipeline file, for editors: completion, documentation and checking while typing."""

from __future__ import annotations

import functools
import typing
from typing import Any

from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema

from ragkit.config import components
from ragkit.config.checker import item_of
from ragkit.config.layers import DEFINITIONS


def json_schema(root: components.Maker) -> dict[str, Any]:
    """The schema of a file that describes a *root*; every component has a definition of its own."""
    definitions: dict[str, Any] = {}
    schema = _call(root, definitions)
    schema["properties"][DEFINITIONS] = {"description": "a place for anchors; its value is not used"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ragkit pipeline",
        **schema,
        "$defs": definitions,
    }


def _call(maker: components.Maker, definitions: dict[str, Any], name: str = "") -> dict[str, Any]:
    parameters = components.parameters(maker)
    properties: dict[str, Any] = {"type": {"const": name}} if name else {}
    properties |= {word: _with_default(_value(p.hint, definitions), p) for word, p in parameters.items()}
    required = (["type"] if name else []) + [word for word, p in parameters.items() if p.required]
    return {
        "type": "object",
        "description": components.summary(maker),
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _value(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if slots := components.slots_in(hint):
        choices = [{"$ref": f"#/$defs/{_slot(slot, definitions)}"} for slot in slots]
        if type(None) in typing.get_args(hint):
            choices.append({"type": "null"})
        if part := components.part_in(hint):
            choices.append(_call(part, definitions))
        return choices[0] if len(choices) == 1 else {"anyOf": choices}
    if components.is_part(hint):
        return _call(hint, definitions)
    if item := item_of(hint):
        one = _value(item, definitions)
        return {"anyOf": [one, {"type": "array", "items": one}]}
    return _plain(hint)


def _slot(slot: type, definitions: dict[str, Any]) -> str:
    if slot.__name__ not in definitions:
        definitions[
            slot.__name__
        ] = {}  # in place before it is filled: a component may hold another of its kind
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
        definitions[slot.__name__] = {"anyOf": [*choices, imported]}
    return slot.__name__


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
