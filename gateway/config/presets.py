"""Presets in the settings file: ``kind: groq`` in a row under ``providers``, or just ``provider: groq`` of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.config.told import refused
from llm.providers.presets import presets


def with_preset(row: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The row with what its preset knows. The key in the environment goes to the preset's own address only.

    Raises:
        ValueError: when there is no key where the preset needs one.
    """
    name = row.get("kind")
    if not isinstance(name, str) or name not in presets():
        return row
    preset = presets()[name]
    made = {**row, "kind": preset.kind}
    if preset.rename:
        made["rename"] = {**preset.rename, **(row.get("rename") or {})}
    for option in ("completions", "anthropic_members"):
        if getattr(preset, option):
            made.setdefault(option, True)
    if not row.get("base_url"):
        made |= {"base_url": preset.base_url, "api_key": row.get("api_key") or environ.get(preset.key, "")}
        if preset.key and not made["api_key"]:
            raise ValueError(
                f"{name} needs a key: set {preset.key} in the environment, or api_key in its row under providers"
            )
    return made


def with_implied(tree: dict[str, Any], default: Sequence[Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The tree with a provider for every preset that a model names and that has no row of its own.

    Raises:
        ValidationError: at the model, when there is no key where the preset needs one.
    """
    rows = tree.get("providers", default)
    models = tree.get("models")
    if not isinstance(rows, (list, tuple)) or not isinstance(models, (list, tuple)):
        return tree
    known = [row.get("name") if isinstance(row, dict) else getattr(row, "name", None) for row in rows]
    implied: dict[str, Any] = {}
    for index, model in enumerate(models):
        for name in _named(model):
            if isinstance(name, str) and name in presets() and name not in known:
                try:
                    implied[name] = with_preset({"name": name, "kind": name}, environ)
                except ValueError as error:
                    raise refused([(("models", index), str(error))]) from None
    return {**tree, "providers": [*rows, *implied.values()]} if implied else tree


def _named(model: Any) -> list[Any]:
    """The providers that a model and its deployments name."""
    deployments = model.get("deployments") if isinstance(model, dict) else None
    rows = [model, *(deployments if isinstance(deployments, (list, tuple)) else ())]
    return [row.get("provider") for row in rows if isinstance(row, dict)]
