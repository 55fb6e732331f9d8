"""/admin/guardrails: the policies, and what one of them says of a text. No model is asked, nothing is recorded."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from gateway.edge.body import BodyReader
from gateway.errors import InvalidBody
from gateway.guarding.guards import Guards
from guardrails import Policy, Verdict
from guardrails.places import PLACES, Place


def router(guards: Guards, bodies: BodyReader) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/admin/guardrails", tags=["admin"])

    @routes.get("")
    async def list_policies() -> dict[str, Any]:
        """The policies: their rules, and the texts that these look at."""
        return {"policies": [{"name": name, "rules": _rules(guards[name])} for name in guards]}

    @routes.post("/test")
    async def test_policy(request: Request) -> dict[str, Any]:
        """What a policy says of a text: ``{"policy", "text", "place"}``, where ``place`` is ``input`` by default."""
        body = await bodies.json(request.scope, request.receive, empty={})
        name, text, place = _asked(body, guards)
        return verdict_on(guards[name], text, place)

    return routes


def verdict_on(policy: Policy, text: str, place: Place) -> dict[str, Any]:
    """What a policy says of a text, and the text as it would go on; null where it would not."""
    guardrail = policy.guardrails.get(place)
    if guardrail is None:
        return {"action": "allow", "text": text, **_told(Verdict(allowed=True))}
    checked = guardrail.check(text)
    verdict = checked.verdict
    return {"action": verdict.action, "text": checked.text if verdict.allowed else None, **_told(verdict)}


def _told(verdict: Verdict) -> dict[str, Any]:
    spans = [
        {"start": span.start, "end": span.end, "rule": span.rule, "kind": span.kind, "action": span.action}
        for span in verdict.spans
    ]
    return {"rule": verdict.rule or None, "reason": verdict.reason, "spans": spans, "flags": list(verdict.flags)}


def _rules(policy: Policy) -> list[dict[str, Any]]:
    return [
        {
            "name": placed.rule.name,
            "places": list(placed.places),
            "action": placed.rule.action,
            "mode": placed.rule.mode,
            "sample": placed.rule.sample,
        }
        for placed in policy.rules
    ]


def _asked(body: Any, guards: Guards) -> tuple[str, str, Place]:
    if not isinstance(body, dict) or not isinstance(body.get("text"), str):
        raise InvalidBody("the body must be a JSON object with a text under 'text'")
    place = body.get("place", "input")
    if place not in PLACES:
        raise InvalidBody(f"'place' must be one of {', '.join(PLACES)}")
    if body.get("policy") not in set(guards):
        raise InvalidBody(f"'policy' must be one of: {', '.join(guards) or 'there are none'}")
    return body["policy"], body["text"], place
