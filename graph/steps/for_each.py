"""ForEach: something is done with a body, which passes."""

from __future__ import annotations

from typing import Any

from graph.steps.map import followed
from graph.written.expression import Function, function_of


class ForEach:
    """Calls ``fn(body)`` for its effect; the body passes, whatever it returns. ``fn`` may be async."""

    def __init__(self, fn: Function) -> None:
        self.do = followed("ForEach", function_of("ForEach", fn), _passed)


def _passed(given: Any, _made: Any) -> Any:
    return given
