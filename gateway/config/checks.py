"""What must hold between the rows of the settings: names that are given once, and names that exist."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from gateway.config.fields import covers, is_loopback
from gateway.config.told import Place, dotted, refused, unknown

if TYPE_CHECKING:
    from gateway.config.exchanges import CacheEntry
    from gateway.config.models import ModelEntry
    from gateway.config.providers import Provider
    from gateway.config.settings import Key, Settings

OF_PROVIDERS = frozenset({"provider", "model", "repair", "price", "tokenizer", "deployments", "routing", "fallbacks"})
OF_ONE = frozenset({"provider", "model"})
OF_CLASSES = frozenset({"path", "version", "parameters"})
"""Keys of a model that are for one kind of it only."""
Fault: TypeAlias = tuple[Place, str]


def check_rows(settings: Settings) -> None:
    """Looks at every row beside the others.

    Raises:
        ValidationError: with the place of each fault. No values of secrets are in it.
    """
    if faults := list(_faults(settings)):
        raise refused(faults)


def _faults(settings: Settings) -> Iterator[Fault]:
    keys, providers, models = settings.auth.keys, settings.providers, settings.models
    yield from _no_two("provider", [(("providers", at), entry.name) for at, entry in enumerate(providers)])
    yield from _no_two("model", _served(settings))
    yield from _no_two("key", [(("auth", "keys", at), key.name) for at, key in enumerate(keys)])
    yield from _no_two("name of tools", [(("tools", at), entry.name) for at, entry in enumerate(settings.tools)])
    yield from _no_two("team", [(("auth", "teams", at), team.name) for at, team in enumerate(settings.auth.teams)])
    yield from _no_shared_key(settings)
    yield from _of_keys(settings)
    known = [provider.name for provider in providers]
    for at, entry in enumerate(models):
        yield from _kind_of_model(("models", at), entry, known)
    for at, provider in enumerate(providers):
        yield from _not_itself(("providers", at, "base_url"), provider, settings)
    yield from _fallbacks(models)
    yield from _caches(models)
    yield from _policies(settings)
    yield from _roles(settings)
    yield from _targets(settings)
    yield from _embedders(settings)
    if settings.is_open and not settings.server.is_loopback:
        yield (
            (),
            f"server.host is {settings.server.host}, which others can reach, and auth.keys is empty: "
            "add a key, or listen on 127.0.0.1",
        )


def _served(settings: Settings) -> list[tuple[Place, str]]:
    """Models and graphs, which share their names; versions of a model have one name together."""
    rows: list[tuple[Place, str]] = []
    versioned: set[str] = set()
    for at, entry in enumerate(settings.models):
        if entry.version:
            rows.append((("models", at), f"{entry.name} version {entry.version}"))
        if entry.name not in versioned or not entry.version:
            rows.append((("models", at), entry.name))
        if entry.version:
            versioned.add(entry.name)
    return rows + [(("graphs", at), entry.name) for at, entry in enumerate(settings.graphs)]


def _kind_of_model(place: Place, entry: ModelEntry, providers: Sequence[str]) -> Iterator[Fault]:
    """A model is that of a provider, or a class of one's own, and has the keys of its kind only."""
    if entry.class_name is None and entry.deployments:
        yield from _deployments(place, entry, providers)
    elif entry.class_name is None and "provider" not in entry.model_fields_set:
        yield (*place, "provider"), "this is missing; write it, or class: for a model of your own"
        return
    elif entry.class_name is None:
        yield from _known("provider", (*place, "provider"), entry.provider, providers)
    if entry.routing is not None and entry.routing.hedge and len(entry.behind) < 2:
        yield (*place, "routing", "hedge"), "there is no second deployment to ask: leave it out, or add one"
    others = OF_PROVIDERS if entry.class_name is not None else OF_CLASSES
    for key in sorted(entry.model_fields_set & others):
        kind = "a class" if entry.class_name is not None else "a provider"
        yield (*place, key), f"'{key}' says nothing to a model of {kind}: leave it out"


def _deployments(place: Place, entry: ModelEntry, providers: Sequence[str]) -> Iterator[Fault]:
    """What stands in the deployments of a model, and then not beside them."""
    for key in sorted(entry.model_fields_set & OF_ONE):
        yield (*place, key), f"'{key}' is said by each of the deployments: leave it out"
    routing = entry.routing
    if routing is not None and routing.balance == "lowest_latency" and not routing.sticky:
        for at, each in enumerate(entry.deployments):
            if "weight" in each.model_fields_set:
                yield (*place, "deployments", at, "weight"), "'weight' says nothing to lowest_latency: leave it out"
    named = [((*place, "deployments", at), each.name_of(entry.name)) for at, each in enumerate(entry.deployments)]
    yield from _no_two("name of a deployment", named)
    for at, each in enumerate(entry.deployments):
        yield from _known("provider", (*place, "deployments", at, "provider"), each.provider, providers)


def _fallbacks(models: Sequence[ModelEntry]) -> Iterator[Fault]:
    """The models that stand in for others: they exist, and none stands in for itself, by however many others."""
    behind = {entry.name: entry.fallbacks.names for entry in models if entry.class_name is None}
    for at, entry in enumerate(models):
        for failure, chain in entry.fallbacks.chains.items():
            for name in chain:
                yield from _known("model", ("models", at, "fallbacks", failure), name, list(behind))
        if entry.name in _reached(behind, entry.name):
            yield ("models", at, "fallbacks"), f"model '{entry.name}' would fall back to itself: end the circle"


def _caches(models: Sequence[ModelEntry]) -> Iterator[Fault]:
    """The caches of models: one for all versions of a name, and none that compares what is no chat."""
    first: dict[str, CacheEntry | None] = {}
    for at, entry in enumerate(models):
        if first.setdefault(entry.name, entry.cache) != entry.cache:
            yield (
                ("models", at, "cache"),
                f"the versions of model '{entry.name}' have one cache: write the same in each of their rows, or none",
            )
        if entry.class_name is not None and entry.cache is not None and entry.cache.semantic is not None:
            yield ("models", at, "cache", "semantic"), "'semantic' says nothing to a model of a class: leave it out"


def _reached(behind: Mapping[str, Collection[str]], name: str) -> set[str]:
    """All that a model may fall back to."""
    reached: set[str] = set()
    further = list(behind.get(name, ()))
    while further:
        one = further.pop()
        if one not in reached:
            reached.add(one)
            further += behind.get(one, ())
    return reached


def _policies(settings: Settings) -> Iterator[Fault]:
    """The policies that keys, models and graphs name."""
    entries = settings.guardrails
    yield from _no_two("policy", [(("guardrails", at), entry.name) for at, entry in enumerate(entries)])
    known = [entry.name for entry in entries]
    places: Sequence[tuple[Place, Sequence[Any]]] = (
        (("auth", "keys"), settings.auth.keys),
        (("models",), settings.models),
        (("graphs",), settings.graphs),
    )
    unseeing = {
        entry.name for entry in entries if not any({"input", "output"} & {*rule.places} for rule in entry.rules)
    }
    for at, model in enumerate(settings.models):
        for number, name in enumerate(model.guardrails if model.class_name is not None else ()):
            if name in unseeing:
                yield (
                    ("models", at, "guardrails", number),
                    f"policy '{name}' looks at neither input nor output, and a model of a class has no other texts: "
                    "add one of them to the places of its rules, or leave it out",
                )
    for place, rows in places:
        for at, row in enumerate(rows):
            for number, name in enumerate(row.guardrails):
                yield from _known("policy", (*place, at, "guardrails", number), name, known)


def _roles(settings: Settings) -> Iterator[Fault]:
    """The models that graphs ask for."""
    served = [entry.name for entry in settings.models if entry.class_name is None]
    for at, graph in enumerate(settings.graphs):
        for role, name in graph.models.items():
            yield from _known("model", ("graphs", at, "models", role), name, served)
    if settings.default_model:
        yield from _known("model", ("default_model",), settings.default_model, served)
    if settings.graphs and not served:
        yield ("models",), "graphs need models: add at least one under models that has a provider, or write graphs: []"


def _targets(settings: Settings) -> Iterator[Fault]:
    """The graphs and models that endpoints of one's own ask for."""
    graphs, models = [entry.name for entry in settings.graphs], [entry.name for entry in settings.models]
    for at, row in enumerate(settings.api):
        if row.graph:
            yield from _known("graph", ("api", at, "graph"), row.graph, graphs)
        if row.model:
            yield from _known("model", ("api", at, "model"), row.model, models)


def _embedders(settings: Settings) -> Iterator[Fault]:
    """The models by which caches compare questions."""
    embed = [entry.name for entry in settings.models if entry.class_name is None]
    embed += [graph.name for graph in settings.graphs if graph.embeddings]
    caches: dict[Place, CacheEntry | None] = {("models", at): row.cache for at, row in enumerate(settings.models)}
    caches |= {("graphs", at): row.cache for at, row in enumerate(settings.graphs)}
    for place, cache in caches.items():
        if cache is not None and cache.semantic is not None:
            yield from _known("model", (*place, "cache", "semantic", "model"), cache.semantic.model, embed)


def _no_two(kind: str, named: Sequence[tuple[Place, str]]) -> Iterator[Fault]:
    first: dict[str, Place] = {}
    for place, name in named:
        if name in first:
            yield (
                (*place, "name"),
                f"two entries have the same {kind} '{name}', the other is {dotted(first[name])}; rename one of them",
            )
        first.setdefault(name, place)


def _no_shared_key(settings: Settings) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for at, key in enumerate(settings.auth.keys):
        other = first.setdefault(key.key.get_secret_value(), at)
        if other != at:
            yield (
                ("auth", "keys", at, "key"),
                f"two entries have the same key value, the other is auth.keys.{other}; give each its own",
            )


def _of_keys(settings: Settings) -> Iterator[Fault]:
    """The teams of keys, and the prices that their budgets need."""
    teams = [team.name for team in settings.auth.teams]
    unpriced: dict[tuple[str, str], Place] = {}
    for at, key in enumerate(settings.auth.keys):
        if key.team:
            yield from _known("team", ("auth", "keys", at, "team"), key.team, teams)
        team = settings.auth.team_named(key.team)
        if key.budget_usd is None and (team is None or team.budget_usd is None):
            continue
        for entry in settings.models:
            if not (covers(key.models, entry.name) and (team is None or covers(team.models, entry.name))):
                continue
            for name in (entry.name, *_beside(settings, key, entry)):
                if settings.unpriced(name):
                    unpriced.setdefault((key.name, name), ("auth", "keys", at))
    for (key_name, name), place in unpriced.items():
        yield (
            place,
            f"a budget limits key '{key_name}', and what model '{name}' costs is not known; give it a "
            "price under models, such as {input: 0.15, output: 0.6}, or {input: 0, output: 0} if it is free",
        )


def _beside(settings: Settings, key: Key, entry: ModelEntry) -> Iterator[str]:
    """The models that are asked, and paid, beside a model for a key: its cache's, and judges of the policies."""
    if entry.cache is not None and entry.cache.semantic is not None:
        yield entry.cache.semantic.model
    for policy in settings.guardrails:
        if policy.everywhere or policy.name in (*key.guardrails, *entry.guardrails):
            yield from policy.judges


def _known(kind: str, place: Place, name: str, known: Sequence[str]) -> Iterator[Fault]:
    if name not in known:
        yield place, unknown(kind, name, known)


def _not_itself(place: Place, provider: Provider, settings: Settings) -> Iterator[Fault]:
    """The gateway as its own upstream; llama.cpp's usual port is the gateway's too."""
    address, port = urlsplit(provider.base_url), settings.server.port
    if address.hostname and is_loopback(address.hostname) and address.netloc.endswith(f":{port}"):
        yield (
            place,
            f"provider '{provider.name}' is at port {port}, where this gateway listens: move one of the two",
        )
