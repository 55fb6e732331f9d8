"""Personal data: what it looks like, and the check that tells it from a number that just looks like it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from itertools import pairwise

from guardrails.rule import Kind, Parts, SpanRule
from guardrails.rules.national import national_kinds
from guardrails.verdict import Action

MESSAGE = "The text holds personal data."
DIGIT_OR_LETTER = re.compile(r"[0-9A-Za-z]+")
ISSUERS = re.compile(r"4|5[1-5]|2[2-7]|3[04-9]|6|50|5[6-8]|1800|2131|9792|220")
"""What card numbers begin with; Luhn's check alone lets every tenth number pass."""
MOST_GROUPS = 34
"""How many characters the longest number has, and so into how many groups it may be written."""
REGIONS = ("US", "GB")
"""Countries whose phone numbers are known without ``+`` by default."""
TOP_LEVEL = re.compile(r"[^\W\d_]{2,24}|xn--[a-zA-Z0-9-]{1,59}")


def personal_data(
    kinds: Sequence[str] = (),
    *,
    regions: Sequence[str] = REGIONS,
    countries: Sequence[str] = (),
    name: str = "personal_data",
    action: Action = "redact",
    message: str = MESSAGE,
) -> SpanRule:
    """The rule about personal data.

    Args:
        kinds: of ``email``, ``phone``, ``card``, ``iban``, ``ip`` and ``national_id``; all of them by default.
        regions: countries whose phone numbers are known without the sign ``+`` too, those that matter most first.
        countries: those whose national ids are looked for; all that are known by default.
        name: what the rule is called.
        action: what becomes of a text with personal data.
        message: what a caller whose text is refused is told.

    Raises:
        ValueError: when there is no such kind, country or region.
    """
    known = {kind.name: [kind] for kind in (EMAIL, CARD, IBAN, IP)}
    known |= {"national_id": national_kinds(countries), "phone": [phone(regions)]}
    wanted = kinds or tuple(known)
    if unknown := set(wanted) - known.keys():
        raise ValueError(f"there is no personal data of the kind '{min(unknown)}'; there is: {', '.join(known)}")
    found = [kind for name, those in known.items() if name in wanted for kind in those]
    return SpanRule(name, message, action, kinds=tuple(found))


def _emails(text: str) -> Parts:
    """Addresses that may be delivered: no dots in a row or at an edge, and an end that is a domain's."""
    pieces, at = text.split("@"), 0
    for local, domain in pairwise(pieces):
        labels = domain.split(".")
        while len(labels) > 1 and not TOP_LEVEL.fullmatch(labels[-1]):
            labels.pop()
        begin = len(local) - len(local.lstrip(".-+'%"))
        good = len(labels) > 1 and all(label.strip("-_") == label != "" for label in labels)
        if good and local[begin:] and ".." not in local and not local.endswith("."):
            yield at + begin, at + len(local) + 1 + len(".".join(labels))
        at += len(local) + 1


def _cards(text: str) -> Parts:
    """The groups of digits that together have a card's length, a card's beginning and Luhn's check."""
    from stdnum import luhn  # noqa: PLC0415 - a number library is loaded where there is a number

    def is_card(digits: str) -> bool:
        return (
            13 <= len(digits) <= 19 and len(set(digits)) > 1 and bool(ISSUERS.match(digits)) and luhn.is_valid(digits)
        )

    return _groups(text, is_card)


def _ibans(text: str) -> Parts:
    """The groups that together are an IBAN of a country that has them, with its check."""
    from stdnum import iban  # noqa: PLC0415

    return _groups(text, lambda joined: 15 <= len(joined) <= 34 and iban.is_valid(joined))


def _groups(text: str, is_one: Callable[[str], bool]) -> Parts:
    """The longest runs of groups that, put together, pass a check; they do not overlap. Single signs make one only
    where they are all there is: a list of numbers is none."""
    groups = [(found.start(), found.end()) for found in DIGIT_OR_LETTER.finditer(text)]
    first = 0
    while first < len(groups):
        for last in range(min(first + MOST_GROUPS, len(groups)), first, -1):
            joined = "".join(text[start:end] for start, end in groups[first:last])
            loose = any(end - start < 2 for start, end in groups[first:last]) and last - first < len(groups)
            if len(joined) <= MOST_GROUPS and not loose and is_one(joined):
                yield groups[first][0], groups[last - 1][1]
                first = last - 1
                break
        first += 1


def _addresses(text: str) -> Parts:
    """Addresses of version 4 or 6; a version of software with more or fewer numbers is none."""
    try:
        IPv6Address(text) if ":" in text else IPv4Address(text)
    except AddressValueError:
        return
    if any(sign not in ":0" for sign in text):
        yield 0, len(text)


def phone(regions: Sequence[str]) -> Kind:
    """Phone numbers that are given out: with ``+`` of any country, else of these.

    Raises:
        ValueError: when there is no such region.
    """
    if others := set(regions) - set(REGIONS):
        from phonenumbers import SUPPORTED_REGIONS  # noqa: PLC0415

        if unknown := others - SUPPORTED_REGIONS:
            raise ValueError(f"phone numbers of '{min(unknown)}' are not known; write two capitals, such as GB")

    def numbers(text: str) -> Parts:
        from phonenumbers import Leniency, PhoneNumberMatcher  # noqa: PLC0415

        for region in (*regions, None) if text[:1] != "+" else (None,):
            found = [(match.start, match.end) for match in PhoneNumberMatcher(text, region, leniency=Leniency.VALID)]
            if found:
                return found
        return []

    return Kind("phone", (r"(?<![\w+.])(?:\+ ?|\(|0|\d)[\d ()./-]{5,22}\d(?!\w)",), check=numbers)


EMAIL = Kind("email", (r"(?<![\w.+%-])[\w.+%'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[\w-]{2,63}(?![\w-])",), check=_emails)
CARD = Kind("card", (r"(?<![\w.])\d(?:[ -]?\d){11,18}(?!\w)",), check=_cards)
IBAN = Kind("iban", (r"(?<!\w)[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}(?!\w)",), check=_ibans)
IP = Kind(
    "ip",
    (
        r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3,7}(?!\w)",
        r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:\.\d{1,3}){0,4}(?![\w:])",
    ),
    check=_addresses,
)
