"""Tools of clients' own: the right one among several, its arguments copied, the answer from its result."""

import re
import string
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any, NamedTuple

from llm.embedded.training.corpus import names, phrases, results, topics
from llm.embedded.training.corpus.conversation import Conversation, assistant, call, result, system, tool, user

_VALUES = re.compile(r"\b(SYMBOL|NUMBER|TEAM|DURATION|PLACE|OTHER|CONDITION|WORDS|WORD|CODE|PERSON|LANGUAGE|SUM)\b")


class ClientTool(NamedTuple):
    """A tool, how it is asked for and what is answered, with values in capitals."""

    name: str
    parameters: tuple[str, ...]
    request: str
    answer: str


def client_tools(random: Random) -> Conversation:
    """One of several declared tools is called; at times none fits and the model declines."""
    chosen = random.choice(client_tool_lines())
    others = random.sample(client_tool_lines(), random.randint(0, 3))
    wanted = _expanded(chosen, random)
    declared = {line.name: tool(line.name, *line.parameters) for line in map(_parsed, others)}
    declared[wanted.name] = tool(wanted.name, *wanted.parameters)
    tools = random.sample(list(declared.values()), len(declared))
    head = system(random.choice([None, None, phrases.expand("agent_system", random)]))
    if random.random() < 0.12:
        asked, refusal = topics.declined(random).text, phrases.expand("refusal", random)
        return Conversation("client_tools", [*head, user(asked), assistant(refusal)], tools)
    values = {name: _value(random, name) for name in _VALUES.findall(f"{wanted.request} {wanted.answer}")}
    arguments = dict(zip(wanted.parameters, _in_order(wanted.request, values), strict=True))
    returned: dict[str, Any] = arguments | {_result_key(wanted): values[_result_value(wanted)]}
    messages = [
        user(_filled(wanted.request, values)),
        call(wanted.name, **arguments),
        result(returned),
        assistant(_filled(wanted.answer, values)),
    ]
    return Conversation("client_tools", [*head, *messages], tools)


@cache
def client_tool_lines() -> list[str]:
    lines = (phrases.FOLDER / "client_tool.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _parsed(line: str) -> ClientTool:
    signature, request, answer = line.split(" => ")
    name, _, parameters = signature.rstrip(")").partition("(")
    return ClientTool(name, tuple(parameters.split(", ")), request, answer)


def _expanded(line: str, random: Random) -> ClientTool:
    """With one way to ask chosen out of its brackets."""
    parsed = _parsed(line)
    request = re.sub(r"\[([^\[\]]*)\]", lambda match: random.choice(match[1].split("|")), parsed.request)
    return parsed._replace(request=re.sub(r"\s+(?=[?]|$)", "", re.sub(r"  +", " ", request)))


def _in_order(request: str, values: dict[str, str]) -> list[str]:
    return [values[name] for name in dict.fromkeys(_VALUES.findall(request))]


def _result_value(wanted: ClientTool) -> str:
    """The value of the answer that the request did not name, or the last one."""
    named = _VALUES.findall(wanted.request)
    new = [name for name in _VALUES.findall(wanted.answer) if name not in named]
    return str([*new, named[-1]][0])


def _result_key(wanted: ClientTool) -> str:
    return {"NUMBER": "value", "CONDITION": "text"}.get(_result_value(wanted), "status")


def _filled(template: str, values: dict[str, str]) -> str:
    return _VALUES.sub(lambda match: values[match[0]], template)


def _value(random: Random, name: str) -> str:
    words = [random.choice(names.vocabulary()) for _ in range(random.randint(1, 4))]
    makers: dict[str, Callable[[], str]] = {
        "SYMBOL": lambda: "".join(random.choices(string.ascii_uppercase, k=random.randint(2, 5))),
        "NUMBER": lambda: str(random.choice([random.randint(1, 99), round(random.uniform(1, 900), 2)])),
        "TEAM": lambda: phrases.expand("team", random).strip(),
        "DURATION": lambda: phrases.expand("duration", random),
        "PLACE": lambda: names.place(random),
        "OTHER": lambda: names.place(random),
        "CONDITION": lambda: results.condition(random),
        "WORDS": lambda: " ".join(words),
        "WORD": lambda: words[0],
        "CODE": lambda: "".join(random.choices(string.ascii_uppercase + string.digits + "-", k=random.randint(3, 9))),
        "PERSON": lambda: phrases.expand("name", random).strip(),
        "LANGUAGE": lambda: phrases.expand("tongue", random),
        "SUM": lambda: f"{random.randint(1, 999)} {random.choice('+-*/')} {random.randint(1, 99)}",
    }
    return makers[name]()
