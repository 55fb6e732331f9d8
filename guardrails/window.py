"""Window: a stream of text, of which exactly that end is held back that may still become part of a match.

Matches that overlap make one group. A group is decided once no match can begin before its end any more; until then it
is held, and so is everything from where the oldest match that is under way began. All else is released at once. What
is found so depends on the text alone and not on where it was cut: a whole text is a stream of one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING, TypeAlias

from guardrails.automaton import Match, Scan
from guardrails.groups import Found, Group, Groups
from guardrails.readings import Readings
from guardrails.rule import Rule, TextRule
from guardrails.timing import Timing
from guardrails.verdict import ALLOWED, Span, Verdict

if TYPE_CHECKING:
    from guardrails.guardrail import Guardrail

Replace: TypeAlias = Callable[[str, str], str]
"""What stands in place of a text of a kind that is redacted: ``replace(kind, text)``."""
NOTHING: Sequence[Match] = ()
UNDECIDED = "The answer was ended because {most} characters of it could not be told apart from what is not allowed."


def placeholder(kind: str, text: str) -> str:
    """The kind in brackets: ``[EMAIL]``."""
    return f"[{kind.upper()}]"


class Window:
    """One text on its way through a guardrail.

    Attributes:
        allowed: whether the text may go on.
    """

    __slots__ = (
        "_base",
        "_beside",
        "_cursor",
        "_flags",
        "_groups",
        "_guardrail",
        "_held",
        "_most",
        "_passed_over",
        "_readings",
        "_refusal",
        "_replace",
        "_scan",
        "_spans",
        "_timing",
        "_verdict",
        "_whole",
        "allowed",
    )

    def __init__(
        self,
        guardrail: Guardrail,
        replace: Replace,
        passed_over: frozenset[int],
        most: int,
        timing: Timing,
        *,
        reads: bool = False,
    ) -> None:
        self.allowed = True
        self._refusal = ("", "")
        self._verdict: Verdict | None = ALLOWED
        self._guardrail = guardrail
        self._replace = replace
        self._passed_over = passed_over
        self._most = most
        self._timing = timing
        self._scan = Scan(guardrail.machine)
        self._readings = Readings() if reads else None
        self._groups = Groups()
        self._beside: list[Found] = []
        self._held = ""
        self._base = self._cursor = 0
        self._spans: list[Span] = []
        self._flags: list[str] = []
        self._whole: list[str] | None = [] if self._asked() else None

    @property
    def verdict(self) -> Verdict:
        """What has been said of the text so far; it is final after :meth:`end`, or once it refuses."""
        if self._verdict is None:
            rule, reason = self._refusal
            spans, flags = tuple(self._spans), tuple(self._flags)
            self._verdict = Verdict(allowed=self.allowed, reason=reason, rule=rule, spans=spans, flags=flags)
        return self._verdict

    def add(self, found: list[Found]) -> None:
        """What else is found in the text, which is to come whole."""
        self._beside = found

    def feed(self, text: str) -> str:
        """Takes the next piece of the text and gives what may be said by now; nothing once it has been refused."""
        if not self.allowed:
            return ""
        if self._whole is not None:
            return self._gather(text)
        if self._guardrail.lengths and (beyond := self._beyond(text)) is not None:
            return beyond
        return self._pass(text)

    def end(self) -> str:
        """Says that nothing follows, and gives what may be said of the rest."""
        if not self.allowed:
            return ""
        if self._whole is None:
            return self._rest()
        text, self._whole = "".join(self._whole), None
        return "" if self._refused_as_a_whole(text) else self.feed(text) + self.end()

    def _pass(self, text: str) -> str:
        readings, scan = self._readings, self._scan
        if readings is None or (not readings.differ and text.isascii() and text.isprintable()):
            written, read = scan.feed(text), NOTHING
            open_from = scan.open_from
        else:
            written, read = readings.feed(scan, text)
            open_from = readings.open_from(scan)
        if written or read:
            self._groups.take(written, read)
        self._held += text
        if self._beside:
            return ""
        return self._settle(open_from) if self._groups else self._release(open_from)

    @property
    def _open_from(self) -> int:
        """Where the oldest match that is under way began."""
        return self._scan.open_from if self._readings is None else self._readings.open_from(self._scan)

    def _rest(self) -> str:
        self._groups.take(self._scan.end(), () if self._readings is None else self._readings.end())
        if self._beside:
            self._groups.take_found(self._beside)
        return self._settle(self._scan.position)

    def _gather(self, text: str) -> str:
        """Holds all of the text, for rules about it as a whole."""
        assert self._whole is not None  # noqa: S101 - the caller looked
        self._whole.append(text)
        self._base += len(text)
        if self._base > self._most:
            self._refuse("window", UNDECIDED.format(most=self._most))
        return ""

    def _refused_as_a_whole(self, text: str) -> bool:
        self._base = 0
        for rule in self._asked():
            begun = perf_counter_ns()
            why = rule.look(text)
            self._timing.add(rule.name, perf_counter_ns() - begun)
            if why:
                self._flag(rule) if rule.does != "refuse" else self._refuse(rule.name, f"{rule.message} {why}".strip())
            if not self.allowed:
                return True
        return False

    def _asked(self) -> list[TextRule]:
        return [rule for rule in self._guardrail.whole if id(rule) not in self._passed_over]

    def _beyond(self, text: str) -> str | None:
        """What may be said of a text that grows too long by this piece, which ends where a match may have begun; None
        when it does not."""
        after = self._scan.position + len(text)
        for rule in self._guardrail.lengths:
            if after <= rule.most or id(rule) in self._passed_over:
                continue
            if rule.does != "refuse":
                self._flag(rule)
                continue
            said = self._pass(text[: rule.most - self._scan.position])
            if self._beside and self.allowed:
                self._groups.take_found(self._beside)
                said += self._settle(self._open_from)
            if self.allowed:
                self._refuse(rule.name, rule.message)
            return said
        return None

    def _settle(self, decided: int) -> str:
        """Decides the groups that no match from ``decided`` on can join, and releases up to the first other one."""
        said = []
        while self.allowed and (group := self._groups.decided(decided)):
            said.append(self._decide(group))
        if self.allowed:
            said.append(self._release(min(self._groups.start, decided) if self._groups else decided))
        return "".join(said)

    def _release(self, until: int) -> str:
        said = self._cut(until)
        self._held, self._base = self._held[until - self._base :], until
        if len(self._held) > self._most:
            self._refuse("window", UNDECIDED.format(most=self._most))
        return said

    def _decide(self, group: Group) -> str:
        said = [self._cut(group.start)]
        text, offset = self._cut(group.end), group.start
        at = offset
        read = self._guardrail.read(text, offset) if group.is_read else []
        for span, rule in self._guardrail.spans(text, group.matches, offset, [*group.found, *read]):
            if id(rule) in self._passed_over:
                continue
            self._spans.append(span)
            self._verdict = None
            if span.action == "refuse":
                said.append(text[at - offset : max(at, span.start) - offset])
                self._refuse(rule.name, rule.message)
                return "".join(said)
            if span.action == "redact" and span.end > at:
                said.append(text[at - offset : max(at, span.start) - offset])
                said.append(self._replace(span.kind, text[max(at, span.start) - offset : span.end - offset]))
                at = span.end
        said.append(text[at - offset :])
        return "".join(said)

    def _cut(self, until: int) -> str:
        """The text up to there. It is taken out of what is held once for all groups, so that time stays linear."""
        said = self._held[self._cursor - self._base : until - self._base]
        self._cursor = until
        return said

    def _flag(self, rule: Rule) -> None:
        if rule.name not in self._flags:
            self._flags.append(rule.name)
            self._verdict = None

    def _refuse(self, rule: str, reason: str) -> None:
        self._held = ""
        self._groups.clear()
        self.allowed, self._refusal, self._verdict = False, (rule, reason), None
