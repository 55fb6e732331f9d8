"""The planner of the trip-planner graph: tool calls one by one, then `done`; and the same tools without a graph."""

from random import Random
from typing import NamedTuple

from llm.embedded.training.corpus import answers, names, phrases, prompts, requests, results, topics
from llm.embedded.training.corpus.conversation import (
    GET_WEATHER,
    SEARCH_ATTRACTIONS,
    Conversation,
    Message,
    assistant,
    call,
    result,
    system,
    user,
)
from llm.embedded.training.corpus.dates import date
from llm.embedded.training.corpus.requests import Request
from llm.embedded.training.corpus.results import Result

DONE = "done"


class Gathered(NamedTuple):
    """The messages of the tool calls, and what they brought."""

    messages: list[Message]
    weather: Result
    attractions: Result | None


def planning(random: Random) -> Conversation:
    """Under the planner's system prompt: calls, then `done`; `done` at once where there is nothing to fetch."""
    head = system(prompts.system(random, "planner", "planner_system"))
    form = random.random()
    if form < 0.20:
        return _nothing_to_fetch(random, head)
    request = requests.request(random, requests.kind(random))
    if form < 0.32:
        return _reviewed(random, request, head)
    gathered = gather(random, request)
    messages = [*head, *request.messages, *gathered.messages, assistant(DONE)]
    return Conversation("planning", messages, _tools(random, request), {"request": request})


def agent(random: Random) -> Conversation:
    """Tools declared by a client, no graph: the same calls, and then the answer itself."""
    head = system(random.choice([None, phrases.expand("agent_system", random)]))
    if random.random() < 0.2:
        request = requests.incomplete(random, requests.kind(random))
        asked = answers.asking(random, request.kind, request.lacks, request.place, request.told)
        return Conversation("agent", [*head, *request.messages, assistant(asked)], _any_tools(random))
    request = requests.request(random, requests.kind(random))
    gathered = gather(random, request)
    told = answers.answer(random, request.told, gathered.weather, gathered.attractions)
    messages = [*head, *request.messages, *gathered.messages, assistant(told)]
    return Conversation("agent", messages, _tools(random, request), {"request": request})


def gather(random: Random, request: Request) -> Gathered:
    """The calls for a complete request, with results that may be honest errors."""
    place, day = str(request.place), str(request.date)
    luck = random.random()
    if luck < 0.07:
        return _only_weather(request, results.unknown_place(random, place, day))
    if luck < 0.10:
        return _only_weather(request, results.unknown_date(place, day))
    weather = results.weather(random, place, day)
    if request.kind == "weather":
        return _only_weather(request, weather)
    sights = results.no_attractions(place) if luck < 0.13 else results.attractions(random, place)
    second = [call("search_attractions", location=place, weather=weather["condition"]), result(sights)]
    return Gathered([*_only_weather(request, weather).messages, *second], weather, sights)


def _only_weather(request: Request, weather: Result) -> Gathered:
    messages = [call("get_weather", location=str(request.place), date=str(request.date)), result(weather)]
    return Gathered(messages, weather, None)


def _tools(random: Random, request: Request) -> list[dict[str, object]]:
    """The graph offers search_attractions for trips only; a client may offer it always."""
    if request.kind == "weather" and random.random() < 0.7:
        return [GET_WEATHER]
    return _any_tools(random) if random.random() < 0.15 else [GET_WEATHER, SEARCH_ATTRACTIONS]


def _any_tools(random: Random) -> list[dict[str, object]]:
    return random.choice([[GET_WEATHER, SEARCH_ATTRACTIONS], [SEARCH_ATTRACTIONS, GET_WEATHER]])


def _nothing_to_fetch(random: Random, head: list[Message]) -> Conversation:
    if random.random() < 0.6:
        said = requests.incomplete(random, requests.kind(random)).messages
    elif random.random() < 0.4:
        said = [user(topics.about(random, "travel").text)]
    else:
        said = [user(topics.message_of(random, random.choice(["smalltalk", "smalltalk", *topics.OTHER_TOPICS])))]
    tools = [GET_WEATHER, SEARCH_ATTRACTIONS] if random.random() < 0.7 else [GET_WEATHER]
    return Conversation("planning", [*head, *said, assistant(DONE)], tools)


def _reviewed(random: Random, request: Request, head: list[Message]) -> Conversation:
    """A judge refused what wrong or missing calls brought; the calls are made again, rightly."""
    place, day = str(request.place), str(request.date)
    defect = random.choice(["place", "date", "both", "attractions" if request.kind == "travel" else "place"])
    wrong_place = names.place(random) if defect in {"place", "both"} else place
    wrong_day = date(random).bare if defect in {"date", "both"} else day
    weather = results.weather(random, wrong_place, wrong_day)
    said: list[Message] = [_unlearnt(call("get_weather", location=wrong_place, date=wrong_day)), result(weather)]
    if request.kind == "travel" and defect != "attractions":
        said += [
            _unlearnt(call("search_attractions", location=wrong_place, weather=weather["condition"])),
            result(results.attractions(random, wrong_place)),
        ]
    said += [_unlearnt(assistant(DONE))] if random.random() < 0.2 else []
    remarks = [f"The place is wrong: {wrong_place} instead of {place}."] if wrong_place != place else []
    remarks += [f"The date is wrong: {wrong_day} instead of {day}."] if wrong_day != day else []
    said.append(user(f"Reviewer: {' '.join(remarks) or 'The attractions are missing.'}"))
    if defect == "attractions":
        again = [
            call("search_attractions", location=place, weather=weather["condition"]),
            result(results.attractions(random, place)),
        ]
    else:
        again = gather(random, request).messages
    messages = [*head, *request.messages, *said, *again, assistant(DONE)]
    return Conversation("planning", messages, _tools(random, request), {"request": request})


def _unlearnt(message: Message) -> Message:
    return message | {"learn": False}
