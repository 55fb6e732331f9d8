"""Work on a given text: repeat it, shorten it, list or extract what it names."""

import string
from random import Random

from llm.embedded.training.corpus import answers, names, phrases, requests, results
from llm.embedded.training.corpus.conversation import Conversation, assistant, dump, system, user

_SLOTS = ("text",)
_SIGNS = string.ascii_letters + string.digits + "-_."


def echoing(random: Random) -> Conversation:
    """Copying any text: words, names, letters, numbers."""
    text = random.choice([_words, _words, _names, _signs, _numbers])(random)
    asked = phrases.expand("ask_echo", random, _SLOTS).replace("{text}", text)
    return Conversation("echoing", [*_head(random), user(asked), assistant(text)])


def extracting(random: Random) -> Conversation:
    """A place, a date, a condition or a list of sights out of a request or an answer."""
    request = requests.request(random, requests.kind(random))
    place, day = str(request.place), str(request.date)
    weather, sights = results.weather(random, place, day), results.attractions(random, place)
    told = answers.answer(random, request.told, weather, sights)
    text, bank, answer = random.choice(
        [
            (request.messages[0]["content"], "ask_location_date", dump({"location": place, "date": day})),
            (told, "ask_location_weather", dump({"location": place, "weather": weather["condition"]})),
            (told, "ask_sights", "\n".join(f"- {sight}" for sight in sights["attractions"])),
            (told, "ask_summary", _summary(weather, sights)),
        ]
    )
    if bank == "ask_location_date" and len(request.messages) > 1:
        return extracting(random)
    asked = phrases.expand(bank, random, _SLOTS).replace("{text}", text)
    return Conversation("extracting", [*_head(random), user(asked), assistant(answer)])


def _summary(weather: results.Result, sights: results.Result) -> str:
    first = sights["attractions"][0]
    return f"{weather['location']}: {weather['condition']}, {weather['temp_c']}°C, visit {first}."


def _head(random: Random) -> list[dict[str, object]]:
    return system(random.choice([None, None, "You are a helpful assistant.", "You rewrite text.", "Be brief."]))


def _words(random: Random) -> str:
    return " ".join(random.choices(names.vocabulary(), k=random.randint(1, 8)))


def _names(random: Random) -> str:
    return " ".join(names.invented_place(random) for _ in range(random.randint(1, 3)))


def _signs(random: Random) -> str:
    return "".join(random.choices(_SIGNS, k=random.randint(3, 12)))


def _numbers(random: Random) -> str:
    return " ".join(str(random.randint(0, 9999)) for _ in range(random.randint(1, 4)))
