"""Tools: a function with type hints is one, and what a model sends is checked before it runs."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from graph import InvalidTool
from graph.tool import Copied, Tool


def book(city: str, nights: int = 1, kind: Literal["hotel", "hostel"] = "hotel") -> dict[str, Any]:
    """Books a room
    for a stay.

    Nothing of this paragraph is the model's to read.
    """
    return {"booked": f"{nights} in {city} ({kind})", "thread": threading.current_thread() is threading.main_thread()}


def test_the_schema_comes_from_the_signature() -> None:
    """Name, first paragraph, types and defaults make what a model is told."""
    wire = Tool.of(book).to_wire()
    assert wire["type"] == "function"
    assert wire["function"]["name"] == "book"
    assert wire["function"]["description"] == "Books a room for a stay."
    assert wire["function"]["parameters"] == {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "nights": {"type": "integer", "default": 1},
            "kind": {"type": "string", "enum": ["hotel", "hostel"], "default": "hotel"},
        },
        "required": ["city"],
        "additionalProperties": False,
    }


def test_which_parameters_are_copies_is_not_in_the_schema() -> None:
    """It is for our own models to know; the schema is that of a plain string."""

    def fly(where: Annotated[str, Copied], seat: Annotated[str, "a window seat"], how: str = "fast") -> None:
        """Flies."""

    tool = Tool.of(fly)
    assert tool.copied == ("where",)
    assert tool.to_wire()["function"]["parameters"]["properties"]["where"] == {"type": "string"}
    assert Tool.of(book).copied == ()


async def test_a_def_runs_in_a_thread() -> None:
    """A tool may block without stopping the loop."""
    assert await Tool.of(book).call('{"city": "Oslo", "nights": 2}', 5) == {
        "booked": "2 in Oslo (hotel)",
        "thread": False,
    }


async def test_faults_are_told_to_the_model() -> None:
    """Wrong arguments, failures and timeouts come back as an error to read, without the words of the exception."""

    async def slow(x: int) -> None:
        """Never ends."""
        await asyncio.Event().wait()

    def broken() -> None:
        """Breaks."""
        raise ValueError("secret words")

    for arguments, part in (("{}", "city: Field required"), ("[]", "wrong arguments"), ('{"city": 5}', "city: ")):
        assert part in (await Tool.of(book).call(arguments, 5))["error"]
    assert "x: Extra inputs" in (await Tool.of(book).call('{"city": "a", "x": 1}', 5))["error"]
    assert (await Tool.of(slow).call('{"x": 1}', 0.01))["error"] == "slow took longer than 0.01 s"
    assert (await Tool.of(broken).call("", 5)) == {"error": "broken failed: ValueError"}


async def test_what_is_no_object_becomes_one() -> None:
    """A plain return value stands under ``result``."""

    async def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    assert await Tool.of(add).call('{"a": 1, "b": 2}', 5) == {"result": 3}


def test_parameters_are_described_by_the_docstring() -> None:
    """By its section Args; a Field goes before it. Nothing else of the section is read."""

    def look(place: str, day: Annotated[str, Field(description="a date")], _json: bool = True) -> None:
        """Looks.

        Args:
            place: where to look,
                in two lines
            day (str): not this
            other: nothing

        Returns:
            place: nothing
        """

    properties = Tool.of(look).to_wire()["function"]["parameters"]["properties"]
    assert properties["place"] == {"type": "string", "description": "where to look, in two lines"}
    assert properties["day"] == {"type": "string", "description": "a date"}
    assert properties["_json"] == {"type": "boolean", "default": True}


async def test_any_name_will_do_for_a_parameter() -> None:
    """Also those that mean something to Pydantic."""

    async def odd(json: int, model_config: int = 1, _x: int = 2, schema: int = 3) -> list[int]:
        """Adds up."""
        return [json, model_config, _x, schema]

    assert await Tool.of(odd).call('{"json": 0, "_x": 5}', 5) == {"result": [0, 1, 5, 3]}


def somewhere(at: Place) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Has a hint that only a type checker sees."""


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Tool.of(lambda: 1), "its name must be"),
        (lambda: Tool.of(print), "'\\*args' cannot be given by name"),
        (lambda: Tool.of(eval("lambda x: x"), name="f"), "parameter 'x' has no type hint"),
        (lambda: Tool.of(somewhere), "tool 'somewhere': a type hint names 'Place', which is not there when it runs"),
        (lambda: Tool.of(book, timeout=0), "must be more than 0"),
        (lambda: Tool.of(book, max_calls=0), "must be 1 or more"),
        (lambda: Tool("t", "", {"type": "array"}, book), "a schema of type object"),
        (lambda: Tool("t", "", {"type": "object", "required": 5}, book), "the schema cannot be used"),
    ],
)
def test_what_cannot_be_a_tool_is_found_when_it_is_made(make: Callable[[], Tool], said: str) -> None:
    """In a sentence that names it."""
    with pytest.raises(InvalidTool, match=said):
        make()


async def test_a_tool_may_bring_its_own_schema() -> None:
    """Its arguments are held to it, and JSON that is no object is refused."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
    tool = Tool("t", "Tells.", schema, lambda **given: given)
    assert await tool.call('{"n": 1}', 5) == {"n": 1}
    assert await tool.call('{"n": "1"}', 5) == {"error": 'wrong arguments: n: "1" is not of type "integer"'}
    for arguments in ("[]", "{", '{"m": 1}'):
        assert (await tool.call(arguments, 5))["error"].startswith("wrong arguments: ")
    assert tool.having(name="u").to_wire()["function"]["name"] == "u"


async def test_a_def_that_finds_nothing_is_an_error() -> None:
    """A StopIteration in its thread is told like any other error, and keeps nobody waiting."""

    def first(names: list[str]) -> str:
        """The first."""
        return next(iter(names))

    assert await Tool.of(first).call('{"names": []}', 5) == {"error": "first failed: RuntimeError"}


async def test_a_tool_ends_neither_the_run_nor_the_loop() -> None:
    """What was cancelled inside of it, and a function that exits, are told like any other error."""

    async def waits() -> None:
        """Waits for something that somebody else gave up."""
        given_up = asyncio.get_running_loop().create_future()
        given_up.cancel()
        await given_up

    def blocks() -> None:
        """The same, in a thread."""
        asyncio.run(waits())

    async def exits() -> None:
        """Is a command line inside."""
        raise SystemExit(2)

    for function in (waits, blocks, exits):
        assert await Tool.of(function).call("", 5) == {"error": f"{function.__name__} failed: RuntimeError"}


async def test_what_a_decorator_or_an_object_makes_async_is_waited_for() -> None:
    """A def that gives back a coroutine, which no signature shows."""

    async def find(city: str) -> str:
        """Finds."""
        return f"Hotel {city}"

    @functools.wraps(find)
    def traced(city: str) -> Coroutine[Any, Any, str]:
        return find(city)

    class Finder:
        """Finds."""

        async def __call__(self, city: str) -> str:
            return await find(city)

    for function in (traced, Finder()):
        assert await Tool.of(function).call('{"city": "Oslo"}', 5) == {"result": "Hotel Oslo"}
