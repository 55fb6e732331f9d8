"""What an answer may be, as a mask over the next token: free text, JSON by a schema, one of some labels, tool calls.

A `Constraint` is compiled once (`Constraints`, by llguidance) and immutable; a `Guide` follows it through one
generation. A tool call is opened by the special token `<|tool_call|>`, which no text can spell; from there on a grammar
holds the model to `{"name": …, "arguments": …}` of a declared tool. Values that are copies of what was said can be
held to be that (see `copying.py`).
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Literal

import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

from llm.embedded.copying import Copying, Source
from llm.embedded.errors import InvalidSchema
from llm.embedded.quoting import Quoting
from llm.embedded.schema import FREE_OBJECT, bounded
from llm.embedded.template import Special
from llm.embedded.tokenizer import Tokenizer
from llm.grammar import LENIENT, WRITTEN, bias_of, call_rules, compiled, json_rule, literal
from llm.schema_cost import UnusableGrammar

Mask = NDArray[np.bool_]
ToolMode = Literal["auto", "required"]
Copies = Mapping[str, Source]
"""What string properties are copied from, by their names; arguments of a tool by `tool.property`. A text: words of it;
several: one of them. What is no such property is passed over."""

_MAX_LABELS = 1000
_MAX_TOOLS = 128


@dataclass(frozen=True)
class Constraint:
    """What a generation is held to. None stands for: free text, no calls; `names` are quoted in it (`quoting.py`)."""

    answer: LLMatcher | None = None
    call: LLMatcher | None = None
    must_call: bool = False
    parallel: bool = True
    names: tuple[str, ...] = ()


@contextmanager
def _refusing() -> Generator[None, None, None]:
    """What cannot be followed is the caller's fault."""
    try:
        yield
    except UnusableGrammar as error:
        raise InvalidSchema(str(error)) from error


class Constraints:
    """Compiles constraints for one vocabulary; threads share it. Every method raises InvalidSchema."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = LLTokenizer(
            TokenizerWrapper(_Vocabulary(tokenizer)),
            n_vocab=tokenizer.size,
            eos_token=tokenizer.special[Special.END],
        )

    @_refusing()
    def json_schema(self, schema: Mapping[str, Any] | bool, copies: Copies | None = None) -> Constraint:
        """JSON that the schema accepts, keys in its order, with ", " and ": " between. Unknown keywords are refused.

        A copied property may be "" too.
        """
        narrowed = bounded(schema)
        copying = Copying(WRITTEN)
        if copies and copying.add("start", narrowed, copies, empty=True):
            return Constraint(answer=self._compile(copying.rules))
        return Constraint(answer=self._compile_schema(narrowed))

    @_refusing()
    def json_object(self) -> Constraint:
        """Any JSON object, at most three levels deep."""
        return Constraint(answer=self._compile_schema(FREE_OBJECT))

    @_refusing()
    def choice(self, labels: Sequence[str]) -> Constraint:
        """Exactly one of the labels, as plain text."""
        if not labels or len(labels) > _MAX_LABELS or not all(labels):
            raise InvalidSchema(f"a choice needs 1 to {_MAX_LABELS} labels, none of them empty")
        return Constraint(answer=self._compile([f"start: {' | '.join(map(literal, labels))}"]))

    @_refusing()
    def tools(
        self,
        tools: Sequence[Mapping[str, Any]],
        mode: ToolMode = "auto",
        parallel: bool = True,
        answer: Constraint | None = None,
        copies: Copies | None = None,
    ) -> Constraint:
        """Calls of declared tools. "auto": the model decides; "required": at least one.

        `parallel` allows several calls in a row; `answer` is what the text is held to where no tool is called.
        Arguments follow the tool's schema as far as it can be followed: keywords that cannot be are ignored. A copied
        argument is never "".
        """
        if not tools or len(tools) > _MAX_TOOLS:
            raise InvalidSchema(f"tool calls need 1 to {_MAX_TOOLS} declared tools")
        call = self._compile(_call_grammar([_function(tool) for tool in tools], copies or {}))
        return Constraint(answer.answer if answer else None, call, must_call=mode != "auto", parallel=parallel)

    def _compile_schema(self, schema: Mapping[str, Any]) -> LLMatcher:
        return self._compile([f"start: {json_rule(schema)}"])

    def _compile(self, rules: Sequence[str]) -> LLMatcher:
        return compiled(self._tokenizer, rules)


class _Vocabulary:
    """Our tokenizer as llguidance wants to see one."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.eos_token_id = tokenizer.special[Special.END]
        self.tokens = tokenizer.bytes
        self.special_token_ids = sorted(tokenizer.special.values())
        self._tokenizer = tokenizer

    def __call__(self, text: bytes | str) -> list[int]:
        return self._tokenizer.encode(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)


class _State(Enum):
    START = auto()  # nothing said yet
    TEXT = auto()
    CALL = auto()  # inside a call
    CALLED = auto()  # after a complete call


class Guide:
    """Follows one generation: which tokens may come next, and what the last one was."""

    def __init__(self, constraint: Constraint, tokenizer: Tokenizer) -> None:
        self._constraint = constraint
        self._end = tokenizer.special[Special.END]
        self._opening = tokenizer.special[Special.TOOL_CALL]
        self._text = np.array([bool(piece) for piece in tokenizer.bytes])
        self._state = _State.START
        self._matcher = constraint.answer.deep_copy() if constraint.answer else None
        self._quoting = Quoting(constraint.names, tokenizer) if constraint.names else None

    @property
    def in_call(self) -> bool:
        return self._state is _State.CALL

    def allowed(self) -> Mask:
        """(vocabulary,): True for the ids that may come next. Raises InvalidSchema if the grammar cannot go on."""
        if self._state is _State.CALLED:
            return self._only(self._end, *([self._opening] if self._constraint.parallel else []))
        if self._state is _State.START and self._constraint.must_call:
            return self._only(self._opening)
        mask = self._free_text() if self._matcher is None else self._by_grammar(self._matcher)
        mask[self._opening] = self._may_open_call()
        return mask

    def advance(self, token: int) -> None:
        """Take note of the id that was chosen, which must be an allowed one."""
        if token == self._opening and self._constraint.call:
            self._state, self._matcher = _State.CALL, self._constraint.call.deep_copy()
            return
        if self._matcher is not None:
            self._matcher.consume_token(token)
        elif self._quoting is not None:
            self._quoting.advance(token)
        if self._state is _State.CALL and self._matcher is not None and self._matcher.is_accepting():
            self._state, self._matcher = _State.CALLED, None
        elif self._state is _State.START:
            self._state = _State.TEXT

    def _may_open_call(self) -> bool:
        if self._constraint.call is None or self._state is _State.CALL:
            return False
        return self._state is _State.START or self._constraint.answer is None

    def _free_text(self) -> Mask:
        mask = self._text.copy()
        mask[self._end] = True
        return mask if self._quoting is None else self._quoting.narrow(mask)

    def _by_grammar(self, matcher: LLMatcher) -> Mask:
        try:
            mask: Mask = np.frombuffer(bias_of(matcher), np.uint8) != 0
        except UnusableGrammar as error:
            raise InvalidSchema(str(error)) from error
        return mask

    def _only(self, *tokens: int) -> Mask:
        mask = np.zeros(len(self._text), np.bool_)
        mask[list(tokens)] = True
        return mask


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function", tool)
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InvalidSchema("a tool needs a name")
    return function


def _call_grammar(functions: Sequence[Mapping[str, Any]], copies: Copies) -> list[str]:
    """The rules of a Lark grammar: one alternative a tool, its arguments by the tool's own schema."""
    copying = Copying(LENIENT)

    def arguments(name: str, function: Mapping[str, Any]) -> Iterator[str]:
        schema = _arguments_schema(function)
        if not copying.add(name, schema, _of_tool(copies, function["name"]), empty=False):
            yield f"{name}: {json_rule(schema, LENIENT)}"

    return ["start: call", *call_rules(functions, arguments), *copying.rules]


def _arguments_schema(function: Mapping[str, Any]) -> dict[str, Any]:
    return bounded(function.get("parameters") or {"type": "object", "properties": {}, "additionalProperties": False})


def _of_tool(copies: Copies, name: str) -> Copies:
    """The copies of one tool, by the names of its properties alone."""
    return {key.removeprefix(f"{name}."): text for key, text in copies.items() if key.startswith(f"{name}.")}
