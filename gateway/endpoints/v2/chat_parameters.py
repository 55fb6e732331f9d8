"""The parameters of a V2 request to a chat model, as those of a chat request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.choices import of_one_choice
from gateway.errors import InvalidBody
from llm import ChatRequest

OF_THE_PROTOCOL = frozenset(
    {"binary_data_output", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers", "stream"}
)
"""What clients of V2 say to the server, and not to the model."""
TAKEN = frozenset({"model", "messages", "stream_options"})


def chat_request(model: str, text: str, parameters: Mapping[str, Any]) -> ChatRequest:
    """A chat request with a text of the user's; ``max_tokens``, ``temperature`` and the others keep their names, and
    what OpenAI's API does not know goes to the provider as it is.

    Raises:
        InvalidRequest: for the first parameter that is no value of its kind.
        InvalidBody: for one that is no parameter of a model.
    """
    said = {name: value for name, value in parameters.items() if name not in OF_THE_PROTOCOL}
    for name in TAKEN & said.keys():
        raise InvalidBody(f"'{name}' is no parameter; it follows from the URL and the input")
    wire = {"model": model, "messages": [{"role": "user", "content": text}], **said}
    return of_one_choice(ChatRequest.from_wire(wire))
