"""ModelRouter: the URL or the body says which model an event is for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from graph.errors import UnknownRoute
from graph.event import Event
from graph.models.calling import CallableModel
from graph.models.v2 import PREFIX, Address, named_in
from graph.step import Step, Target
from graph.steps.routes import Routes


class ModelRouter(Routes):
    """Sends an event to one of its routes, and the body becomes what that answers.

    The route is named by the URL, ``<url_prefix>/<name>[/versions/<version>][/<operation>]``, or, where that says
    nothing, by the key ``model`` of the body (``operation`` beside it says which operation); a router with one route
    needs no name. Of ``name:version`` routes the version chooses. A GET of the prefix lists the routes.

    Args:
        routes: the first children; see :meth:`add_route`.
        url_prefix: what URLs begin with.
    """

    def __init__(self, routes: Mapping[str, Target] | None = None, *, url_prefix: str = PREFIX) -> None:
        super().__init__(routes)
        self.url_prefix = "/" + url_prefix.strip("/")

    def said(self) -> dict[str, Any]:
        return {} if self.url_prefix == PREFIX else {"url_prefix": self.url_prefix}

    def bound_to(self, step: Step) -> BoundRouter:
        """The router with its children, made."""
        return BoundRouter(step.name, self.made(step), self.url_prefix)


class BoundRouter:
    """A ModelRouter in its flow."""

    full_event = True

    def __init__(self, name: str, models: Mapping[str, CallableModel], prefix: str) -> None:
        self._name = name
        self._models = models
        self._prefix = prefix
        streams = any(model.node.streams for model in models.values())
        self.do_event: Callable[[Event], Any] = self._stream if streams else self._value

    async def _value(self, event: Event) -> Any:
        if (listed := self._listed(event)) is not None:
            return listed
        model, operation = self._chosen(event)
        return await model.value(event, event.body, operation)

    async def _stream(self, event: Event) -> AsyncGenerator[Any, None]:
        if (listed := self._listed(event)) is not None:
            yield listed
            return
        model, operation = self._chosen(event)
        if not model.node.streams:
            yield await model.value(event, event.body, operation)
            return
        async with aclosing(model.stream(event, event.body, operation)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _listed(self, event: Event) -> dict[str, list[str]] | None:
        """The routes, if the event asks for them."""
        asks = event.method == "GET" and not Address.of(event.path, self._prefix).model
        return {"models": list(self._models)} if asks else None

    def _chosen(self, event: Event) -> tuple[CallableModel, str]:
        """The child that an event is for, and the operation of it.

        Raises:
            UnknownRoute: when there is no such child; the message lists those that there are.
        """
        address = Address.of(event.path, self._prefix)
        if not address.model:
            address = named_in(event.body)
        name = address.model
        if not name and len(self._models) == 1:
            return next(iter(self._models.values())), address.operation
        key = f"{name}:{address.version}" if address.version else name
        found = self._models.get(key) or self._models.get(name)
        if found is None or (address.version and key not in self._models and self._has_versions(name)):
            wanted = f"has no model '{key}'" if name else "needs to know which model"
            raise UnknownRoute(
                f"router '{self._name}' {wanted}; write {self._prefix}/<model>, or the key 'model' into the body, "
                f"with one of {', '.join(self._models)}"
            )
        return found, address.operation

    def _has_versions(self, name: str) -> bool:
        return any(key.startswith(f"{name}:") for key in self._models)
