"""ToolChoice: which of the declared tools a model may call, and whether it must."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from llm.chat.request import ChatRequest
from llm.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """What ``tools``, ``tool_choice`` and ``parallel_tool_calls`` say together, for providers that decode.

    Attributes:
        tools: those that may be called, functions all of them.
        required: whether at least one must be called.
        parallel: whether several may be called in one answer; of a tool chosen by name there is one call.
    """

    tools: tuple[Mapping[str, Any], ...] = ()
    required: bool = False
    parallel: bool = True

    @classmethod
    def of(cls, request: ChatRequest) -> Self:
        """That of a request.

        Raises:
            InvalidRequest: when it chooses a tool that was not declared, must call and declares none, or a tool is no
                function.
        """
        choice = request.parameters.get("tool_choice", "auto")
        kind = choice if isinstance(choice, str) else choice["type"]
        tools = tuple(_functions(request))
        parallel = bool(request.parameters.get("parallel_tool_calls", True))
        if kind == "allowed_tools":
            allowed = choice[kind]
            chosen = [_declared(tools, _name(tool)) for tool in allowed.get("tools") or ()]
            return cls(tuple(chosen), _required(allowed.get("mode") == "required", bool(chosen)), parallel)
        if isinstance(choice, dict):
            return cls((_declared(tools, _name(choice)),), required=True, parallel=False)
        return cls(tools, _required(kind == "required", bool(tools)), parallel)

    @property
    def functions(self) -> list[Mapping[str, Any]]:
        """The functions of the tools: name, description, parameters."""
        return [tool["function"] for tool in self.tools]

    @property
    def names(self) -> frozenset[str]:
        """What they are called."""
        return frozenset(str(function["name"]) for function in self.functions)


def _functions(request: ChatRequest) -> Iterator[Mapping[str, Any]]:
    for index, tool in enumerate(request.tools):
        if tool["type"] != "function":
            param = f"tools[{index}].type"
            message = f"Unsupported value: '{param}' is '{tool['type']}'; this model takes functions only."
            raise InvalidRequest(message, param=param, code="unsupported_value")
        yield tool


def _name(tool: Mapping[str, Any]) -> str:
    return str((tool.get("function") or tool.get("custom") or tool).get("name"))


def _declared(tools: tuple[Mapping[str, Any], ...], name: str) -> Mapping[str, Any]:
    found = next((tool for tool in tools if tool["function"]["name"] == name), None)
    if found is None:
        raise _wrong(f"Invalid value: 'tool_choice' names '{name}', which is not among 'tools'.")
    return found


def _required(required: bool, possible: bool) -> bool:
    if required and not possible:
        raise _wrong("Invalid value: 'tool_choice' is 'required', and there is no tool to call.")
    return required


def _wrong(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="tool_choice", code="invalid_value")
