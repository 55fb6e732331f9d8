"""The APIs that models and graphs are asked through, by the path of each."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.answers import Api
from gateway.endpoints.chat import ChatApi
from gateway.endpoints.completions import CompletionsApi
from gateway.endpoints.messages.api import MessagesApi
from gateway.endpoints.responses.request import ResponsesApi

APIS: Mapping[str, Api] = {api.path: api for api in (ChatApi(), CompletionsApi(), MessagesApi(), ResponsesApi())}
