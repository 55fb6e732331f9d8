"""Tool: a Python function that a model may call."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, create_model


class Copied:
    """Marks a parameter whose value stands word for word in the conversation: ``place: Annotated[str, Copied]``.

    Models that spell badly are held to that; the others are not told.
    """


@dataclass(frozen=True, slots=True)
class Tool:
    """A function with the schema of its arguments. What a model sends is validated before the function sees it."""

    name: str
    description: str
    arguments: type[BaseModel]
    function: Callable[..., Any]
    copied: tuple[str, ...] = ()
    """The names of the parameters that are :class:`Copied`."""

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Self:
        """The tool that a function makes: its name, the first paragraph of its docstring, its annotated parameters."""
        signature = inspect.signature(function, eval_str=True)
        fields: dict[str, Any] = {
            name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
            for name, parameter in signature.parameters.items()
        }
        name = function.__name__
        arguments = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
        description = (inspect.getdoc(function) or "").partition("\n\n")[0].replace("\n", " ")
        copied = tuple(name for name, parameter in signature.parameters.items() if _is_copied(parameter.annotation))
        return cls(name, description, arguments, function, copied)

    def to_wire(self) -> dict[str, Any]:
        """The member of a request's ``tools``."""
        schema = self.arguments.model_json_schema()
        schema.pop("title", None)
        for field in schema.get("properties", {}).values():
            field.pop("title", None)
        function = {"name": self.name, "description": self.description, "parameters": schema}
        return {"type": "function", "function": function}

    async def call(self, arguments: str, timeout_seconds: float) -> Mapping[str, Any]:
        """What the function returns for these arguments (JSON text); a fault is told as ``{"error": …}``.

        A ``def`` runs in a thread, so that it may block.
        """
        try:
            given = dict(self.arguments.model_validate_json(arguments or "{}"))
            async with asyncio.timeout(timeout_seconds):
                returned = await self._run(given)
        except ValidationError as error:
            return {"error": f"wrong arguments: {_faults(error)}"}
        except TimeoutError:
            return {"error": f"{self.name} took longer than {timeout_seconds:g} s"}
        except Exception as error:  # a tool's fault is the model's to deal with
            return {"error": f"{self.name} failed: {type(error).__name__}"}
        return returned if isinstance(returned, Mapping) else {"result": returned}

    async def _run(self, given: dict[str, Any]) -> Any:
        if inspect.iscoroutinefunction(self.function):
            return await self.function(**given)
        return await asyncio.to_thread(self.function, **given)


def _is_copied(annotation: Any) -> bool:
    return get_origin(annotation) is Annotated and Copied in get_args(annotation)


def _faults(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
