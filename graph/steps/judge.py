"""JudgeStep: a model judges what has been gathered or drafted, and can send it back with its reason."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import orjson

from graph.event import Event
from graph.steps.evidence import gathered
from graph.steps.model_call import ask
from guardrails import Verdict
from llm import ChatRequest, LLModel, Message, text_of

VERDICT, REFUSALS = "verdict", "refusals"
"""Where the latest verdict, and the number of refusals, stand in the step's notes."""
PASS: Final = 4
BEST: Final = 5
MAX_TEXT = 200


def _asked(request: ChatRequest) -> str:
    return " / ".join(request.texts)


Fields: TypeAlias = Mapping[str, Callable[[ChatRequest], str]]
"""What fills the fields of a prompt."""
Copies: TypeAlias = Mapping[str, Callable[[ChatRequest], str | Sequence[str]]]
"""What ``asked_x`` and ``found_x`` are copied from, by ``asked`` and ``found``; see :attr:`ChatRequest.copies`."""
EVIDENCE: Fields = {"request": _asked, "evidence": lambda request: "\n".join(map(str, gathered(request)))}
"""For a prompt that judges what tools returned."""
COPIES: Copies = {
    "asked": _asked,
    "found": lambda request: [value for piece in gathered(request) for value in piece.strings],
}
"""With :data:`EVIDENCE`, where what was asked stands in the request, and what was found is a value in a result."""
DRAFT: Fields = {"request": _asked, "draft": lambda request: text_of(request.messages[-1])}
"""For a prompt that judges the last draft."""


class JudgeStep:
    """Asks a model for a score from 1 to 5 and a reason. From 4 on the event goes to ``passed``, else to ``refused``,
    with the reason appended as a user's message ``Reviewer: …``.

    A model that cannot compare is asked by ``copying`` instead: it copies ``asked_x`` and ``found_x`` for each of
    ``compared``, and code compares them; its score then only says whether everything is there.

    Args:
        plain: the prompt for models that can compare.
        copying: the prompt, over the same model, for those that cannot.
        compared: what is compared when copying, such as ``place``.
        fields: what fills the fields of the prompts; :data:`EVIDENCE` or :data:`DRAFT`, or others.
        copies: what is copied word for word, and from where; :data:`COPIES`, or nothing.
        passed, refused: the names of the followers; ``Complete`` leaves the graph with the draft.
        max_refusals: after so many refusals the event passes all the same, with the verdict in the step's notes.
    """

    full_event = True
    needs_whole = True

    def __init__(
        self,
        plain: LLModel,
        copying: LLModel,
        compared: Sequence[str],
        fields: Fields,
        *,
        passed: str,
        refused: str,
        copies: Copies | None = None,
        max_refusals: int | None = None,
    ) -> None:
        compares = plain.model.provider.compares
        self._model = (plain if compares else copying).filled_by(*fields)
        self._compared = () if compares else tuple(compared)
        self._fields = fields
        self._copies = copies or {}
        self._passed = passed
        self._refused = refused
        self._max_refusals = max_refusals
        self._format = _response_format(self._compared)

    async def do(self, event: Event) -> None:
        request: ChatRequest = event.body
        filled = {name: fill(request) for name, fill in self._fields.items()}
        asked = self._model.request((), filled, response_format=self._format)
        sources = {side: source(request) for side, source in self._copies.items()}
        asked.copies = {f"{side}_{name}": sources[side] for side in sources for name in self._compared}
        reply = await ask(self._model.model, asked, event)
        verdict = self._verdict(reply.content)
        event.score = verdict.score
        event.own_notes[VERDICT] = verdict
        if not verdict.allowed:
            event.own_notes[REFUSALS] = event.own_notes.get(REFUSALS, 0) + 1
            request.messages.append(remark(verdict.reason))

    def select_outlets(self, event: Event) -> str:
        """Where the verdict sends the event."""
        if event.own_notes[VERDICT].allowed:
            return self._passed
        given_up = self._max_refusals is not None and event.own_notes[REFUSALS] > self._max_refusals
        return self._passed if given_up else self._refused

    def _verdict(self, text: str) -> Verdict:
        """The verdict in the model's answer. An answer that holds none refuses."""
        said = _object(text)
        score = said.get("score")
        if isinstance(score, bool) or not isinstance(score, (int, float)):
            return Verdict(allowed=False, reason="The judge gave no verdict.", score=0.0)
        faults = [fault for name in self._compared if (fault := _difference(name, said))]
        reason = " ".join(faults) or str(said.get("reason", ""))[:MAX_TEXT]
        points = 1 if faults else min(max(score, 1), BEST)
        return Verdict(points >= PASS, reason, (points - 1) / (BEST - 1))


def remark(reason: str) -> Message:
    """What a refused step, or the model in it, gets to read."""
    return {"role": "user", "content": f"Reviewer: {reason}"}


def _difference(name: str, said: Mapping[str, Any]) -> str:
    """How ``found_x`` differs from ``asked_x``, if both are there; whether they are is the score's to say."""
    asked, found = (str(said.get(f"{side}_{name}", "")) for side in ("asked", "found"))
    if not asked or not found or _plain(asked) == _plain(found):
        return ""
    return f"The {name} is wrong: {found} instead of {asked}."


def _plain(text: str) -> str:
    """Letters and digits only, without case and accents, so that ``São Paulo`` and ``sao paulo`` are the same."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return re.sub(r"[\W_]+", " ", "".join(sign for sign in decomposed if not unicodedata.combining(sign))).strip()


def _object(text: str) -> Mapping[str, Any]:
    """The JSON object in a text; models that are not held to a schema put words around it."""
    start, end = text.find("{"), text.rfind("}")
    try:
        said = orjson.loads(text[start : end + 1])
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def _response_format(compared: Sequence[str]) -> dict[str, Any]:
    text = {"type": "string", "maxLength": MAX_TEXT}
    properties: dict[str, Any] = {f"{side}_{name}": text for name in compared for side in ("asked", "found")}
    properties["score"] = {"type": "integer", "minimum": 1, "maximum": BEST}
    properties["reason"] = text
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}
