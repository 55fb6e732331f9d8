"""The languages that a text may be in, told by its script, and in the Latin script by the commonest words.

Good for a sentence or more; a text that shows no language (a number, a name, code) is let pass.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from guardrails.rule import TextRule
from guardrails.verdict import Action

LONGEST = 4000
"""How many characters of a text are looked at."""
LEAST_WORDS = 3
"""How many common words must speak for a language."""
SCRIPTS = {
    "ARABIC": "ar", "BENGALI": "bn", "CYRILLIC": "ru", "DEVANAGARI": "hi", "GREEK": "el", "HANGUL": "ko",
    "HEBREW": "he", "HIRAGANA": "ja", "KATAKANA": "ja", "CJK": "zh", "THAI": "th", "ARMENIAN": "hy", "GEORGIAN": "ka",
}  # fmt: skip
"""The language that stands for all that are written in a script."""
COMMON = {
    "en": "the of and to in is you that it he was for on are with as his they at be this have from or had by but what",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er",
    "fr": "le de la et les des en un une du que est pour qui dans ce il pas sur plus par avec je vous au sont ne se",
    "es": "el la de que y en los del se las por un para con no una su al lo como más pero sus le ya este sí porque es",
    "it": "di che è e la il un a per in una mi sono ho non ma lo ha le si ti con cosa se come da ci no questo del",
    "pt": "o de que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu sua",
    "nl": "de en van ik te dat die in een hij het niet zijn is was op aan met als voor had er maar om hem dan zou of",
    "pl": "i w nie na z się do to że jest o jak co po ale tak za od przez go jego już był dla czy ma jej ja może być",
    "sv": "och i att det som en på är av för med till den har de inte om ett han men var jag sig från vi så kan när nu",
    "tr": "bir ve bu da de için ne çok o ben ama ile var mi daha gibi sen kadar değil en olan olarak şey her sonra",
}
WORD = re.compile(r"[^\W\d_]+")
_KNOWN = {language: frozenset(words.split()) for language, words in COMMON.items()}
LANGUAGES = frozenset({*SCRIPTS.values(), *COMMON})


def language(*allowed: str, name: str = "language", action: Action = "refuse", message: str = "") -> TextRule:
    """Only these languages, by their two letters.

    Raises:
        ValueError: when one of them cannot be told.
    """
    if unknown := set(allowed) - LANGUAGES:
        raise ValueError(f"the language '{min(unknown)}' cannot be told; known are: {', '.join(sorted(LANGUAGES))}")

    def look(text: str) -> str:
        found = language_of(text)
        return f"It is in the language '{found}'." if found and found not in allowed else ""

    return TextRule(name, message or f"Only these languages are allowed: {', '.join(allowed)}.", action, look=look)


def language_of(text: str) -> str:
    """The language of a text, by its two letters; empty when it shows none."""
    looked_at = text[:LONGEST]
    scripts = Counter(_script(sign) for sign in looked_at if sign.isalpha())
    latin = scripts.pop("LATIN", 0)
    if scripts and sum(scripts.values()) * 2 > latin:
        if scripts["HIRAGANA"] + scripts["KATAKANA"]:
            return "ja"
        return SCRIPTS.get(scripts.most_common(1)[0][0], "")
    words = [word.lower() for word in WORD.findall(looked_at)]
    votes = Counter({language: sum(word in known for word in words) for language, known in _KNOWN.items()})
    (best, most), (_, second) = votes.most_common(2)
    return best if most >= LEAST_WORDS and most > second else ""


def _script(sign: str) -> str:
    return unicodedata.name(sign, "").partition(" ")[0]
