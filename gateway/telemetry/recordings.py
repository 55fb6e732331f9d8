"""Recordings: a file a run, with all that came into it from outside and what it answered; and playing them again."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import orjson

from gateway.answers import Asked, give
from gateway.catalog.catalog import Catalog
from gateway.catalog.deployed import Served
from gateway.config import Settings
from gateway.config.faults import InvalidSettings
from gateway.edge.context import Send
from gateway.edge.keys import LOCAL
from gateway.endpoints.apis import APIS
from graph import Event, Hooks, ReplayDiffers
from graph.recording.tape import Entry, Recording, Replay, hidden

FORMAT = 2
SHOWN = 40
"""How many bytes of a difference are shown."""


@dataclass(slots=True)
class Wire:
    """A ``send`` that keeps what it sends."""

    send: Send | None
    body: bytearray = field(default_factory=bytearray)

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        self.body += message.get("body", b"")
        if self.send is not None:
            await self.send(message)


@dataclass(frozen=True, slots=True)
class Recordings:
    """Where runs are recorded."""

    folder: Path
    contents: bool
    secrets: Sequence[str]

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """The recordings that the settings ask for.

        Raises:
            InvalidSettings: when the folder cannot be made.
        """
        if settings.record.path is None:
            return None
        try:
            settings.record.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidSettings(f"record.path: {error}") from error
        return cls(settings.record.path, settings.record.contents, settings.secrets)

    async def record(self, served: Served, event: Event, asked: Asked, send: Send, hooks: Hooks) -> None:
        """Gives the answer to a body that came through an API, and writes the file, however the answer ends."""
        question = orjson.dumps({"path": asked.api.path, "body": asked.body})
        tape, wire, failure = Recording(self.secrets), Wire(send), None
        event.tape = tape
        try:
            await give(served, event, asked.dialect(event), wire, hooks)
        except BaseException as error:
            failure = type(error).__name__
            raise
        finally:
            document = {
                "format": FORMAT,
                "penstock": version("penstock"),
                "graph": served.name,
                "id": event.id,
                "contents": self.contents,
                "error": failure,
                "asked": orjson.loads(question) if self.contents else None,
                "answered": wire.body.decode() if self.contents else None,
                "entries": {key: self._entry(entry) for key, entry in tape.entries.items()},
                "steps": tape.steps,
            }
            await asyncio.shield(asyncio.to_thread(self._write, event.id, document))

    def _entry(self, entry: Entry) -> dict[str, Any]:
        return asdict(entry) if self.contents else {"asked": entry.asked, "came": len(entry.came), "error": None}

    def _write(self, name: str, document: Any) -> None:
        text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
        (self.folder / f"{name}.json").write_text(hidden(text, self.secrets), encoding="utf-8")


async def replay(path: Path, catalog: Catalog) -> bytes:
    """Runs a recorded request again, without anything from outside, and returns what it answered on the wire.

    Raises:
        InvalidSettings: when the file is no recording, or one without contents.
        ReplayDiffers: at the first difference between the recorded run and this one.
    """
    document = _read(path)
    asked = Asked(APIS[document["asked"]["path"]], document["asked"]["body"])
    entries = {key: Entry(**entry) for key, entry in document["entries"].items()}
    tape, wire = Replay(entries, document["steps"]), Wire(None)
    event = Event(asked.request(), id=document["id"], path=asked.api.path)
    event.tape = tape
    failure, because = None, ""
    try:
        await give(catalog.get(document["graph"], LOCAL), event, asked.dialect(event), wire)
    except ReplayDiffers:
        raise
    except Exception as error:
        failure, because = type(error).__name__, f" ({error})"
    if failure != document["error"]:
        raise ReplayDiffers(f"the recorded run ended with {document['error']}, this one ends with {failure}{because}")
    tape.ended()
    _compare(document["answered"].encode(), bytes(wire.body))
    return bytes(wire.body)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = orjson.loads(path.read_bytes())
    except OSError as error:
        raise InvalidSettings(f"{path}: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise InvalidSettings(f"{path}: this is not JSON ({error})") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InvalidSettings(f"{path}: this is no recording of format {FORMAT}")
    if not document["contents"]:
        raise InvalidSettings(f"{path}: it was recorded without contents, so there is nothing to replay")
    return document


def _compare(recorded: bytes, now: bytes) -> None:
    if recorded == now:
        return
    same = next((index for index, pair in enumerate(zip(recorded, now, strict=False)) if pair[0] != pair[1]), None)
    place = min(len(recorded), len(now)) if same is None else same
    was, is_now = (text[place : place + SHOWN].decode("utf-8", "replace") for text in (recorded, now))
    raise ReplayDiffers(f"the answer differs from byte {place} on: recorded {was!r}, now {is_now!r}")
