"""The JSON schemas of structs, with what their docstrings say.

The docstring below a field is its description, the class's own what the whole thing is. Schemas are
components of one document, by the names of their structs.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import get_args, get_type_hints

import msgspec

Json = dict[str, object]

REF = "#/components/schemas/{name}"


def reference(shapes: Sequence[type[msgspec.Struct]]) -> Json:
    """The schema of a value that has one of these shapes."""
    refs: list[Json] = [{"$ref": REF.format(name=shape.__name__)} for shape in shapes]
    return refs[0] if len(refs) == 1 else {"anyOf": refs}


def components(
    shapes: Iterable[type[msgspec.Struct]], examples: Mapping[type[msgspec.Struct], Json]
) -> dict[str, Json]:
    """The schemas of these structs and of all that stand in them, by name."""
    wanted = list(dict.fromkeys(shapes))
    _, found = msgspec.json.schema_components(wanted, ref_template=REF)
    for shape in _all_structs(wanted):
        schema = found.get(shape.__name__)
        if schema is not None:
            _describe(schema, shape)
            if shape in examples:
                schema["examples"] = [examples[shape]]
    return {name: _plain(schema) for name, schema in sorted(found.items())}


def component(shape: type[msgspec.Struct]) -> Json:
    """The schema of one struct alone."""
    return components([shape], {})[shape.__name__]


def _plain(schema: Json) -> Json:
    """The same schema in fewer words: a type or null is one schema with two types, and an
    enumeration of words says that they are text.
    """
    plain = {key: _plain_value(value) for key, value in schema.items()}
    words = plain.get("enum")
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        plain.setdefault("type", "string")
    options = plain.get("anyOf")
    if isinstance(options, list) and len(options) == 2 and options[1] == {"type": "null"}:
        value = options[0]
        if isinstance(value.get("type"), str) and "enum" not in value:
            del plain["anyOf"]
            plain = {**value, **plain, "type": [value["type"], "null"]}
    return plain


def _plain_value(value: object) -> object:
    if isinstance(value, dict):
        return _plain(value)
    if isinstance(value, list):
        return [_plain_value(item) for item in value]
    return value


def _describe(schema: Json, shape: type[msgspec.Struct]) -> None:
    properties = schema.get("properties")
    if isinstance(properties, dict):
        texts = field_descriptions(shape)
        for field in msgspec.structs.fields(shape):
            if field.name in texts and field.encode_name in properties:
                properties[field.encode_name].setdefault("description", texts[field.name])


def _all_structs(roots: Iterable[type[msgspec.Struct]]) -> list[type[msgspec.Struct]]:
    """These structs and all that stand in their fields, at any depth."""
    found: dict[type[msgspec.Struct], None] = {}
    waiting: list[object] = list(roots)
    while waiting:
        annotation = waiting.pop()
        waiting.extend(get_args(annotation))
        is_struct = isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)
        if is_struct and annotation not in found:
            found[annotation] = None  # type: ignore[index]
            waiting.extend(get_type_hints(annotation).values())
    return list(found)


def field_descriptions(kind: type) -> dict[str, str]:
    """What the docstrings below the fields of a class, and of its ancestors, say."""
    found: dict[str, str] = {}
    for ancestor in reversed(kind.__mro__):
        if ancestor.__module__.startswith("runyard."):
            found |= _own_field_descriptions(ancestor)
    return found


def _own_field_descriptions(kind: type) -> dict[str, str]:
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(below.value.value).split())
    return found
