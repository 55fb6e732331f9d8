"""APIHandlerConfig: endpoints of one's own, built in code, in the words of serving graphs.

What it holds are the rows that a settings file has under ``api``, made by the same class.
"""

from __future__ import annotations

from http import HTTPMethod
from typing import Any

from pydantic import ValidationError

from gateway.config.api import ApiRow
from gateway.config.faults import InvalidSettings, tell_faults


class BodyMappings:
    """What stands where: of a request for the graph, or of its answer for the client."""

    def __init__(self) -> None:
        self._sources: dict[str, dict[str, Any]] = {}

    def add_mapping(self, source_path: str, destination_path: str, mandatory: bool = False) -> None:
        """Maps what stands at a JSONPath to a name; a path without ``$`` begins at the top.

        Raises:
            InvalidSettings: when the name has a mapping already. The path is checked where the mapping is used.
        """
        if destination_path in self._sources:
            raise InvalidSettings(f"'{destination_path}' has a mapping already; remove it, or choose another name")
        path = source_path if source_path.startswith("$") else f"$.{source_path}"
        self._sources[destination_path] = {"source_path": path, "mandatory": mandatory}

    def remove_mapping(self, destination_path: str) -> None:
        """Takes the mapping of a name away, if there is one."""
        self._sources.pop(destination_path, None)

    def to_dict(self) -> dict[str, Any]:
        """The mapping as a settings file has it under ``input`` or ``output``."""
        return dict(self._sources)


class APIHandlerConfig:
    """Rows for the table of endpoints, for :func:`gateway.app.create_app`."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], ApiRow] = {}

    @property
    def rows(self) -> tuple[ApiRow, ...]:
        """The rows, in the order in which they were added."""
        return tuple(self._rows.values())

    def add_endpoint_handler(  # noqa: PLR0917 - the signature of serving graphs
        self,
        path: str,
        http_method: HTTPMethod | str = HTTPMethod.POST,
        action: str = "ALLOW",
        description: str | None = None,
        input_body_mappings: BodyMappings | None = None,
        output_body_mappings: BodyMappings | None = None,
        **options: Any,
    ) -> None:
        """Adds a row.

        Args:
            path: exact, with ``{placeholders}``, or with ``/*`` at its end.
            http_method: one method; ``"*"``, for rules, is all of them.
            action: ALLOW, or FORBID.
            description: what the endpoint does, for /openapi.json.
            input_body_mappings: what the graph is given; without, the body.
            output_body_mappings: what the client gets; without, all that the graph answers.
            options: further keys of a row: ``graph`` or ``model`` (without either it is a rule), ``role``, ``text``,
                ``stream``.

        Raises:
            InvalidSettings: when the row cannot be, or there is one for this method and path.
        """
        tree = {"path": path if path.startswith("/") else f"/{path}", "action": action, **options}
        tree["method"] = str(http_method)
        for key, mappings in (("input", input_body_mappings), ("output", output_body_mappings)):
            if mappings is not None:
                tree[key] = mappings.to_dict()
        if description:
            tree["description"] = description
        row = _row(tree)
        if (row.method, row.path) in self._rows:
            raise InvalidSettings(f"{row.method} {row.path} has a row already; remove it, or choose another path")
        self._rows[row.method, row.path] = row

    def remove_endpoint_handler(self, path: str, http_method: HTTPMethod | str = HTTPMethod.POST) -> None:
        """Takes a row away, if there is one."""
        self._rows.pop((str(http_method).upper(), path if path.startswith("/") else f"/{path}"), None)


def _row(tree: dict[str, Any]) -> ApiRow:
    try:
        return ApiRow.model_validate(tree)
    except ValidationError as error:
        raise InvalidSettings(f"{tree['method']} {tree['path']}: {tell_faults(error, ApiRow, tree['path'])}") from None
