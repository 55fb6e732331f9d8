"""Settings: the only reader of the settings file and of the environment. Frozen once read."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict
from yaml import MarkedYAMLError, YAMLError

from gateway.config_faults import InvalidSettings, place_faults
from gateway.offers import with_offers

Port = Annotated[int, Field(ge=0, le=65535)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\s\x00-\x1f]+$")]
Role = Literal["user", "admin"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Server(_Section):
    """Where and how to listen."""

    host: str = "127.0.0.1"
    port: Port = 8080
    drain_seconds: Annotated[float, Field(gt=0)] = 30
    max_body_mb: Annotated[float, Field(gt=0, le=1024)] = 20

    @property
    def max_body_bytes(self) -> int:
        """The longest request body that is read."""
        return int(self.max_body_mb * 1024 * 1024)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False


class Key(_Section):
    """A key that callers show, and what it may do."""

    name: Name
    key: Annotated[SecretStr, Field(min_length=8)]
    role: Role = "user"
    models: tuple[str, ...] = ("*",)


class Auth(_Section):
    """Who may call. Without keys everybody on this machine may do everything, and nobody else anything."""

    keys: tuple[Key, ...] = ()


class Provider(_Section):
    """Whoever runs models."""

    name: Name
    kind: Literal["embedded", "openai"]
    base_url: str = "https://api.openai.com/v1"
    api_key: SecretStr = SecretStr("")
    connect_seconds: Annotated[float, Field(gt=0)] = 10
    read_seconds: Annotated[float, Field(gt=0)] = 300


class ModelEntry(_Section):
    """A model name, and who answers to it."""

    name: Name
    provider: str
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
    """A row for the table of endpoints. These rows are looked at before those that ship."""

    path: Annotated[str, Field(pattern=r"^/")]
    method: Annotated[str, BeforeValidator(_upper)] = "*"
    action: Annotated[Literal["ALLOW", "FORBID"], BeforeValidator(_upper)] = "ALLOW"
    role: Literal["anyone", "user", "admin"] = "user"


class Prompts(_Section):
    """Prompts of one's own, over those that ship."""

    path: Path | None = None


EMBEDDED = "penstock-demo"
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
    models: tuple[ModelEntry, ...] = (ModelEntry(name=EMBEDDED, provider="mini"),)
    default_model: str = ""
    """The model of every role of a graph that names none; by default the first of ``models``."""
    graphs: tuple[GraphEntry, ...] = SHIPPED
    api: tuple[ApiRow, ...] = ()
    prompts: Prompts = Prompts()

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
    def main_model(self) -> str:
        """The model of roles that name none."""
        return self.default_model or self.models[0].name


def _no_two(kind: str, names: list[str], *, secret: bool = False) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two entries have the same {kind}" + ("" if secret else f" '{name}'"))


def _known(kind: str, wanted: list[str], known: list[str]) -> None:
    for name in wanted:
        if name not in known:
            raise ValueError(f"there is no {kind} '{name}'; there are: {', '.join(known) or 'none'}")


class _Environment(Settings, BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", env_nested_delimiter="__")


def load(path: Path | None = None, *, host: str | None = None, port: int | None = None) -> Settings:
    """The settings in a YAML file; without one, the embedded defaults and what the environment offers beside them.

    ``PENSTOCK_…`` variables beat the file, ``host`` and ``port`` (from the command line) beat both.

    Raises:
        InvalidSettings: naming the file, the line and the remedy of every fault.
    """
    tree = _read(path) if path is not None else with_offers(os.environ)
    command_line = {"server": {name: value for name, value in (("host", host), ("port", port)) if value is not None}}
    merged = OmegaConf.merge(tree, EnvSettingsSource(_Environment)(), command_line)
    try:
        return Settings.model_validate(OmegaConf.to_container(merged))
    except ValidationError as error:
        raise InvalidSettings(place_faults(error, path, Settings)) from None


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
