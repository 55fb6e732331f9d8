"""What callers are told about their limits: OpenAI's ``x-ratelimit`` headers; refusals, and when to try again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from types import MappingProxyType

from gateway.errors import BudgetReached, LimitReached, RequestsReached, TokensReached
from gateway.store.protocol import NANOS, Account, Amount, Decision, Standing, leaves_at, slice_of

ERRORS: Mapping[str, type[LimitReached]] = MappingProxyType(
    {"nanos": BudgetReached, "tokens": TokensReached, "requests": RequestsReached, "slots": LimitReached}
)
"""Of several limits that are reached, the one that is told is the first of these: waiting helps with it least."""
WORDS = MappingProxyType(
    {"tokens": "tokens per min (TPM)", "requests": "requests per min (RPM)", "slots": "requests under way at once"}
)
HEADERS = tuple(
    (kind, b"x-ratelimit-limit-%b" % name, b"x-ratelimit-remaining-%b" % name, b"x-ratelimit-reset-%b" % name)
    for kind, name in (("requests", b"requests"), ("tokens", b"tokens"))
)
USUAL_WAIT = 1.0
"""Seconds after which a place among the requests that are under way may be free; nobody knows when."""


def headers_of(accounts: Sequence[Account], decision: Decision) -> list[tuple[bytes, bytes]]:
    """The headers that OpenAI's clients read, about that account of each limit which has least left."""
    headers: list[tuple[bytes, bytes]] = []
    full_again = b""
    for kind, limit_name, remaining_name, reset_name in HEADERS:
        told: tuple[int, int, int] | None = None
        for account, standing in zip(accounts, decision.standings, strict=True):
            limit = getattr(account.limits, kind)
            if limit is not None:
                used = getattr(standing.used, kind)
                row = (limit - used, limit, used)
                told = row if told is None or row < told else told
        if told is not None:
            left, limit, used = told
            full_again = full_again or duration(leaves_at(slice_of(decision.now)) - decision.now).encode()
            headers += (
                (limit_name, b"%d" % limit),
                (remaining_name, b"%d" % max(0, left)),
                (reset_name, full_again if used > 0 else b"0s"),
            )
    return headers


def refusal_of(accounts: Sequence[Account], decision: Decision, asked: Amount) -> LimitReached:
    """The error for a request that asked for so much and was not granted it."""
    headers = {name.decode(): value.decode() for name, value in headers_of(accounts, decision)}
    broken = [
        (kind, account, standing)
        for kind in ERRORS
        for account, standing in zip(accounts, decision.standings, strict=True)
        if kind in account.limits.broken(standing.used, asked)
    ]
    kind, account, standing = broken[0]
    if kind == "nanos":
        return BudgetReached(_of_money(account, standing, asked), headers)
    waits = [_wait(decision.now, one, at, standing, asked) for one, at, standing in broken]
    wait = max(waits)
    limit, used, wanted = (getattr(each, kind) for each in (account.limits, standing.used, asked))
    said = f"Rate limit reached for {account.told} on {WORDS[kind]}: Limit {limit}, Used {used}, Requested {wanted}."
    if wait == float("inf"):
        said = f"Request too large for {account.told} on {WORDS[kind]}: Limit {limit}, Requested {wanted}."
        return ERRORS[kind](said, {**headers, "x-should-retry": "false"})
    return ERRORS[kind](
        f"{said} Please try again in {duration(wait)}.", {**headers, "retry-after": str(max(1, ceil(wait)))}
    )


def duration(seconds: float) -> str:
    """A time as Go writes it: ``120ms``, ``1s``, ``6m0s``."""
    milliseconds = ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds / 1000, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"


def _of_money(account: Account, standing: Standing, asked: Amount) -> str:
    limit = account.limits.nanos or 0
    per = "in total" if account.period == "total" else f"a {account.period}"
    return (
        f"You exceeded the budget of {account.told}: ${limit / NANOS:g} {per}, "
        f"${standing.used.nanos / NANOS:.6f} of it is spent or reserved, and this request may cost "
        f"${asked.nanos / NANOS:.6f}."
    )


def _wait(now: float, kind: str, account: Account, standing: Standing, asked: Amount) -> float:
    """How many seconds until so much is free again; infinite for more than the limit itself."""
    limit, used, wanted = (getattr(each, kind) for each in (account.limits, standing.used, asked))
    if wanted > limit:
        return float("inf")
    if kind == "slots":
        return USUAL_WAIT
    for leaving in standing.leaving:
        used -= getattr(leaving, kind)
        if used + wanted <= limit:
            return leaving.at - now
    return USUAL_WAIT
