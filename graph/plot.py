"""A flow as a drawing: cycles dotted, the error handlers connected, the responder marked."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graph.flow import Flow
    from graph.step import Step


def mermaid(flow: Flow, direction: str = "LR") -> str:
    """The flow as a mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html); needs no binary to read."""
    ids = {name: f"s{index}" for index, name in enumerate(flow.steps)} | {"": "start"}
    return "\n".join([f"flowchart {direction}", *(f"    {line}" for line in _lines(flow, ids))])


def _lines(flow: Flow, ids: dict[str, str]) -> Iterator[str]:
    yield "start((start))"
    for name, step in flow.steps.items():
        yield f'{ids[name]}["{_label(step)}"]'
    for source, target in flow.edges:
        arrow = "-. cycle .->" if (source, target) in flow.cycles else "-->"
        yield f"{ids[source]} {arrow} {ids[target]}"
    for name, step in flow.steps.items():
        if step.responding:
            yield f"{ids[name]} ==> answer((answer))"
        handler = step.error_handler_name or flow.error_handler_name
        if handler and name not in flow.handlers:
            yield f"{ids[name]} -. error .-> {ids[handler]}"


def _label(step: Step) -> str:
    kind = step.target.__name__ if hasattr(step.target, "__name__") else type(step.target).__name__
    name, kind = escape(step.name), escape(kind)
    return name if kind == name else f"{name}<br/><small>{kind}</small>"


def graphviz(flow: Flow, rankdir: str = "LR") -> Any:
    """The flow as a ``graphviz.Digraph``; needs the extra ``graphviz``, and its binary only to render.

    Raises:
        ImportError: without the extra, with how to install it.
    """
    try:
        from graphviz import Digraph  # noqa: PLC0415 - an extra
    except ImportError:
        raise ImportError("plotting with graphviz needs the extra: pip install 'penstock[graphviz]'") from None
    drawing = Digraph(flow.name, graph_attr={"rankdir": rankdir}, node_attr={"shape": "box"})
    drawing.node("start", shape="circle")
    for name, step in flow.steps.items():
        drawing.node(f"step {name}", label=name, peripheries="2" if step.responding else "1")
        handler = step.error_handler_name or flow.error_handler_name
        if handler and name not in flow.handlers:
            drawing.edge(f"step {name}", f"step {handler}", style="dotted", label="error")
    for source, target in flow.edges:
        style = "dashed" if (source, target) in flow.cycles else "solid"
        drawing.edge(f"step {source}" if source else "start", f"step {target}", style=style)
    return drawing
