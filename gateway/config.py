"""Settings: the only reader of the settings file and of the environment. Frozen once read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args
from urllib.parse import urlsplit

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError
from yaml import MarkedYAMLError, YAMLError

from gateway.config_faults import InvalidSettings, place_faults
from gateway.offers import with_offers
from gateway.presets import with_implied, with_preset
from llm.providers.presets import presets

Port = Annotated[int, Field(ge=0, le=65535)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\s\x00-\x1f]+$")]
Role: TypeAlias = Literal["anyone", "user", "admin"]
Method: TypeAlias = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "*"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or its address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Server(_Section):
    """Where and how to listen."""

    host: str = "127.0.0.1"
    port: Port = 8080
    drain_seconds: Annotated[float, Field(gt=0)] = 30
    body_seconds: Annotated[float, Field(gt=0)] = 60
    """How long a client may take to send the body of a request."""
    max_body_mb: Annotated[float, Field(gt=0, le=1024)] = 20

    @property
    def max_body_bytes(self) -> int:
        """The longest request body that is read."""
        return int(self.max_body_mb * 1024 * 1024)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)


class Key(_Section):
    """A key that callers show, and what it may do."""

    name: Name
    key: Annotated[SecretStr, Field(min_length=8)]
    role: Literal["user", "admin"] = "user"
    models: tuple[str, ...] = ("*",)


class Auth(_Section):
    """Who may call. Without keys everybody on this machine may do everything, and nobody else anything."""

    keys: tuple[Key, ...] = ()


def _known_kind(value: Any) -> Any:
    if isinstance(value, str) and value not in (known := [*get_args(Kind), *presets()]):
        raise ValueError(f"there is no kind '{value}'; there are: {', '.join(dict.fromkeys(known))}")
    return value


Kind: TypeAlias = Literal["embedded", "openai", "azure", "anthropic", "huggingface"]
OVER_HTTP = frozenset({"openai", "azure", "anthropic"})
OPTIONS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("base_url", "api_key", "connect_seconds", "read_seconds"), OVER_HTTP),
    **dict.fromkeys(("organization", "project"), frozenset({"openai"})),
    "rename": frozenset({"openai", "azure"}),
    "api_version": frozenset({"azure"}),
    "max_tokens": frozenset({"anthropic", "huggingface"}),
    **dict.fromkeys(("path", "device", "dtype", "max_batch"), frozenset({"huggingface"})),
}
"""The kinds of provider that each option is for."""


class Provider(_Section):
    """Whoever runs models. ``kind`` may be a preset (``groq``, ``ollama``, …): its address, and its key from the
    environment, stand in for those that the row does not give."""

    name: Name
    kind: Annotated[Kind, BeforeValidator(_known_kind)]
    base_url: str = ""
    api_key: SecretStr = SecretStr("")
    organization: str = ""
    project: str = ""
    api_version: str = ""
    """Of Azure's API, such as ``2024-10-21``."""
    rename: dict[str, str] = {}
    """Parameters that the upstream calls otherwise, or with an empty text refuses."""
    max_tokens: Annotated[int, Field(ge=1)] = 4096
    """How many tokens an answer may have where the request does not say."""
    path: str = ""
    """The folder of a model, or its id on the hub."""
    device: str = "cpu"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_batch: Annotated[int, Field(ge=1, le=256)] = 8
    """How many requests are answered side by side."""
    connect_seconds: Annotated[float, Field(gt=0)] = 10
    read_seconds: Annotated[float, Field(gt=0)] = 300

    @model_validator(mode="before")
    @classmethod
    def _of_preset(cls, row: Any) -> Any:
        return with_preset(row, os.environ) if isinstance(row, dict) else row

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        for option in sorted(self.model_fields_set & OPTIONS.keys()):
            if self.kind not in OPTIONS[option]:
                kinds = " or ".join(sorted(OPTIONS[option]))
                raise ValueError(f"'{option}' says nothing to kind {self.kind}, it is for {kinds}: leave it out")
        for option, example in NEEDED.get(self.kind, {}).items():
            if not getattr(self, option):
                raise ValueError(f"kind {self.kind} needs {option}, {example}")
        return self


NEEDED: Mapping[str, Mapping[str, str]] = {
    "azure": {
        "base_url": "such as https://my-resource.openai.azure.com",
        "api_version": "such as 2024-10-21",
        "api_key": 'such as "${oc.env:AZURE_OPENAI_API_KEY}"',
    },
    "huggingface": {"path": "the folder of a model, or its id on the hub"},
}
"""What a kind cannot do without, and how to write it."""


class ModelEntry(_Section):
    """A model name, and who answers to it."""

    name: Name
    provider: str
    """The name of a row under ``providers``, or a preset."""
    model: str = ""
    """What the provider calls it; by default the same name."""
    description: str = ""


class GraphEntry(_Section):
    """A graph under a model name."""

    name: Name
    build: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] | None = None
    """``module:function``; the function is given the parts (models and prompts) and returns a Flow."""
    file: Path | None = None
    """A YAML file with the graph itself."""
    models: dict[str, str] = {}
    """The model of each role; a role that is not named gets the default model."""
    description: str = ""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.build is None) == (self.file is None):
            raise ValueError(f"graph '{self.name}' needs either build or file")
        return self


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


class ApiRow(_Section):
    """A rule over the table of endpoints. ``/*`` at the end of a path stands for everything under it."""

    path: Annotated[str, Field(pattern=r"^(/([^/*{}]+|\{\w+\}))*(/\*?)?$", min_length=1)]
    method: Annotated[Method, BeforeValidator(_upper)] = "*"
    action: Annotated[Literal["ALLOW", "FORBID"], BeforeValidator(_upper)] = "ALLOW"
    role: Role | None = None
    """Who may call it; by default whoever the endpoint itself says."""


class Prompts(_Section):
    """Prompts of one's own, over those that ship."""

    path: Path | None = None


class Record(_Section):
    """Recordings of runs, for ``penstock replay``. Off unless there is a path."""

    path: Path | None = None
    """The folder that each run writes a file into."""
    contents: bool = True
    """Whether requests and answers are in them; without, a recording can be compared but not replayed."""


DEMO_MODEL = "penstock-demo"
SHIPPED = (
    GraphEntry(
        name="trip-planner",
        build="graph.agents.trip_planner:build",
        description="Plans a trip with the typical weather: router ⇄ tools → judge → responder.",
    ),
    GraphEntry(
        name="reviewed-answer",
        build="graph.agents.reviewed_answer:build",
        description="Drafts an answer until a judge accepts it: writer → judge → again.",
    ),
)


class Settings(_Section):
    """Everything that the operator decides. ``PENSTOCK_SERVER__PORT=9000`` in the environment beats the file."""

    server: Server = Server()
    auth: Auth = Auth()
    providers: tuple[Provider, ...] = (Provider(name="mini", kind="embedded"),)
    models: tuple[ModelEntry, ...] = (ModelEntry(name=DEMO_MODEL, provider="mini"),)
    default_model: str = ""
    """The model of every role of a graph that names none; by default the first of ``models``."""
    graphs: tuple[GraphEntry, ...] = SHIPPED
    api: tuple[ApiRow, ...] = ()
    prompts: Prompts = Prompts()
    record: Record = Record()

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, tree: Any) -> Any:
        return with_implied(tree, cls.model_fields["providers"].default, os.environ) if isinstance(tree, dict) else tree

    @model_validator(mode="after")
    def _check(self) -> Self:
        _no_two("provider", [provider.name for provider in self.providers])
        _no_two("model", [*(entry.name for entry in self.models), *(graph.name for graph in self.graphs)])
        _no_two("key", [key.name for key in self.auth.keys])
        _no_two("key value", [key.key.get_secret_value() for key in self.auth.keys], secret=True)
        _known("provider", [entry.provider for entry in self.models], [provider.name for provider in self.providers])
        served = [entry.name for entry in self.models]
        _known("model", [name for graph in self.graphs for name in graph.models.values()], served)
        _known("model", [self.default_model] if self.default_model else [], served)
        for provider in self.providers:
            _not_itself(provider, self.server)
        if self.graphs and not served:
            raise ValueError("graphs need models: add at least one under models")
        if not self.auth.keys and not self.server.is_loopback:
            raise ValueError(
                f"server.host is {self.server.host}, which others can reach, and auth.keys is empty: "
                "add a key, or listen on 127.0.0.1"
            )
        return self

    @property
    def is_open(self) -> bool:
        """Whether callers need no key."""
        return not self.auth.keys

    @property
    def secrets(self) -> list[str]:
        """The values of all keys in the settings, for whoever must leave them out."""
        keys = [key.key for key in self.auth.keys] + [provider.api_key for provider in self.providers]
        return [value for key in keys if (value := key.get_secret_value())]

    @property
    def main_model(self) -> str:
        """The model of roles that name none; empty when there is no model at all."""
        return self.default_model or next((model.name for model in self.models), "")


def _no_two(kind: str, names: list[str], *, secret: bool = False) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two entries have the same {kind}" + ("" if secret else f" '{name}'"))


def _known(kind: str, wanted: list[str], known: list[str]) -> None:
    for name in wanted:
        if name not in known:
            raise ValueError(f"there is no {kind} '{name}'; there are: {', '.join(known) or 'none'}")


def _not_itself(provider: Provider, server: Server) -> None:
    """Refuses the gateway as its own upstream; llama.cpp's usual port is the gateway's too."""
    address = urlsplit(provider.base_url)
    if address.hostname and is_loopback(address.hostname) and address.netloc.endswith(f":{server.port}"):
        raise ValueError(
            f"provider '{provider.name}' is at port {server.port}, where this gateway listens: move one of the two"
        )


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
    command_line = {"server": {name: value for name, value in (("host", host), ("port", port)) if value is not None}}
    try:
        return Settings.model_validate(_merged(_merged(tree, environment), command_line))
    except ValidationError as error:
        raise InvalidSettings(place_faults(error, path, Settings, environment)) from None


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


def config_path(given: Path | None) -> Path | None:
    """The settings file: the one given, else the one that ``PENSTOCK_CONFIG`` names, else none."""
    named = os.environ.get("PENSTOCK_CONFIG", "")
    return given or (Path(named) if named else None)


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except OSError as error:
        raise InvalidSettings(f"{path}: {error.strerror}") from None
    except OmegaConfBaseException as error:
        raise InvalidSettings(f"{path}: {str(error).splitlines()[0]} (at '{error.full_key}')") from None
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidSettings(f"{path}{line}: {error.problem}") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"{path}: {error}") from None
    if not isinstance(tree, dict):
        raise InvalidSettings(f"{path}: the file is no mapping; it starts with a key such as 'server:'")
    return {str(key): value for key, value in tree.items()}
