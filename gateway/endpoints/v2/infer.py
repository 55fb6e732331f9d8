"""POST /v2/models/{model}[/versions/{version}][/{operation}], and POST /v2/models where the body names the model.

Two forms live on these URLs: tensors, and MLRun's loose rows. Which of them a request is in, its body says.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from gateway.catalog.catalog import Catalog
from gateway.catalog.deployed import Served
from gateway.edge.body import BodyReader, parsed
from gateway.edge.context import Receive, RequestContext, Scope, Send, context_of
from gateway.edge.disconnect import ClientWatch
from gateway.endpoints.v2.call import Answerer, Call
from gateway.endpoints.v2.framing import HEADER, header_of, send_framed, split
from gateway.endpoints.v2.own import Own
from gateway.endpoints.v2.request import InferRequest, is_in_tensors
from gateway.endpoints.v2.response import send_tensors
from gateway.endpoints.v2.texts import Texts
from gateway.errors import InvalidBody
from graph import Hooks
from graph.models.v2 import INFER, PREFIX, named_in

CHAT: Final[Answerer] = Texts()
OWN: Final[Answerer] = Own()


class InferEndpoint:
    """Every operation of every model. Called as it is, the URL says which; :meth:`by_body`, the body does."""

    def __init__(self, catalog: Catalog, hooks: Hooks, bodies: BodyReader) -> None:
        self._catalog = catalog
        self._hooks = hooks
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        served = found(self._catalog, context)
        call = Call.of(context, served, context.params.get("operation", "infer"), self._hooks)
        await _answer(call, await self._read(scope, receive), receive, send)

    async def by_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The operation is named by the body, and the model too where the URL does not."""
        context = context_of(scope)
        sent = await self._read(scope, receive)
        said = named_in(sent.body)
        if "model" in context.params:
            served = found(self._catalog, context)
        elif said.model:
            served = self._catalog.find(said.model, context.principal, said.version)
            sent = Sent({key: value for key, value in sent.body.items() if key not in ("model", "version")}, sent.raw)
        else:
            names = ", ".join(deployed.latest.name for deployed in self._catalog.deployed(context.principal))
            raise InvalidBody(f"write {PREFIX}/<model>/infer, or the key 'model' into the body, with one of {names}")
        await _answer(Call.of(context, served, said.operation or "infer", self._hooks), sent, receive, send)

    async def _read(self, scope: Scope, receive: Receive) -> Sent:
        document, raw = split(await self._bodies.whole(scope, receive), header_of(scope, HEADER))
        body = parsed(document or b"{}")
        if not isinstance(body, dict):
            raise InvalidBody("the body must be a JSON object with the key 'inputs'")
        return Sent(body, raw)


class Sent(NamedTuple):
    """What a client sent: a parsed body, and the raw bytes behind it, None if it is JSON only."""

    body: dict[str, Any]
    raw: memoryview | None


async def _answer(call: Call, sent: Sent, receive: Receive, send: Send) -> None:
    served, answerer = call.served, answerer_of(call.served)
    async with ClientWatch(receive):
        if _is_free(call) or not is_in_tensors(sent.body, sent.raw, of_objects=call.operation.endswith("_dict")):
            await send_framed(send, await answerer.rows(call, sent.body), ())
            return
        request = InferRequest.of(sent.body, sent.raw)
        outputs = await answerer.tensors(call, request)
        await send_tensors(send, request, served.name, served.version, outputs)


def found(catalog: Catalog, context: RequestContext) -> Served:
    """The model that the URL of a request names."""
    return catalog.find(context.params["model"], context.principal, context.params.get("version", ""))


def answerer_of(served: Served) -> Answerer:
    """How a model answers."""
    return CHAT if served.takes == "chat" else OWN


def _is_free(call: Call) -> bool:
    """Whether the body of an operation is whatever the model takes for it."""
    return call.served.takes == "inputs" and call.operation not in (*INFER, "explain")
