"""The templates of a remote step: what an author writes of a URL and a body, filled with what events bring."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import minijinja

from graph.errors import InvalidStep, RemoteUnfilled
from prompts.templates import environment, plain

WRITTEN = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*")
"""What may stand in a URL behind the host (RFC 3986)."""
_PLACE = re.compile(r"[A-Za-z0-9.\-_:\[\]]+")
_TAGS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", flags=re.DOTALL)


class Template:
    """A text of the author's with places for values. Values are plain data to it, and it spends a bounded effort."""

    def __init__(self, place: str, source: str, **options: Any) -> None:
        self._place = place
        self._environment = environment(**options)
        try:
            self._environment.add_template(place, source)
            found = self._environment.undeclared_variables_in_str(source)
        except minijinja.TemplateError as error:
            raise InvalidStep(f"RemoteStep: the template {place}={source!r}: {error.message}") from error
        self._names = frozenset(found) - set(self._environment.globals)

    def render(self, body: Any) -> str:
        """The text with the values of a body in it.

        Raises:
            RemoteUnfilled: when the body lacks one, or has one that cannot stand there.
        """
        fields = body if isinstance(body, Mapping) else {}
        try:
            values = {name: plain(fields[name]) for name in self._names if name in fields}
            if "body" in self._names:
                values["body"] = plain(body)
            return self._environment.render_template(self._place, **values)
        except minijinja.TemplateError as error:
            raise RemoteUnfilled(f"the template of the {self._place}: {error.message}") from None
        except (ValueError, OverflowError, RecursionError) as error:
            raise RemoteUnfilled(f"the template of the {self._place}: {type(error).__name__}") from error


def path_template(path: str) -> Template:
    """The template of what follows the URL; values in it are percent-encoded."""
    if not WRITTEN.fullmatch(_TAGS.sub("", path)):
        raise InvalidStep(f"RemoteStep(path={path!r}): percent-encode what cannot stand in a URL as it is")
    return Template("path", path.lstrip("/"), finalizer=_escaped, auto_escape_callback=lambda _: False)


def body_template(body: str) -> Template:
    """The template of JSON text; values in it are written as JSON."""
    if re.search(r"\"\{\{|\}\}\"", body):
        raise InvalidStep(f"RemoteStep(body={body!r}): values bring their own quotes; write {{{{ x }}}} without them")
    return Template("body", body, auto_escape_callback=lambda _: "json")


def checked_url(url: str) -> str:
    """The URL, if it is a plain address."""
    try:
        parts = urlsplit(url)
        plain = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        plain = False
    if not plain or not _PLACE.fullmatch(parts.netloc) or not WRITTEN.fullmatch(parts.path) or climbs(parts.path):
        raise InvalidStep(
            "RemoteStep: write the url as an address such as https://example.org/api; keys go into headers="
        )
    if parts.query or parts.fragment:
        raise InvalidStep(f"RemoteStep(url={url!r}): a query belongs into path=, and a fragment is never sent")
    return url.rstrip("/?#")


def climbs(path: str) -> bool:
    """Whether one of its segments, however it is written, is a step up or no step at all."""
    segments = re.split(r"[/\\]", unquote(path))
    return any(segment.partition(";")[0] in (".", "..") for segment in segments)


def _escaped(value: Any) -> str:
    """A value as it may stand in a path."""
    if not isinstance(value, (str, int, float)):
        kind = next((kind for kind in (dict, list) if isinstance(value, kind)), type(value)).__name__
        raise RemoteUnfilled(f"a {kind} cannot stand in a path; only text and numbers can")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if not text:
        raise RemoteUnfilled("a value in the path is empty")
    return quote(text, safe="")
