"""The writer of the reviewed-answer graph: a short answer, and another one after a reviewer's remark."""

from random import Random

from llm.embedded.training.corpus import phrases, prompts, requests, topics
from llm.embedded.training.corpus.conversation import Conversation, Message, assistant, system, user
from llm.embedded.training.corpus.tasks.talking import ask_fact, needs_tools, talk


def writing(random: Random) -> Conversation:
    """A fact, small talk, the way to the trip-planner, or a refusal; in a third of the cases as a second draft."""
    head = system(prompts.system(random, "writer", "writer_system"))
    said, good = _exchange(random)
    middle = _refused_draft(random) if random.random() < 0.3 else []
    return Conversation("writing", [*head, *said, *middle, good])


def _exchange(random: Random) -> tuple[list[Message], Message]:
    form = random.random()
    if form < 0.30:
        topic, sentence = random.choice(list(topics.facts().items()))
        return [user(ask_fact(random, topic))], assistant(sentence)
    if form < 0.45:
        said = talk(random)
        return said[:1], said[1]
    if form < 0.65:
        complete = requests.request if random.random() < 0.6 else requests.incomplete
        request = complete(random, requests.kind(random))
        return request.messages, assistant(needs_tools(random, request.place))
    return [user(topics.declined(random).text)], assistant(phrases.expand("refusal", random))


def _refused_draft(random: Random) -> list[Message]:
    """A draft that a reviewer did not accept, and the remark."""
    topic, sentence = random.choice(list(topics.facts().items()))
    form = random.random()
    if form < 0.6:
        draft, remark = sentence, f"The answer is about {topic}."
    elif form < 0.8:
        draft, remark = phrases.expand("rude", random), "The answer is not polite."
    else:
        draft, remark = phrases.expand("senseless", random), "The answer says nothing."
    return [requests.unlearnt(draft), user(f"Reviewer: {remark}")]
