"""National ids, by country: what they look like, and the check of their digits, which python-stdnum knows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module

from guardrails.rule import Kind, Parts

EDGES = (r"(?<![\w.])", r"(?!\w)")
FORMS = {
    "AT": ("at.vnr", r"\d{4} ?\d{6}"),
    "BE": ("be.nn", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}"),
    "BR": ("br.cpf", r"\d{3}\.\d{3}\.\d{3}-\d{2}"),
    "CH": ("ch.ssn", r"756\.\d{4}\.\d{4}\.\d{2}"),
    "DE": ("de.idnr", r"[1-9]\d ?\d{3} ?\d{3} ?\d{3}"),
    "ES": ("es.dni", r"\d{8}-?[A-Za-z]"),
    "ES_NIE": ("es.nie", r"[XYZxyz]-?\d{7}-?[A-Za-z]"),
    "FI": ("fi.hetu", r"\d{6}[-+A-FYXWVU]\d{3}[0-9A-Y]"),
    "FR": ("fr.nir", r"[12] ?\d{2} ?\d{2} ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}"),
    "GB_NHS": ("gb.nhs", r"\d{3} \d{3} \d{4}"),
    "IN": ("in_.aadhaar", r"[2-9]\d{3} \d{4} \d{4}"),
    "IT": ("it.codicefiscale", r"[A-Za-z]{6}\d{2}[A-Za-z]\d{2}[A-Za-z]\d{3}[A-Za-z]"),
    "NL": ("nl.bsn", r"\d{3}\.?\d{3}\.?\d{3}"),
    "PL": ("pl.pesel", r"\d{11}"),
    "SE": ("se.personnummer", r"(?:19|20)?\d{6}[-+]\d{4}"),
    "US": ("us.ssn", r"\d{3}-\d{2}-\d{4}"),
}
"""The number of a country: the module of python-stdnum that checks it, and how people write it."""


def national_kinds(countries: Sequence[str] = ()) -> list[Kind]:
    """The ids of these countries; of all that are known by default.

    Raises:
        ValueError: when the ids of a country are not known.
    """
    for country in countries:
        if not any(name.partition("_")[0] == country for name in FORMS):
            known = ", ".join(dict.fromkeys(name.partition("_")[0] for name in FORMS))
            raise ValueError(f"the national ids of '{country}' are not known; known are those of: {known}")
    wanted = [name for name in FORMS if not countries or name.partition("_")[0] in countries]
    return [_kind(name) for name in wanted]


def _kind(name: str) -> Kind:
    module, form = FORMS[name]
    pattern = form.join(EDGES)
    whole = re.compile(pattern)

    def check(text: str) -> Parts:
        """Each number in a piece by itself: what stands beside one may look like another that overlaps it."""
        number = import_module(f"stdnum.{module}")
        found = (whole.match(text, at) for at in range(len(text)))
        return [each.span() for each in found if each is not None and number.is_valid(each[0])]

    return Kind(f"national_id_{name.lower()}", (pattern,), check=check)
