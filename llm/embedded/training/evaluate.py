"""Runs the held-out prompts through the graphs' calls and writes the figures; fails below the thresholds.

Every figure is a share of right items with their number. What is right is decided by code: a call by its exact
arguments, an answer by the facts that it must contain word for word.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from llm.embedded import Engine
from llm.embedded.training.calls import ACCEPTED, Calls, Outcome, asked, refusal
from llm.embedded.training.card import write_figures
from llm.embedded.training.corpus import phrases, topics
from llm.embedded.training.corpus.conversation import Message, assistant, dump, user
from llm.embedded.training.corpus.tasks.client_tools import client_tools
from llm.embedded.training.corpus.tasks.talking import ask_fact
from llm.embedded.training.standins import Tools

HELDOUT = Path(__file__).parent / "heldout"
FIVE_LABELS = ["finance", "sport", "travel", "weather", "other"]

# What a retrained model must reach on the test prompts, in percent: what the shipped one reached, less what chance may
# take of so few prompts. The model card says what was aimed at.
THRESHOLDS = {
    "trip loop: all right": 80,
    "routing: five labels": 58,
    "decline: honest refusal": 88,
    "judge: copies right": 90,
    "judge: good evidence accepted": 88,
    "judge: wrong place refused": 95,
}

_NO_DATA = re.compile(r"no data|know nothing|no climate data", re.IGNORECASE)
_ASKS_DATE = re.compile(r"\b(when|date|day|month)\b", re.IGNORECASE)
_ASKS_PLACE = re.compile(r"\b(where|place|city|destination)\b", re.IGNORECASE)
_HONEST = re.compile(r"larger model", re.IGNORECASE)

Item = Mapping[str, Any]
Marks = dict[str, list[bool]]


def evaluate(folder: Path, splits: Sequence[str]) -> None:
    """Write evaluation.json into the folder and print it. Exits with 1 if the test split is below a threshold."""
    calls = Calls(Engine.load(folder))
    figures = {split: measure(calls, _heldout(split)) for split in splits}
    figures["generated"] = summary(_generated(calls))
    _write(folder / "evaluation.json", figures)
    write_figures(folder)
    failures = below(figures["test"]) if "test" in figures else []
    for line in failures:
        print(f"BELOW THRESHOLD: {line}")
    if failures:
        sys.exit(1)


def measure(calls: Calls, prompts: Mapping[str, Any]) -> dict[str, Any]:
    """All figures of a split: name to {"percent", "n"}."""
    marks: Marks = {}
    for section, items in prompts.items():
        if section in _SECTIONS:
            _SECTIONS[section](calls, items, marks)
    return summary(marks)


def summary(marks: Marks) -> dict[str, Any]:
    return {
        name: {"percent": round(100 * sum(right) / len(right), 1), "n": len(right)} for name, right in marks.items()
    }


def below(figures: Mapping[str, Any], leeway: float = 0) -> list[str]:
    """The figures that are more than `leeway` percent points below their threshold; missing ones are."""
    found = {name: figures.get(name, {"percent": 0.0, "n": 0}) for name in THRESHOLDS}
    return [
        f"{name}: {found[name]['percent']} % of {found[name]['n']}, at least {least} % are wanted"
        for name, least in THRESHOLDS.items()
        if found[name]["percent"] < least - leeway
    ]


def _heldout(split: str) -> dict[str, Any]:
    prompts: dict[str, Any] = json.loads((HELDOUT / f"{split}.json").read_text("utf-8"))
    return prompts


def _mark(marks: Marks, name: str, right: object) -> None:
    marks.setdefault(name, []).append(bool(right))


def _trips(calls: Calls, items: Sequence[Item], marks: Marks) -> None:
    for item in items:
        outcome = calls.plan_trip([user(item["text"])], Tools())
        _mark_loop(marks, "trip loop", outcome, item, "travel")
        _judge(calls, [user(item["text"])], item, marks, is_trip=True)


def _weather(calls: Calls, items: Sequence[Item], marks: Marks) -> None:
    for item in items:
        outcome = calls.plan_trip([user(item["text"])], Tools())
        _mark_loop(marks, "weather loop", outcome, item, "weather")
        _judge(calls, [user(item["text"])], item, marks, is_trip=False)


def _followup(calls: Calls, items: Sequence[Item], marks: Marks) -> None:
    for item in items:
        outcome = calls.plan_trip(_dialogue(item["turns"]), Tools())
        name = "followup loop"
        first = outcome.calls[0][1] if outcome.calls else {}
        _mark(marks, f"{name}: place and date right", _same(first, item))
        _mark(marks, f"{name}: answer holds all facts", outcome.calls and grounded(outcome))


def _mark_loop(marks: Marks, name: str, outcome: Outcome, item: Item, route: str) -> None:
    """Route, calls and answer of a run, each and all together."""
    wanted = ["get_weather", "search_attractions"] if route == "travel" else ["get_weather"]
    first = outcome.calls[0][1] if outcome.calls else {}
    steps = {
        "route right": outcome.route == route,
        "place and date copied": _same(first, item),
        "calls right": [call for call, _ in outcome.calls] == wanted and _same(first, item) and _passed_on(outcome),
        "answer holds all facts": bool(outcome.calls) and grounded(outcome),
    }
    for step, right in steps.items():
        _mark(marks, f"{name}: {step}", right)
    _mark(marks, f"{name}: all right", all(steps.values()))


def _same(arguments: Mapping[str, str], item: Item) -> bool:
    return (arguments.get("location"), arguments.get("date")) == (item["place"], item["date"])


def _passed_on(outcome: Outcome) -> bool:
    """The attractions were searched for the place and the weather that were found."""
    found = outcome.results[0]
    return all(
        arguments == {"location": found["location"], "weather": found["condition"]}
        for name, arguments in outcome.calls
        if name == "search_attractions"
    )


def grounded(outcome: Outcome) -> bool:
    """The answer holds place, condition, temperature and all attractions, word for word."""
    facts: list[str] = []
    for result in outcome.results:
        facts += [result["location"], *result.get("attractions", [])]
        if "condition" in result:
            facts += [result["condition"], f"{result['temp_c']}°C"]
    return all(fact in outcome.answer for fact in facts)


def _judge(calls: Calls, conversation: list[Message], item: Item, marks: Marks, is_trip: bool) -> None:
    """Good evidence, evidence for another place or date, and for trips one without attractions."""
    place, date, tools = item["place"], item["date"], Tools()

    def evidence(place: str, date: str, whole: bool = True) -> str:
        lines = [f"get_weather: {dump(tools.weather(place, date))}"]
        lines += [f"search_attractions: {dump(tools.attractions(place))}"] if is_trip and whole else []
        return "\n".join(lines)

    cases = {
        "good evidence accepted": (place, date, True),
        "wrong place refused": ("Veldamor" if len(place) % 2 else "Port Allen", date, True),
        "wrong date refused": (place, "3 May" if len(date) % 2 else "next Monday", True),
    }
    cases |= {"missing attractions refused": (place, date, False)} if is_trip else {}
    for name, (found_place, found_date, whole) in cases.items():
        verdict = calls.judge(asked(conversation), evidence(found_place, found_date, whole))
        _mark(marks, f"judge: {name}", bool(refusal(verdict)) == name.endswith("refused"))
        copies = {"asked_place": place, "found_place": found_place, "asked_date": date, "found_date": found_date}
        _mark(marks, "judge: copies right", all(verdict.get(key) == value for key, value in copies.items()))


def _missing(calls: Calls, items: Sequence[Item], marks: Marks) -> None:
    for item in items:
        outcome = calls.plan_trip([user(item["text"])], Tools())
        asks = "?" in outcome.answer
        asks &= item["lacks"] == "place" or bool(_ASKS_DATE.search(outcome.answer))
        asks &= item["lacks"] == "date" or bool(_ASKS_PLACE.search(outcome.answer))
        _mark(marks, "missing: calls nothing", not outcome.calls)
        _mark(marks, "missing: calls nothing and asks for it", not outcome.calls and asks)
        _mark(marks, "missing: names the place", item["place"] is None or item["place"] in outcome.answer)


def _unknown_place(calls: Calls, items: Sequence[Item], marks: Marks) -> None:
    for item in items:
        outcome = calls.plan_trip([user(item["text"])], Tools(unknown=[item["place"]]))
        honest = _NO_DATA.search(outcome.answer) and item["place"] in outcome.answer and "°C" not in outcome.answer
        _mark(marks, "unknown place: says so, invents nothing", outcome.calls and honest)


def _routing(calls: Calls, items: Mapping[str, Sequence[str]], marks: Marks) -> None:
    for label, texts in items.items():
        for text in texts:
            right = calls.route([user(text)], FIVE_LABELS) == label
            _mark(marks, "routing: five labels", right)
            _mark(marks, f"routing: {label}", right)
            wanted = label if label in {"travel", "weather"} else "other"
            _mark(marks, "routing: three labels", calls.route([user(text)], ["travel", "weather", "other"]) == wanted)


def _decline(calls: Calls, items: Sequence[str], marks: Marks) -> None:
    for text in items:
        _mark(marks, "decline: honest refusal", _HONEST.search(calls.answer([user(text)]).text))
        _mark(marks, "decline: honest refusal as responder", _HONEST.search(calls.respond([user(text)])))
        _mark(marks, "decline: honest refusal as writer", _HONEST.search(calls.write([user(text)])))
        _mark(marks, "decline: routed to other", calls.route([user(text)], ["travel", "weather", "other"]) == "other")


def _talk(calls: Calls, items: Sequence[Item], marks: Marks) -> None:
    for item in items:
        banks = ["reply_identity", "reply_abilities"] if item["kind"] == "who" else [f"reply_{item['kind']}"]
        fitting = {line for bank in banks for line in (phrases.FOLDER / f"{bank}.txt").read_text("utf-8").splitlines()}
        _mark(marks, "talk: fitting reply", calls.answer([user(item["text"])]).text in fitting)
        _mark(marks, "talk: fitting reply as responder", calls.respond([user(item["text"])]) in fitting)


def _generated(calls: Calls) -> Marks:
    """What the held-out prompts do not cover, on fresh generated items: reviewer, facts, clients' own tools."""
    marks: Marks = {}
    random = Random("evaluation")
    known = list(topics.facts().items())
    for topic, sentence in known:
        question = ask_fact(random, topic)
        _, off_topic = random.choice([fact for fact in known if fact[1] != sentence])
        _mark(marks, "facts: right sentence", calls.write([user(question)]) == sentence)
        _mark(marks, "reviewer: good answer accepted", _accepts(calls.review(question, sentence)))
        _mark(marks, "reviewer: off-topic answer refused", not _accepts(calls.review(question, off_topic)))
    for _ in range(60):
        drawn = client_tools(random)
        if "tool_calls" not in (answer := next(m for m in drawn.messages if m["role"] == "assistant")):
            continue
        before = list(drawn.messages)[: list(drawn.messages).index(answer)]
        made = calls.answer(before, drawn.tools).calls
        wanted = answer["tool_calls"][0]["function"]
        _mark(marks, "clients' tools: call right", made and vars(made[0]) == wanted)
    return marks


def _accepts(verdict: Mapping[str, Any]) -> bool:
    return bool(verdict["score"] >= ACCEPTED and verdict.get("asked_topic") == verdict.get("found_topic"))


def _dialogue(turns: Sequence[str]) -> list[Message]:
    return [assistant(turn) if number % 2 else user(turn) for number, turn in enumerate(turns)]


def _write(path: Path, figures: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    for split, table in figures.items():
        for name, figure in table.items():
            print(f"{split:10s} {name:50s} {figure['percent']:6.1f} %  n={figure['n']}")


_SECTIONS: dict[str, Callable[[Calls, Any, Marks], None]] = {
    "trips": _trips,
    "weather": _weather,
    "missing": _missing,
    "routing": _routing,
    "decline": _decline,
    "talk": _talk,
    "unknown_place": _unknown_place,
    "followup": _followup,
}
