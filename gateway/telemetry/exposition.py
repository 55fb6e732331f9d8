"""The boards of all workers, in the words of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from gateway.telemetry.board import Boards, Figures, Labels
from gateway.telemetry.families import FAMILIES, LEFT_OUT, Family


def told(boards: Boards, accept: str) -> tuple[bytes, str]:
    """All metrics of all workers in the form that a scraper accepts, and the type of that."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(boards))
    encode, kind = choose_encoder(accept)
    return encode(registry), kind


class _Told(Collector):
    """The boards, in the words of Prometheus."""

    def __init__(self, boards: Boards) -> None:
        self._boards = boards

    def collect(self) -> Iterator[Metric]:
        figures: Figures = {**self._boards.figures(), LEFT_OUT.name: {(): [self._boards.left_out]}}
        for family in FAMILIES:
            if family.name in figures:
                metric = _KINDS[family.kind](family.name, family.help, labels=family.labels)
                for labels, cells in sorted(figures[family.name].items()):
                    _add(metric, family, labels, cells)
                yield metric


_KINDS = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}


def _add(metric: Metric, family: Family, labels: Labels, cells: list[int]) -> None:
    if isinstance(metric, HistogramMetricFamily):
        *counts, total = cells
        edges = [str(edge / family.scale) for edge in family.buckets] + ["+Inf"]
        buckets = [(edge, float(sum(counts[: at + 1]))) for at, edge in enumerate(edges)]
        metric.add_metric(labels, buckets, total / family.scale)
    elif isinstance(metric, CounterMetricFamily) and family.values:
        for value, cell in zip(family.values, cells, strict=True):
            metric.add_metric([*labels, value], cell / family.scale)
    elif isinstance(metric, (CounterMetricFamily, GaugeMetricFamily)):
        metric.add_metric(labels, cells[0] / family.scale if family.scale > 1 else cells[0])
