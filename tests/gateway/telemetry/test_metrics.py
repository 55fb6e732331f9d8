"""Metrics: what is counted is told, of all workers, also of those that are gone; and nobody can make more series."""

from __future__ import annotations

import os

from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry import board, families
from gateway.telemetry.board import Boards
from gateway.telemetry.families import FAMILIES
from gateway.telemetry.metrics import Metrics


def told(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """What ``/metrics`` says, as Prometheus' own parser understands it."""
    text, _ = metrics.text()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def in_a_worker(boards: Boards, number: int) -> None:
    """A worker that counts three runs, one that is in flight, and dies."""
    pid = os.fork()
    if pid == 0:
        metrics = Metrics(boards, number)
        metrics.cell(families.RUNS, "up", "answered").add(3)
        metrics.cell(families.IN_FLIGHT).add()
        os._exit(0)
    os.waitpid(pid, 0)


def test_whichever_worker_is_asked_knows_all() -> None:
    """Counters are sums; what another worker counted is told here."""
    boards = Boards(2)
    here = Metrics(boards, 0)
    here.cell(families.RUNS, "up", "answered").add()
    in_a_worker(boards, 1)
    assert told(here)["penstock_runs_total", ("up", "answered")] == 4
    assert told(here)["penstock_workers", ()] == 2


def test_a_worker_that_died_has_counted() -> None:
    """The one in its place goes on with its counters, and begins with gauges of its own."""
    boards = Boards(1)
    in_a_worker(boards, 0)
    again = Metrics(boards, 0)
    assert told(again)["penstock_requests_in_flight", ()] == 0
    again.cell(families.RUNS, "up", "answered").add()
    assert told(again)["penstock_runs_total", ("up", "answered")] == 4


def test_a_histogram_counts_each_size_in_its_bucket() -> None:
    """An edge is inside; what is above all edges is counted; the sum is exact."""
    metrics = Metrics()
    sizes = metrics.histogram(families.FIRST_TOKEN, "up")
    for nanoseconds in (1, 1_000_000, 1_000_001, 10**15):
        sizes.observe(nanoseconds)
    samples = told(metrics)
    name = "penstock_time_to_first_token_seconds"
    assert [samples[f"{name}_bucket", (edge, "up")] for edge in ("0.001", "0.005", "120.0", "+Inf")] == [2, 3, 3, 4]
    assert samples[f"{name}_count", ("up",)] == 4
    assert samples[f"{name}_sum", ("up",)] == (1 + 1_000_000 + 1_000_001 + 10**15) / 10**9


def test_a_full_board_counts_what_it_leaves_out() -> None:
    """Nothing fails, and nothing grows; that something is missing is told."""
    metrics = Metrics()
    for number in range(board.CELLS):
        metrics.cell(families.RUNS, f"model-{number}", "answered").add()
    samples = told(metrics)
    kept = [name for name, _ in samples if name == "penstock_runs_total"]
    assert 0 < len(kept) < board.CELLS
    assert samples["penstock_series_left_out", ()] == board.CELLS - len(kept)
    assert all(samples["penstock_runs_total", (f"model-{number}", "answered")] == 1 for number in range(len(kept)))


def test_no_series_is_wider_than_what_is_spare() -> None:
    """What finds no place counts there."""
    assert max(family.width for family in FAMILIES) <= board.LARGEST
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
