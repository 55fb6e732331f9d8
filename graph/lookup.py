"""Finding the class or function that a string names. Such strings come from the author of a graph, never over HTTP."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
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


def find(reference: str, namespace: Mapping[str, Any]) -> Any:
    """What ``reference`` names: ``module:attribute``, ``module.attribute``, or a name in ``namespace``.

    Raises:
        UnknownStep: when there is no such thing.
    """
    if reference in namespace:
        return namespace[reference]
    module, _, attribute = reference.replace(":", ".").rpartition(".")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        where = "an importable 'module:name'" if module else f"a name in {namespace.get('__name__', 'the caller')}"
        raise UnknownStep(f"'{reference}' cannot be found; it should be {where}") from None
