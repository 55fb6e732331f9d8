"""How right the rules are, on the labelled set in ``tests/guardrails/labelled.tsv``; nothing is claimed beyond it.

``python -m benchmarks.guardrails_accuracy`` prints the table of ``docs/guardrails/measured.md``, with ``--wrong`` the
lines that a rule has wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from guardrails.guardrail import Guardrail
from guardrails.rules.injection import prompt_injection
from guardrails.rules.personal import personal_data
from guardrails.rules.secrets import secrets

SET = Path(__file__).parent.parent / "tests" / "guardrails" / "labelled.tsv"
INJECTION = "prompt_injection"
HELD_BACK = "prompt_injection, on texts that were held back"
DISGUISES: dict[str, Callable[[str], str]] = {
    "as they are": str,
    "full-width letters": lambda text: "".join(
        chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text
    ),
    "signs that nobody sees between letters": "\u200b".join,
    "letters of other scripts": lambda text: text.translate(
        str.maketrans("aceiopsxyABCEHIKMOPTXv", "асеіорѕхуАВСЕНІКМОРТХν")
    ),
}
"""The same texts as somebody writes them who would not be found out."""
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


def disguised() -> str:
    """How many of all that is in the texts is found in them, and in how many with nothing in them something is, as they
    stand in the documentation."""
    lines = [
        "| texts | found, as they are read | found, as they are written | wrong, as they are read |",
        "|---|--:|--:|--:|",
    ]
    rules = [personal_data(), secrets(), prompt_injection(action="flag")]
    read, written = (Guardrail("measured", rules, lookalikes=each) for each in (True, False))
    texts = [(labels, text) for labels, text, _ in labelled()]
    there = sum(len(labels) for labels, _ in texts)
    for name, disguise in DISGUISES.items():
        shares = [
            sum(len(labels & _found(each, disguise(text))) for labels, text in texts) / there
            for each in (read, written)
        ]
        wrong = sum(bool(_found(read, disguise(text))) for labels, text in texts if not labels)
        lines.append(
            f"| {name} | {shares[0]:.3f} | {shares[1]:.3f} | {wrong} of {sum(not labels for labels, _ in texts)} |"
        )
    return "\n".join(lines)


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
    """Prints the tables."""
    print(f"{table()}\n\n{disguised()}")
    if "--wrong" in sys.argv:
        for kind, score in scores().items():
            for text in score.missed:
                print(f"{kind} missed: {text}")
            for text in score.wrong:
                print(f"{kind} wrong:  {text}")


if __name__ == "__main__":
    main()
