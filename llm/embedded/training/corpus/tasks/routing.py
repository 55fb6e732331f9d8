"""The router: one label out of those that it was given; what is not listed is `other`."""

from random import Random

from llm.embedded.training.corpus import phrases, prompts, requests, topics
from llm.embedded.training.corpus.conversation import Conversation, Message, assistant, system, user


def routing(random: Random) -> Conversation:
    """A message, or the last turn of a conversation, under a router's system prompt."""
    labels = topics.label_set(random)
    label = _pick(random, list(labels))
    topic = labels[label] or _unlisted(random, list(labels.values()))
    head = prompts.fill(prompts.system(random, "router", "router_system"), labels=", ".join(labels))
    messages = [*system(head), *_said(random, topic), assistant(label)]
    return Conversation("routing", messages, None, {"label": label})


def _pick(random: Random, labels: list[str]) -> str:
    """`other` in a third of the cases, as most that people say is."""
    return "other" if "other" in labels and random.random() < 0.33 else random.choice(labels)


def _unlisted(random: Random, listed: list[str]) -> str:
    """A topic that is not among the labels."""
    pool = [*topics.MAIN_TOPICS, *topics.OTHER_TOPICS, *topics.UNLABELLED, *topics.UNLABELLED, "smalltalk"]
    return random.choice([topic for topic in pool if topic not in listed])


def _said(random: Random, topic: str) -> list[Message]:
    form = random.random()
    if topic in {"travel", "weather"} and form < 0.15:
        return requests.request(random, "travel" if topic == "travel" else "weather").messages
    last = user(topics.message_of(random, topic))
    if form > 0.92:
        return [*_earlier(random), last]
    return [last]


def _earlier(random: Random) -> list[Message]:
    """A turn about something else, already answered."""
    earlier = topics.message_of(random, random.choice([*topics.MAIN_TOPICS, "smalltalk", *topics.OTHER_TOPICS]))
    bank = random.choice(["earlier_answer", "refusal", "reply_greeting", "reply_thanks"])
    reply = phrases.expand(bank, random, ("place",)).replace("{place}", "the city")
    return [user(earlier), requests.unlearnt(reply)]
