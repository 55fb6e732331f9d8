"""OpenApiToolset: the operations of an HTTP service that an OpenAPI document describes, as tools."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import yaml

from graph.errors import InvalidTool, RemoteError, StepTimeout, ToolError
from graph.steps.remote import WITHOUT_BODY, RemoteStep
from graph.steps.remote_template import checked_url
from graph.tool import Tool
from graph.toolset import Toolset
from graph.toolsets.mcp import MAX_RESULT_BYTES, MAX_TOOLS, check_name, clean
from graph.toolsets.openapi_operations import BODY, DEEP, Operation, operations_of
from llm import UpstreamError

MAX_DOCUMENT_BYTES = 8 * 1024 * 1024
MAX_VALUES = 64
"""How many values an array in a query may have."""
NOT_CALLED = re.compile(r"[^a-zA-Z0-9_-]")
"""What cannot stand in the name of a tool."""


class OpenApiToolset(Toolset):
    """The operations of an OpenAPI 3 document, each as ``<name>_<operationId>``, with ``_`` for what no tool may be
    called; of methods, those of :data:`~graph.toolsets.openapi_operations.METHODS`.

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
        given = frozenset(map(str.lower, self._headers))
        operations: dict[str, Operation] = {}
        for operation in operations_of(read, only, check_name(name), given):
            if operation.id in operations:
                raise InvalidTool(
                    f"tools '{name}': two operations have the id '{operation.id}'; take others with only="
                )
            operations[operation.id] = operation
        for wanted in only:
            if wanted not in operations:
                raise InvalidTool(
                    f"tools '{name}': no operation is called '{wanted}'; there are: {', '.join(operations)}"
                )
        taken = [operations[wanted] for wanted in only] if only else list(operations.values())
        if len(taken) > MAX_TOOLS:
            raise InvalidTool(f"tools '{name}': more than {MAX_TOOLS} operations; name those to take in only=")
        tools: dict[str, Tool] = {}
        for each in taken:
            called = NOT_CALLED.sub("_", f"{name}_{each.id}")
            if called in tools:
                raise InvalidTool(f"tools '{name}': two operations would be called '{called}'; take one with only=")
            tools[called] = Tool(called, each.described, each.schema, self._caller(each), (), timeout, max_calls)
        super().__init__(name, tools.values())

    def _caller(self, operation: Operation) -> Any:
        async def called(**arguments: Any) -> Any:
            return await self._call(operation, arguments)

        return called

    async def _call(self, operation: Operation, arguments: Mapping[str, Any]) -> Any:
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


def _template(operation: Operation, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
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
    for name in sorted(operation.in_query.keys() & arguments.keys()):
        pairs += [
            f"{quote(called, safe='')}={value}"
            for called, value in _query(name, arguments[name], operation.in_query[name], place)
        ]
    return path.lstrip("/") + (f"?{'&'.join(pairs)}" if pairs else ""), values


def _query(name: str, given: Any, between: str, place: Callable[[str, Any], str]) -> Iterator[tuple[str, str]]:
    """The names and values in a query that an argument becomes (https://spec.openapis.org/oas/v3.1.0#style-values)."""
    values = given if isinstance(given, (list, Mapping)) else [given]
    if len(values) > MAX_VALUES:
        raise ToolError(f"{name}: {len(values)} values are too many; {MAX_VALUES} may be given")
    if isinstance(values, Mapping) and between in ("", DEEP):
        for member, value in values.items():
            yield (f"{name}[{member}]" if between else member), place(name, value)
        return
    flat = [each for pair in values.items() for each in pair] if isinstance(values, Mapping) else values
    places = [place(name, value) for value in flat if value != ""]
    for value in [between.join(places)] if between and places else places:
        yield name, value


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
