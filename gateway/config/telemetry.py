"""What the settings say of traces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, model_validator

from gateway.config.fields import HeaderName, Section, written
from gateway.config.tools import Line


class TracesEntry(Section):
    """Where spans are sent, by OpenTelemetry's OTLP over HTTP. Off unless there is a URL."""

    url: Annotated[str, written(r"(https?://\S+)?", "an address such as http://127.0.0.1:4318/v1/traces")] = ""
    headers: Mapping[HeaderName, Line] = Field(default_factory=dict)
    service: str = "penstock"
    """What the gateway is called in them."""
    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Which part of the traces that begin here is kept; those that callers began are kept as they say."""
    contents: bool = False
    """Whether what is asked and answered stands in them."""

    @model_validator(mode="after")
    def _sends_somewhere(self) -> TracesEntry:
        if not self.url and self.model_fields_set - {"url"}:
            raise ValueError("nothing is sent without url; write one such as http://127.0.0.1:4318/v1/traces")
        return self
