"""The flows of the graphs that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import yaml

from gateway.catalog.own_code import named
from gateway.config.models import GraphEntry
from graph import Flow
from graph.parts import Parts
from llm import LLModel


def flow_of(entry: GraphEntry, parts: Parts) -> Flow:
    """The flow that an operator's ``module:function`` builds, or that a file describes."""
    if entry.file is not None:
        return _flow_of_file(entry.file, parts)
    build = named(str(entry.build))
    flow = build(parts) if signature(build).parameters else build()
    if not isinstance(flow, Flow):
        raise TypeError(f"{entry.build} returned a {type(flow).__name__}, not a Flow")
    return flow.validate()


def _flow_of_file(path: Path, parts: Parts) -> Flow:
    """The flow in a YAML file; ``{$llm: role}``, ``{$model: role}`` and ``{$tools: name}`` stand for parts."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise TypeError(f"{path}: the file holds no graph; it starts with 'name:' and 'steps:'")
    resolvers = {"$llm": _llm_of(parts), "$model": parts.model, "$tools": parts.tools}
    return Flow.from_dict({"name": path.stem, **document}, resolvers).validate()


def _llm_of(parts: Parts) -> Callable[[Any], LLModel]:
    """``{$llm: role}``, or ``{$llm: {role: …, prompt: …}}``."""
    return lambda named: parts.llm(**named) if isinstance(named, dict) else parts.llm(named)
