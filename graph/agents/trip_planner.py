"""trip-planner: router ⇄ tools → judge → responder. The judge can send the router back with its reason."""

from __future__ import annotations

from graph.agents.travel import TravelTools
from graph.flow import Flow
from graph.parts import Parts
from graph.steps.judge import COPIES, EVIDENCE, JudgeStep
from graph.steps.responder import ResponderStep
from graph.steps.router import RouterStep
from graph.steps.tools import ToolsStep
from graph.tool import Tool


def build(parts: Parts) -> Flow:
    """The trip planner of the serving-graph examples: weather first, then attractions that fit it, then an answer."""
    travel = TravelTools()
    weather, attractions = Tool.of(travel.get_weather), Tool.of(travel.search_attractions)
    routes = {"travel": (weather, attractions), "weather": (weather,), "other": ()}

    flow = Flow("trip-planner", allow_cyclic=True, max_iterations=12, max_seconds=300)
    router = flow.to(RouterStep(parts.llm("router"), parts.llm("router", "planner"), routes), name="router")
    router.to(ToolsStep((weather, attractions)), name="tools").cycle_to("router")
    router.to(
        JudgeStep(
            parts.llm("judge"),
            parts.llm("judge", "judge-by-copying"),
            compared=("place", "date"),
            fields=EVIDENCE,
            copies=COPIES,
            passed="responder",
            refused="router",
            max_refusals=2,
        ),
        name="judge",
    ).cycle_to("router")
    flow.add_step(ResponderStep(parts.llm("responder")), name="responder", after=("router", "judge")).respond()
    return flow
