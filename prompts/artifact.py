"""LLMPromptArtifact: the messages of a prompt with placeholders, what the placeholders mean, and how to invoke."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import minijinja

from prompts.errors import InvalidPrompt, MissingVariable, RenderingFailed
from prompts.templates import environment, plain

ROLES = ("system", "developer", "user", "assistant")


@dataclass(frozen=True, slots=True)
class LLMPromptArtifact:
    """A prompt as data, in the vocabulary of MLRun's serving graphs.

    ``prompt_template`` is a list of messages ``{"role", "content"}`` whose contents may hold ``{{ placeholders }}``;
    ``prompt_legend`` explains each placeholder (``{"field", "description"}``: the field of the body that fills it, by
    default its own name); ``invocation_config`` holds request parameters such as ``temperature``. Braces that are not
    doubled are text, so JSON can stand in a prompt.

    Raises:
        InvalidPrompt: when the template is malformed, or legend and template do not name the same placeholders.
    """

    name: str
    prompt_template: Sequence[Mapping[str, str]]
    prompt_legend: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    invocation_config: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    version: int = 1
    variables: frozenset[str] = field(init=False, compare=False)
    """The placeholders that the template uses."""
    _environment: minijinja.Environment = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        compiled = self._compile()
        contents = (message["content"] for message in self.prompt_template)
        found = frozenset().union(*map(compiled.undeclared_variables_in_str, contents)) - set(compiled.globals)
        object.__setattr__(self, "_environment", compiled)
        object.__setattr__(self, "variables", found)
        self._check_legend()

    def __reduce__(self) -> tuple[type[LLMPromptArtifact], tuple[Any, ...]]:
        """It is sent and copied as it was written, and compiled again."""
        return type(self), tuple(getattr(self, member.name) for member in fields(self) if member.init)

    @property
    def needs(self) -> frozenset[str]:
        """The fields that a body must have to fill the template."""
        return frozenset(map(self._source, self.variables))

    def render(self, body: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The messages with every placeholder filled from ``body``. Values are inserted as text, never evaluated.

        Raises:
            MissingVariable: when ``body`` lacks a field that the template needs; falsy values count as present.
            RenderingFailed: when the template asks for something that a value does not have, or runs too long.
        """
        values = {name: self._value(name, body or {}) for name in self.variables}
        try:
            contents = [self._environment.render_template(str(index), **values) for index in self._indexes]
        except minijinja.TemplateError as error:
            raise RenderingFailed(f"prompt '{self.name}', line {error.line}: {error.message}") from None
        return [
            {**message, "content": content} for message, content in zip(self.prompt_template, contents, strict=True)
        ]

    @property
    def _indexes(self) -> range:
        return range(len(self.prompt_template))

    def _value(self, name: str, body: Mapping[str, Any]) -> Any:
        source = self._source(name)
        if source not in body:
            raise MissingVariable(f"prompt '{self.name}' needs '{source}', and the body has only {sorted(body)}")
        return plain(body[source])

    def _source(self, name: str) -> str:
        return self.prompt_legend.get(name, {}).get("field", name)

    def _compile(self) -> minijinja.Environment:
        made = environment(auto_escape_callback=lambda _: False)
        for index, message in enumerate(self.prompt_template):
            self._check_message(index, message)
            try:
                made.add_template(str(index), message["content"])
            except minijinja.TemplateError as error:
                raise InvalidPrompt(f"prompt '{self.name}', message {index}: {error.message}") from error
        return made

    def _check_message(self, index: int, message: Mapping[str, str]) -> None:
        place = f"prompt '{self.name}', message {index}"
        if not isinstance(message, Mapping):
            raise InvalidPrompt(f"{place}: write an object with role and content")
        role = message.get("role")
        if role not in ROLES:
            raise InvalidPrompt(f"{place}: role is {role!r}, write one of {', '.join(ROLES)}")
        if not isinstance(message.get("content"), str):
            raise InvalidPrompt(f"{place}: content is missing, write a string")

    def _check_legend(self) -> None:
        unused = sorted(set(self.prompt_legend) - self.variables)
        if unused:
            raise InvalidPrompt(
                f"prompt '{self.name}': the legend explains {', '.join(unused)}, which the template does not use; "
                f"it uses {', '.join(sorted(self.variables)) or 'no placeholder'}"
            )
