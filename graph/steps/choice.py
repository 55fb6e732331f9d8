"""Choice: a step that does nothing but choose where the event goes next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Choice:
    """Override :meth:`select_outlets`; the body passes unchanged."""

    def do(self, body: Any) -> Any:
        return body

    def select_outlets(self, body: Any) -> Sequence[str] | str:
        """The names of the followers to go to, or ``Complete``."""
        raise NotImplementedError(f"{type(self).__name__} does not say which outlets it selects")
