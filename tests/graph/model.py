"""A small model of the engine, for random graphs: what a graph should do, said again in as few words as possible.

It walks a graph by following names, and has no tasks and no plan. Where the engine works on several paths at once
and one of them fails, the model does not say what the others came to: then it is not ``sure``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from graph import DROPPED, Complete

START = (0, "start")


@dataclass(repr=False)
class Spec:
    """One step of a random graph.

    Attributes:
        kind: what it does; of the kinds that work on a body, ``plain``, ``later`` and ``event`` do the same.
        after: the steps that it follows; none is the start.
        cycles: the steps before it that it may go back to.
        script: which outlets it selects: one entry after the other, by the weight of the body; None selects nothing.
        chunks: how many a streaming step makes.
        breaks: before which chunk a streaming step fails; None for never.
        limit: its own ``max_iterations``.
        handler: the name of its error handler, recovery: where a Boom sends it.
        before: of an error handler, where it goes on.
    """

    name: str
    kind: Literal["plain", "later", "event", "same", "fail", "filter", "stream", "flow", "expand", "collector", "merge"]
    after: tuple[str, ...] = ()
    cycles: tuple[str, ...] = ()
    script: tuple[tuple[str, ...], ...] | None = None
    chunks: int = 2
    breaks: int | None = None
    limit: int | None = None
    responds: bool = False
    drafts: Literal["hide", "live"] = "hide"
    on_limit: Literal["error", "best"] = "error"
    handler: str | None = None
    recovery: str | None = None
    handles: bool = False
    before: str | None = None

    def __repr__(self) -> str:
        """What is not as it mostly is, so that a failing graph can be read."""
        said = {member.name: getattr(self, member.name) for member in fields(self)[2:]}
        told = (
            f", {name}={said[name]!r}" for name in said if said[name] != type(self).__dataclass_fields__[name].default
        )
        return f"Spec({self.name!r}, {self.kind!r}{''.join(told)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    @property
    def streams(self) -> bool:
        return self.kind in ("stream", "flow", "expand")


@dataclass
class Graph:
    """A random graph: its steps in the order in which they are added, and what holds for all of them."""

    steps: list[Spec]
    max_iterations: int = 3
    handler: str | None = None

    def followers(self, name: str) -> list[str]:
        """The outlets of a step."""
        own = next(step for step in self.steps if step.name == name)
        ahead = [step.name for step in self.steps if name in step.after]
        return list(dict.fromkeys([*((own.before,) if own.before else ()), *ahead, *own.cycles]))


class Boom(Exception):
    """What steps of random graphs fail with."""


class Failure(Exception):
    """In the model: a step failed."""

    def __init__(self, node: str, kind: str, from_branch: bool = False) -> None:
        super().__init__(f"{kind} in {node}")
        self.node = node
        self.kind = kind
        self.from_branch = from_branch


class Final(Exception):
    """In the model: a step failed when its answer was on its way already."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def weight(body: Any) -> int:
    """How many steps a body has been through."""
    if isinstance(body, tuple):
        return int(body[0])
    return 1 + sum(map(weight, body)) if isinstance(body, list) else 0


def made(name: str, body: Any) -> Any:
    """What a step makes of a body: the body inside one more pair of brackets."""
    return (weight(body) + 1, name, body)


def fails(body: Any) -> bool:
    """Whether a step of the kind ``fail`` cannot do this body."""
    return weight(body) % 3 == 1


def passes(body: Any) -> bool:
    """Whether a step of the kind ``filter`` lets this body go on."""
    return weight(body) % 4 != 2


def whole(chunks: list[Any]) -> Any:
    """One body of a stream."""
    return chunks[0] if len(chunks) == 1 else chunks


@dataclass
class Walk:
    """One event on its way through the model."""

    body: Any
    node: str = ""
    left: bool = False
    main: bool = False
    aside: bool = False


@dataclass
class Model:
    """One run of a graph.

    Attributes:
        log: of the walk that answers: every chunk that a step made, every answer that left, in their order.
        visits: how often each step was entered.
        error: the kind of error that ends the run.
        sure: whether the model says all of this, or only that the run ends.
        spoke: how streams came to the client: ``live`` or ``accepted``.
        others: the streaming steps that a walk beside the main one has come to.
    """

    graph: Graph
    log: list[tuple[str, Any]] = field(default_factory=list)
    visits: Counter[str] = field(default_factory=Counter)
    error: str | None = None
    sure: bool = True
    spoke: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.steps = {step.name: step for step in self.graph.steps}
        self.outlets = {name: self.graph.followers(name) for name in self.steps}
        self.responder = next((step for step in self.graph.steps if step.responds), None)
        answers = self.responder.name if self.responder else ""
        self.can_answer = {name for name in self.steps if answers in self._reached(name)}
        self.may_answer = {name for name in self.steps if answers in self._reached(name, errors=True)}
        self.looped = bool(answers) and any(follower in self.may_answer for follower in self.outlets[answers])
        self.shown = self.responder is not None and self.looped and self.responder.drafts == "live"
        self.answered = False
        self.draft: list[Any] | None = None
        self.draft_streamed = False
        self.best: list[Any] | None = None
        self.aside_failure: Failure | None = None
        self.asides = False

    def _reached(self, start: str, *, errors: bool = False, split: str | None = None) -> list[str]:
        """What can be reached; of a split, before two paths come back to it or to a Merge."""
        found = [start]
        for name in found:
            if name == split:
                continue
            step = self.steps[name]
            ways = [*self.outlets[name], *((step.recovery, step.handler) if errors else ())]
            for way in ways:
                if way and way not in found and (split is None or self.steps[way].kind != "merge"):
                    found.append(way)
        return found

    # --- the run

    def run(self) -> Model:
        """Walks the graph to its end."""
        walk = Walk(START, main=True)
        try:
            self.speak(walk)
            if not self.answered and walk.body is not DROPPED:
                self.log.append(("got", walk.body if self.responder else "id"))
        except (Failure, Final) as failed:
            failure = failed.failure if isinstance(failed, Final) else failed
            self.sure = self.sure and not self.asides
            if failure.kind == "limit" and self.answers_by_draft:
                self.refuse()
                self.say(self.best or [])
            else:
                self.error = failure.kind
            return self
        if self.aside_failure is not None and not self.answered:
            self.error = self.aside_failure.kind
        return self

    @property
    def answers_by_draft(self) -> bool:
        wanted = self.responder is not None and self.responder.on_limit == "best"
        return wanted and not self.answered and not (self.draft is None and self.best is None)

    def speak(self, walk: Walk) -> None:
        node: str | None = self.graph.steps[0].name
        while node is not None:
            entered = walk.body
            try:
                self.do(walk, node)
                follower = self.next(walk)
            except Failure as failure:
                node = self.recover(walk, entered, failure)
                continue
            if self.draft is not None and (follower is None or follower not in self.may_answer):
                if walk.body is DROPPED:
                    self.refuse()
                else:
                    self.answered = True
                    self.spoke |= {"accepted"} if self.draft_streamed and self.looped else set()
                    self.say(self.draft)
                    self.draft = None
            node = follower

    def carry(self, walk: Walk, node: str | None, *, to_merge: bool) -> str | None:
        while node is not None and not (to_merge and self.steps[node].kind == "merge"):
            entered = walk.body
            if self.steps[node].responds:
                self.sure = False  # the responder speaks on one path only; a handler has led another one there
            try:
                self.do(walk, node)
                node = self.next(walk)
            except Failure as failure:
                node = self.recover(walk, entered, failure)
        return node

    # --- one step

    def enter(self, name: str) -> None:
        self.visits[name] += 1
        limit = self.steps[name].limit
        if self.visits[name] > (self.graph.max_iterations if limit is None else limit):
            raise Failure(name, "limit")

    def do(self, walk: Walk, name: str) -> bool:
        """Does a step; whether what it said has left already."""
        step = self.steps[name]
        if step.kind == "merge":
            self.merge(walk, name, [walk])
            return False
        self.enter(name)
        if step.streams:
            return self.stream(walk, name)
        walk.body = self.call(name, walk.body)
        if step.responds and walk.body is not DROPPED:
            if self.shown:
                self.answered = True
                self.say([walk.body])
            else:
                self.hold([walk.body])
        walk.node = name
        return self.shown and step.responds

    def call(self, name: str, body: Any) -> Any:
        kind = self.steps[name].kind
        if kind == "fail" and fails(body):
            raise Failure(name, "boom")
        if kind == "filter":
            return body if passes(body) else DROPPED
        return body if kind in ("same", "collector") else made(name, body)

    def stream(self, walk: Walk, name: str) -> bool:
        """Makes a stream and leads it where it ends."""
        path = self.path(walk, name)
        for passed in path:
            self.enter(passed)
        end = self.steps[path[-1] if path else name]
        self.others |= set() if walk.main else {name, *path}
        chunks = self.chunks(walk, name, path)
        speaks = end.responds and end.kind != "collector"
        if speaks and (not self.looped or self.shown):
            said = []
            try:
                for chunk in chunks:
                    said.append(chunk)
                    self.say([chunk])
            except Failure as failure:
                if not said:
                    raise
                self.tell(failure)
                raise Final(failure) from None
            self.spoke.add("live")
            self.answered = True
            walk.body, walk.node = whole(said), end.name
            return True
        gathered = list(chunks)
        walk.body, walk.node = whole(gathered), end.name
        if end.responds:
            self.hold(gathered if speaks else [walk.body])
            self.draft_streamed = speaks
        return False

    def path(self, walk: Walk, name: str) -> list[str]:
        """The steps that each chunk walks; where a stream has several readers, those beside it go their ways."""
        followers = self.outlets[name]
        if self.steps[name].responds or self.steps[name].script is not None or not followers:
            return []
        paths = [self.line(follower) for follower in followers]
        if len(paths) == 1:
            return paths[0]
        main = next(path for path in paths if self.steps[path[-1]].responds)
        for path in paths:
            if path is not main:
                self.asides = True
                self.beside(walk, name, path)
        return main

    def line(self, name: str) -> list[str]:
        passed = [name]
        while not self.steps[passed[-1]].responds and self.steps[passed[-1]].kind != "collector":
            if not self.outlets[passed[-1]]:
                break
            (follower,) = self.outlets[passed[-1]]
            passed.append(follower)
        return passed

    def chunks(self, walk: Walk, name: str, path: list[str]) -> Iterator[Any]:
        for chunk in self.pieces(walk, name, walk.body):
            yield from self.walked(walk, chunk, path)

    def pieces(self, walk: Walk, name: str, body: Any) -> Iterator[Any]:
        step = self.steps[name]
        for index in range(step.chunks + 1):
            if step.breaks == index:
                raise Failure(name, "boom")
            if index < step.chunks:
                piece = made(f"{name}#{index}", body)
                if walk.main:
                    self.log.append(("made", piece))
                yield piece

    def walked(self, walk: Walk, chunk: Any, path: list[str]) -> Iterator[Any]:
        """What a chunk becomes on its path: another one, several, or none."""
        if not path or self.steps[path[0]].kind == "collector":
            yield chunk
        elif self.steps[path[0]].kind == "expand":
            for piece in self.pieces(walk, path[0], chunk):
                yield from self.walked(walk, piece, path[1:])
        elif (chunk := self.call(path[0], chunk)) is not DROPPED:
            yield from self.walked(walk, chunk, path[1:])

    def beside(self, walk: Walk, name: str, path: list[str]) -> None:
        """A side branch that reads a stream along."""
        aside = Walk(walk.body, aside=True)
        self.others |= set(path)
        try:
            for passed in path:
                self.enter(passed)
            aside.body, aside.node = whole(list(self.chunks(aside, name, path))), path[-1]
            follower = self.next(aside)
        except Failure as failure:
            self.sure = False  # the stream may have ended for other reasons before
            del failure
            return
        self.go_aside(aside, follower)

    # --- answers

    def say(self, chunks: list[Any]) -> None:
        self.log += [("got", chunk) for chunk in chunks]

    def hold(self, chunks: list[Any]) -> None:
        self.refuse()
        self.draft, self.draft_streamed = chunks, False

    def refuse(self) -> None:
        if self.draft is not None:
            self.best, self.draft = self.draft, None

    # --- errors

    def handler(self, failure: Failure) -> str | None:
        step = self.steps[failure.node]
        if failure.kind == "boom" and step.recovery is not None:
            return step.recovery
        return None if step.handles else step.handler or self.graph.handler

    def recover(self, walk: Walk, entered: Any, failure: Failure) -> str:
        if failure.from_branch:
            raise failure
        handler = self.handler(failure)
        best = failure.kind == "limit" and self.answers_by_draft
        over = walk.aside or (self.answered and not self.shown)
        if handler is None or best or (over and handler in self.may_answer):
            raise failure
        if not walk.aside:
            self.refuse()
        walk.body = entered
        return handler

    def tell(self, failure: Failure) -> None:
        handler = self.handler(failure)
        if handler is not None:
            self.sure = False  # whether it streams or fails itself does not matter to anybody
            self.visits[handler] += 1

    # --- several paths

    def next(self, walk: Walk) -> str | None:
        if walk.body is DROPPED:
            return None
        step, outlets = self.steps[walk.node], self.outlets[walk.node]
        if step.script is None and len(outlets) < 2:
            walk.left = step.handles and not outlets
            return outlets[0] if outlets else None
        names = outlets
        if step.script is not None:
            names = list(step.script[weight(walk.body) % len(step.script)])
            walk.left = names == [Complete]
            names = [name for name in names if name != Complete]
        if len(names) < 2:
            return names[0] if names else None
        return self.split(walk, names)

    def split(self, walk: Walk, names: list[str]) -> str | None:
        if self.meet(walk.node, names):
            raise Failure(walk.node, "outlet")
        awaited = [name for name in names if self.responder is None or name in self.can_answer]
        aside = [name for name in names if name not in awaited]
        if aside:
            self.asides = True
            branch = Walk(walk.body, walk.node, aside=True)
            try:
                follower: str | None = aside[0]
                if len(aside) > 1:
                    follower = self.join(branch, aside)
            except Failure as failure:
                self.aside_fails(failure)
            else:
                self.go_aside(branch, follower)
        if len(awaited) < 2:
            return awaited[0] if awaited else None
        return self.join(walk, awaited)

    def go_aside(self, walk: Walk, follower: str | None) -> None:
        try:
            self.carry(walk, follower, to_merge=False)
        except Failure as failure:
            self.aside_fails(failure)

    def aside_fails(self, failure: Failure) -> None:
        self.sure = self.sure and failure.kind != "limit"
        self.aside_failure = self.aside_failure or failure

    def meet(self, split: str, names: list[str]) -> bool:
        seen: set[str] = set()
        for name in names:
            path = set() if self.steps[name].kind == "merge" else set(self._reached(name, split=split))
            if path & seen:
                return True
            seen |= path
        return False

    def join(self, walk: Walk, names: list[str]) -> str | None:
        going = [(Walk(walk.body, walk.node, aside=walk.aside), name) for name in names]
        arrived: dict[str, list[Walk]] = {}
        while going:
            for branch, name in going:
                try:
                    reached = self.carry(branch, name, to_merge=True)
                except Failure as failure:
                    self.sure = False
                    raise Failure(failure.node, failure.kind, from_branch=True) from None
                if branch.left:
                    self.sure, walk.left, walk.body = False, True, branch.body
                    return None
                if reached is not None:
                    arrived.setdefault(reached, []).append(branch)
            first = [
                name for name in arrived if any(name != other and other in self._reached(name) for other in arrived)
            ]
            going = []
            for merge in first or (list(arrived) if len(arrived) > 1 else []):
                branch = Walk(walk.body, walk.node, aside=walk.aside)
                try:
                    self.merge(branch, merge, arrived.pop(merge))
                    follower = self.next(branch)
                except Failure as failure:
                    self.sure = False
                    raise failure
                going += [(branch, follower)] if follower is not None else []
        if not arrived:
            walk.body = DROPPED if self.responder else walk.body
            return None
        ((merge, branches),) = arrived.items()
        self.merge(walk, merge, branches)
        return self.next(walk)

    def merge(self, walk: Walk, name: str, walks: list[Walk]) -> None:
        self.enter(name)
        walk.body = made(name, [branch.body for branch in walks])
        walk.node = name
        if self.steps[name].responds:
            self.hold([walk.body])
            self.sure = self.sure and not self.shown
