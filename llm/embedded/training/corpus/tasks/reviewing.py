"""The reviewer by copying: the topic that was asked for, the topic of the answer, a score and a reason."""

from random import Random
from typing import NamedTuple

from llm.embedded.training.corpus import answers, phrases, prompts, requests, results, topics
from llm.embedded.training.corpus.conversation import Conversation, assistant, dump, system, user
from llm.embedded.training.corpus.tasks.talking import ask_fact, needs_tools, talk

SMALL_TALK = "small talk"
NO_TOPIC = "the request"


class Exchange(NamedTuple):
    """A request, its topic, a fitting answer, and the score and the reason that it deserves."""

    request: str
    topic: str
    answer: str
    score: int = 5
    reason: str = "The answer is about what was asked."


def reviewing(random: Random) -> Conversation:
    """A request and an answer that is good, honest, off its topic, rude or senseless."""
    exchange = _exchange(random)
    found, answer, score, reason = exchange.topic, exchange.answer, exchange.score, exchange.reason
    defect = random.random()
    if defect < 0.25:
        other = _about_something_else(random, exchange.topic)
        found, answer, score, reason = other.topic, other.answer, 2, "The answer is about something else."
    elif defect < 0.33:
        answer, score, reason = phrases.expand("rude", random) + ".", 1, "The answer is not polite."
    elif defect < 0.41:
        answer, score, reason = phrases.expand("senseless", random), 1, "The answer says nothing."
    verdict = {"asked_topic": exchange.topic, "found_topic": found, "score": score, "reason": reason}
    text = prompts.fill(prompts.template("reviewer-by-copying", "user"), request=exchange.request, draft=answer)
    head = system(prompts.system(random, "reviewer-by-copying", "reviewer_system"))
    return Conversation("reviewing", [*head, user(text), assistant(dump(verdict))], None, {"verdict": verdict})


def _exchange(random: Random) -> Exchange:
    form = random.random()
    if form < 0.30:
        return _fact(random)
    if form < 0.42:
        said = talk(random)
        return Exchange(said[0]["content"], SMALL_TALK, said[1]["content"])
    if form < 0.52:
        return _trip(random)
    honest = "The answer says honestly what it cannot do."
    if form < 0.67:
        request = requests.request(random, requests.kind(random))
        return Exchange(request.asked, str(request.place), needs_tools(random, request.place), 4, honest)
    asked = topics.declined(random)
    return Exchange(asked.text, asked.subject or NO_TOPIC, phrases.expand("refusal", random), 4, honest)


def _fact(random: Random) -> Exchange:
    topic, sentence = random.choice(list(topics.facts().items()))
    return Exchange(ask_fact(random, topic), topic, sentence)


def _trip(random: Random) -> Exchange:
    request = requests.request(random, requests.kind(random))
    place = str(request.place)
    weather = results.weather(random, place, str(request.date))
    sights = results.attractions(random, place) if request.kind == "travel" else None
    return Exchange(request.asked, place, answers.answer(random, request.told, weather, sights))


def _about_something_else(random: Random, topic: str) -> Exchange:
    while (other := random.choice([_fact, _fact, _trip])(random)).topic == topic:
        pass
    return other
