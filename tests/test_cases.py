"""The numbered cases of how serving graphs behave: each that is listed here is a test, and says so by its number.

A test is of a case when its name begins with ``test_case_12_`` or ``test_12_``, or its docstring with ``Case 12:``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from gateway.faults import Fault

TESTS = Path(__file__).parent
REFERENCE = TESTS.parent.parent / "shared" / "reference" / "serving-graph-behaviour.md"
"""Lies beside the checkout, where it lies at all."""
CASES = {
    "Cycles": range(1, 12),
    "Outlets, splits, joins": range(12, 18),
    "Errors": range(18, 22),
    "Streaming": range(22, 33),
    "Models": range(33, 41),
    "API handler": range(41, 45),
    "Mock server": range(47, 48),
}


def numbers_of_tests() -> Iterator[int]:
    """The cases that tests name."""
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                named = re.match(r"test_(?:case_)?(\d+)_", node.name)
                said = re.match(r"Case (\d+):", ast.get_docstring(node) or "")
                yield from (int(found[1]) for found in (named, said) if found)


def test_every_case_of_the_engine_is_a_test() -> None:
    """No number of the sections that are about the engine is without a test that names it."""
    named = set(numbers_of_tests())
    assert {title: [number for number in numbers if number not in named] for title, numbers in CASES.items()} == {
        title: [] for title in CASES
    }


def test_the_numbers_are_those_of_the_reference() -> None:
    """Where the reference lies beside the checkout, its sections have just these numbers."""
    if not REFERENCE.exists():
        return
    sections = re.split(r"^## ", REFERENCE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {section.partition("\n")[0]: re.findall(r"^(\d+)\. ", section, flags=re.MULTILINE) for section in sections}
    assert {title: [int(number) for number in found[title]] for title in CASES} == {
        title: list(numbers) for title, numbers in CASES.items()
    }


def test_case_21_an_unknown_exception_is_a_500_in_the_form_of_the_api() -> None:
    """Whatever a step raises that nobody knows: a 500 with the body of that API, and none of the exception's words."""
    fault = Fault.of(ZeroDivisionError("a secret"))
    assert fault.status == 500
    openai, v2 = fault.body_for("/v1/chat/completions"), fault.body_for("/v2/models/m/infer")
    assert openai["error"].keys() == {"message", "type", "param", "code"}
    assert isinstance(v2["error"], str)
    assert "secret" not in f"{openai}{v2}"
