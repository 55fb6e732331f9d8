"""Finding the class or function that a string names. Such strings come from the author of a graph, never over HTTP."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from graph.errors import UnknownStep


def namespace_of_caller(package: str = "graph") -> Mapping[str, Any]:
    """The globals of the code outside this package that is building the graph."""
    depth = 1
    while True:
        names = sys._getframe(depth).f_globals
        if str(names.get("__name__", "")).partition(".")[0] != package or names.get("__package__") == "graph.agents":
            return names
        depth += 1


FOREIGN = ("storey.", "mlrun.serving.states.", "mlrun.serving.routers.", "mlrun.serving.")
"""Steps and models that are named as storey's or MLRun's are ours of the same name."""
HUB = "hub://"
"""Steps that another installed distribution offers, as an entry point of the group ``penstock.steps``."""
HUB_GROUP = "penstock.steps"


def find(reference: str, namespace: Mapping[str, Any]) -> Any:
    """What ``reference`` names: ``module:attribute``, ``module.attribute``, a name in ``namespace``, ``hub://name``, or
    a step or model of storey's or MLRun's that we have too (``storey.Batch``).

    Raises:
        UnknownStep: when there is no such thing.
    """
    if reference in namespace:
        return namespace[reference]
    if reference.startswith(HUB):
        return _from_hub(reference.removeprefix(HUB))
    foreign = next((prefix for prefix in FOREIGN if reference.startswith(prefix)), None)
    if foreign is not None:
        reference = f"graph.{reference.removeprefix(foreign)}"
    module, _, attribute = reference.replace(":", ".").rpartition(".")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        if not module:
            raise UnknownStep(
                f"'{reference}' cannot be found; it should be a name in {namespace.get('__name__', 'the caller')}"
            ) from None
        raise UnknownStep(f"'{reference}' cannot be found: {error}; it should be an importable 'module:name'") from None


def _from_hub(name: str) -> Any:
    offered = entry_points(group=HUB_GROUP)
    if name not in offered.names:
        names = ", ".join(sorted(offered.names)) or "none"
        raise UnknownStep(f"no installed distribution offers '{name}' under '{HUB_GROUP}'; offered are: {names}")
    return offered[name].load()
