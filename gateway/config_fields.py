"""What the rows of the settings are made of: names, secrets, addresses."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

MIN_KEY = 8
"""How many characters a key of ours has at least."""


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


Secret = Annotated[SecretStr, AfterValidator(_sendable)]
OwnKey = Annotated[Secret, AfterValidator(_long_enough)]
Name = Annotated[str, written(r"[^\s\x00-\x1f]{1,200}", "a name of 1 to 200 characters without spaces")]


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or its address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
