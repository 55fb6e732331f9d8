"""Anthropic's Messages API as an API that models and graphs are asked through."""

from __future__ import annotations

from typing import Any

from gateway.answers import Api, Dialect
from gateway.endpoints.messages.dialect import MessagesDialect
from gateway.endpoints.messages.request import chat_request
from gateway.endpoints.messages.shape import checked
from graph import Event
from llm import ChatRequest


class MessagesApi(Api):
    """https://docs.anthropic.com/en/api/messages."""

    path = "/v1/messages"

    def request(self, body: Any) -> ChatRequest:
        return chat_request(checked(body))

    def dialect(self, event: Event, body: Any) -> Dialect:
        return MessagesDialect(event)
