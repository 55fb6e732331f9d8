"""What people talk about: topics with their phrases, and the requests that the model declines."""

from functools import cache
from random import Random
from typing import NamedTuple

from llm.embedded.training.corpus import names, noise, phrases, requests

OTHER_TOPICS = {
    "cooking": ["cooking"],
    "health": ["health"],
    "code": ["code"],
    "maths": ["maths"],
    "music": ["music"],
    "history": ["history"],
    "science": ["science"],
    "shopping": ["shopping"],
    "language": ["language"],
    "geography": ["geography"],
    "pets": ["pets"],
    "home": ["home"],
    "work": ["work"],
    "garden": ["garden"],
    "writing": ["creative"],
    "people": ["people"],
    "culture": ["culture"],
    "smalltalk": ["greeting", "thanks", "bye", "identity", "abilities", "chat"],
}
SYNONYMS = {
    "finance": ["finance", "money", "banking"],
    "sport": ["sport", "sports"],
    "travel": ["travel", "trips", "tourism"],
    "weather": ["weather", "forecast", "climate"],
    "code": ["code", "coding", "programming"],
    "maths": ["maths", "math"],
    "smalltalk": ["smalltalk", "chat", "small talk"],
    "writing": ["writing", "creative"],
    "health": ["health", "medical"],
    "cooking": ["cooking", "food", "recipes"],
    "people": ["people", "relationships", "advice"],
    "home": ["home", "household"],
    "language": ["language", "translation"],
    "culture": ["culture", "entertainment"],
}
MAIN_TOPICS = ["finance", "sport", "travel", "weather"]
UNLABELLED = ["roleplay", "action", "inject", "foreign"]

# What the model declines, with weights: everything that is neither a trip, the weather, a known fact nor small talk.
_DECLINED = (
    {"cooking": 4, "health": 5, "code": 7, "maths": 7, "music": 3, "history": 5, "science": 7, "shopping": 4}
    | {"language": 6, "geography": 5, "pets": 3, "home": 4, "work": 3, "garden": 2, "creative": 8, "people": 6}
    | {"culture": 5, "chat": 5, "roleplay": 5, "action": 6, "inject": 5, "foreign": 6, "finance": 4, "sport": 4}
    | {"travel_topic": 3, "gibberish": 1}
)


class Asked(NamedTuple):
    """A message about something; `subject` is the noun phrase it is about, where the phrase marks one."""

    text: str
    subject: str | None


def about(random: Random, topic: str) -> Asked:
    """A message of a topic's own phrases, or a general question about one of its nouns."""
    if topic == "gibberish":
        return Asked(_gibberish(random), None)
    if topic in {"travel", "weather"}:
        topic = f"{topic}_topic"
    noun_bank = f"{topic.removesuffix('_topic')}_noun"
    if noun_bank in phrases.names() and random.random() < 0.45:
        template = phrases.expand("about", random, ("noun",)).replace("<{noun}>", f"<{noun(random, noun_bank)}>")
        return typed(random, template.replace("{noun}", noun(random, noun_bank)))
    return typed(random, phrases.expand(topic, random, ("place",)))


def noun(random: Random, bank: str) -> str:
    """A noun of a bank; now and then an invented one, as nobody knows all words."""
    return names.word(random) if random.random() < 0.06 else phrases.expand(bank, random)


def declined(random: Random) -> Asked:
    """A request that is beyond the model, and no question for a fact that it was taught."""
    while True:
        (topic,) = random.choices(list(_DECLINED), list(_DECLINED.values()))
        asked = about(random, topic)
        if not _is_known(asked.subject):
            return asked


def typed(random: Random, template: str) -> Asked:
    """A template with its place filled in and typed in some style, without its topic marks."""
    how = noise.style(random)
    text = noise.typed(template, how, random)
    place = names.place(random)
    text = text.replace("{place}", place.lower() if how.lower else place)
    start, end = text.find("<"), text.find(">")
    subject = text[start + 1 : end] if 0 <= start < end else None
    return Asked(text.replace("<", "").replace(">", ""), subject)


def label_set(random: Random) -> dict[str, str]:
    """Labels of a router, each with its topic ("" for other), in a random order; `other` is almost always there."""
    kind = random.random()
    if kind < 0.3:
        chosen = ["travel", "weather"]
    elif kind < 0.6:
        chosen = list(MAIN_TOPICS)
    else:
        pool = [*MAIN_TOPICS, *MAIN_TOPICS, *OTHER_TOPICS]
        chosen = list(dict.fromkeys(random.choices(pool, k=random.randint(2, 7))))
    synonyms = random.random() < 0.3 and kind >= 0.6
    labels = {random.choice(SYNONYMS.get(topic, [topic])) if synonyms else topic: topic for topic in chosen}
    if random.random() < 0.95:
        labels["other"] = ""
    if kind < 0.6 and random.random() < 0.4:
        return labels
    return dict(random.sample(list(labels.items()), len(labels)))


def message_of(random: Random, topic: str) -> str:
    """A single message that belongs to a topic, which may be an unlabelled one."""
    if topic in {"travel", "weather"} and random.random() < 0.55:
        return _wish(random, "travel" if topic == "travel" else "weather")
    return about(random, random.choice(OTHER_TOPICS.get(topic, [topic]))).text


def _wish(random: Random, kind: requests.Kind) -> str:
    wish = requests.request(random, kind) if random.random() < 0.65 else requests.incomplete(random, kind)
    return str(wish.messages[0]["content"])


def _gibberish(random: Random) -> str:
    words = ("".join(random.choices("asdfghjklqwertyuiopzxcvbnm", k=random.randint(2, 8))) for _ in range(5))
    return " ".join(list(words)[: random.randint(1, 5)])


@cache
def facts() -> dict[str, str]:
    """What the model was taught: a topic ("a bond") to its sentence."""
    lines = [line for bank in ("fact_finance", "fact_sport") for line in _lines(bank)]
    return dict(line.split(": ", 1) for line in lines)


def _lines(bank: str) -> list[str]:
    return (phrases.FOLDER / f"{bank}.txt").read_text("utf-8").splitlines()


@cache
def _known() -> frozenset[str]:
    return frozenset(_bare(topic) for topic in facts())


def _bare(subject: str) -> str:
    words = [word for word in subject.lower().split() if word not in {"a", "an", "the", "my"}]
    return " ".join(words).rstrip("s")


def _is_known(subject: str | None) -> bool:
    return subject is not None and _bare(subject) in _known()
