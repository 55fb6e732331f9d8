"""reviewed-answer: a writer drafts, a judge reads, and the client sees only the draft that was accepted."""

from __future__ import annotations

from graph.flow import Flow
from graph.parts import Parts
from graph.step import Complete
from graph.steps.judge import DRAFT, JudgeStep
from graph.steps.responder import ResponderStep

DRAFTS = 3


def build(parts: Parts) -> Flow:
    """The evaluator-optimizer loop: at most three drafts, and the best of them when none is good enough."""
    flow = Flow("reviewed-answer", allow_cyclic=True, max_iterations=DRAFTS, max_seconds=300)
    writer = flow.to(ResponderStep(parts.llm("writer")), name="writer").respond(drafts="hide", on_limit="best")
    writer.to(
        JudgeStep(
            parts.llm("judge", "reviewer"),
            parts.llm("judge", "reviewer-by-copying"),
            compared=("topic",),
            fields=DRAFT,
            passed=Complete,
            refused="writer",
        ),
        name="judge",
    ).cycle_to("writer")
    return flow
