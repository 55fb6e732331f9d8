"""LLMPromptArtifact: the messages of a prompt with placeholders, what the placeholders mean, and how to invoke."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self, overload

import minijinja

from prompts.checks import Place, check_config, check_identity, check_legend, check_message, check_shape
from prompts.errors import InvalidPrompt, MissingVariable, RenderingFailed
from prompts.names import LIKELY, did_you_mean, nearest
from prompts.templates import doubled, environment, misnamed, plain, value_of

FIXED = frozenset({"role", "type"})
"""Members of messages and of what is in them that are never templates."""
MOST_TOLD = 20
"""How many fields of a body are told."""


@dataclass(frozen=True, slots=True)
class LLMPromptArtifact:
    """A prompt as data, in the vocabulary of MLRun's serving graphs.

    ``prompt_template`` is a list of messages as they are on OpenAI's wire: ``role`` and ``content``, a text or a list
    of content parts; ``tool_calls`` of the assistant; ``tool_call_id`` of a tool's result. Every text in them, but
    roles and types, may hold placeholders. ``{{ x }}`` must be filled, and is minijinja; ``{x}``, MLRun's form,
    stays as it is where nothing fills it. All other braces are text, so JSON can stand in a prompt. An empty
    template leaves the messages to whoever asks.

    ``prompt_legend`` explains each placeholder (``{"field", "description"}``: the field of the body that fills it, by
    default its own name); ``invocation_config`` holds request parameters such as ``temperature``; ``labels`` are other
    names of this version, such as ``production``.

    Raises:
        InvalidPrompt: when the template is malformed, or legend and template do not name the same placeholders.
    """

    name: str
    prompt_template: Sequence[Mapping[str, Any]] = ()
    prompt_legend: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    invocation_config: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    version: int = 1
    labels: Sequence[str] = ()
    variables: frozenset[str] = field(init=False, compare=False)
    """The placeholders that the template uses."""
    optional: frozenset[str] = field(init=False, compare=False)
    """Those among them that are written ``{x}`` only, and stay as they are where nothing fills them."""
    _environment: minijinja.Environment = field(init=False, repr=False, compare=False)
    _templates: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_identity(self.name, self.version, self.labels)
        members = ("prompt_template", "prompt_legend", "invocation_config", "description")
        check_shape(self.name, {name: getattr(self, name) for name in members})
        for index, message in enumerate(self.prompt_template):
            check_message(self.name, index, message)
        self._compile()
        check_legend(self.name, self.prompt_legend, self.variables)
        check_config(self.name, self.invocation_config)

    def __reduce__(self) -> tuple[type[LLMPromptArtifact], tuple[Any, ...]]:
        """It is sent and copied as it was written, and compiled again."""
        return type(self), tuple(getattr(self, member.name) for member in fields(self) if member.init)

    @property
    def reference(self) -> str:
        """Name and version, such as ``greeting@v3``."""
        return f"{self.name}@v{self.version}"

    @property
    def current(self) -> Self:
        """Itself; of a :class:`LivePrompt` the version in force."""
        return self

    @property
    def needs(self) -> frozenset[str]:
        """The fields that a body must have to fill the template."""
        return frozenset(map(self._source, self.variables - self.optional))

    def filled_by(self, *given: str) -> Self:
        """Itself, for whoever fills these fields and no others.

        Raises:
            InvalidPrompt: when it needs another one, or has one that is explained or looks mistyped.
        """
        explained = self.optional & set(self.prompt_legend)
        needed = self.needs | set(map(self._source, explained))
        needed |= {name for name in self.optional if nearest(name, set(given) - {name})}
        missing = sorted(needed - set(given))
        if missing:
            here = f"here {', '.join(given)} can be used" if given else "here nothing can be filled in"
            hint = did_you_mean(missing[0], given, LIKELY)
            raise InvalidPrompt(f"prompt '{self.name}' needs '{missing[0]}'; {here}{hint}", ("prompt_template",))
        return self

    @overload
    def render(self, body: Mapping[str, Any] | None = None) -> list[dict[str, Any]]: ...

    @overload
    def render(self, body: Sequence[Mapping[str, Any]]) -> list[list[dict[str, Any]]]: ...

    def render(self, body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None) -> list[Any]:
        """The messages with every placeholder filled from ``body``; of a list of bodies the list of their messages.
        Values are inserted as text, never evaluated.

        Raises:
            MissingVariable: when ``body`` lacks a field that the template needs; falsy values count as present.
            RenderingFailed: when ``body`` is no object with fields, or the template asks for something that a value
                does not have, or runs too long.
        """
        if isinstance(body, (list, tuple)):
            return [self.render(each) for each in body]
        given: Any = {} if body is None else body
        if not isinstance(given, Mapping):
            kind = type(given).__name__
            raise RenderingFailed(f"prompt '{self.name}' is filled from the fields of a body, which is a {kind}")
        values = {name: self._value(name, given) for name in self.variables}
        try:
            return [self._filled(message, str(index), values) for index, message in enumerate(self.prompt_template)]
        except minijinja.TemplateError as error:
            raise RenderingFailed(f"prompt '{self.name}', line {error.line}: {error.message}") from None
        except RenderingFailed as error:
            raise RenderingFailed(f"prompt '{self.name}': {error}") from None
        except (AttributeError, TypeError, ValueError, ArithmeticError) as error:
            raise RenderingFailed(f"prompt '{self.name}': a {type(error).__name__} in the template") from None

    def _filled(self, value: Any, place: str, values: Mapping[str, Any]) -> Any:
        if isinstance(value, str):
            return self._environment.render_template(place, **values) if place in self._templates else value
        if isinstance(value, Mapping):
            return {key: self._filled(item, f"{place}.{key}", values) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._filled(item, f"{place}.{index}", values) for index, item in enumerate(value)]
        return value

    def _value(self, name: str, body: Mapping[str, Any]) -> Any:
        source = self._source(name)
        if source in body:
            return plain(body[source])
        if name in self.optional:
            return f"{{{name}}}"
        fields = sorted(map(str, body))
        has = f"{fields[:MOST_TOLD]}{' and more' if len(fields) > MOST_TOLD else ''}"
        hint = did_you_mean(source, fields, LIKELY)
        raise MissingVariable(f"prompt '{self.name}' needs '{source}', and the body has only {has}{hint}")

    def _source(self, name: str) -> str:
        return self.prompt_legend.get(name, {}).get("field") or name

    def _compile(self) -> None:
        """Makes a template of every text with a brace in it; its name is its place."""
        made = environment(auto_escape_callback=lambda _: False, finalizer=value_of)
        needed: set[str] = set()
        found: set[str] = set()
        named = []
        for place, text in _texts(self.prompt_template, ()):
            self._add(made, place, text)
            needed |= made.undeclared_variables_in_str(text)
            found |= made.undeclared_variables_in_str(doubled(text))
            named.append(".".join(map(str, place)))
        object.__setattr__(self, "_environment", made)
        object.__setattr__(self, "_templates", frozenset(named))
        object.__setattr__(self, "variables", frozenset(found) - set(made.globals))
        object.__setattr__(self, "optional", self.variables - needed)

    def _add(self, made: minijinja.Environment, place: Place, text: str) -> None:
        where = f"prompt '{self.name}', message {place[0]}"
        try:
            made.add_template(".".join(map(str, place)), doubled(text))
        except minijinja.TemplateError as error:
            said = str(error.message).removesuffix(f" (in {error.name}:{error.line})")
            remedy = "double braces are minijinja's; as text they are {{ '{{' }} and {{ '}}' }}"
            message = f"{where}: line {error.line} of the text: {said}; {remedy}"
            raise InvalidPrompt(message, ("prompt_template", *place)) from error
        if wrong := next(misnamed(made, text), None):
            raise InvalidPrompt(f"{where}: {wrong}", ("prompt_template", *place))


def _texts(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    """The texts in messages that hold a brace, and where they are."""
    if isinstance(value, str):
        if "{" in value:
            yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in FIXED:
                yield from _texts(item, (*place, key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _texts(item, (*place, index))
