"""Plain chat: small talk, what the model is, and an honest refusal of what it cannot do."""

from random import Random

from llm.embedded.training.corpus import noise, phrases, requests, topics
from llm.embedded.training.corpus.conversation import (
    GET_WEATHER,
    SEARCH_ATTRACTIONS,
    Conversation,
    Message,
    assistant,
    system,
    user,
)

TALK = ["greeting", "thanks", "identity", "abilities", "bye"]


def talking(random: Random) -> Conversation:
    """Small talk, at times after something else, at times with tools that are of no use."""
    earlier = [] if random.random() < 0.8 else [*talk(random)]
    return Conversation("talking", [*_persona(random), *earlier, *talk(random)], _idle_tools(random))


def declining(random: Random) -> Conversation:
    """A request beyond the model, and the honest answer."""
    asked = topics.declined(random)
    refusal = assistant(phrases.expand("refusal", random))
    return Conversation("declining", [*_persona(random), user(asked.text), refusal], _idle_tools(random))


def knowing(random: Random) -> Conversation:
    """A question for one of the facts of finance and sport."""
    topic, sentence = random.choice(list(topics.facts().items()))
    question = ask_fact(random, topic)
    return Conversation("knowing", [*_persona(random), user(question), assistant(sentence)])


def sending_on(random: Random) -> Conversation:
    """A wish for a trip or the weather where there are no tools: the trip-planner has them."""
    complete = requests.request if random.random() < 0.65 else requests.incomplete
    request = complete(random, requests.kind(random))
    answer = assistant(needs_tools(random, request.place))
    return Conversation("sending_on", [*_persona(random), *request.messages, answer])


def needs_tools(random: Random, place: str | None) -> str:
    """What is said where tools would be needed."""
    bank = "needs_tools" if place else "needs_tools_unplaced"
    return phrases.expand(bank, random, ("place",)).replace("{place}", place or "")


def talk(random: Random) -> list[Message]:
    """A turn of small talk and its reply."""
    kind = random.choice(TALK)
    said = noise.typed(phrases.expand(kind, random), noise.style(random), random)
    return [user(said), assistant(phrases.expand(f"reply_{kind}", random))]


def ask_fact(random: Random, topic: str) -> str:
    """A question for a fact, in some style."""
    question = phrases.expand("ask_fact", random, ("topic",)).replace("{topic}", topic)
    return noise.typed(question, noise.style(random), random)


def _persona(random: Random) -> list[Message]:
    form = random.random()
    if form < 0.55:
        return []
    return system(phrases.expand("persona_system" if form < 0.8 else "agent_system", random))


def _idle_tools(random: Random) -> list[dict[str, object]] | None:
    return [GET_WEATHER, SEARCH_ATTRACTIONS] if random.random() < 0.2 else None
