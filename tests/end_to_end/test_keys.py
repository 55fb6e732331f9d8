"""Keys over HTTP and on the command line: made, used, replaced, revoked, and who did it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from llm.testing import ScriptedUpstream
from llm.testing.upstream import Reply, answer
from tests.serving import Gateway, serving

SECRET = "a secret of at least thirty-two characters"
OPS = {"Authorization": "Bearer ops-key-123"}
MESSAGES: Any = [{"role": "user", "content": "hi"}]
QUIET = {"name": "quiet", "rules": [{"rule": "terms", "terms": ["nightjar"]}]}


@asynccontextmanager
async def keeping(
    folder: Path, *replies: Reply, guardrails: Sequence[Any] = (QUIET,), **auth: Any
) -> AsyncGenerator[Gateway, None]:
    """A gateway that keeps keys, with an admin's in its settings."""
    keys = [{"name": "ops", "key": "ops-key-123", "role": "admin"}]
    teams = [{"name": "search", "models": ["u*"]}]
    async with ScriptedUpstream(*replies) as upstream:
        tree = {
            "auth": {"secret": SECRET, "keys": keys, "teams": teams, "refresh_seconds": 0.01, **auth},
            "providers": [{"name": "scripted", "kind": "openai", "base_url": upstream.base_url}],
            "models": [{"name": "up", "provider": "scripted"}, {"name": "other", "provider": "scripted"}],
            "graphs": [],
            "store": {"url": f"sqlite:///{folder}/penstock.db"},
            "guardrails": guardrails,
        }
        async with serving(**tree) as gateway:
            yield gateway


async def asked(gateway: Gateway, key: str, model: str = "up") -> int:
    async with gateway.sdk(key) as client:
        try:
            await client.chat.completions.create(model=model, messages=MESSAGES)
        except openai.APIStatusError as error:
            return error.status_code
    return 200


async def sent(gateway: Gateway, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    async with gateway.http.request(
        method, f"{gateway.address}/admin/{path}", json=body, headers=headers or OPS
    ) as made:
        return made.status, await made.json()


async def test_the_life_of_a_key(tmp_path: Path) -> None:
    """Made by an admin, used under its limits, changed, replaced, revoked; all of it is on record, and no key is."""
    async with keeping(tmp_path, *[answer("a")] * 3) as gateway:
        status, made = await sent(gateway, "POST", "keys", {"name": "app", "team": "search", "rpm": 2})
        first = made["key"]
        assert [status, await asked(gateway, first), await asked(gateway, first, "other")] == [200, 200, 404]
        assert [await asked(gateway, first), await asked(gateway, first)] == [200, 429]
        await sent(gateway, "PATCH", "keys/app", {"rpm": None})
        _, rotated = await sent(gateway, "POST", "keys/app/rotate", {"grace_seconds": 0})
        assert [await asked(gateway, first), await asked(gateway, rotated["key"])] == [401, 200]
        status, _ = await sent(gateway, "DELETE", "keys/app")
        assert [status, await asked(gateway, rotated["key"])] == [200, 401]
        _, listed = await sent(gateway, "GET", "keys")
        _, audit = await sent(gateway, "GET", "audit")
    assert [(key["name"], key["source"]) for key in listed["keys"]] == [("ops", "settings"), ("app", "store")]
    assert [record["action"] for record in audit["records"]] == ["revoked", "rotated", "changed", "created"]
    assert {record["by"] for record in audit["records"]} == {"ops"}
    for told in (listed, audit):
        assert not any(secret in str(told) for secret in (first, rotated["key"], "ops-key-123", "hash"))


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "keys", {"name": "x", "hash": "00"}, 400, "hash"),
        ("POST", "keys", {"name": "x", "key": "chosen-by-me"}, 400, "key"),
        ("POST", "keys", {"name": "a b"}, 400, "name"),
        ("POST", "keys", {"name": "local"}, 400, "a caller without a key"),
        ("POST", "keys", {"name": "nobody"}, 400, "a caller without a key"),
        (
            "POST",
            "keys",
            {"name": "x", "role": "usr"},
            400,
            "role: 'usr' will not do; write one of user, admin; did you",
        ),
        (
            "POST",
            "keys",
            {"name": "x", "budgt_usd": 1},
            400,
            "unknown key 'budgt_usd'; did you mean 'budget_usd'? Known",
        ),
        ("POST", "keys", {"name": "x", "rpm": 0}, 400, "rpm"),
        ("POST", "keys", {"name": "x", "guardrails": "quiet"}, 400, "guardrails"),
        ("POST", "keys", {"name": "x", "guardrails": ["gone"]}, 409, "no policy 'gone'"),
        ("POST", "keys", [], 400, "body"),
        ("POST", "keys", {"name": "ops"}, 409, "settings"),
        ("PATCH", "keys/ops", {"rpm": 1}, 409, "settings"),
        ("PATCH", "keys/nobody", {"rpm": 1}, 404, "nobody"),
        ("PATCH", "keys/nobody", {"name": "new"}, 400, "name"),
        ("DELETE", "keys/nobody", None, 404, "nobody"),
        ("POST", "keys/nobody/rotate", {"grace_seconds": -1}, 400, "grace_seconds"),
    ],
)
async def test_what_is_refused(method: str, path: str, body: Any, status: int, said: str, tmp_path: Path) -> None:
    """Only members that may be said are taken, each is checked, and the answer names what is wrong."""
    async with keeping(tmp_path) as gateway:
        answered, refused = await sent(gateway, method, path, body)
    assert answered == status
    assert said in refused["error"]["message"]


async def said(gateway: Gateway, key: str) -> tuple[int, str]:
    body = {"model": "up", "messages": MESSAGES}
    status, _, answered = await gateway.post("/v1/chat/completions", body, authorization=f"Bearer {key}")
    return status, str(answered)


async def test_the_policies_of_a_stored_key_hold_and_change(tmp_path: Path) -> None:
    """From when it is made, for what passes as bytes too; another key is not held, and a change holds at once."""
    async with keeping(tmp_path, *[answer("A nightjar sings.")] * 4) as gateway:
        _, held = await sent(gateway, "POST", "keys", {"name": "held", "guardrails": ["quiet"]})
        _, free = await sent(gateway, "POST", "keys", {"name": "free"})
        told = [await said(gateway, key["key"]) for key in (held, free)]
        await sent(gateway, "PATCH", "keys/held", {"guardrails": []})
        await sent(gateway, "PATCH", "keys/free", {"guardrails": ["quiet"]})
        told += [await said(gateway, key["key"]) for key in (held, free)]
    assert held["guardrails"] == ["quiet"]
    assert [(status, "nightjar" in text, "content_filter" in text) for status, text in told] == [
        (200, False, True),
        (200, True, False),
        (200, True, False),
        (200, False, True),
    ]


@pytest.mark.parametrize("guardrails", [[], [{**QUIET, "name": "other"}]])
async def test_a_key_whose_policy_has_gone_is_refused(tmp_path: Path, guardrails: Any) -> None:
    """In a sentence that says what to do, by every endpoint that runs anything, and no model is asked."""
    async with keeping(tmp_path) as gateway:
        _, made = await sent(gateway, "POST", "keys", {"name": "app", "guardrails": ["quiet"]})
    bearer = {"authorization": f"Bearer {made['key']}"}
    bodies: dict[str, Any] = {
        "/v1/chat/completions": {"messages": MESSAGES},
        "/v1/completions": {"prompt": "hi"},
        "/v1/responses": {"input": "hi"},
        "/v1/messages": {"messages": MESSAGES, "max_tokens": 5},
        "/v1/embeddings": {"input": "hi"},
        "/v2/models/up/infer": {"inputs": ["hi"]},
        "/v2/models/up/generate": {"text_input": "hi"},
        "/v2/models/up/generate_stream": {"text_input": "hi"},
    }
    async with keeping(tmp_path, guardrails=guardrails) as gateway:
        for path, body in bodies.items():
            status, _, refused = await gateway.post(path, {"model": "up", **body}, **bearer)
            assert (path, status, "policy 'quiet', which is not in the settings" in str(refused)) == (path, 500, True)
        status, revoked = await sent(gateway, "DELETE", "keys/app")
    assert (status, revoked["guardrails"]) == (200, ["quiet"])


async def test_models_that_nothing_serves_are_said(tmp_path: Path) -> None:
    """They may be for later, so the key is made; the answer has warnings for them, and none where there are none."""
    async with keeping(tmp_path) as gateway:
        _, made = await sent(gateway, "POST", "keys", {"name": "a", "models": ["up", "othr", "x-*"]})
        _, good = await sent(gateway, "POST", "keys", {"name": "b", "models": ["u*", "other"]})
        _, changed = await sent(gateway, "PATCH", "keys/b", {"models": ["*", "later"]})
        _, left = await sent(gateway, "PATCH", "keys/b", {"rpm": 5})
        _, listed = await sent(gateway, "GET", "keys")
        _, _, document = await gateway.get("/openapi.json", **OPS)
    othr = "models: nothing is served under 'othr'; did you mean 'other'?"
    assert (made["models"], made["warnings"]) == (
        ["up", "othr", "x-*"],
        [othr, "models: nothing is served under 'x-*'"],
    )
    assert changed["warnings"] == ["models: nothing is served under 'later'"]
    assert not any("warnings" in answered for answered in (good, left, *listed["keys"]))
    for method, path in (("post", "/admin/keys"), ("patch", "/admin/keys/{name}")):
        answered = document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
        assert answered["properties"]["warnings"]["type"] == "array"


def test_the_command_line_says_them_beside_the_key(tmp_path: Path) -> None:
    """On standard error, so that what is printed is still the key alone."""
    config = tmp_path / "penstock.yaml"
    config.write_text(f"{{auth: {{secret: {SECRET}}}, store: {{url: 'sqlite:///{tmp_path}/penstock.db'}}}}")
    made = CliRunner().invoke(app, ["keys", "create", "a", "--model", "penstock-dmo", "--config", str(config)])
    assert made.stdout.startswith("sk-penstock-")
    assert made.stdout.count("\n") == 1
    said = "penstock: models: nothing is served under 'penstock-dmo'; did you mean 'penstock-demo'?\n"
    assert made.stderr == said


async def test_keys_and_what_was_done_to_them_are_read_at_80_columns(tmp_path: Path) -> None:
    """No word is torn; changes are told one a line with what was before, and nothing as Python writes it."""
    async with keeping(tmp_path) as gateway:
        key = {"name": "first-app", "team": "search", "rpm": 600, "budget_usd": 12.5, "expires": "2027-01-01T00:00:00"}
        await sent(gateway, "POST", "keys", key)
        await sent(gateway, "PATCH", "keys/first-app", {"rpm": 60, "models": ["up", "other"], "guardrails": ["quiet"]})
        await sent(gateway, "POST", "keys/first-app/rotate", {})
    config = tmp_path / "penstock.yaml"
    config.write_text(f"{{auth: {{secret: {SECRET}}}, store: {{url: 'sqlite:///{tmp_path}/penstock.db'}}}}")

    async def shown(*arguments: str) -> str:
        command = ["keys", *arguments, "--config", str(config)]
        made = await asyncio.to_thread(CliRunner().invoke, app, command, env={"COLUMNS": "80"})
        assert made.exit_code == 0, made.output
        return made.stdout

    listed, audit = await shown("list"), await shown("audit")
    assert max(map(len, (listed + audit).splitlines())) == 80
    for words in ("first-app", "up, other", "60 rpm", "12.5", "month", "2027-01-01"):
        assert words in listed
    for words in (
        "grace_seconds=86400",
        "rpm=60 (was 600)",
        "models=up, other (was *)",
        "guardrails=quiet (was none)",
        "budget_usd=12.5",
    ):
        assert words in audit
    assert not set("{}[]'…") & set(listed + audit)
    assert [key["tpm"] for key in orjson.loads(await shown("list", "--json"))] == [None]
    records = orjson.loads(await shown("audit", "--json"))
    assert [record["action"] for record in records] == ["rotated", "changed", "created"]
    assert records[1]["changes"]["rpm"] == [600, 60]


async def test_keys_are_for_admins(tmp_path: Path) -> None:
    """A user can do nothing with them, whatever it is."""
    async with keeping(tmp_path) as gateway:
        _, made = await sent(gateway, "POST", "keys", {"name": "app"})
        user = {"Authorization": f"Bearer {made['key']}"}
        for method, path in (("GET", "keys"), ("POST", "keys"), ("PATCH", "keys/app"), ("GET", "audit")):
            assert (await sent(gateway, method, path, {}, **user))[0] == 403


async def test_the_command_line_makes_the_first_key(tmp_path: Path) -> None:
    """Of a gateway that has none it lets nobody in; what the command makes, a gateway that runs knows soon."""
    config = tmp_path / "penstock.yaml"
    auth, store = f"{{secret: {SECRET}}}", f"{{url: 'sqlite:///{tmp_path}/penstock.db'}}"
    config.write_text(f"{{auth: {auth}, graphs: [], store: {store}, guardrails: {orjson.dumps([QUIET]).decode()}}}")

    async def run(*arguments: str) -> str:
        command = ["keys", arguments[0], "--config", str(config), *arguments[1:]]
        made = await asyncio.to_thread(CliRunner().invoke, app, command, env={"COLUMNS": "300"})
        assert made.exit_code == 0, made.output
        return made.stdout.strip()

    async with keeping(tmp_path, answer("a"), keys=[]) as gateway:
        assert [await asked(gateway, "none"), (await gateway.get("/v1/models"))[0]] == [401, 401]
        shown = await run("create", "first", "--role", "admin", "--model", "up", "--rpm", "5", "--guardrail", "quiet")
        bearer = {"Authorization": f"Bearer {shown}"}
        async with asyncio.timeout(10):
            while (await sent(gateway, "GET", "keys", **bearer))[0] == 401:
                pass
        assert await asked(gateway, shown) == 200
        await run("revoke", "first")
        async with asyncio.timeout(10):
            while (await sent(gateway, "GET", "keys", **bearer))[0] != 401:
                pass
    listed = await run("list")
    assert ("first" in listed, "quiet" in listed) == (True, True)
    assert "command line" in await run("audit")


def test_without_a_secret_no_key_is_made(tmp_path: Path) -> None:
    """The command says what to write."""
    config = tmp_path / "penstock.yaml"
    config.write_text("graphs: []")
    made = CliRunner().invoke(app, ["keys", "create", "app", "--config", str(config)])
    assert (made.exit_code, "auth.secret" in made.output) == (2, True)


async def test_an_admin_is_told_that_the_store_is_away() -> None:
    """In the words of the API, like everybody else."""
    auth = {"secret": "s" * 32, "keys": [{"name": "ops", "key": "ops-key-123", "role": "admin"}]}
    async with serving(auth=auth, store={"url": "redis://127.0.0.1:1/0"}) as gateway:
        status, _, told = await gateway.get("/admin/keys", Authorization="Bearer ops-key-123")
    assert (status, told["error"]["code"]) == (503, "store_unavailable")
