"""Processes: the worker processes of a flow."""

from __future__ import annotations

import os

from graph.errors import InvalidStep
from graph.processes.pool import Pool
from graph.step import Step


class Processes:
    """The pools of a flow. None of their processes is started before a run needs it.

    Steps that give a value share one pool: their calls keep a worker only while it works. A stream keeps its worker
    until it has ended, and later steps of the same run may need one meanwhile; so each step that streams has a pool of
    its own, and no run can wait for a worker that it keeps itself. A dedicated process is a pool of one.
    """

    def __init__(self, most: int | None = None) -> None:
        if most is not None and most < 1:
            raise InvalidStep(f"max_processes={most}: a flow needs at least one process for a step in a process")
        self._most = most or os.cpu_count() or 1
        self._pools: dict[str, Pool] = {}

    def pool_of(self, step: Step, *, streams: bool) -> Pool:
        """The pool in which a step runs."""
        dedicated = step.options.execution_mechanism == "dedicated_process"
        key = step.name if dedicated or streams else ""
        if key not in self._pools:
            self._pools[key] = Pool(1 if dedicated else self._most)
        return self._pools[key]

    def close(self) -> None:
        """Ends all processes. A run that comes after it starts new ones."""
        for pool in self._pools.values():
            pool.close()
