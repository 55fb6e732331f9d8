"""The operations of an OpenAPI document: which there are, and which argument of a tool goes where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graph.errors import InvalidTool
from graph.steps.remote import Method
from graph.toolsets.mcp import clean

METHODS: Mapping[str, Method] = {"get": "GET", "post": "POST", "put": "PUT", "patch": "PATCH", "delete": "DELETE"}
"""The methods that tools may use; other operations are left out."""
BODY = "body"
"""The argument that is sent as the body."""
SCHEMAS = "#/components/schemas/"
BETWEEN: Mapping[str, str] = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C"}
"""What stands between the values of a list that is one parameter of a query, by its style."""
DEEP = "[]"
"""What is said instead where each member of an object is a parameter of its own, called ``name[member]``."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the document, and which argument goes where."""

    id: str
    method: Method
    path: str
    described: str
    schema: Mapping[str, Any]
    in_query: Mapping[str, str]
    """The parameters of the query, and what stands between several values of one; nothing where each is one, and
    ``DEEP`` where the members of an object are named with it."""
    has_body: bool


@dataclass(slots=True)
class _Arguments:
    """The arguments of an operation, as they are found."""

    properties: dict[str, Any] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    in_path: set[str] = field(default_factory=set)
    in_query: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, schema: Any, *, required: bool) -> None:
        """Takes in an argument.

        Raises:
            InvalidTool: when there is one of this name.
        """
        if name in self.properties:
            raise InvalidTool(f"two parameters are called '{name}'" + (", as the body is" if name == BODY else ""))
        self.properties[name] = schema
        self.required += [name] if required else []

    def schema(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The schema of the tool."""
        schema = {
            "type": "object",
            "properties": self.properties,
            "required": self.required,
            "additionalProperties": False,
        }
        definitions = _definitions(document, schema)
        return {**schema, "$defs": definitions} if definitions else schema


def operations_of(
    document: Mapping[str, Any], only: Sequence[str], name: str, given: frozenset[str]
) -> Iterator[Operation]:
    """The operations of a document that tools may use.

    Args:
        only: their ids; empty for all.
        name: of the toolset, for errors.
        given: headers in lower case that are sent with every request, so that no argument fills them.

    Raises:
        InvalidTool: when one cannot be used.
    """
    if not str(document.get("openapi", "")).startswith("3."):
        raise InvalidTool(
            f"tools '{name}': only documents of OpenAPI 3 are read; this one says {document.get('openapi')!r}"
        )
    for path, item in (document.get("paths") or {}).items():
        for method in METHODS:
            operation = (item or {}).get(method)
            if operation is None:
                continue
            if only and _id_of(method, path, operation) not in only:
                continue
            try:
                yield _operation(document, path, method, given)
            except (InvalidTool, KeyError, TypeError, AttributeError) as error:
                raise InvalidTool(f"tools '{name}': {method.upper()} {path}: {error}") from None


def _operation(document: Mapping[str, Any], path: str, method: str, given: frozenset[str]) -> Operation:
    item = document["paths"][path]
    operation = item[method]
    arguments = _Arguments()
    declared = [*item.get("parameters", ()), *operation.get("parameters", ())]
    resolved = (_resolved(document, each) for each in declared)
    last = {(parameter["name"], parameter["in"]): parameter for parameter in resolved}
    for parameter in last.values():
        _add_parameter(arguments, parameter, given)
    if missing := set(re.findall(r"\{([^{}]*)\}", path)) - arguments.in_path:
        raise InvalidTool(f"the path has a place '{min(missing)}' that no parameter fills")
    content = _resolved(document, operation.get("requestBody") or {})
    has_body = bool(content) and METHODS[method] != "GET"
    if has_body:
        arguments.add(BODY, _body(content["content"]), required=bool(content.get("required")))
    summary = clean(operation.get("summary") or operation.get("description") or "")
    id_, schema = _id_of(method, path, operation), arguments.schema(document)
    return Operation(id_, METHODS[method], path, summary, schema, arguments.in_query, has_body)


def _add_parameter(arguments: _Arguments, parameter: Mapping[str, Any], given: frozenset[str]) -> None:
    name, where = parameter["name"], parameter["in"]
    if where not in ("path", "query"):
        if parameter.get("required") and not (where == "header" and name.lower() in given):
            raise InvalidTool(f"the {where} parameter '{name}' is not a model's to give; leave it out with only=")
        return
    described = {"description": clean(parameter["description"])} if parameter.get("description") else {}
    schema = {**_schema(parameter.get("schema") or {}), **described}
    arguments.add(name, schema, required=where == "path" or bool(parameter.get("required")))
    if where == "path":
        arguments.in_path.add(name)
    else:
        style = parameter.get("style", "form")
        each = parameter.get("explode", style == "form")
        arguments.in_query[name] = DEEP if style == "deepObject" else "" if each else BETWEEN.get(style, "")


def _body(content: Mapping[str, Any]) -> Any:
    """The schema of a body.

    Raises:
        InvalidTool: when it is no JSON.
    """
    for kind, said in content.items():
        if kind.partition(";")[0].strip().lower() == "application/json":
            return _schema(said.get("schema") or {})
    raise InvalidTool(f"its body is no JSON but {', '.join(content)}; leave it out with only=")


def _id_of(method: str, path: str, operation: Mapping[str, Any]) -> str:
    return str(operation.get("operationId") or "_".join([method, *re.findall(r"[A-Za-z0-9]+", path)]))


def _resolved(document: Mapping[str, Any], value: Any) -> Mapping[str, Any]:
    """A parameter or a body, looked up in the document if it is a reference."""
    reference = value.get("$ref")
    if reference is None:
        return dict(value)
    if not reference.startswith("#/"):
        raise InvalidTool(f"'{reference}' lies outside the document")
    found: Any = document
    for key in reference[2:].split("/"):
        found = found[key.replace("~1", "/").replace("~0", "~")]
    return dict(found)


def _schema(schema: Any) -> Any:
    """A schema of the document as one that stands by itself: references lead to ``$defs``, null is a type."""
    if isinstance(schema, list):
        return [_schema(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {key: _schema(value) for key, value in schema.items() if key not in ("example", "xml", "externalDocs")}
    reference = made.get("$ref")
    if isinstance(reference, str):
        if not reference.startswith(SCHEMAS):
            raise InvalidTool(f"'{reference}' is no schema of the document")
        made["$ref"] = f"#/$defs/{reference.removeprefix(SCHEMAS)}"
    if made.pop("nullable", None) is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def _definitions(document: Mapping[str, Any], schema: Any) -> dict[str, Any]:
    """The schemas that a schema refers to, and those that they do."""
    known = (document.get("components") or {}).get("schemas") or {}
    definitions: dict[str, Any] = {}
    waiting = [schema]
    while waiting:
        for name in _references(waiting.pop()):
            if name not in definitions:
                definitions[name] = _schema(known[name])
                waiting.append(definitions[name])
    return definitions


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for each in schema:
            yield from _references(each)
    elif isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix("#/$defs/")
        for each in schema.values():
            yield from _references(each)
