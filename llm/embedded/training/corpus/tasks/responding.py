"""The responder of the trip-planner graph: the answer that the user reads, from the tool results only."""

from random import Random

from llm.embedded.training.corpus import answers, names, phrases, prompts, requests, results, topics
from llm.embedded.training.corpus.conversation import Conversation, Message, assistant, call, result, system, user
from llm.embedded.training.corpus.tasks.planning import gather
from llm.embedded.training.corpus.tasks.talking import talk


def responding(random: Random) -> Conversation:
    """After the tools: the facts. Without them: a question for what is missing, small talk, or an honest refusal."""
    head = system(prompts.system(random, "responder", "responder_system"))
    form = random.random()
    if form < 0.62:
        return _from_results(random, head)
    if form < 0.80:
        request = requests.incomplete(random, requests.kind(random))
        asked = answers.asking(random, request.kind, request.lacks, request.place, request.told)
        return Conversation("responding", [*head, *request.messages, assistant(asked)])
    if form < 0.90:
        said = talk(random)
        return Conversation("responding", [*head, *said])
    refusal = assistant(phrases.expand("refusal", random))
    return Conversation("responding", [*head, user(topics.declined(random).text), refusal])


def _from_results(random: Random, head: list[Message]) -> Conversation:
    request = requests.request(random, requests.kind(random))
    gathered = gather(random, request)
    calls: list[Message] = [message | {"learn": False} for message in gathered.messages]
    if random.random() < 0.03:
        calls = [*_corrected(random, request), *calls]
    if random.random() < 0.05:
        calls.append(requests.unlearnt("done"))
    told = answers.answer(random, request.told, gathered.weather, gathered.attractions)
    return Conversation("responding", [*head, *request.messages, *calls, assistant(told)], None, {"request": request})


def _corrected(random: Random, request: requests.Request) -> list[Message]:
    """A wrong call that the judge refused before the right ones were made."""
    wrong = names.place(random)
    return [
        call("get_weather", location=wrong, date=str(request.date)) | {"learn": False},
        result(results.weather(random, wrong, str(request.date))),
        user(f"Reviewer: The place is wrong: {wrong} instead of {request.place}."),
    ]
