"""The judge by copying: what was asked, what was found, and whether anything is missing. It never compares."""

from random import Random

from llm.embedded.training.corpus import names, prompts, requests, results
from llm.embedded.training.corpus.conversation import Conversation, assistant, dump, system, user
from llm.embedded.training.corpus.dates import date
from llm.embedded.training.corpus.requests import Request
from llm.embedded.training.corpus.results import Result


def judging(random: Random) -> Conversation:
    """Evidence that may be good, for the wrong place or date, incomplete, or an honest error."""
    if random.random() < 0.03:
        return _incomplete(random)
    request = requests.request(random, requests.kind(random))
    weather, sights = _evidence(random, request)
    return conversation(random, request, weather, sights)


def conversation(random: Random, request: Request, weather: Result | None, sights: Result | None) -> Conversation:
    """The judge's prompt and verdict for a request and the results of its calls (None: not called)."""
    score, reason = _verdict(request, weather, sights)
    verdict = {
        "asked_place": request.place or "",
        "found_place": weather["location"] if weather else "",
        "asked_date": request.date or "",
        "found_date": weather.get("date", "") if weather else "",
        "score": score,
        "reason": reason,
    }
    lines = [_earlier(random, request)] if weather and random.random() < 0.02 else []
    shown = "\n".join([*lines, evidence(weather, sights)])
    text = prompts.fill(prompts.template("judge-by-copying", "user"), request=request.asked, evidence=shown)
    messages = [
        *system(prompts.system(random, "judge-by-copying", "judge_system")),
        user(text),
        assistant(dump(verdict)),
    ]
    return Conversation("judging", messages, None, {"verdict": verdict})


def evidence(weather: Result | None, sights: Result | None) -> str:
    """One line a call."""
    lines = [f"get_weather: {dump(weather)}"] if weather else []
    lines += [f"search_attractions: {dump(sights)}"] if sights else []
    return "\n".join(lines)


def _earlier(random: Random, request: Request) -> str:
    """What a first, wrong call brought; the last result of a tool is the one that counts."""
    place = names.place(random)
    found = results.weather(random, place, str(request.date or date(random).bare))
    return evidence(found, results.attractions(random, place) if request.kind == "travel" else None)


def _evidence(random: Random, request: Request) -> tuple[Result | None, Result | None]:
    place, day, luck = str(request.place), str(request.date), random.random()
    if luck < 0.10:
        return results.unknown_place(random, place, day), None
    if luck < 0.13:
        return results.unknown_date(place, day), None
    place = names.place(random) if luck < 0.30 else place
    day = date(random).bare if 0.30 <= luck < 0.42 else day
    weather = results.weather(random, place, day)
    if request.kind == "weather":
        return (weather, results.attractions(random, place)) if luck > 0.96 else (weather, None)
    if luck > 0.84:
        return weather, None
    if luck > 0.80:
        return None, results.attractions(random, place)
    sights = results.no_attractions(place) if luck > 0.76 else results.attractions(random, place)
    return weather, sights


def _verdict(request: Request, weather: Result | None, sights: Result | None) -> tuple[int, str]:
    """The score by presence, and the reason."""
    if request.lacks:
        missing = {"place": "place is", "date": "date is", "both": "place and the date are"}[request.lacks]
        return 4, f"The {missing} missing in the request."
    if weather is None:
        return 2, "The weather is missing."
    if weather.get("error"):
        unread = weather["error"] == results.NO_MONTH
        return 4, "The tool could not read the date." if unread else "The tool knows nothing of the place."
    if request.kind == "weather":
        return 5, "The weather is there."
    if sights is None:
        return 2, "The attractions are missing."
    if sights.get("error"):
        return 4, "The tool knows no attractions of the place."
    return 5, "The weather and the attractions are there."


def _incomplete(random: Random) -> Conversation:
    """Nothing could be looked up, as place or date is missing; or it was not, though it could have been."""
    if random.random() < 0.6:
        return conversation(random, requests.incomplete(random, requests.kind(random)), None, None)
    return conversation(random, requests.request(random, requests.kind(random)), None, None)
