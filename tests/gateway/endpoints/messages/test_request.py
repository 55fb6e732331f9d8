"""A request to Anthropic's API as a chat request, and back again."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.endpoints.messages.request import chat_request
from gateway.endpoints.messages.shape import checked
from llm import ChatRequest
from llm.chat.request_checks import check_request
from llm.providers.anthropic_request import message_body

CACHED = {"cache_control": {"type": "ephemeral"}}
USER = {"role": "user", "content": "hi"}


def asked(**members: Any) -> ChatRequest:
    return chat_request(checked({"model": "m", "max_tokens": 9, "messages": [USER], **members}))


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def test_messages() -> None:
    """The system first; results of tools before what else the user says; calls as OpenAI has them."""
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    use = {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [text("3")], "is_error": True}
    turns = [
        USER,
        {"role": "assistant", "content": [thought, text("Wait."), use]},
        {"role": "user", "content": [text("go on"), result]},
    ]
    assert asked(system="Be brief.", messages=turns).messages == [
        {"role": "system", "content": "Be brief."},
        USER,
        {
            "role": "assistant",
            "content": "Wait.",
            "thinking_blocks": [thought],
            "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}],
        },
        {"role": "tool", "tool_call_id": "t1", "content": [text("3")], "is_error": True},
        {"role": "user", "content": [text("go on")]},
    ]


def test_a_thought_that_nobody_signed_is_left_out() -> None:
    """Anthropic would refuse it, and it was ours; one between words keeps its place."""
    signed = {"type": "thinking", "thinking": "b", "signature": "s"}
    said = [{"type": "thinking", "thinking": "a", "signature": ""}, text("A"), signed, text("B")]
    assert asked(messages=[USER, {"role": "assistant", "content": said}]).messages[1:] == [
        {"role": "assistant", "content": "A"},
        {"role": "assistant", "content": "B", "thinking_blocks": [signed]},
    ]


def test_images_and_documents() -> None:
    """By data or by address, as OpenAI has them; others stay Anthropic's."""
    parts = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}, **CACHED},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
    ]
    (message,) = asked(messages=[{"role": "user", "content": parts}]).messages
    assert message["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}, **CACHED},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,AA=="}},
        parts[3],
    ]


def test_members_that_are_openais_are_not_taken_for_it() -> None:
    """What a caller adds to a tool, a part or a result does not stand in the place of what is made of them."""
    tool = {"name": "f", "input_schema": {"type": "object"}, "function": []}
    use = {"type": "tool_use", "id": "t1", "name": "f", "input": {}, "function": 5}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "3", "role": 5, "tool_call_id": 5}
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}, "image_url": 5}
    request = asked(
        tools=[tool],
        messages=[USER, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result, image]}],
    )
    _, _, said, shown = request.messages
    assert request.parameters["tools"][0]["function"] == {"name": "f", "parameters": {"type": "object"}}
    assert (said["role"], said["tool_call_id"]) == ("tool", "t1")
    assert shown["content"][0]["image_url"] == {"url": "https://example.com/a.png"}
    check_request(request.to_wire())


def test_parameters() -> None:
    """Each under OpenAI's name; what has none goes as it is."""
    tool = {"name": "f", "description": "d", "input_schema": {"type": "object"}, "defer_loading": True}
    request = asked(
        stream=True,
        stop_sequences=["a"],
        temperature=0.5,
        top_k=3,
        metadata={"user_id": "u"},
        service_tier="standard_only",
        thinking={"type": "disabled"},
        tools=[tool],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    )
    schema = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    assert (request.stream, request.parameters) == (
        True,
        {
            "max_completion_tokens": 9,
            "stop": ["a"],
            "temperature": 0.5,
            "top_k": 3,
            "user": "u",
            "service_tier": "default",
            "thinking": {"type": "disabled"},
            "tools": [{"type": "function", "function": function, "defer_loading": True}],
            "tool_choice": "required",
            "parallel_tool_calls": False,
            "reasoning_effort": "low",
            "response_format": {"type": "json_schema", "json_schema": schema},
        },
    )


words = st.text(min_size=1, max_size=8).filter(lambda said: said == said.strip() and "\ud800" not in said)
marked = st.sampled_from([{}, CACHED])


def blocks(*least: str) -> st.SearchStrategy[dict[str, Any]]:
    """Blocks of these kinds, perhaps with a cache mark."""
    data = st.just({"type": "base64", "media_type": "image/png", "data": "AAA="})
    url = st.just({"type": "url", "url": "https://example.com/a"})
    pdf = st.just({"type": "base64", "media_type": "application/pdf", "data": "AAA="})
    kinds: dict[str, st.SearchStrategy[dict[str, Any]]] = {
        "text": st.fixed_dictionaries({"type": st.just("text"), "text": words}),
        "image": st.fixed_dictionaries({"type": st.just("image"), "source": data | url}),
        "document": st.fixed_dictionaries(
            {"type": st.just("document"), "source": pdf | url}, optional={"title": words, "context": words}
        ),
        "search_result": st.fixed_dictionaries(
            {"type": st.just("search_result"), "source": words, "title": words, "content": st.just([text("x")])}
        ),
        "thinking": st.fixed_dictionaries({"type": st.just("thinking"), "thinking": words, "signature": words})
        | st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": words}),
    }
    found = st.one_of(*(kinds[kind] for kind in least))
    return st.builds(lambda block, mark: {**block, **(mark if "thinking" not in block["type"] else {})}, found, marked)


@st.composite
def exchanges(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A user's message, an answer with calls of tools, and their results."""
    number = draw(st.integers(1, 3))
    inputs = st.dictionaries(words, st.integers(-9, 9) | words | st.booleans() | st.none(), max_size=2)
    uses = [{"type": "tool_use", "id": f"t{at}", "name": draw(words), "input": draw(inputs)} for at in range(number)]
    told = st.lists(blocks("text", "image", "document", "search_result"), min_size=1, max_size=2)
    results = [
        {"type": "tool_result", "tool_use_id": use["id"]}
        | draw(st.fixed_dictionaries({}, optional={"content": words | told, "is_error": st.just(True)}))
        | draw(marked)
        for use in uses
    ]
    said = draw(st.lists(blocks("thinking"), max_size=2)) + draw(st.lists(blocks("text"), max_size=2))
    more = draw(st.lists(blocks("text", "image", "document"), max_size=2))
    return [
        {"role": "user", "content": draw(words | st.lists(blocks("text", "image"), min_size=1, max_size=2))},
        {"role": "assistant", "content": [*said, *uses]},
        {"role": "user", "content": [*results, *more]},
        {"role": "assistant", "content": draw(words | st.lists(blocks("text"), min_size=1, max_size=2))},
    ]


tools = st.lists(
    st.builds(
        lambda name, rest, mark: {"name": name, "input_schema": {"type": "object", "properties": {}}, **rest, **mark},
        words,
        st.fixed_dictionaries(
            {}, optional={"description": words, "strict": st.just(True), "defer_loading": st.booleans()}
        ),
        marked,
    )
    | st.just({"type": "web_search_20250305", "name": "web_search", "max_uses": 3}),
    min_size=1,
    max_size=3,
    unique_by=lambda tool: tool["name"],
)
ONE = {"disable_parallel_tool_use": True}
choices = st.sampled_from([{"type": "any"}, {"type": "none"}, {"type": "auto", **ONE}, {"type": "any", **ONE}])
members = st.fixed_dictionaries(
    {},
    optional={
        "system": st.lists(blocks("text"), min_size=1, max_size=2),
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(0, 99),
        "stop_sequences": st.lists(words, min_size=1, max_size=5),
        "stream": st.just(True),
        "metadata": st.fixed_dictionaries({"user_id": words}),
        "service_tier": st.sampled_from(["auto", "standard_only"]),
        "thinking": st.sampled_from([{"type": "adaptive"}, {"type": "disabled"}]),
        "output_config": st.fixed_dictionaries(
            {"effort": st.sampled_from(["low", "medium", "high", "max"])},
            optional={
                "format": st.just({"type": "json_schema", "schema": {"type": "object"}}),
                "task_budget": st.just({"total": 5}),
            },
        ),
        "cache_control": st.just(CACHED["cache_control"]),
        "container": words,
    },
)


def listed(body: dict[str, Any]) -> dict[str, Any]:
    """The same body with strings that stand for a block of text as that block."""
    turns = [
        {**turn, "content": [text(turn["content"])] if isinstance(turn["content"], str) else turn["content"]}
        for turn in body["messages"]
    ]
    return {**body, "messages": turns}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(exchanges(), min_size=1, max_size=2), members, st.none() | tools, choices)
def test_what_comes_from_anthropics_clients_reaches_anthropic(
    turns: list[list[dict[str, Any]]], given: dict[str, Any], declared: list[dict[str, Any]] | None, choice: Any
) -> None:
    """Nothing is lost on the way through a chat request, which is one that the chat API would take as well."""
    body = {"model": "m", "max_tokens": 4000, "messages": [turn for each in turns for turn in each], **given}
    if declared:
        body |= {"tools": declared, "tool_choice": choice}
    request = chat_request(checked(body))
    assert message_body("m", request) == listed(body)
    if all(tool["type"] == "function" for tool in request.parameters.get("tools", ())):
        check_request({key: value for key, value in request.to_wire().items() if key != "stop"})
