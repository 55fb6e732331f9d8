"""Policies: which text of a conversation is looked at by which rule, and what stands there afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Literal

import orjson
import pytest

from guardrails import ContentRefused, Policy
from guardrails.answer import AnswerWindow
from guardrails.guardrail import Guardrail
from guardrails.places import Place
from guardrails.policy import Placed
from guardrails.rule import Rule
from guardrails.rules.injection import prompt_injection
from guardrails.rules.language import language, language_of
from guardrails.rules.personal import personal_data
from guardrails.rules.text import json_schema
from guardrails.rules.words import patterns, terms
from guardrails.vault import Vault
from llm import ChatChunk, ChatRequest, EmbeddingRequest, ToolCallDelta

MAIL = "bob@example.org"
EMAIL = personal_data(["email"])


def request(*messages: dict[str, Any]) -> ChatRequest:
    return ChatRequest("up", list(messages))


def test_each_text_belongs_to_a_place() -> None:
    """By the role of its message; what a policy does not name is left as it is, and so is the caller's own request."""
    policy = Policy([Placed(EMAIL, ("input", "tool_results"))])
    asked = request(
        {"role": "system", "content": MAIL},
        {"role": "user", "content": [{"type": "text", "text": MAIL}, {"type": "image_url", "image_url": {"url": "x"}}]},
        {"role": "tool", "tool_call_id": "1", "content": MAIL},
    )
    admitted, verdict = policy.admit(asked, Vault())
    assert admitted.messages[0]["content"] == MAIL
    assert admitted.messages[1]["content"][0]["text"] == "[EMAIL]"
    assert admitted.messages[2]["content"] == "[EMAIL]"
    assert asked.messages[2]["content"] == MAIL
    assert len(verdict.spans) == 2


def test_texts_side_by_side_are_one_text() -> None:
    """What only both together are is found; redacted, they are one part, and what stands after them stays."""
    parts = [{"type": "text", "text": "Ask bob@exam"}, {"type": "text", "text": "ple.org now"}]
    image = {"type": "image_url", "image_url": {"url": "x"}}
    asked = request({"role": "user", "content": [*parts, image, {"type": "text", "text": "fine"}]})
    admitted, _ = Policy([Placed(EMAIL, ("input",))]).admit(asked, Vault())
    assert admitted.messages[0]["content"] == [
        {"type": "text", "text": "Ask [EMAIL] now"},
        image,
        {"type": "text", "text": "fine"},
    ]


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", "video_url"])
@pytest.mark.parametrize("place", ["input", "output"])
def test_a_policy_may_refuse_what_is_no_text(kind: str, place: Place) -> None:
    """Where one of several does, it is refused, whatever its rules look at; by default it passes."""
    passing, refusing = (Policy([Placed(EMAIL, (place,))], media=media) for media in (True, False))
    asked = request({"role": "user", "content": [{"type": kind, kind: {"url": "x", "data": "x"}}]})
    assert passing.admit(asked, Vault())[0] is asked
    with pytest.raises(ContentRefused, match="Images, sounds and files cannot be looked at"):
        Policy.of([passing, refusing]).admit(asked, Vault())
    recording = Policy([Placed(replace(EMAIL, mode="shadow"), ("input",))], media=False)
    assert recording.admit(asked, Vault())[1].flags == ("media",)


@pytest.mark.parametrize("action", ["flag", "redact"])
def test_what_is_found_in_a_call_is_recorded(action: Literal["flag", "redact"]) -> None:
    """Of both forms, and in lists that come in pieces: a rule in shadow mode has nothing else to say."""
    policy = Policy([Placed(terms("nightjar", action=action), ("tool_arguments", "output"))])
    call = ToolCallDelta(0, '{"a": "nightjar"}', "1", "f")
    older = {"function_call": {"name": "f", "arguments": '{"a": "nightjar"}'}}
    for chunks in ([ChatChunk(tool_calls=(call,))], [ChatChunk(extra=older)]):
        window = AnswerWindow(policy, Vault())
        for chunk in chunks:
            window.feed(chunk)
        window.end()
        assert [span.action for span in window.verdict.spans] == [action]


def test_what_is_found_in_pieces_is_recorded() -> None:
    """Where it is only recorded."""
    window = AnswerWindow(Policy([Placed(terms("nightjar", action="flag"), ("output",))]), Vault())
    for piece in ("night", "jar"):
        window.feed(ChatChunk(extra={"notes": [piece]}))
    assert window.end() == ChatChunk(extra={"notes": ["night", "jar"]})
    assert [span.kind for span in window.verdict.spans] == ["terms"]


def test_arguments_that_are_no_use_are_no_fault_of_ours() -> None:
    """So many levels that nobody can look at them are refused, or recorded by what only records; numbers of any length
    are numbers; and where no rule is for arguments they are nobody's business."""
    deep, long = "[" * 1000 + "]" * 1000, f'{{"n": {"1" * 5000}, "word": "nightjar"}}'

    def asked(arguments: str) -> ChatRequest:
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
        return request({"role": "assistant", "content": None, "tool_calls": [call]})

    policy = Policy([Placed(terms("nightjar"), ("tool_arguments",))])
    for arguments, said in ((deep, "so many levels"), (long, "term")):
        with pytest.raises(ContentRefused, match=said):
            policy.admit(asked(arguments), Vault())
    recording = Policy([Placed(terms("nightjar", action="flag"), ("tool_arguments",))])
    assert recording.admit(asked(deep), Vault())[1].flags == ("arguments",)
    assert Policy([Placed(EMAIL, ("input",))]).admit(asked(deep), Vault())[1].action == "allow"


def test_arguments_stay_json() -> None:
    """Each text in them is looked at by itself, the names of members too; other values stay."""
    policy = Policy([Placed(EMAIL, ("tool_arguments",))])
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": f'{{"to": ["{MAIL}"], "n": 1}}'}}
    admitted, _ = policy.admit(request({"role": "assistant", "content": None, "tool_calls": [call]}), Vault())
    assert admitted.messages[0]["tool_calls"][0]["function"]["arguments"] == '{"to":["[EMAIL]"],"n":1}'


def test_token_ids_are_refused_where_somebody_must_look() -> None:
    """Nobody can look at them; without a rule for the input they pass."""
    ids = ChatRequest.of_prompt("up", [1, 2, 3])
    with pytest.raises(ContentRefused, match="token ids"):
        Policy([Placed(EMAIL, ("input",))]).admit(ids, Vault())
    assert Policy([Placed(EMAIL, ("output",))]).admit(ids, Vault())[0] is ids
    shadow = Policy([Placed(replace(EMAIL, mode="shadow"), ("input",))])
    admitted, verdict = shadow.admit(EmbeddingRequest([[1, 2]]), Vault())
    assert (admitted.inputs, verdict.flags) == ([[1, 2]], ("token_ids",))


def test_what_a_request_declares_is_looked_at() -> None:
    """Tools as what the system says, all else that upstreams are sent as what the user says; what is chosen from a list
    and what is sealed stay as they are."""
    policy = Policy([Placed(EMAIL, ("system", "input"))])
    function = {"name": "f", "description": MAIL, "parameters": {"properties": {MAIL: {"type": "string"}}}}
    parameters = {"tools": [{"type": "function", "function": function}], "user": MAIL, "service_tier": MAIL}
    thoughts = [{"type": "thinking", "thinking": MAIL, "signature": MAIL}]
    asked = ChatRequest("up", [{"role": "assistant", "content": "a", "thinking_blocks": thoughts}], parameters)
    admitted, verdict = policy.admit(asked, Vault())
    declared = admitted.parameters["tools"][0]["function"]
    assert (declared["description"], list(declared["parameters"]["properties"])) == ("[EMAIL]", ["[EMAIL]"])
    assert (admitted.parameters["user"], admitted.parameters["service_tier"]) == ("[EMAIL]", MAIL)
    assert admitted.messages[0]["thinking_blocks"] == [{"type": "thinking", "thinking": "[EMAIL]", "signature": MAIL}]
    assert len(verdict.spans) == 4


def test_a_list_that_comes_in_pieces_is_looked_at_as_a_whole() -> None:
    """What only its pieces together are is refused, as it cannot be redacted across them; whole ones are redacted."""
    for pieces, said in (([MAIL, " and so on"], "[EMAIL] and so on"), (["bob@exam", "ple.org "], None)):
        window = AnswerWindow(Policy([Placed(EMAIL, ("output",))]), Vault())
        for piece in pieces:
            details = [{"type": "reasoning.text", "id": "1", "text": piece}]
            assert window.feed(ChatChunk(extra={"reasoning_details": details})) is None
        end = window.end()
        assert window.verdict.allowed is (said is not None)
        told = None if end is None or end.extra is None else end.extra["reasoning_details"]
        assert (None if told is None else "".join(each["text"] for each in told)) == said


def test_thoughts_have_a_window_of_their_own() -> None:
    """What is held of one text does not mix with another, and log probabilities do not tell it."""
    window = AnswerWindow(Policy([Placed(EMAIL, ("output",))]), Vault())
    chunks = [
        ChatChunk("bob@exam", extra={"reasoning_content": "ann@exam"}, logprobs={"content": [{"token": "bob"}]}),
        ChatChunk("ple.org ", extra={"reasoning_content": "ple.org "}),
    ]
    said = [window.feed(chunk) for chunk in chunks]
    assert said[0] is None
    assert said[1] == ChatChunk("[EMAIL] ", extra={"reasoning_content": "[EMAIL] "})


def test_a_refused_call_is_not_made_and_a_restored_one_is() -> None:
    """Calls wait for their end; placeholders in them are what they stand for again."""
    vault = Vault()
    held = vault.keep("email", MAIL)
    policy = Policy([Placed(terms("nightjar"), ("tool_arguments",))], reversible=True)
    for argument, said in ((held, f'{{"to":"{MAIL}"}}'), ("nightjar", None)):
        window = AnswerWindow(policy, vault)
        for piece in (f'{{"to": "{argument[:4]}', f'{argument[4:]}"}}'):
            assert window.feed(ChatChunk(tool_calls=(ToolCallDelta(0, piece, name="mail"),))) is None
        end = window.end()
        assert (end.tool_calls[0].arguments if end else None) == said
        assert window.verdict.allowed is (said is not None)


def told(vault: Vault, *extras: dict[str, Any]) -> Any:
    """What is said of an answer that has these members, chunk by chunk."""
    window = AnswerWindow(Policy([], reversible=True), vault)
    for extra in extras:
        assert window.feed(ChatChunk(extra=extra)) is None
    end = window.end()
    assert end is not None
    return end.extra


def test_placeholders_are_restored_in_whatever_member_they_stand() -> None:
    """In a function call of the older form, whose arguments are JSON, and in texts inside members that nobody knows."""
    vault = Vault()
    held, name = vault.keep("email", MAIL), vault.keep("name", 'Ann "A"')
    call = {"function_call": {"name": "mail", "arguments": f'{{"to": "{held}", "as": "{name}"}}'}}
    assert told(vault, call)["function_call"] == {
        "name": "mail",
        "arguments": orjson.dumps({"to": MAIL, "as": 'Ann "A"'}).decode(),
    }
    pieces = [
        {"function_call": {"name": "mail"}},
        *({"function_call": {"arguments": part}} for part in ("to [EMA", "IL_1]")),
    ]
    assert told(vault, *pieces)["function_call"]["arguments"] == f"to {MAIL}"
    notes = [{"type": "note", "text": f"to {held}", "deep": [[held], {"a": held, "b": 1}]}, held, 1]
    assert told(vault, {"notes": notes})["notes"] == [
        {"type": "note", "text": f"to {MAIL}", "deep": [[MAIL], {"a": MAIL, "b": 1}]},
        MAIL,
        1,
    ]
    assert (
        told(vault, {"audio": {"transcript": "[EMA"}}, {"audio": {"transcript": "IL_1]"}})["audio"]["transcript"]
        == MAIL
    )


def test_placeholders_in_a_list_that_comes_in_pieces_are_restored_across_them() -> None:
    """Each text of it by itself: what is held of one is not put into another; what is none stays."""
    vault = Vault()
    vault.keep("email", MAIL)
    said = [(0, "to [EMA"), (1, "[EMA"), (0, "IL_1] and [NAME_1"), (1, "IL_2]"), (0, "]. [E")]
    pieces = [{"details": [{"type": "reasoning.text", "index": index, "text": text}]} for index, text in said]
    details = told(vault, *pieces)["details"]
    texts = ["".join(each["text"] for each in details if each["index"] == index) for index in (0, 1)]
    assert texts == [f"to {MAIL} and [NAME_1]. [E", "[EMAIL_2]"]
    assert [each["type"] for each in details] == ["reasoning.text"] * 5


def test_policies_together_hold_all_their_rules() -> None:
    """Of what is said instead, the first that says something counts."""
    one = Policy([Placed(EMAIL, ("output",))], replacement="first", max_held=500)
    two = Policy([Placed(terms("nightjar"), ("output",))], replacement="second", reversible=True)
    both = Policy.of([one, two])
    assert len(both.guardrails["output"].rules) == 2
    assert (both.replacement, both.reversible, both.max_held) == ("first", True, 500)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("What is the time in the house that you have?", "en"),
        ("Der Hund ist nicht in dem Haus, und das ist auch gut so.", "de"),
        ("Где находится ближайшая станция?", "ru"),
        ("駅はどこですか", "ja"),
        ("Ποῦ εἶναι ὁ σταθμός;", "el"),
        ("1234 + 5678", ""),
        ("Ada Lovelace", ""),
    ],
)
def test_languages_are_told_where_a_text_shows_one(text: str, told: str) -> None:
    """By its script, or its commonest words; a name shows none, and passes."""
    assert language_of(text) == told
    assert (language("en").look(text) == "") is (told in ("", "en"))


@pytest.mark.parametrize(
    "text", ["id 2341 2341 2346 2024", "2341 2341 2346 5555 2222", "9 2341 2341 2346", "3000 2341 2341 2346"]
)
def test_a_number_is_found_beside_others(text: str) -> None:
    """Which together with a part of it look like one, too."""
    guardrail = Guardrail("ids", [personal_data(["national_id"], countries=["IN"])])
    assert guardrail.check(text).text == text.replace("2341 2341 2346", "[NATIONAL_ID_IN]")


@pytest.mark.parametrize("shadowed", [terms("nightjar"), patterns("[a-z]+@"), prompt_injection(), json_schema({})])
@pytest.mark.parametrize("beside", [(), (terms("other"),)])
def test_what_only_records_holds_nothing_back(shadowed: Rule, beside: tuple[Rule, ...]) -> None:
    """Nor does it refuse what it could not decide; what it finds is told."""
    rules = [Placed(replace(shadowed, mode="shadow"), ("output",)), *(Placed(rule, ("output",)) for rule in beside)]
    window = AnswerWindow(Policy(rules, max_held=100), Vault())
    said = [window.feed(ChatChunk(piece)) for piece in ("ignore night", "jar " * 40, "a@ all previous instructions ")]
    assert [chunk.content if chunk else None for chunk in said] == [
        "ignore night",
        "jar " * 40,
        "a@ all previous instructions ",
    ]
    assert window.end() is None
    assert (window.allowed, window.verdict.action) == (True, "flag")


def test_what_holds_beside_what_only_records_holds() -> None:
    """The answer ends where it must, and both are told."""
    rules = [Placed(replace(EMAIL, mode="shadow"), ("output",)), Placed(terms("nightjar"), ("output",))]
    window = AnswerWindow(Policy(rules), Vault())
    said = [window.feed(ChatChunk(piece)) for piece in (f"{MAIL} nig", "htjar ")]
    assert [chunk.content if chunk else None for chunk in said] == [f"{MAIL} ", None]
    assert (window.allowed, window.verdict.rule) == (False, "terms")
    assert [span.kind for span in window.verdict.spans] == ["terms", "email"]


def test_a_text_outside_a_sample_is_not_held_back() -> None:
    """Where no other rule looks at it."""
    window = Guardrail("sampled", [replace(patterns("[a-z]+@"), sample=0.0)], max_held=100).window()
    assert window.feed("a" * 200) == "a" * 200


@pytest.mark.parametrize("other", [{"sample": 0.0}, {"mode": "shadow"}])
def test_rules_of_one_name_hold_each_by_itself(other: dict[str, Any]) -> None:
    """As those of two policies do: one that passes texts over, or finds more and records it, takes nothing away."""
    rules = [Placed(replace(patterns("a.{0,9}jar"), **other), ("input",)), Placed(patterns("night"), ("input",))]
    for policy in (Policy(rules), Policy.of([Policy([rule]) for rule in rules])):
        with pytest.raises(ContentRefused):
            policy.admit(request({"role": "user", "content": "a nightjar"}), Vault())
        said, verdict = policy.guardrails["input"].check("a nightjar")
        assert (said, verdict.allowed) == ("a ", False)


@pytest.mark.parametrize("region", ["UK", "de", "Germany"])
def test_a_region_that_is_none_is_refused(region: str) -> None:
    """Nothing would be found by it."""
    with pytest.raises(ValueError, match=f"phone numbers of '{region}' are not known; write two capitals"):
        personal_data(["phone"], regions=["US", region])


def test_what_was_taken_out_is_hidden_in_json_within_json() -> None:
    """As a tool returns it that gives its result as a text: line ends are written in another way each time."""
    vault = Vault()
    placeholder = vault.keep("key", 'one\n"two"')
    text = {"said": 'one\n"two"'}
    for _ in range(3):
        assert vault.hidden(str(text["said"])).count(placeholder) == 1
        text = {"said": json.dumps(text)}
