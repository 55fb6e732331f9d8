"""Choosing: the deployment that a request goes to, of those that are in service and that it has not tried."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random
from typing import Literal, Protocol, TypeAlias

import orjson

from gateway.routing.balance import Cheapest, LeastBusy, LowestLatency, Weighted, sticky
from gateway.routing.call import Request, streamed
from gateway.routing.deployment import Deployment
from llm import ChatRequest, Trail

Sticky: TypeAlias = Literal["", "key", "user", "conversation"]
BalanceName: TypeAlias = Literal["weighted", "least_busy", "lowest_latency", "cheapest"]


class Balance(Protocol):
    """How is chosen where nothing else decides."""

    def pick(self, among: Sequence[Deployment], *, streamed: bool = False) -> Deployment:
        """One of them."""
        ...


def balance_of(name: BalanceName, random: Random) -> Balance:
    """The balance of this name."""
    if name == "lowest_latency":
        return LowestLatency(random)
    if name == "least_busy":
        return LeastBusy()
    return Cheapest() if name == "cheapest" else Weighted()


class Chooser:
    """Chooses by who asks, or by the conversation, where that is to stick to a deployment; else by the balance."""

    def __init__(self, balance: Balance, stick_to: Sticky = "") -> None:
        self._balance = balance
        self._stick_to = stick_to

    def choose(
        self, among: Sequence[Deployment], request: Request, trail: Trail, without: Collection[Deployment] = ()
    ) -> Deployment | None:
        """One of them that may be asked; None when there is none."""
        open_ = [each for each in among if each not in without and each.breaker.admits]
        if len(open_) < 2:
            return open_[0] if open_ else None
        if identity := self._identity(request, trail):
            return sticky(open_, identity)
        return self._balance.pick(open_, streamed=streamed(request))

    def _identity(self, request: Request, trail: Trail) -> str:
        if self._stick_to == "conversation" and isinstance(request, ChatRequest):
            return f"{trail.caller}\n{conversation_of(request)}"
        if self._stick_to == "user" and (user := user_of(request)):
            return f"{trail.caller}\n{user}"
        return trail.caller if self._stick_to else ""


def user_of(request: Request) -> str:
    """The end user that a caller says it asks for; empty where it says nothing."""
    named = request.parameters.get("safety_identifier") or request.parameters.get("user")
    return named if isinstance(named, str) else ""


def conversation_of(request: ChatRequest) -> str:
    """What stays the same in all turns of a conversation: the ``prompt_cache_key``, where the caller gives one, else
    all up to the first message of the user."""
    key = request.parameters.get("prompt_cache_key")
    if isinstance(key, str) and key:
        return key
    if request.prompt is not None:
        return str(request.prompt)
    first = next(
        (at for at, message in enumerate(request.messages) if message["role"] == "user"), len(request.messages)
    )
    return orjson.dumps(request.messages[: first + 1], default=str).decode()
