"""Tool: what a model may call. A Python function is one; servers and documents bring theirs (``graph/toolsets/``)."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args, get_origin

import orjson
from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model

from graph.cancellation import is_from_inside
from graph.compiled.results import settled
from graph.errors import InvalidTool, ToolError
from graph.threads import in_thread
from llm.json_schema import Schema

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""What a tool may be called, on OpenAI's wire and everywhere else."""
Outcome: TypeAlias = Literal["answered", "wrong_arguments", "refused", "unknown", "error", "timeout", "failed", "left"]
"""How a call ended: the function answered; its arguments were not of its schema; no more calls were allowed; there is
no such tool; it raised a :class:`graph.ToolError`; it took too long; it raised something else; the client left."""
RECORDED = ("name", "description", "parameters", "copied", "timeout", "max_calls")


class Copied:
    """Marks a parameter whose value stands word for word in the conversation: ``place: Annotated[str, Copied]``.

    Models that spell badly are held to that; the others are not told.
    """


@dataclass(frozen=True, slots=True)
class Told:
    """What a model is told of its call, how that ended, and what the function raised."""

    result: Mapping[str, Any]
    outcome: Outcome = "answered"
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A function with the schema of its arguments. What a model sends is validated before the function sees it.

    Args:
        name: 1 to 64 letters, digits, ``_`` or ``-``.
        description: what a model is told of it. It is data: nothing in it is filled in or followed by us.
        parameters: a JSON Schema of an object, which stands by itself.
        function: called with the arguments by keyword; a ``def`` in a thread, an ``async def`` on the loop.
        copied: the names of the parameters that are :class:`Copied`.
        timeout: seconds for one call; None is what the step says that runs it.
        max_calls: how often it may be called in one run; None is as often as the run goes on.

    Raises:
        InvalidTool: when a model could not be offered it, or could not call it.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    function: Callable[..., Any]
    copied: tuple[str, ...] = ()
    timeout: float | None = None
    max_calls: int | None = None
    _arguments: type[BaseModel] | None = None
    _schema: Schema | None = field(init=False, default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise InvalidTool(f"tool {self.name!r}: its name must be 1 to 64 letters, digits, _ or -")
        if self.timeout is not None and self.timeout <= 0:
            raise InvalidTool(f"tool '{self.name}': timeout={self.timeout:g} must be more than 0 seconds")
        if self.max_calls is not None and self.max_calls < 1:
            raise InvalidTool(f"tool '{self.name}': max_calls={self.max_calls} must be 1 or more")
        if self._arguments is not None:
            return
        if self.parameters.get("type") != "object":
            raise InvalidTool(f"tool '{self.name}': its parameters must be a schema of type object")
        try:
            object.__setattr__(self, "_schema", Schema.of(self.parameters))
        except ValueError as error:
            raise InvalidTool(f"tool '{self.name}': {error}") from None

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        timeout: float | None = None,
        max_calls: int | None = None,
    ) -> Self:
        """The tool that a function makes: its name, the first paragraph of its docstring, its annotated parameters.

        What stands under ``Args:`` in the docstring describes the parameters; ``Annotated[…, Field(description=…)]``
        goes before it. A default makes a parameter optional.

        Raises:
            InvalidTool: when a parameter has no type hint, or cannot be given by name.
        """
        named = str(name or getattr(function, "__name__", type(function).__name__))
        try:
            signature = inspect.signature(function, eval_str=True)
        except NameError as error:
            fault = (
                f"a type hint names '{error.name}', which is not there when it runs; import it without TYPE_CHECKING"
            )
            raise InvalidTool(f"tool '{named}': {fault}") from None
        docstring = inspect.getdoc(function) or ""
        arguments = _arguments_of(named, signature)
        try:
            parameters = arguments.model_json_schema()
        except PydanticUserError as error:
            raise InvalidTool(f"tool '{named}': {error.message}") from None
        parameters.pop("title", None)
        told = _told_of(docstring)
        for parameter, schema in parameters.get("properties", {}).items():
            schema.pop("title", None)
            if parameter in told:
                schema.setdefault("description", told[parameter])
        copied = tuple(name for name, parameter in signature.parameters.items() if _is_copied(parameter.annotation))
        description = docstring.partition("\n\n")[0].replace("\n", " ")
        return cls(named, description, parameters, function, copied, timeout, max_calls, arguments)

    def having(self, **changes: Any) -> Self:
        """A copy with another ``name``, ``description``, ``timeout`` or ``max_calls``."""
        return replace(self, **changes)

    def to_wire(self) -> dict[str, Any]:
        """The member of a request's ``tools``."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}

    def to_record(self) -> dict[str, Any]:
        """What a recording keeps of it: all but the function."""
        return {name: getattr(self, name) for name in RECORDED}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """A tool that was recorded. It can be offered and not called: what it returned is on the tape too."""
        return cls(**{**record, "copied": tuple(record["copied"])}, function=_recorded)

    async def call(self, arguments: str, timeout_seconds: float) -> Mapping[str, Any]:
        """What the function returns for these arguments (JSON text); a fault is told as ``{"error": …}``.

        A ``def`` runs in a thread, so that it may block; past its time nobody waits for it any longer. Of an exception
        a model is told the class; of a :class:`graph.ToolError` its words.
        """
        return (await self.told(arguments, timeout_seconds)).result

    async def told(self, arguments: str, timeout_seconds: float) -> Told:
        """The same, with what only the operator is told."""
        seconds = timeout_seconds if self.timeout is None else self.timeout
        try:
            given = self._checked(arguments or "{}")
        except ValueError as error:
            return Told({"error": f"wrong arguments: {error}"}, "wrong_arguments")
        scope = asyncio.timeout(seconds)
        try:
            async with scope:
                returned = await self._run(given)
        except ToolError as error:
            return Told({"error": str(error)}, "error", error)
        except Exception as error:  # a tool's fault is the model's to deal with
            if isinstance(error, TimeoutError) and scope.expired():
                return Told({"error": f"{self.name} took longer than {seconds:g} s"}, "timeout", error)
            return Told({"error": f"{self.name} failed: {type(error).__name__}"}, "failed", error)
        return Told(returned if isinstance(returned, Mapping) else {"result": returned})

    def _checked(self, arguments: str) -> dict[str, Any]:
        """The arguments by name.

        Raises:
            ValueError: saying what is wrong with them.
        """
        if self._arguments is not None:
            try:
                given = self._arguments.model_validate_json(arguments)
            except ValidationError as error:
                raise ValueError(_faults(error)) from None
            return {str(info.alias): getattr(given, name) for name, info in type(given).model_fields.items()}
        value = orjson.loads(arguments)
        if faults := self._schema.faults(value) if self._schema else []:
            raise ValueError("; ".join(faults))
        return dict(value)

    async def _run(self, given: dict[str, Any]) -> Any:
        """What the function returns.

        Raises:
            RuntimeError: for a SystemExit, which would end the loop with all its other requests, and for a
                CancelledError of its own, which would end the run as if its client had left.
        """
        try:
            if inspect.iscoroutinefunction(self.function):
                return await self.function(**given)
            return await settled(await in_thread(self.function, **given))
        except (SystemExit, asyncio.CancelledError) as error:
            if not (isinstance(error, SystemExit) or is_from_inside(error)):
                raise
            raise RuntimeError(f"tool '{self.name}' raised {type(error).__name__}") from error


async def _recorded(**arguments: Any) -> Any:
    raise ToolError("a tool of a recording cannot be called")


def _arguments_of(name: str, signature: inspect.Signature) -> type[BaseModel]:
    """The model of the arguments. Its fields are numbered and have the names as aliases, so that any name will do."""
    fields: dict[str, Any] = {}
    for number, (parameter_name, parameter) in enumerate(signature.parameters.items()):
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise InvalidTool(f"tool '{name}': '{parameter}' cannot be given by name; write one parameter for each")
        if parameter.annotation is parameter.empty:
            raise InvalidTool(f"tool '{name}': parameter '{parameter_name}' has no type hint")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[f"argument_{number}"] = (parameter.annotation, Field(default, alias=parameter_name))
    try:
        return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    except PydanticUserError as error:
        raise InvalidTool(f"tool '{name}': {error.message}") from None


def _told_of(docstring: str) -> dict[str, str]:
    """What the section ``Args:`` says of each parameter."""
    told: dict[str, str] = {}
    name = ""
    for line in docstring.partition("\nArgs:\n")[2].splitlines():
        if not line.startswith("    "):
            break
        starts = re.match(r"    (\w+)(?: \([^)]*\))?: +(\S.*)", line)
        if starts:
            name = starts[1]
            told[name] = starts[2]
        elif name:
            told[name] += f" {line.strip()}"
    return told


def _is_copied(annotation: Any) -> bool:
    return get_origin(annotation) is Annotated and Copied in get_args(annotation)


def _faults(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
