"""RequestMetrics: what the gate counts of every request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.api_handler import Endpoint
from gateway.edge.context import Scope
from gateway.faults import TABLE
from gateway.telemetry import families
from gateway.telemetry.metrics import Cell, Metrics
from gateway.telemetry.passage import GATE, PASSAGE, READ, UPSTREAM, WRITE, Passage

if TYPE_CHECKING:
    from gateway.telemetry.traces import Traces

LEFT = 499
"""The status of a request whose client had left before there was one."""


class RequestMetrics:
    """Counts requests by their row of the table; those that have none are of the row ``none``."""

    def __init__(self, metrics: Metrics) -> None:
        self.traces: Traces | None = None
        """Who makes spans of them too, if anybody does."""
        self._metrics = metrics
        self._cells = metrics.cells
        self._in_flight = metrics.at(families.IN_FLIGHT)
        self._rows: dict[tuple[str, str], _Row] = {}
        self._none = _Row(metrics, "none", "none")

    def begin(self, scope: Scope) -> Passage:
        """A request has come. :meth:`end` must follow."""
        self._cells[self._in_flight] += 1
        passage = Passage()
        PASSAGE.set(passage)
        if self.traces is not None:
            passage.span = self.traces.request(scope)
        return passage

    def end(self, passage: Passage, endpoint: Endpoint | None, status: int, request_id: str) -> None:
        """It has been answered with this status, or with none (0)."""
        self._cells[self._in_flight] -= 1
        passage.turn(GATE)
        self._row(endpoint).count(passage, status or LEFT)
        if self.traces is not None and passage.span is not None:
            self.traces.answered(passage.span, endpoint, status or LEFT, request_id)

    def fail(self, endpoint: Endpoint | None, error: Exception) -> None:
        """It failed, before its answer had begun or after."""
        self._row(endpoint).fail(error_class(error))

    def _row(self, endpoint: Endpoint | None) -> _Row:
        if endpoint is None:
            return self._none
        row = self._rows.get((endpoint.method, endpoint.path))
        if row is None:
            row = self._rows[endpoint.method, endpoint.path] = _Row(self._metrics, endpoint.method, endpoint.path)
        return row


class _Row:
    """The series of a row, each bound when it is first counted."""

    def __init__(self, metrics: Metrics, method: str, path: str) -> None:
        self._metrics = metrics
        self._name = (method, path)
        self._seconds = metrics.histogram(families.SECONDS, *self._name)
        self._overhead = metrics.histogram(families.OVERHEAD, *self._name)
        self._cells = metrics.cells
        self._parts = metrics.at(families.PARTS, *self._name)
        self._statuses: dict[int, Cell] = {}
        self._errors: dict[str, Cell] = {}

    def count(self, passage: Passage, status: int) -> None:
        cell = self._statuses.get(status)
        if cell is None:
            cell = self._statuses[status] = self._metrics.cell(families.REQUESTS, *self._name, str(status))
        cell.add()
        cells, at, spent = self._cells, self._parts, passage.spent
        for part, nanoseconds in enumerate(spent):
            if nanoseconds:
                cells[at + part] += nanoseconds
        whole = sum(spent)
        self._seconds.observe(whole)
        self._overhead.observe(whole - spent[READ] - spent[UPSTREAM] - spent[WRITE])

    def fail(self, error: str) -> None:
        if error not in self._errors:
            self._errors[error] = self._metrics.cell(families.ERRORS, *self._name, error)
        self._errors[error].add()


def error_class(error: BaseException) -> str:
    """The row of the error table that an error is in, by name; others are ``unforeseen``."""
    return next((kind.__name__ for kind in type(error).__mro__ if kind in TABLE), "unforeseen")
