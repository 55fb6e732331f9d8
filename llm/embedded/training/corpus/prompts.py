"""The system prompts that the gateway sends, as its library has them, and other ways to say the same."""

import tomllib
from functools import cache
from pathlib import Path
from random import Random

from llm.embedded.training.corpus import phrases

_LIBRARY = Path(__file__).parents[4] / "prompts" / "library"


@cache
def template(name: str, role: str = "system") -> str:
    """The template of a role in prompts/library/<name>.toml."""
    entries = tomllib.loads((_LIBRARY / f"{name}.toml").read_text("utf-8"))["prompt_template"]
    return next(str(entry["content"]) for entry in entries if entry["role"] == role)


def system(random: Random, name: str, bank: str) -> str:
    """The library's system prompt in three of four cases, else a paraphrase from a bank."""
    return template(name) if random.random() < 0.75 else phrases.expand(bank, random, ("labels",))


def fill(text: str, **values: str) -> str:
    """The template with its `{{ name }}` slots (or a bank's `{name}`) filled in."""
    for name, value in values.items():
        text = text.replace(f"{{{{ {name} }}}}", value).replace(f"{{{name}}}", value)
    return text
