"""Looker: looks at one text of a request or an answer after the other, and adds up what is said of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Set
from itertools import groupby
from time import perf_counter_ns
from typing import Any

import orjson

from guardrails.errors import ContentRefused
from guardrails.guardrail import Guardrail
from guardrails.places import ROLES, Place, Timings
from guardrails.texts import with_texts
from guardrails.timing import Timing
from guardrails.verdict import Span, Verdict
from guardrails.window import Replace
from llm import ChatRequest, Message

WORDS_OF_THE_PROTOCOL = frozenset({"role", "type", "tool_call_id", "call_id"})
"""Members of messages and of what is declared that hold no text of anybody's."""
SEALED = frozenset({"signature", "encrypted_content"})
"""What providers want back as it was; nobody can read it."""
MEDIA = frozenset({"image_url", "input_audio", "file", "audio_url", "video_url"})
"""Parts of messages that are no text: OpenAI's, and those of vLLM."""
SETTINGS = frozenset(
    {
        *("audio", "function_call", "logit_bias", "modalities", "reasoning_effort", "service_tier", "stream_options"),
        *("tool_choice", "verbosity", "web_search_options"),
    }
)
"""Parameters whose texts are chosen from a list."""
DECLARED = frozenset({"functions", "response_format", "tools"})
"""Parameters in which the one who writes the system prompt describes something to the model."""
OF_A_CALL = frozenset({"id", "type", "index"})
"""Members of a call of a tool that hold no text of anybody's."""
CALLED = frozenset({"name", "arguments", "input"})
"""Members of what is called that hold its name, or JSON."""
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Looker:
    """Looks at texts by the rules for their places.

    Args:
        guardrails: the rules of each place.
        replace: what stands in place of a text that is redacted.
        timings: to which is added how long it took.
        media: whether images, sounds and files pass, at which nobody can look.
        beside: whether all of it stands beside an answer.
    """

    def __init__(
        self,
        guardrails: Mapping[Place, Guardrail],
        replace: Replace,
        timings: Timings,
        *,
        media: bool = True,
        beside: bool = False,
    ) -> None:
        self._guardrails = guardrails
        self._stands_beside = beside
        self._media = media
        self._replace = replace
        self._timings = timings
        self.changed = False
        self._spans: list[Span] = []
        self._flags: dict[str, None] = {}

    @property
    def verdict(self) -> Verdict:
        """What has been said so far."""
        return Verdict(allowed=True, spans=tuple(self._spans), flags=tuple(self._flags))

    def text(self, text: str, place: Place) -> str:
        """A text as it may go on.

        Raises:
            ContentRefused: when it may not.
        """
        guardrail = self._guardrails.get(place)
        if guardrail is None or not text:
            return text
        timing = self._timings.setdefault(place, Timing())
        begun = perf_counter_ns()
        checked = guardrail.check(text, self._replace, timing, beside=self._stands_beside)
        timing.total += perf_counter_ns() - begun
        self._spans += checked.verdict.spans
        if not checked.verdict.allowed:
            raise ContentRefused(checked.verdict.reason, checked.verdict.rule, self.verdict)
        self._flags |= dict.fromkeys(checked.verdict.flags)
        self.changed = self.changed or checked.text != text
        return checked.text

    def values(self, value: Any, place: Place) -> Any:
        """A value as it may go on, each text in it by itself; the names of members are looked at too.

        Raises:
            ContentRefused: when it may not, or holds bytes that are no text.
        """
        if place not in self._guardrails:
            return value
        return with_texts(value, lambda text: self.text(text, place), lambda: self.unread(place, "Bytes", "bytes"))

    def unread(self, place: Place, what: str, rule: str) -> None:
        """Says that nobody can look at something.

        Raises:
            ContentRefused: when a rule that does not only record is to.
        """
        guardrail = self._guardrails.get(place)
        if guardrail is None:
            return
        if guardrail.enforces:
            raise ContentRefused(f"{what} cannot be looked at; send text.", rule, self.verdict)
        self._flags[rule] = None

    def _refuse_media(self, place: Place) -> None:
        """Says that nobody can look at a part; a policy without rules for where it stands refuses it, too.

        Raises:
            ContentRefused: when the rules for where it stands do not only record.
        """
        what, rule = "Images, sounds and files", "media"
        if place not in self._guardrails:
            raise ContentRefused(f"{what} cannot be looked at; send text.", rule, self.verdict)
        self.unread(place, what, rule)

    def arguments(self, text: str) -> str:
        """The arguments of a call: of JSON each text in it, else all of it."""
        if "tool_arguments" not in self._guardrails:
            return text
        try:
            value = orjson.loads(text)
            admitted, hidden = self.values(value, "tool_arguments"), _hidden(text)
            self.values(hidden, "tool_arguments")
        except orjson.JSONDecodeError:
            return self._nearly_json(text)
        except RecursionError:
            self.unread("tool_arguments", "Arguments with so many levels", "arguments")
            return text
        if admitted == value and not hidden:
            return text
        self.changed = True
        return orjson.dumps(admitted).decode()

    def message(self, message: Message) -> Message:
        """A message as it may go on."""
        place = ROLES.get(message["role"], "input")
        admitted = {name: self._member(name, value, place) for name, value in message.items()}
        content = message.get("content")
        if isinstance(content, list):
            admitted["content"] = self._parts([self._part(part, place) for part in content], place)
        return admitted

    def parameters(self, request: ChatRequest) -> dict[str, Any]:
        """The parameters of a request as they may go on: those that hold texts, and those that nobody knows."""
        return {name: self._parameter(name, value) for name, value in request.parameters.items()}

    def call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """A call of a tool as it may go on."""
        kind = call.get("type", "function")
        called = call.get(kind)
        if not isinstance(called, Mapping):
            return self._beside(call, OF_A_CALL)
        return {**self._beside(call, OF_A_CALL | {kind}), kind: self._called(called)}

    def _called(self, called: Mapping[str, Any]) -> dict[str, Any]:
        """What is called and with what, which may be JSON in a text, and whatever else stands there."""
        known = {name: value for name, value in called.items() if name in CALLED and isinstance(value, str)}
        admitted = {
            name: self.text(value, "tool_arguments") if name == "name" else self.arguments(value)
            for name, value in known.items()
        }
        return {**self._beside(called, known.keys()), **admitted}

    def _beside(self, value: Mapping[str, Any], known: Set[str]) -> dict[str, Any]:
        """An object of a call, all of which is looked at but what is ``known``."""
        others = {name: each for name, each in value.items() if name not in known}
        kept = {name: each for name, each in value.items() if name in known}
        return {**kept, **self.values(others, "tool_arguments")}

    def _nearly_json(self, text: str) -> str:
        """Arguments that are no JSON, which some parsers take all the same, so that escapes in them are read, too.

        Raises:
            ContentRefused: also when that would have to be redacted.
        """
        meant = ESCAPE.sub(_meant, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if meant != text and self.text(meant, "tool_arguments") != meant:
            raise ContentRefused("Arguments that are no JSON cannot be redacted.", "arguments")
        return self.text(text, "tool_arguments")

    def _parameter(self, name: str, value: Any) -> Any:
        if name in SETTINGS:
            return value
        return self._inside(value, "system") if name in DECLARED else self.values(value, "input")

    def _member(self, name: str, value: Any, place: Place) -> Any:
        if name == "tool_calls" and isinstance(value, list):
            return [self.call(call) for call in value]
        if name == "function_call" and isinstance(value, Mapping):
            return self._called(value)
        if name == "content" and isinstance(value, list):
            return value
        return value if name in WORDS_OF_THE_PROTOCOL else self._inside(value, place)

    def _part(self, part: Mapping[str, Any], place: Place) -> dict[str, Any]:
        kind = part.get("type")
        if kind in MEDIA and not self._media:
            self._refuse_media(place)
        return {
            name: value
            if name in WORDS_OF_THE_PROTOCOL or (name == kind and kind in MEDIA)
            else self._inside(value, place)
            for name, value in part.items()
        }

    def _parts(self, parts: list[dict[str, Any]], place: Place) -> list[dict[str, Any]]:
        """Parts as they may go on. Texts side by side are one text to a model: what only both together are is found
        too, and where it is redacted they become one part."""
        whole: list[dict[str, Any]] = []
        for is_text, run in groupby(parts, _is_text):
            side_by_side = [*run]
            text = "".join(part["text"] for part in side_by_side) if is_text else ""
            looked = text if len(side_by_side) == 1 else self.text(text, place)
            whole += side_by_side if looked == text else [{**side_by_side[0], "text": looked}]
        return whole

    def _inside(self, value: Any, place: Place) -> Any:
        """A value of a conversation, without what holds no text of anybody's."""
        if place not in self._guardrails:
            return value
        if isinstance(value, Mapping):
            return {
                self.text(name, place): each
                if name in SEALED or (name in WORDS_OF_THE_PROTOCOL and isinstance(each, str))
                else self._inside(each, place)
                for name, each in value.items()
            }
        return [self._inside(each, place) for each in value] if isinstance(value, list) else self.values(value, place)


def _is_text(part: Mapping[str, Any]) -> bool:
    return part.get("type") == "text" and isinstance(part.get("text"), str)


def _meant(escape: re.Match[str]) -> str:
    """The sign that an escape of JSON stands for."""
    code, sign = escape.groups()
    return chr(int(code, 16)) if code else CONTROLS.get(sign, sign)


def _hidden(text: str) -> list[Any]:
    """What objects in JSON say under a name that they say again: some parsers take the first, others the last."""
    hidden: list[Any] = []

    def paired(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            hidden.extend(value for _, value in pairs)
        return made

    json.loads(text, object_pairs_hook=paired, parse_int=float)
    return hidden
