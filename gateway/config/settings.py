"""Settings: the only reader of the settings file and of the environment. Frozen once read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import orjson
from pydantic import (
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError
from yaml import MarkedYAMLError, YAMLError

from gateway.config.api import ApiRow
from gateway.config.checks import check_rows
from gateway.config.exchanges import IdempotencyEntry
from gateway.config.faults import InvalidSettings, lines_of, place_faults, tell_yaml
from gateway.config.fields import KeyName, OwnKey, Port, Section, StoreSecret, is_loopback
from gateway.config.guardrails import PolicyEntry
from gateway.config.limits import KeyTerms, LimitsEntry, StoreEntry, Team, UsageEntry
from gateway.config.models import DEMO_MODEL, SHIPPED, GraphEntry, ModelEntry
from gateway.config.offers import with_offers
from gateway.config.presets import with_implied
from gateway.config.providers import OVER_HTTP, Provider
from gateway.config.routing import DeploymentEntry
from gateway.config.telemetry import TracesEntry
from gateway.config.told import Place, dotted
from gateway.config.tools import ToolsEntry


class Server(Section):
    """Where and how to listen."""

    host: str = "127.0.0.1"
    port: Port = 8080
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """How many processes serve; each holds its models and its record of runs for itself."""
    drain_seconds: Annotated[float, Field(gt=0)] = 30
    body_seconds: Annotated[float, Field(gt=0)] = 60
    """How long a client may take to send the body of a request."""
    ping_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 15
    """How long a stream may be silent before a comment keeps it alive; 0 for never."""
    reload_on_change: bool = True
    """Whether a settings file that is written anew is read again; SIGHUP and ``POST /admin/reload`` do so anyway."""
    max_body_mb: Annotated[float, Field(gt=0, le=1024)] = 20

    @property
    def max_body_bytes(self) -> int:
        """The longest request body that is read."""
        return int(self.max_body_mb * 1024 * 1024)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)


class Key(KeyTerms):
    """A key that callers show, and what it may do."""

    name: KeyName
    key: OwnKey


class Auth(Section):
    """Who may call. Without keys and without a secret everybody on this machine may do everything, and nobody else
    anything."""

    keys: tuple[Key, ...] = ()
    teams: tuple[Team, ...] = ()
    secret: StoreSecret = SecretStr("")
    """What the keys that are made while the gateway runs are hashed with, in the store. Without, none are made."""
    refresh_seconds: Annotated[float, Field(gt=0, le=60)] = 1
    """How long a worker takes at most to notice what another has changed of keys."""

    def team_named(self, name: str) -> Team | None:
        """The team of this name, if there is one."""
        return next((team for team in self.teams if team.name == name), None)


class Prompts(Section):
    """Prompts of one's own, over those that ship."""

    path: Path | None = None


class Record(Section):
    """Recordings of runs, for ``penstock replay``. Off unless there is a path."""

    path: Path | None = None
    """The folder that each run writes a file into."""
    contents: bool = True
    """Whether requests and answers are in them; without, a recording can be compared but not replayed."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where settings come from: a file, and what the command line says over it."""

    path: Path | None = None
    host: str | None = None
    port: int | None = None


class Settings(Section):
    """Everything that the operator decides. ``PENSTOCK_SERVER__PORT=9000`` in the environment beats the file."""

    server: Server = Server()
    auth: Auth = Auth()
    providers: tuple[Provider, ...] = (Provider(name="mini", kind="embedded"),)
    models: tuple[ModelEntry, ...] = (ModelEntry(name=DEMO_MODEL, provider="mini"),)
    default_model: str = ""
    """The model of every role of a graph that names none; by default the first of ``models``."""
    graphs: tuple[GraphEntry, ...] = SHIPPED
    tools: tuple[ToolsEntry, ...] = ()
    api: tuple[ApiRow, ...] = ()
    guardrails: tuple[PolicyEntry, ...] = ()
    prompts: Prompts = Prompts()
    record: Record = Record()
    store: StoreEntry = StoreEntry()
    limits: LimitsEntry = LimitsEntry()
    usage: UsageEntry = UsageEntry()
    idempotency: IdempotencyEntry = IdempotencyEntry()
    traces: TracesEntry = TracesEntry()

    _lines: Mapping[Place, str] = PrivateAttr(default_factory=dict)
    _source: Source | None = None

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, tree: Any) -> Any:
        return with_implied(tree, cls.model_fields["providers"].default, os.environ) if isinstance(tree, dict) else tree

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_rows(self)
        return self

    def again(self) -> Settings:
        """The settings as their file and the environment have them now; those made in Python are what they were.

        Raises:
            InvalidSettings: like :func:`load`.
        """
        if self._source is None:
            return self
        return load(self._source.path, host=self._source.host, port=self._source.port)

    @property
    def files(self) -> list[Path]:
        """What they were read from, and the graphs that they name."""
        own = [self._source.path] if self._source is not None and self._source.path is not None else []
        return own + [graph.file for graph in self.graphs if graph.file is not None]

    def where(self, *place: str | int) -> str:
        """Where something in the settings stands: its file and line, if they came from one, and its key."""
        line = self._lines.get(place)
        return f"{line}: {dotted(place)}" if line else dotted(place)

    @property
    def is_open(self) -> bool:
        """Whether callers need no key."""
        return not self.auth.keys and not self.auth.secret.get_secret_value()

    @property
    def secrets(self) -> list[str]:
        """The values of all keys in the settings, also as they stand in JSON, for whoever must leave them out. Longer
        ones come first, so that of two keys that begin alike nothing is left over."""
        keys = [key.key for key in self.auth.keys] + [provider.api_key for provider in self.providers]
        keys += [self.store.password, self.auth.secret]
        keys += self.traces.headers.values()
        for policy in self.guardrails:
            keys += policy.secrets
        for row in self.tools:
            keys += [*row.headers.values(), *row.env.values()]
        values = {value for key in keys if (value := key.get_secret_value())}
        return sorted(values | {orjson.dumps(value).decode()[1:-1] for value in values}, key=len, reverse=True)

    def unpriced(self, model: str) -> bool:
        """Whether somebody is paid for what a model, or one that stands in for it, does, and nobody has said how much:
        what runs here is free."""
        return any(
            deployment.provider in self._paid and (deployment.price or entry.price) is None
            for entry, deployment in self._behind(model)
        )

    @property
    def _paid(self) -> frozenset[str]:
        return frozenset(provider.name for provider in self.providers if provider.kind in OVER_HTTP)

    def _behind(self, model: str) -> Iterator[tuple[ModelEntry, DeploymentEntry]]:
        """Every deployment that may come to answer for a model, with the row that it stands in."""
        entries, reached = {entry.name: entry for entry in self.models}, [model]
        for entry in (entries[name] for name in reached if name in entries):
            yield from ((entry, deployment) for deployment in entry.behind)
            reached += (other for other in entry.fallbacks.names if other not in reached)

    @property
    def main_model(self) -> str:
        """The model of roles that name none; empty when there is no model at all."""
        return self.default_model or next((model.name for model in self.models if model.class_name is None), "")


def _merged(under: Any, over: Any) -> Any:
    """Two trees as one: where both have a mapping, key by key; anywhere else the upper one."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return under | {key: _merged(under[key], value) if key in under else value for key, value in over.items()}


class _Environment(Settings, BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", env_nested_delimiter="__")


def load(path: Path | None = None, *, host: str | None = None, port: int | None = None) -> Settings:
    """The settings in a YAML file; without one, the embedded defaults and what the environment offers beside them.

    ``PENSTOCK_…`` variables beat the file, ``host`` and ``port`` (from the command line) beat both.

    Raises:
        InvalidSettings: naming the file, the line and the remedy of every fault.
    """
    tree = _read(path) if path is not None else _offered()
    environment = _environment()
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    command_line = {"server": given} if given else {}
    try:
        settings = Settings.model_validate(_merged(_merged(tree, environment), command_line))
    except ValidationError as error:
        raise InvalidSettings(place_faults(error, path, Settings, environment)) from None
    settings._source = Source(path, host, port)
    if path is not None:
        lines = lines_of(path).items()
        settings._lines = {place: f"{path}:{line}" for place, line in lines if place[0] not in environment}
    return settings


def _offered() -> dict[str, Any]:
    try:
        return with_offers(os.environ)
    except ValueError as error:
        raise InvalidSettings(f"OPENAI_BASE_URL: {error}") from None


def _environment() -> dict[str, Any]:
    """The settings in ``PENSTOCK_…`` variables."""
    try:
        return EnvSettingsSource(_Environment)()
    except SettingsError as error:
        raise InvalidSettings(f"environment: {error}; a whole section is written as JSON") from None


def _unresolved(path: Path, key: str, said: str) -> str:
    """What is to be said of a value that cannot be made out, which is mostly one from the environment."""
    place = tuple(int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", key))
    line = lines_of(path).get(place)
    where = f"{path}:{line}: {dotted(place)}" if line else f"{path}: {dotted(place)}"
    missing = re.search(r"Environment variable '([^']+)' not found", said)
    if missing is None:
        return f"{where}: {said.splitlines()[0]}"
    return f"{where}: {missing[1]} is not set in the environment; export it, or write ${{oc.env:{missing[1]},default}}"


def config_path(given: Path | None) -> Path | None:
    """The settings file: the one given, else the one that ``PENSTOCK_CONFIG`` names, else none."""
    named = os.environ.get("PENSTOCK_CONFIG", "")
    return given or (Path(named) if named else None)


def _read(path: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf  # noqa: PLC0415 - only files are read with it
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415

    try:
        tree = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except OSError as error:
        raise InvalidSettings(f"{path}: {error.strerror}") from None
    except OmegaConfBaseException as error:
        raise InvalidSettings(_unresolved(path, str(error.full_key or ""), str(error))) from None
    except MarkedYAMLError as error:
        raise InvalidSettings(tell_yaml(error, path)) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"{path}: {error}") from None
    if not isinstance(tree, dict):
        raise InvalidSettings(f"{path}: the file is no mapping; it starts with a key such as 'server:'")
    return {str(key): value for key, value in tree.items()}
