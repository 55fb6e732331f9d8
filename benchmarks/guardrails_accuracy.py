"""How right the rules are, on the labelled set in ``tests/guardrails/labelled.tsv``; nothing is claimed beyond it.

``python -m benchmarks.guardrails_accuracy`` prints the table of ``docs/guardrails/measured.md``, with ``--wrong`` the
lines that a rule has wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from guardrails.guardrail import Guardrail
from guardrails.rules.injection import prompt_injection
from guardrails.rules.personal import personal_data
from guardrails.rules.secrets import secrets

SET = Path(__file__).parent.parent / "tests" / "guardrails" / "labelled.tsv"
INJECTION = "prompt_injection"
HELD_BACK = "prompt_injection, on texts that were held back"
KINDS = ("email", "phone", "card", "iban", "ip", "national_id", "secrets", INJECTION)


@dataclass(slots=True)
class Score:
    """What a rule found in the set."""

    right: int = 0
    missed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float:
        """Of the texts in which it found something, the share in which there is something."""
        return self.right / (self.right + len(self.wrong))

    @property
    def recall(self) -> float:
        """Of the texts in which there is something, the share in which it found something."""
        return self.right / (self.right + len(self.missed))


def labelled() -> Iterator[tuple[set[str], str, bool]]:
    """What is in each text, the text, and whether it was held back while the rules were written."""
    held_back = False
    for line in SET.read_text(encoding="utf-8").splitlines():
        held_back = held_back or line.startswith("# Held back")
        if not line.startswith("#"):
            labels, _, text = line.partition("\t")
            yield set(labels.split(",")) - {"-"}, text, held_back


def scores() -> dict[str, Score]:
    """Each rule, or kind of personal data, on every text of the set."""
    guardrail = Guardrail("measured", [personal_data(), secrets(), prompt_injection(action="flag")])
    made = {kind: Score() for kind in (*KINDS, HELD_BACK)}
    for labels, text, held_back in labelled():
        found = _found(guardrail, text)
        there = labels
        if held_back:
            there, found = ({HELD_BACK} if each & {INJECTION} else set() for each in (labels, found))
        for kind, score in made.items():
            if kind in found and kind in there:
                score.right += 1
            elif kind in found:
                score.wrong.append(text)
            elif kind in there:
                score.missed.append(text)
    return made


def _found(guardrail: Guardrail, text: str) -> set[str]:
    verdict = guardrail.check(text).verdict
    kinds = {span.kind if span.rule == "personal_data" else span.rule for span in verdict.spans}
    return {"national_id" if kind.startswith("national_id") else kind for kind in kinds} | set(verdict.flags)


def table() -> str:
    """The scores, as they stand in the documentation."""
    lines = ["| rule | texts with one | precision | recall |", "|---|--:|--:|--:|"]
    for kind, score in scores().items():
        texts = score.right + len(score.missed)
        lines.append(f"| {kind} | {texts} | {score.precision:.3f} | {score.recall:.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table."""
    print(table())
    if "--wrong" in sys.argv:
        for kind, score in scores().items():
            for text in score.missed:
                print(f"{kind} missed: {text}")
            for text in score.wrong:
                print(f"{kind} wrong:  {text}")


if __name__ == "__main__":
    main()
