"""What the rows of the settings are made of: names, secrets, addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

EVERYTHING = ("*",)
"""Patterns that cover every name."""
MIN_KEY = 8
"""How many characters a key of ours has at least."""
MIN_SECRET = 32
"""And the secret that stored keys are hashed with."""


class Section(BaseModel):
    """A part of the settings: unknown keys are refused, and nothing changes after the start."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


Port = Annotated[int, Field(ge=0, le=65535)]


def written(pattern: str, remedy: str) -> AfterValidator:
    """A check of how a value is written, which says how to write it."""

    def check(value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            raise ValueError(f"{value!r} will not do; write {remedy}")
        return value

    return AfterValidator(check)


def _sendable(value: SecretStr) -> SecretStr:
    if re.fullmatch(r"[\x21-\x7e]*", value.get_secret_value()) is None:
        raise ValueError(
            "the key holds spaces, line breaks or letters outside ASCII; write one that fits into a header"
        )
    return value


def _long_enough(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < MIN_KEY:
        raise ValueError(f"the key is too short; write one with at least {MIN_KEY} characters")
    return value


Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _hard_to_guess(value: SecretStr) -> SecretStr:
    if 0 < len(value.get_secret_value()) < MIN_SECRET:
        raise ValueError(f"the secret is too short; write {MIN_SECRET} random characters, as openssl rand -hex 32 does")
    return value


Secret = Annotated[SecretStr, AfterValidator(_sendable)]
StoreSecret = Annotated[SecretStr, AfterValidator(_hard_to_guess)]
OwnKey = Annotated[Secret, AfterValidator(_long_enough)]
Name = Annotated[str, written(r"[^\s\x00-\x1f]{1,200}", "a name of 1 to 200 characters without spaces")]
HeaderName = Annotated[
    str,
    written(
        r"(?i:(?!(content-length|transfer-encoding)$)[!#$%&'*+\-.^_`|~0-9a-z]+)",
        "the name of a header, such as x-api-key; that of a body's length is not yours to say",
    ),
]
LOCAL_NAME, NOBODY_NAME = "local", "nobody"
"""The callers of a gateway without keys, and of a row that anyone may call."""


def _free(name: str) -> str:
    if name in (LOCAL_NAME, NOBODY_NAME):
        raise ValueError(f"'{name}' is the name of a caller without a key; choose another")
    return name


KeyName = Annotated[Name, AfterValidator(_free)]


def covers(patterns: tuple[str, ...], name: str) -> bool:
    """Whether a name is one of these, or under a pattern among them."""
    return patterns == EVERYTHING or name in patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or its address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def check_kind(
    row: Section, kind: str, options: Mapping[str, frozenset[str]], needed: Mapping[str, Mapping[str, str]]
) -> None:
    """Looks whether a row has the options of its kind, and no others.

    Args:
        row: the row, some of whose keys are for some kinds only.
        kind: its kind.
        options: the kinds that such a key is for.
        needed: by kind, the keys that it cannot do without, and how to write them.

    Raises:
        ValueError: for the first key that is for others, or missing.
    """
    for option in sorted(row.model_fields_set & options.keys()):
        if kind not in options[option]:
            kinds = " or ".join(sorted(options[option]))
            raise ValueError(f"'{option}' says nothing to kind {kind}, it is for {kinds}: leave it out")
    for option, example in needed.get(kind, {}).items():
        if not getattr(row, option):
            raise ValueError(f"kind {kind} needs {option}, {example}")
