"""create_app: the composition root. The table of endpoints stands here, and what it leads to is put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from gateway.api_handler import APIHandler, Endpoint
from gateway.api_handler_config import APIHandlerConfig
from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from gateway.config.api import ApiRow
from gateway.control_plane import control_plane
from gateway.edge.body import BodyReader
from gateway.edge.context import ASGIApp
from gateway.edge.gate import Gate
from gateway.endpoints.answering import AnswerEndpoint
from gateway.endpoints.apis import APIS
from gateway.endpoints.chat import ChatApi
from gateway.endpoints.embeddings import EmbeddingsEndpoint
from gateway.endpoints.mapped import MappedEndpoint
from gateway.endpoints.messages.count_tokens import CountEndpoint
from gateway.endpoints.openapi.document import OpenAPIEndpoint
from gateway.endpoints.responses.endpoint import ResponsesEndpoint
from gateway.endpoints.responses.request import ResponsesApi
from gateway.endpoints.stored.keeping import ChatEndpoint
from gateway.endpoints.v2.generate import GenerateEndpoint
from gateway.endpoints.v2.infer import InferEndpoint
from gateway.exchanges.around import Around
from gateway.exchanges.caches import watching
from gateway.serving.shared import Shared
from gateway.serving.standing import Standing
from gateway.telemetry.recordings import Recordings
from graph import Hooks


def create_app(
    settings: Settings,
    catalog: Catalog | None = None,
    standing: Standing | None = None,
    api: APIHandlerConfig | None = None,
) -> Gate:
    """The ASGI app for these settings; over a catalog that has been built from them already, if there is one, and with
    the rows of an ``api`` that was built in code after those of the settings.

    Raises:
        InvalidSettings: when something that they name cannot be built.
    """
    catalog = catalog or Catalog.of(settings)
    standing = standing or Standing()
    standing.hide(settings.secrets)
    standing.trace(settings)
    shared = Shared.of(settings, catalog, standing)
    catalog.guards.ask(shared.ring.policies_of)
    hooks = Hooks.of([*shared.instruments, *standing.instruments, *watching(settings)])
    bodies = BodyReader(settings.server.max_body_bytes, settings.server.body_seconds)
    control = control_plane(settings, catalog, standing, shared, bodies)
    around = Around.of(
        settings,
        shared.exchanges,
        catalog,
        bodies,
        hooks=hooks,
        metrics=standing.metrics,
        note=shared.note_cached,
    )
    describing = OpenAPIEndpoint(control)
    answering = _answering(settings, catalog, standing, hooks, bodies)
    hot: dict[str, ASGIApp] = {path: around(endpoint) for path, endpoint in answering.items()}
    hot["/v1/messages/count_tokens"] = CountEndpoint(catalog, bodies)
    endpoints = (*_endpoints(control, hot, describing), *_v2(catalog, hooks, bodies, around))

    def own(row: ApiRow) -> ASGIApp:
        return around(MappedEndpoint(row, catalog, hooks, bodies))

    rows = settings.api + (api.rows if api is not None else ())
    table = APIHandler(endpoints, rows, own, partial(settings.where, "api"))
    describing.table = table.listed()
    return Gate(
        table,
        shared.ring,
        control,
        standing.log,
        requests=standing.requests,
        limiter=shared.limiter,
        ping_seconds=settings.server.ping_seconds,
    )


def _answering(
    settings: Settings, catalog: Catalog, standing: Standing, hooks: Hooks, bodies: BodyReader
) -> dict[str, ASGIApp]:
    """The hot routes to a model or a graph under a name in the body, by their paths."""
    recordings = Recordings.of(settings)
    answering = {path: AnswerEndpoint(answers, catalog, hooks, bodies, recordings) for path, answers in APIS.items()}
    return {
        **answering,
        ChatApi.path: ChatEndpoint(answering[ChatApi.path], bodies, standing.kept),
        ResponsesApi.path: ResponsesEndpoint(answering[ResponsesApi.path], bodies, standing.kept, standing.background),
        "/v1/embeddings": EmbeddingsEndpoint(catalog, hooks, bodies),
    }


def _endpoints(control: ASGIApp, hot: Mapping[str, ASGIApp], describing: ASGIApp) -> Iterable[Endpoint]:
    """The table of endpoints. Hot routes are answered by their own app, all others by the control plane."""
    return (
        *(Endpoint("POST", path, "user", endpoint) for path, endpoint in hot.items()),
        Endpoint("GET", "/v1/chat/completions", "user", control),
        Endpoint("GET", "/v1/chat/completions/{id}", "user", control),
        Endpoint("POST", "/v1/chat/completions/{id}", "user", control),
        Endpoint("DELETE", "/v1/chat/completions/{id}", "user", control),
        Endpoint("GET", "/v1/chat/completions/{id}/messages", "user", control),
        Endpoint("GET", "/v1/responses/{id}", "user", control),
        Endpoint("DELETE", "/v1/responses/{id}", "user", control),
        Endpoint("POST", "/v1/responses/{id}/cancel", "user", control),
        Endpoint("GET", "/v1/responses/{id}/input_items", "user", control),
        Endpoint("GET", "/v1/models", "user", control),
        Endpoint("GET", "/v1/models/{id}", "user", control),
        Endpoint("GET", "/v2", "anyone", control),
        Endpoint("GET", "/v2/", "anyone", control),
        Endpoint("GET", "/v2/health/live", "anyone", control),
        Endpoint("GET", "/v2/health/ready", "anyone", control),
        Endpoint("GET", "/v2/models", "user", control),
        Endpoint("GET", "/v2/models/", "user", control),
        Endpoint("GET", "/v2/models/{model}", "user", control),
        Endpoint("GET", "/v2/models/{model}/ready", "user", control),
        Endpoint("GET", "/v2/models/{model}/versions/{version}", "user", control),
        Endpoint("GET", "/v2/models/{model}/versions/{version}/ready", "user", control),
        Endpoint("POST", "/v2/repository/index", "user", control),
        Endpoint("POST", "/v2/repository/models/{model}/load", "admin", control),
        Endpoint("POST", "/v2/repository/models/{model}/unload", "admin", control),
        Endpoint("GET", "/admin/deployments", "admin", control),
        Endpoint("GET", "/metrics", "admin", control),
        Endpoint("GET", "/admin/reload", "admin", control),
        Endpoint("POST", "/admin/reload", "admin", control),
        Endpoint("GET", "/admin/graphs", "admin", control),
        Endpoint("GET", "/admin/graphs/{name}", "admin", control),
        Endpoint("GET", "/admin/guardrails", "admin", control),
        Endpoint("POST", "/admin/guardrails/test", "admin", control),
        Endpoint("GET", "/admin/runs", "admin", control),
        Endpoint("GET", "/admin/runs/events", "admin", control),
        Endpoint("GET", "/admin/runs/{id}", "admin", control),
        Endpoint("GET", "/admin/usage", "admin", control),
        Endpoint("GET", "/admin/keys", "admin", control),
        Endpoint("POST", "/admin/keys", "admin", control),
        Endpoint("PATCH", "/admin/keys/{name}", "admin", control),
        Endpoint("DELETE", "/admin/keys/{name}", "admin", control),
        Endpoint("POST", "/admin/keys/{name}/rotate", "admin", control),
        Endpoint("GET", "/admin/audit", "admin", control),
        Endpoint("GET", "/openapi.json", "user", describing),
    )


def _v2(catalog: Catalog, hooks: Hooks, bodies: BodyReader, around: Around) -> Iterator[Endpoint]:
    """The rows of inference, which are hot: of a model, and of one of its versions."""
    infer = InferEndpoint(catalog, hooks, bodies)
    by_url, by_body = around(infer), around(infer.by_body)
    generate = around(GenerateEndpoint(catalog, hooks, bodies, streamed=False))
    stream = around(GenerateEndpoint(catalog, hooks, bodies, streamed=True))
    for path in ("/v2/models", "/v2/models/"):
        yield Endpoint("POST", path, "user", by_body)
    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        yield Endpoint("POST", path, "user", by_body)
        yield Endpoint("POST", f"{path}/infer", "user", by_url)
        yield Endpoint("POST", f"{path}/generate", "user", generate)
        yield Endpoint("POST", f"{path}/generate_stream", "user", stream)
        yield Endpoint("POST", f"{path}/{{operation}}", "user", by_url)
