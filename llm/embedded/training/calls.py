"""The calls that the shipped graphs make, through our runtime: route, plan, judge, respond, write, review."""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llm.embedded import CallArguments, CallStart, Constraint, Engine, GenerationOptions, TextPiece
from llm.embedded.training.corpus import prompts
from llm.embedded.training.corpus.conversation import GET_WEATHER, SEARCH_ATTRACTIONS, Message, dump
from llm.embedded.training.standins import Tools

GRAPH_LABELS = ["travel", "weather", "other"]
MAX_CALLS = 5
ACCEPTED = 4  # the least score with which a judge lets the evidence pass

_ARGUMENTS = [
    *("get_weather.location", "get_weather.date"),
    *("search_attractions.location", "search_attractions.weather"),
]
_TOPICS = ["asked_topic", "found_topic"]


@dataclass
class Call:
    """A tool call of an answer; `arguments` is JSON text."""

    name: str
    arguments: str = ""


@dataclass
class Answer:
    """An answer, collected."""

    text: str
    calls: list[Call]


@dataclass
class Outcome:
    """What one run of the trip-planner graph did."""

    route: str
    calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    answer: str = ""


def verdict_schema(copies: Sequence[str]) -> dict[str, Any]:
    """The judge's answer: the copies, a score and a reason, in this order."""
    properties: dict[str, Any] = {name: {"type": "string"} for name in copies}
    properties |= {"score": {"type": "integer", "minimum": 1, "maximum": 5}, "reason": {"type": "string"}}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


class Calls:
    """The graphs' calls on one engine, greedy."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reviewer = engine.constraint.json_schema(verdict_schema(_TOPICS))

    def answer(
        self,
        messages: Sequence[Message],
        tools: Sequence[Any] | None = None,
        constraint: Constraint | None = None,
        max_tokens: int = 300,
    ) -> Answer:
        """One call of the model."""
        answer = Answer("", [])
        for piece in self._engine.generate(messages, tools, GenerationOptions(max_tokens, constraint=constraint)):
            match piece:
                case TextPiece(text):
                    answer.text += text
                case CallStart(_, name):
                    answer.calls.append(Call(name))
                case CallArguments(_, text):
                    answer.calls[-1].arguments += text
        return answer

    def route(self, messages: Sequence[Message], labels: Sequence[str]) -> str:
        system = prompts.fill(prompts.template("router"), labels=", ".join(labels))
        return self.answer([_system(system), *messages], None, self._engine.constraint.choice(labels), 16).text

    def judge(self, request: str, evidence: str) -> dict[str, Any]:
        asked = prompts.fill(prompts.template("judge-by-copying", "user"), request=request, evidence=evidence)
        found = _strings(json.loads(f"[{','.join(line.partition(': ')[2] for line in evidence.splitlines())}]"))
        copies = {"asked_place": request, "found_place": found, "asked_date": request, "found_date": found}
        constraint = self._engine.constraint.json_schema(verdict_schema(list(copies)), copies)
        return self._verdict("judge-by-copying", asked, constraint)

    def review(self, request: str, draft: str) -> dict[str, Any]:
        asked = prompts.fill(prompts.template("reviewer-by-copying", "user"), request=request, draft=draft)
        return self._verdict("reviewer-by-copying", asked, self._reviewer)

    def respond(self, messages: Sequence[Message]) -> str:
        results = [json.loads(message["content"]) for message in messages if message["role"] == "tool"]
        names = Constraint(names=tuple(_strings(results)))
        return self.answer([_system(prompts.template("responder")), *messages], None, names).text

    def write(self, messages: Sequence[Message]) -> str:
        return self.answer([_system(prompts.template("writer")), *messages]).text

    def plan_trip(self, conversation: Sequence[Message], tools: Tools) -> Outcome:
        """The trip-planner graph: router, tools in a cycle, judge (which may send back once), responder."""
        outcome = Outcome(self.route(conversation, GRAPH_LABELS))
        messages = list(conversation)
        if outcome.route != "other":
            self._gather(messages, outcome, tools)
            if outcome.calls and (remark := self._judged(conversation, outcome)):
                messages.append({"role": "user", "content": f"Reviewer: {remark}"})
                self._gather(messages, outcome, tools)
        outcome.answer = self.respond(messages)
        return outcome

    def _gather(self, messages: list[Message], outcome: Outcome, tools: Tools) -> None:
        """Plan and call until the planner says that it is done; appends to messages and outcome."""
        declared = [GET_WEATHER, SEARCH_ATTRACTIONS] if outcome.route == "travel" else [GET_WEATHER]
        for _ in range(MAX_CALLS):
            said = "\n".join(message["content"] or "" for message in messages)
            constraint = self._engine.constraint.tools(declared, copies=dict.fromkeys(_ARGUMENTS, said))
            asked = [_system(prompts.template("planner")), *messages]
            answer = self.answer(asked, declared, constraint, max_tokens=128)
            if not answer.calls:
                return
            messages.append(_call_message(answer))
            for call in answer.calls:
                arguments = _arguments(call)
                outcome.calls.append((call.name, arguments))
                outcome.results.append(tools.call(call.name, arguments))
                messages.append({"role": "tool", "content": dump(outcome.results[-1])})

    def _judged(self, conversation: Sequence[Message], outcome: Outcome) -> str:
        """The remark of a judge who refuses; "" if it accepts."""
        lines = [f"{call[0]}: {dump(result)}" for call, result in zip(outcome.calls, outcome.results, strict=True)]
        verdict = self.judge(asked(conversation), "\n".join(lines))
        outcome.verdicts.append(verdict)
        return refusal(verdict)

    def _verdict(self, prompt: str, asked: str, constraint: Constraint) -> dict[str, Any]:
        messages = [_system(prompts.template(prompt)), {"role": "user", "content": asked}]
        text = self.answer(messages, None, constraint).text
        try:
            verdict: dict[str, Any] = json.loads(text)
        except ValueError:
            return {"score": 1, "reason": f"cut: {text}"}
        return verdict


def asked(conversation: Sequence[Message]) -> str:
    """The user's turns, as the judge is shown them."""
    return " / ".join(message["content"] for message in conversation if message["role"] == "user")


def refusal(verdict: dict[str, Any]) -> str:
    """What a graph makes of the judge's copies and score: "" if the evidence passes. Code compares, not the model."""
    for what in ("place", "date"):
        wanted, found = verdict.get(f"asked_{what}", ""), verdict.get(f"found_{what}", "")
        if wanted and found and _plain(wanted) != _plain(found):
            return f"The {what} is wrong: {found} instead of {wanted}."
    return "" if verdict["score"] >= ACCEPTED else str(verdict["reason"])


def _plain(text: str) -> str:
    """Letters and digits only, without case and accents."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return re.sub(r"[\W_]+", " ", "".join(sign for sign in decomposed if not unicodedata.combining(sign))).strip()


def _strings(results: list[Any]) -> list[str]:
    """The strings among the values of tool results, as the judge's copies are chosen from them."""
    values = [value for result in results for value in result.values()]
    return [
        text for value in values for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)
    ]


def _arguments(call: Call) -> dict[str, str]:
    try:
        arguments: dict[str, str] = json.loads(call.arguments)
    except ValueError:
        return {"location": "", "date": "", "weather": ""}
    return arguments


def _call_message(answer: Answer) -> Message:
    calls = [
        {"type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in answer.calls
    ]
    return {"role": "assistant", "content": answer.text or None, "tool_calls": calls}


def _system(text: str) -> Message:
    return {"role": "system", "content": text}
