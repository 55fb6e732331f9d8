"""How often each task comes: the whole corpus as one endless draw."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from llm.embedded.training.corpus import names, phrases, requests, topics
from llm.embedded.training.corpus.conversation import Conversation, Message, system, user
from llm.embedded.training.corpus.tasks.client_tools import client_tools
from llm.embedded.training.corpus.tasks.judging import judging
from llm.embedded.training.corpus.tasks.planning import agent, planning
from llm.embedded.training.corpus.tasks.responding import responding
from llm.embedded.training.corpus.tasks.reviewing import reviewing
from llm.embedded.training.corpus.tasks.routing import routing
from llm.embedded.training.corpus.tasks.talking import declining, knowing, sending_on, talking
from llm.embedded.training.corpus.tasks.text_work import echoing, extracting
from llm.embedded.training.corpus.tasks.writing import writing

Task = Callable[[Random], Conversation]

# Shares of conversations in percent. Routing and refusals are short, so their share of tokens is far smaller.
MIXTURE: list[tuple[Task, float]] = [
    (planning, 22),
    (agent, 6),
    (routing, 26),
    (judging, 12),
    (responding, 9),
    (declining, 6),
    (talking, 4),
    (knowing, 2),
    (sending_on, 2),
    (writing, 3),
    (reviewing, 4),
    (client_tools, 3),
    (extracting, 1.5),
    (echoing, 3),
]


_CHATS = {"planning", "agent", "routing", "responding", "declining", "talking", "sending_on", "writing", "client_tools"}


def conversation(random: Random) -> Conversation:
    """A conversation of the corpus."""
    (task,) = random.choices([task for task, _ in MIXTURE], [share for _, share in MIXTURE])
    drawn = task(random)
    if drawn.task in _CHATS and random.random() < 0.04:
        drawn = replace(drawn, messages=_with_history(random, drawn.messages))
    if drawn.task in _CHATS and random.random() < 0.04:
        drawn = replace(drawn, messages=_with_second_system(random, drawn.messages))
    return drawn


def _with_history(random: Random, messages: Sequence[Message]) -> list[Message]:
    """Earlier turns, already answered, before the conversation; so that the model has seen long prompts."""
    history: list[Message] = []
    for _ in range(random.choice([1, 1, 2, 3, 5, 8, 12])):
        topic = random.choice([*topics.MAIN_TOPICS, "smalltalk", *topics.OTHER_TOPICS])
        bank = random.choice(["earlier_answer", "refusal", "reply_greeting", "reply_abilities", "needs_tools"])
        reply = phrases.expand(bank, random, ("place",)).replace("{place}", names.place(random))
        history += [user(topics.message_of(random, topic)), requests.unlearnt(reply)]
    start = _after_system(messages)
    return [*messages[:start], *history, *messages[start:]]


def _with_second_system(random: Random, messages: Sequence[Message]) -> list[Message]:
    """A client's own system prompt behind that of the graph."""
    start = _after_system(messages)
    return [*messages[:start], *system(phrases.expand("persona_system", random)), *messages[start:]]


def _after_system(messages: Sequence[Message]) -> int:
    return sum(message["role"] == "system" for message in messages)
