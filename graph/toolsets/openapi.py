"""OpenApiToolset: the operations of an HTTP service that an OpenAPI document describes, as tools."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import yaml

from graph.errors import InvalidTool, RemoteError, StepTimeout, ToolError
from graph.steps.remote import WITHOUT_BODY, Method, RemoteStep
from graph.steps.remote_template import checked_url
from graph.tool import Tool
from graph.toolset import Toolset
from graph.toolsets.mcp import MAX_RESULT_BYTES, MAX_TOOLS, check_name, clean
from llm import UpstreamError

MAX_DOCUMENT_BYTES = 8 * 1024 * 1024
MAX_VALUES = 64
"""How many values an array in a query may have."""
METHODS: Mapping[str, Method] = {"get": "GET", "post": "POST", "put": "PUT", "patch": "PATCH", "delete": "DELETE"}
"""The methods that tools may use; other operations are left out."""
BODY = "body"
"""The argument that is sent as the body."""
SCHEMAS = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class _Operation:
    """An operation of the document, and which argument goes where."""

    id: str
    method: Method
    path: str
    described: str
    schema: Mapping[str, Any]
    in_path: frozenset[str]
    in_query: frozenset[str]
    has_body: bool


class OpenApiToolset(Toolset):
    """The operations of an OpenAPI 3 document, each as ``<name>_<operationId>``; of methods, those of ``METHODS``.

    Where the service is, the author says; what the document says of it is not used. Arguments fill the parameters that
    the document declares in the path and the query, and the JSON body as the argument ``body``; nothing else of a
    request is a model's to say. Values are put into the URL as :class:`graph.RemoteStep` does, percent-encoded, so that
    none can add a segment, a parameter or another host. Redirects are not followed.

    Args:
        name: 1 to 32 letters, digits or ``-``.
        document: the document, or the YAML or JSON file that it is in.
        base_url: where the service is, such as ``https://shop.example/api``.
        headers: sent with every request; keys go here.
        only: the ids of the operations to take; without, all.
        timeout: seconds for one call.
        max_calls: how often each tool may be called in one run.
        max_result_bytes: the longest answer of the service.

    Raises:
        InvalidTool: when the document cannot be used, with the operation that is in the way.
        InvalidStep: when the address is none.
    """

    def __init__(
        self,
        name: str,
        document: Path | str | Mapping[str, Any],
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        only: Sequence[str] = (),
        timeout: float = 30.0,
        max_calls: int | None = None,
        max_result_bytes: int = MAX_RESULT_BYTES,
    ) -> None:
        self._base, self._headers = checked_url(base_url), {"accept": "application/json", **(headers or {})}
        self._timeout, self._max_result = timeout, max_result_bytes
        read = document if isinstance(document, Mapping) else _read(Path(document))
        operations = {operation.id: operation for operation in _operations(read, only, check_name(name))}
        for wanted in only:
            if wanted not in operations:
                raise InvalidTool(
                    f"tools '{name}': no operation is called '{wanted}'; there are: {', '.join(operations)}"
                )
        taken = [operations[wanted] for wanted in only] if only else list(operations.values())
        if len(taken) > MAX_TOOLS:
            raise InvalidTool(f"tools '{name}': more than {MAX_TOOLS} operations; name those to take in only=")
        super().__init__(
            name,
            [
                Tool(f"{name}_{each.id}", each.described, each.schema, self._caller(each), (), timeout, max_calls)
                for each in taken
            ],
        )

    def _caller(self, operation: _Operation) -> Any:
        async def called(**arguments: Any) -> Any:
            return await self._call(operation, arguments)

        return called

    async def _call(self, operation: _Operation, arguments: Mapping[str, Any]) -> Any:
        """What the service answers. The template is made of the document's words; arguments only fill it."""
        path, values = _template(operation, arguments)
        body = "{{ sent }}" if operation.has_body or operation.method not in WITHOUT_BODY else None
        step = RemoteStep(
            self._base,
            path,
            body,
            method=operation.method,
            headers=self._headers,
            timeout=self._timeout,
            return_json=False,
            max_bytes=self._max_result,
        )
        try:
            answer = await step.do({**values, "sent": arguments.get(BODY, {})})
        except (RemoteError, UpstreamError, StepTimeout) as error:
            raise ToolError(clean(str(error))) from None
        try:
            return orjson.loads(answer) if answer else None
        except orjson.JSONDecodeError:
            return answer.decode(errors="replace")


def _template(operation: _Operation, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The template of the path for these arguments, and the values for its places.

    Raises:
        ToolError: when a value cannot stand there.
    """
    values: dict[str, Any] = {}

    def place(name: str, value: Any) -> str:
        if isinstance(value, bool) or value is None:
            value = orjson.dumps(value).decode()
        if not isinstance(value, (str, int, float)):
            raise ToolError(f"{name}: only text and numbers can stand in an address")
        at = f"v{len(values)}"
        values[at] = value
        return f"{{{{ {at} }}}}"

    pieces = re.split(r"\{([^{}]*)\}", operation.path)
    path = "".join(
        place(piece, arguments[piece]) if at % 2 else quote(piece, safe="/~!$&'()*+,;=:@")
        for at, piece in enumerate(pieces)
    )
    pairs = []
    for name in sorted(operation.in_query & arguments.keys()):
        given = arguments[name] if isinstance(arguments[name], list) else [arguments[name]]
        if len(given) > MAX_VALUES:
            raise ToolError(f"{name}: {len(given)} values are too many; {MAX_VALUES} may be given")
        pairs += [f"{quote(name, safe='')}={place(name, value)}" for value in given if value != ""]
    return path.lstrip("/") + (f"?{'&'.join(pairs)}" if pairs else ""), values


def _read(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            raise InvalidTool(f"{path}: the document is longer than {MAX_DOCUMENT_BYTES} bytes")
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidTool(f"{path}: {error}") from None
    if not isinstance(document, dict):
        raise InvalidTool(f"{path}: the file holds no OpenAPI document")
    return document


def _operations(document: Mapping[str, Any], only: Sequence[str], name: str) -> Iterator[_Operation]:
    if not str(document.get("openapi", "")).startswith("3."):
        raise InvalidTool(
            f"tools '{name}': only documents of OpenAPI 3 are read; this one says {document.get('openapi')!r}"
        )
    for path, item in (document.get("paths") or {}).items():
        for method in METHODS:
            operation = item.get(method)
            if operation is None:
                continue
            id_ = str(operation.get("operationId") or _slug(method, path))
            if only and id_ not in only:
                continue
            try:
                yield _operation(
                    document, id_, method, path, [*item.get("parameters", ()), *operation.get("parameters", ())]
                )
            except (InvalidTool, KeyError, TypeError, AttributeError) as error:
                raise InvalidTool(f"tools '{name}': {method.upper()} {path}: {error}") from None


def _operation(document: Mapping[str, Any], id_: str, method: str, path: str, declared: Sequence[Any]) -> _Operation:
    operation = document["paths"][path][method]
    properties: dict[str, Any] = {}
    required: list[str] = []
    places: dict[str, set[str]] = {"path": set(), "query": set()}
    for parameter in (_resolved(document, each) for each in declared):
        name, where = parameter["name"], parameter["in"]
        if where not in places:
            if parameter.get("required"):
                raise InvalidTool(f"the {where} parameter '{name}' is not a model's to give; leave it out with only=")
            continue
        described = {"description": clean(parameter["description"])} if parameter.get("description") else {}
        properties[name] = {**_schema(parameter.get("schema") or {}), **described}
        places[where].add(name)
        required += [name] if parameter.get("required") and name not in required else []
    if missing := set(re.findall(r"\{([^{}]*)\}", path)) - places["path"]:
        raise InvalidTool(f"the path has a place '{min(missing)}' that no parameter fills")
    content = _resolved(document, operation.get("requestBody") or {})
    has_body = bool(content) and METHODS[method] != "GET"
    if has_body:
        if BODY in properties:
            raise InvalidTool(f"a parameter is called '{BODY}', as the body is")
        if "application/json" not in content["content"]:
            raise InvalidTool(f"its body is no JSON but {', '.join(content['content'])}; leave it out with only=")
        properties[BODY] = _schema(content["content"]["application/json"].get("schema") or {})
        required += [BODY] if content.get("required") else []
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    if definitions := _definitions(document, schema):
        schema["$defs"] = definitions
    summary = clean(operation.get("summary") or operation.get("description") or "")
    in_path, in_query = frozenset(places["path"]), frozenset(places["query"])
    return _Operation(id_, METHODS[method], path, summary, schema, in_path, in_query, has_body)


def _slug(method: str, path: str) -> str:
    return "_".join([method, *re.findall(r"[A-Za-z0-9]+", path)])


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
