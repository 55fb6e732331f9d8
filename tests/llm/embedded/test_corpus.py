"""The corpus: what it teaches is true to its own rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

import pytest

from llm.embedded.template import render
from llm.embedded.training.corpus import dates, names, phrases, requests
from llm.embedded.training.corpus.conversation import Conversation
from llm.embedded.training.corpus.mixture import MIXTURE, conversation
from llm.embedded.training.corpus.tasks.judging import judging
from llm.embedded.training.corpus.tasks.planning import planning
from llm.embedded.training.corpus.tasks.responding import responding
from llm.embedded.training.corpus.tasks.routing import routing

MANY = 300


def drawn(task: object, number: int = MANY) -> Iterator[Conversation]:
    random = Random("tests")
    for _ in range(number):
        yield task(random)  # type: ignore[operator]


def user_text(made: Conversation) -> str:
    return "\n".join(message["content"] for message in made.messages if message["role"] == "user")


def test_the_same_seed_makes_the_same_corpus() -> None:
    """Everything that is drawn comes out of the one Random."""
    texts = [[render(made.messages, made.tools) for made in drawn(conversation, 50)] for _ in range(2)]
    assert texts[0] == texts[1]


def test_every_task_makes_conversations_that_end_with_something_to_learn() -> None:
    """The last message is the assistant's, no slot of a template is left in any."""
    for task, _ in MIXTURE:
        for made in drawn(task, 100):
            assert made.messages[-1]["role"] == "assistant"
            assert made.messages[-1].get("learn", True)
            text = "".join(str(message["content"]) for message in made.messages)
            assert not [slot for slot in ("{place}", "{on}", "{date}", "{told}", "{noun}", "{tip}") if slot in text]


@pytest.mark.parametrize("name", phrases.names())
def test_banks_can_be_expanded(name: str) -> None:
    """Every bank parses, and its references lead somewhere."""
    slots = ("place", "on", "date", "told", "topic", "noun", "text", "labels", "condition", "temp", "typical")
    random = Random(name)
    for _ in range(50):
        assert phrases.expand(name, random, (*slots, "attractions", "tip", "month")) is not None


def test_places_and_dates_are_the_users_words() -> None:
    """What a call must copy stands in what the user typed, letter by letter."""
    random = Random("tests")
    for _ in range(MANY):
        request = requests.request(random, requests.kind(random))
        assert request.place in request.asked  # type: ignore[operator]
        assert request.date in request.asked  # type: ignore[operator]


def test_a_date_stands_in_what_is_said_of_it() -> None:
    """With its preposition, in a request and in an answer."""
    random = Random("tests")
    for _ in range(MANY):
        date = dates.date(random)
        assert date.bare in date.said
        assert date.bare in date.told


def test_the_planner_calls_and_then_is_done() -> None:
    """Calls copy the user's words; the last word is always `done`."""
    for made in drawn(planning):
        assert made.messages[-1]["content"] == "done"
        for message in made.messages:
            for call in message.get("tool_calls", ()):
                arguments = json.loads(call["function"]["arguments"])
                assert message.get("learn", True) is False or arguments["location"] in user_text(made)


def test_the_router_names_a_label_that_it_was_given() -> None:
    """The answer is one of the labels in the system prompt."""
    for made in drawn(routing):
        assert made.messages[-1]["content"] in made.messages[0]["content"]


def test_the_judge_copies() -> None:
    """What was asked stands in the request, what was found in the evidence."""
    for made in drawn(judging):
        verdict = json.loads(made.messages[-1]["content"])
        request, _, evidence = made.messages[1]["content"].partition("\nEvidence:\n")
        assert list(verdict) == ["asked_place", "found_place", "asked_date", "found_date", "score", "reason"]
        assert verdict["asked_place"] in request
        assert verdict["asked_date"] in request
        assert verdict["found_place"] in evidence
        assert verdict["found_date"] in evidence
        assert 1 <= verdict["score"] <= 5


def test_the_responder_tells_what_the_tools_returned() -> None:
    """Condition and temperature of the last result are in the answer."""
    for made in drawn(responding):
        results = [json.loads(message["content"]) for message in made.messages if message["role"] == "tool"]
        weather = [result for result in results if "condition" in result]
        if weather and not any("error" in result for result in results) and made.messages[-2]["role"] != "user":
            assert weather[-1]["condition"] in made.messages[-1]["content"]
            assert f"{weather[-1]['temp_c']}°C" in made.messages[-1]["content"]


def test_invented_places_are_many() -> None:
    """Copying must not hang on a list."""
    random = Random("tests")
    assert len({names.invented_place(random) for _ in range(MANY)}) > MANY * 0.97
