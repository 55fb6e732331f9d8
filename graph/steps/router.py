"""RouterStep: names the route of a request, and lets a model call that route's tools until it has what it needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from graph.errors import InvalidStep
from graph.event import Event
from graph.recording.tape import Tape
from graph.steps.model_call import ask
from graph.toolset import ToolSource, kept, tools_of
from llm import ChatRequest, InvalidRequest, LLModel, text_of

ROUTE = "route"
"""Where the route stands in the step's notes."""


class RouterStep:
    """The hub of an agent. It goes to ``tools`` while the model calls any, to ``done`` when it has evidence, and to
    ``answer`` when there is nothing to gather: a route without tools, a question to ask back, or a call of a tool that
    the client declared, which is the client's to run.

    Args:
        classifier: asked once a run for one of the names of ``routes``.
        planner: asked for tool calls; its words are not shown to anybody.
        routes: the tools of each route, and sets of tools such as ``parts.tools("name")``; the last route is for
            everything that is none of the others. If there is just one, the classifier is not asked.
        tools, done, answer: the names of the followers.

    Raises:
        InvalidStep: when there is no route.
    """

    full_event = True
    needs_whole = True

    def __init__(
        self,
        classifier: LLModel,
        planner: LLModel,
        routes: Mapping[str, Iterable[ToolSource]],
        *,
        tools: str = "tools",
        done: str = "judge",
        answer: str = "responder",
    ) -> None:
        if not routes:
            raise InvalidStep("RouterStep: routes= names at least one route, whose tools may be none")
        self._classifier = classifier.filled_by("labels")
        self._planner = planner.filled_by()
        self._routes = {route: kept(tools) for route, tools in routes.items()}
        self._outlets = (tools, done, answer)

    async def do(self, event: Event) -> None:
        request: ChatRequest = event.body
        self._refuse_taken_names(request, event.tape)
        notes = event.own_notes
        if ROUTE not in notes:
            notes[ROUTE] = await self._classify(request, event)
        own = tools_of(self._routes[notes[ROUTE]], event.tape)
        offered = [*(tool.to_wire() for tool in own), *request.tools]
        if not offered:
            return
        asked = self._planner.request(request.messages, tools=offered)
        said = "\n".join(map(text_of, request.messages))
        asked.copies = {f"{tool.name}.{name}": said for tool in own for name in tool.copied}
        reply = await ask(self._planner.model, asked, event)
        theirs = [call for call in reply.tool_calls if call.name in request.tool_names]
        reply.tool_calls = theirs or reply.tool_calls
        if reply.tool_calls:
            request.messages.append(reply.message())

    def select_outlets(self, event: Event) -> str:
        """The follower for what the model wants next."""
        tools, done, answer = self._outlets
        request: ChatRequest = event.body
        if request.gathered and request.gathered[-1].get("tool_calls"):
            return answer if request.calls_of_client else tools
        return done if any(message["role"] == "tool" for message in request.gathered) else answer

    def _refuse_taken_names(self, request: ChatRequest, tape: Tape | None) -> None:
        own = {tool.name for tools in self._routes.values() for tool in tools_of(tools, tape)}
        for name in request.tool_names & own:
            message = f"The tool name '{name}' is taken by a tool of this agent's own; give yours another one."
            raise InvalidRequest(message, param="tools", code="invalid_value")

    async def _classify(self, request: ChatRequest, event: Event) -> str:
        """The route that the model names; what it says is matched by word, and no match is the last route."""
        names = tuple(self._routes)
        if len(names) == 1:
            return names[0]
        asked = self._classifier.request(request.conversation, {"labels": ", ".join(names)})
        asked.labels = names
        reply = await ask(self._classifier.model, asked, event)
        words = reply.content.casefold().replace('"', " ").replace(".", " ").split()
        return next((name for name in names if name.casefold() in words), names[-1])
