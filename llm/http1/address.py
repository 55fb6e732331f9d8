"""What a URL names: an origin to connect to, and a target to ask it for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from llm.errors import UpstreamUnreachable

PORTS = {"http": 80, "https": 443}
UNFIT = re.compile(r"[\x00-\x20\x7f]")
"""What would end the target, or the line that it stands in."""
KEPT = "%/?:@!$&'()*+,;=~-._[]"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection leads: ``http`` or ``https``, a host as DNS knows it, a port."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """What stands in the header ``host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def located(url: str) -> tuple[Origin, str]:
    """The origin and the target of a URL.

    Raises:
        UpstreamUnreachable: when it is none that can be asked; it may hold a password and is not repeated.
    """
    try:
        if UNFIT.search(url):
            raise ValueError
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname or "@" in parts.netloc:
            raise ValueError
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
        origin = Origin(parts.scheme, host, parts.port or PORTS[parts.scheme])
    except ValueError:
        raise UpstreamUnreachable("the address of the upstream is no plain http(s) URL") from None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return origin, target if target.isascii() else quote(target, safe=KEPT)
