"""The settings file: every fault is refused with its line and a remedy, and secrets do not print."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.app import create_app
from gateway.catalog.catalog import Catalog
from gateway.config import Settings, config_path, load
from gateway.config.faults import InvalidSettings
from llm.providers.presets import presets
from llm.testing import ScriptedUpstream

WHOLE = """\
server: {host: 127.0.0.1, port: 9000, drain_seconds: 5, max_body_mb: 1}
auth:
  keys:
    - {name: app, key: "${oc.env:APP_KEY,app-key-123}", models: ["fast*"]}
    - {name: ops, key: ops-key-123, role: admin}
providers:
  - {name: mini, kind: embedded}
  - {name: cloud, kind: openai, base_url: "http://127.0.0.1:1/v1", api_key: sk-secret}
models:
  - {name: penstock-demo, provider: mini}
  - {name: fast, provider: cloud, model: gpt-4o-mini}
default_model: fast
graphs:
  - {name: trip-planner, build: "graph.agents.trip_planner:build", models: {router: penstock-demo}}
api:
  - {path: "/admin/*", action: FORBID}
prompts: {path: ./prompts}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "penstock.yaml"
    path.write_text(text)
    return path


def test_a_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every section is read, and the environment is put in where the file says so."""
    monkeypatch.setenv("APP_KEY", "from-environment")
    settings = load(write(tmp_path, WHOLE))
    assert (settings.server.port, settings.server.max_body_bytes) == (9000, 1024 * 1024)
    assert settings.auth.keys[0].key.get_secret_value() == "from-environment"
    assert settings.main_model == "fast"
    assert settings.graphs[0].models == {"router": "penstock-demo"}
    assert settings.api[0].method == "*"
    assert not settings.is_open


def test_secrets_do_not_print(tmp_path: Path) -> None:
    """Keys are a type that shows stars."""
    printed = repr(load(write(tmp_path, WHOLE)))
    assert "app-key-123" not in printed
    assert "ops-key-123" not in printed
    assert "sk-secret" not in printed


def test_the_environment_beats_the_file_and_the_command_line_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PENSTOCK_ variables go before the file, arguments before both."""
    path = write(tmp_path, WHOLE)
    monkeypatch.setenv("PENSTOCK_SERVER__PORT", "9001")
    assert load(path).server.port == 9001
    assert load(path, port=9002).server.port == 9002
    monkeypatch.setenv("PENSTOCK_CONFIG", str(path))
    assert config_path(None) == path
    assert config_path(Path("other.yaml")) == Path("other.yaml")


def test_without_a_file_the_embedded_model_and_the_agents_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """The defaults need no key and no network."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    settings = load()
    assert settings.is_open
    assert settings.server.is_loopback
    assert [provider.kind for provider in settings.providers][:1] == ["embedded"]
    assert [graph.name for graph in settings.graphs] == ["trip-planner", "reviewed-answer"]


@pytest.mark.parametrize(
    ("listed", "chosen", "named"),
    [
        (("a-model", "gpt-4o-mini"), "gpt-4o-mini", ""),
        (("a-model", "b-model"), "a-model", ""),
        (("a-model",), "my-model", "my-model"),
    ],
)
async def test_a_key_in_the_environment_is_offered_as_a_provider(
    monkeypatch: pytest.MonkeyPatch, listed: tuple[str, ...], chosen: str, named: str
) -> None:
    """With OPENAI_API_KEY and OPENAI_BASE_URL the shipped agents use a model of that upstream."""
    async with ScriptedUpstream(models=listed) as upstream:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-key")
        monkeypatch.setenv("OPENAI_BASE_URL", upstream.base_url)
        monkeypatch.setenv("OPENAI_MODEL", named)
        settings = await asyncio.to_thread(load)
    assert settings.main_model == chosen
    assert {"name": "openai", "base_url": upstream.base_url}.items() <= settings.providers[1].model_dump().items()
    assert settings.models[0].name == "penstock-demo"


def test_a_key_whose_upstream_does_not_answer_is_offered_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start without a network is a start; the first request will say what is wrong."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-key")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert load().main_model == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server: {prt: 1}", ":1: unknown key 'server.prt'; did you mean 'port'? Known are host, port, "),
        ("servers: {}", ":1: unknown key 'servers'; did you mean 'server'?"),
        ("zzz: {}", ":1: unknown key 'zzz'; known are server, auth, "),
        ("server: {xyz: 1}", ":1: unknown key 'server.xyz'; known are host, port"),
        ("models:\n  - {name: a, provider: mini}\n  - {name: b, provder: mini}", ":3: unknown key 'models.1.provder'"),
        ("server:\n  port: 99999", ":2: server.port: Input should be less than or equal to 65535"),
        ("server: 5", ":1: server: this is no mapping; write one, such as {key: value}, or leave the key out"),
        ("server: {drain_seconds: 0}", ":1: server.drain_seconds: Input should be greater than 0"),
        ("server: {max_body_mb: 2000}", ":1: server.max_body_mb: Input should be less than or equal to 1024"),
        ("server: {host: 0.0.0.0}", "others can reach, and auth.keys is empty: add a key, or listen on 127.0.0.1"),
        ("prompts: {path: 5}", ":1: prompts.path: this is no path; write one in quotation marks"),
        ("record: {contents: maybe}", ":1: record.contents: Input should be a valid boolean"),
        (
            "a: 1\nb: c: d",
            ":2: mapping values are not allowed in this context; indent this line like the ones beside it, or",
        ),
        ("a:\n  - b\n - c", ":3: did not find expected key; indent this line like the ones beside it"),
        ("- a\nb: c", ":2: did not find expected '-' indicator; indent this line like"),
        (
            "a: {b: c\nd: 1",
            ":2: did not find expected ',' or '}'; a bracket that was opened here, or above, is not closed",
        ),
        ("a:\n  b: 1\n\tc: 1", ":3: found a tab character that violates indentation; indent with spaces"),
        ("a: @b", ":1: found character that cannot start any token; write the value in quotation marks"),
        ("a: 'b", ":1: found unexpected end of stream; a quotation mark that was opened above is not closed"),
        ("a: *b", ":1: found undefined alias; write a value that begins with * in quotation marks"),
        ("a: b\nc", ":3: could not find expected ':'; write a key and its value as"),
        ("- 1", "the file is no mapping"),
        (
            'server: {port: 1}\nauth:\n  keys:\n    - {name: a, key: "${oc.env:SURELY_NOT_SET}"}',
            "penstock.yaml:4: auth.keys.0.key: SURELY_NOT_SET is not set in the environment; export it",
        ),
        ("server: {host: '${nothing.there}'}", "penstock.yaml:1: server.host: Interpolation key 'nothing.there' not"),
    ],
)
def test_faults_are_placed(tmp_path: Path, text: str, message: str) -> None:
    """File, line where there is one, what is wrong, and what to write instead."""
    path = write(tmp_path, text)
    with pytest.raises(InvalidSettings) as raised:
        load(path)
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(path))


KEY = "{name: a, key: long-enough}"
POLICY = "guardrails:\n  - name: p\n    rules:\n"
ROWS = {
    "auth:\n  keys:\n    - {key: long-enough}": ":3: auth.keys.0.name: this is missing; write it",
    "auth:\n  keys:\n    - {name: a}": ":3: auth.keys.0.key: this is missing; write it",
    "auth:\n  keys:\n    - {name: a, key: short}": (
        ":3: auth.keys.0.key: the key is too short; write one with at least 8 characters"
    ),
    'auth:\n  keys:\n    - {name: a, key: "long-enough\\n"}': (
        ":3: auth.keys.0.key: the key holds spaces, line breaks or letters outside ASCII; write one that fits"
    ),
    'auth:\n  keys:\n    - {name: "a b", key: long-enough}': (
        ":3: auth.keys.0.name: 'a b' will not do; write a name of 1 to 200 characters without spaces"
    ),
    "auth:\n  keys:\n    - {name: a, key: long-enough, role: anyone}": (
        ":3: auth.keys.0.role: 'anyone' will not do; write one of user, admin"
    ),
    "auth:\n  keys:\n    - {name: a, key: long-enough, models: up}": (
        ":3: auth.keys.0.models: this is no list; write one, such as [ … ]"
    ),
    f"auth:\n  keys:\n    - {KEY}\n    - {{name: a, key: long-enuogh}}": (
        ":4: auth.keys.1.name: two entries have the same key 'a', the other is auth.keys.0; rename one of them"
    ),
    f"auth:\n  keys:\n    - {KEY}\n    - {{name: b, key: long-enough}}": (
        ":4: auth.keys.1.key: two entries have the same key value, the other is auth.keys.0; give each its own"
    ),
    "providers:\n  - {name: mini, kind: cohere}": (
        ":2: providers.0.kind: there is no kind 'cohere'; there are: embedded, openai, azure, anthropic"
    ),
    "providers:\n  - {name: mini, kind: embedded}\n  - {name: mini, kind: ollama}": (
        ":3: providers.1.name: two entries have the same provider 'mini', the other is providers.0; rename one of them"
    ),
    "providers:\n  - {name: mini, kind: ollama, total_seconds: 0}": (
        ":2: providers.0.total_seconds: Input should be greater than 0"
    ),
    'providers:\n  - {name: mini, kind: groq, api_key: "sk a"}': ":2: providers.0.api_key: the key holds spaces",
    "models:\n  - {name: a}": ":2: models.0.provider: this is missing; write it",
    "models:\n  - {name: a, class: 'm:A'}\ngraphs:\n  - {name: g, build: 'm:b'}": (
        ":1: models: graphs need models: add at least one under models that has a provider, or write graphs: []"
    ),
    "models:\n  - {name: a, class: m.A}\ngraphs: []": ":2: models.0.class: 'm.A' will not do; write module:Class",
    "models: [{name: a, class: 'm:A', guardrails: [p]}]\ngraphs: []\n"
    "guardrails: [{name: p, rules: [{rule: secrets, places: [system]}]}]": (
        ":1: models.0.guardrails.0: policy 'p' looks at neither input nor output, and a model of a class has no other "
        "texts: add one of them to the places of its rules, or leave it out"
    ),
    "models:\n  - {name: a, class: 'm:A', provider: mini}\ngraphs: []": (
        ":2: models.0.provider: 'provider' says nothing to a model of a class: leave it out"
    ),
    "models:\n  - {name: a, provider: mini, path: x}": (
        ":2: models.0.path: 'path' says nothing to a model of a provider: leave it out"
    ),
    "models:\n  - {name: a, class: 'm:A', version: '1'}\n  - {name: a, class: 'm:B', version: '1'}\ngraphs: []": (
        ":3: models.1.name: two entries have the same model 'a version 1', the other is models.0; rename one of them"
    ),
    "models:\n  - {name: a, class: 'm:A', version: '1'}\n  - {name: a, provider: mini}": (
        ":3: models.1.name: two entries have the same model 'a', the other is models.0; rename one of them"
    ),
    "models:\n  - {name: a, class: 'm:A', clas: x}\ngraphs: []": (
        ":2: unknown key 'models.0.clas'; did you mean 'class'?"
    ),
    "models:\n  - {name: a, provider: nope}": (":2: models.0.provider: there is no provider 'nope'; there are: mini"),
    "models:\n  - {name: a, provider: mini}\n  - {name: a, provider: mini}": (
        ":3: models.1.name: two entries have the same model 'a', the other is models.0; rename one of them"
    ),
    "models: []": ":1: models: graphs need models: add at least one under models",
    "default_model: nope": ":1: default_model: there is no model 'nope'; there are: penstock-demo",
    "graphs:\n  - {name: g}": ":2: graphs.0: graph 'g' needs either build or file",
    "graphs:\n  - {name: g, build: no-colon}": ":2: graphs.0.build: 'no-colon' will not do; write module:function",
    "graphs:\n  - {name: penstock-demo, build: 'a:b'}": (
        ":2: graphs.0.name: two entries have the same model 'penstock-demo', the other is models.0; rename one of them"
    ),
    "graphs:\n  - name: g\n    build: a:b\n    models:\n      writer: nope": (
        ":5: graphs.0.models.writer: there is no model 'nope'; there are: penstock-demo"
    ),
    "graphs:\n  - {name: g, build: 'a:b', models: [a]}": (
        ":2: graphs.0.models: this is no mapping; write one, such as {key: value}"
    ),
    "api:\n  - {path: nope}": ":2: api.0.path: 'nope' will not do; write a path such as /v1/models/{id} or /admin/*",
    "api:\n  - {path: ''}": ":2: api.0.path: '' will not do; write a path such as /v1/models/{id} or /admin/*",
    "api:\n  - {path: /v1/models, method: FETCH}": ":2: api.0.method: 'FETCH' will not do; write one of GET, HEAD",
    "api:\n  - {path: /say, model: a, text: hi, input: {messages: $.said}}": (
        ":2: api.0: text is what the user says, and input has messages; leave one of them out"
    ),
    "api:\n  - {path: /v1/models, action: DENY}": ":2: api.0.action: 'DENY' will not do; write one of ALLOW, FORBID",
    "api:\n  - {path: /v1/models, role: boss}": ":2: api.0.role: 'boss' will not do; write one of anyone, user, admin",
    "api:\n  - {path: /x, graph: nope}": (
        ":2: api.0.graph: there is no graph 'nope'; there are: trip-planner, reviewed-answer"
    ),
    "api:\n  - {path: /x, model: nope}": ":2: api.0.model: there is no model 'nope'; there are: penstock-demo",
    "api:\n  - {path: /x, model: penstock-demo, graph: trip-planner}": (
        ":2: api.0: a row has either graph or model; leave one of them out"
    ),
    'api:\n  - {path: /x, method: "*", model: m}': (
        ":2: api.0: a row with a graph or a model answers one method; write it, such as POST"
    ),
    "api:\n  - {path: /x, input: {}}": (
        ":2: api.0: 'input' is for rows with a graph or a model; add one, or leave it out"
    ),
    'api:\n  - {path: "/{a}/{a}", model: m}': (
        ":2: api.0: the path has {a} twice; give each placeholder a name of its own"
    ),
    'api:\n  - {path: "/{a}", model: m, input: {b: $.b}, text: "{c}"}': (
        ":2: api.0: text: {c} is neither in the path nor under input; there are: a, b"
    ),
    "api:\n  - {path: /x, model: m, output: {a: $.a}, stream: true}": (
        ":2: api.0: output is made of a whole answer, and stream sends its parts"
    ),
    "api:\n  - {path: /x, model: m, output: {a: {}}}": (
        ":2: api.0: output.a needs source_path, a JSONPath such as $.answer"
    ),
    "api:\n  - {path: /x, model: m, input: {b c: $.b}}": (
        ":2: api.0.input.b c.[key]: 'b c' will not do; write a name of letters"
    ),
    "api:\n  - path: /x\n    model: m\n    input:\n      a: $.a\n      b: a.b": (
        ":6: api.0.input.b.source_path: 'a.b' is no JSONPath (expected 'TOKEN_ROOT', found 'TOKEN_NAME'); write one"
    ),
    "api:\n  - {path: /x, model: m, input: {a: {sourcepath: $.a}}}": (
        ":2: unknown key 'api.0.input.a.sourcepath'; did you mean 'source_path'? Known are source_path, mandatory"
    ),
    "providers:\n  - {name: mini, kind: embeded}": (
        ":2: providers.0.kind: there is no kind 'embeded'; there are: embedded"
    ),
    "models:\n  - {name: a, provider: mini, tokenizer: o200k}": (
        ":2: models.0.tokenizer: 'o200k' will not do; write one of o200k_base, cl100k_base, characters; did you mean "
        "'o200k_base'?"
    ),
    "models:\n  - {name: a, provider: mini, tokenizer: 5}": (
        ":2: models.0.tokenizer: this is no name; write one of o200k_base, cl100k_base, characters"
    ),
    "models:\n  - name: a\n    routing: {balance: lowest_latency}\n    deployments: [{provider: mini, weight: 2}]": (
        ":4: models.0.deployments.0.weight: 'weight' says nothing to lowest_latency: leave it out"
    ),
    "models:\n  - {name: a, provider: mini, routing: {cooldown: {seconds: 600}}}": (
        ":2: models.0.routing.cooldown: seconds is more than max_seconds, which is 300; write that too"
    ),
    "providers:\n  - {name: mini, kind: embedded}\n  - {name: up, kind: openai, base_url: 'http://127.0.0.1:9'}\n"
    "models:\n  - {name: a, provider: mini}\n  - {name: j, provider: up}\ngraphs: []\n"
    "guardrails:\n  - {name: p, everywhere: true, rules: [{rule: judge, model: j, rubric: ok}]}\n"
    "auth:\n  keys:\n    - {name: k, key: sk-key-123, models: [a], budget_usd: 1}": (
        ":12: auth.keys.0: a budget limits key 'k', and what model 'j' costs is not known; give it a price under models"
    ),
    "idempotency: {caller_mb: 0.5}": (
        ":1: idempotency: caller_mb is less than max_mb, and no answer of that is kept; write 1 or more"
    ),
    "models:\n  - {name: a, provider: mini, routing: {hedge: true}}": (
        ":2: models.0.routing.hedge: there is no second deployment to ask: leave it out, or add one"
    ),
    "models:\n  - {name: a, class: 'm:C', version: '1', cache: {ttl_seconds: 60}}\n"
    "  - {name: a, class: 'm:C', version: '2'}\ngraphs: []": (
        ":3: models.1.cache: the versions of model 'a' have one cache: write the same in each of their rows, or none"
    ),
    "models:\n  - {name: v, provider: mini}\n"
    "  - {name: a, class: 'm:C', cache: {ttl_seconds: 60, semantic: {model: v}}}": (
        ":3: models.1.cache.semantic: 'semantic' says nothing to a model of a class: leave it out"
    ),
    "models:\n  - {name: fast, provider: mini}\ndefault_model: fats": (
        ":3: default_model: there is no model 'fats'; there are: fast; did you mean 'fast'?"
    ),
    f"{POLICY}      - rule: personal_dat\n": (
        ":4: guardrails.0.rules.0.rule: there is no rule 'personal_dat'; there are: patterns, terms, personal_data, "
        "secrets, prompt_injection, length, language, json_schema, form, judge, topics, moderation, http; did you mean "
        "'personal_data'?"
    ),
    f"{POLICY}      - places: [input]\n": (
        ":4: guardrails.0.rules.0.rule: this is missing; write one of patterns, terms, personal_data"
    ),
    f"{POLICY}      - rul: secrets\n": ":4: unknown key 'guardrails.0.rules.0.rul'; did you mean 'rule'?",
    f"{POLICY}      - secrets\n": ":4: guardrails.0.rules.0: this is no mapping; write one, such as {key: value}",
    f"{POLICY}      - rule: secrets\n        places: [input, inptu]\n": (
        ":5: guardrails.0.rules.0.places.1: 'inptu' will not do; write one of system, input, tool_results, "
        "tool_arguments, output; did you mean 'input'?"
    ),
    f"{POLICY}      - rule: terms\n        termes: [a]\n": (
        ":5: unknown key 'guardrails.0.rules.0.termes'; did you mean 'terms'? Known are name, places, action, mode, "
        "sample, message, rule, terms, file"
    ),
    "guardrails: [{name: p, rules: []}]": ":1: guardrails.0.rules: this is empty; write at least one",
    f"{POLICY}      - {{rule: secrets, places: []}}\n": (
        ":4: guardrails.0.rules.0.places: this is empty; write at least one"
    ),
    f"{POLICY}      - {{rule: http, url: 'http://a.example', headers: {{x key: b}}}}\n": (
        ":4: guardrails.0.rules.0.headers.x key.[key]: 'x key' will not do; write the name of a header"
    ),
    "tools: [{name: a, kind: mcp, url: 'http://a.example/mcp', headers: {Content-Length: '5'}}]": (
        ":1: tools.0.headers.Content-Length.[key]: 'Content-Length' will not do; write the name of a header"
    ),
    f"{POLICY}      - {{rule: judge, model: a, rubric: b, places: []}}\n": (
        ":4: guardrails.0.rules.0.places: this is empty; write at least one"
    ),
    f"{POLICY}      - {{rule: personal_data, kinds: [email], regions: [DE]}}\n": (
        ":4: guardrails.0.rules.0: 'regions' is for phone, which is not among the kinds: add it, or leave it out"
    ),
    f"{POLICY}      - {{rule: personal_data, kinds: [phone], countries: [DE]}}\n": (
        ":4: guardrails.0.rules.0: 'countries' is for national_id, which is not among the kinds"
    ),
    "models:\n  - {name: a, provider: mini, cache: {ttl_secs: 5}}": (
        ":2: unknown key 'models.0.cache.ttl_secs'; did you mean 'ttl_seconds'? Known are ttl_seconds, shared, sampled"
    ),
}


@pytest.mark.parametrize(("text", "message"), ROWS.items(), ids=[message.split(": ")[1] for message in ROWS.values()])
def test_every_faulty_row_is_named_with_its_remedy(tmp_path: Path, text: str, message: str) -> None:
    """One line: the file and the line, the row and its key, what is wrong with it, and what to write."""
    path = write(tmp_path, text)
    with pytest.raises(InvalidSettings) as raised:
        load(path)
    (told,) = str(raised.value).splitlines()
    assert told.startswith(f"{path}{message}")


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """One a line, so that the operator need not start once for each."""
    path = write(tmp_path, "models:\n  - {name: a, provider: x}\n  - {name: a, provider: y}\ngraphs: []")
    with pytest.raises(InvalidSettings) as raised:
        load(path)
    assert [line.split(": ")[:2] for line in str(raised.value).splitlines()] == [
        [f"{path}:3", "models.1.name"],
        [f"{path}:2", "models.0.provider"],
        [f"{path}:3", "models.1.provider"],
    ]


def test_a_row_in_the_environment_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no file and no line for it."""
    monkeypatch.setenv("PENSTOCK_MODELS", '[{"name": "a", "provider": "nope"}]')
    with pytest.raises(
        InvalidSettings, match=r"^PENSTOCK_MODELS__0__PROVIDER: models\.0\.provider: there is no provider"
    ):
        load()


def test_of_two_secrets_that_begin_alike_the_longer_is_named_first() -> None:
    """Whoever takes them out of a text one after the other leaves nothing of either; nor of one that JSON escapes."""
    values = ("key-12345", "key-12345-longer", 'key"12345')
    keys = [{"name": str(index), "key": value} for index, value in enumerate(values)]
    secrets = Settings.model_validate({"auth": {"keys": keys}}).secrets
    assert secrets.index("key-12345-longer") < secrets.index("key-12345")
    assert {*values, 'key\\"12345'} == set(secrets)


def test_what_judges_are_shown_is_a_secret_too() -> None:
    """No log has the keys of those whom guardrails ask."""
    rules = [
        {"rule": "moderation", "base_url": "http://127.0.0.1:9/v1", "api_key": "sk-of-the-moderation"},
        {"rule": "http", "url": "http://127.0.0.1:9/judge", "headers": {"authorization": "Bearer of-the-judge"}},
    ]
    settings = Settings.model_validate({"guardrails": [{"name": "judged", "rules": rules}]})
    assert {"sk-of-the-moderation", "Bearer of-the-judge"} <= set(settings.secrets)


def test_a_fault_never_prints_a_secret(tmp_path: Path) -> None:
    """The message about a key names the place, not the value."""
    with pytest.raises(InvalidSettings) as raised:
        load(write(tmp_path, "auth: {keys: [{name: a, key: s3cret}, {name: b, key: 's3cret '}]}"))
    assert "s3cret" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The operating system's own words, with the path."""
    with pytest.raises(InvalidSettings, match=r"no\.yaml: No such file"):
        load(tmp_path / "no.yaml")


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("x.y", False)]
)
def test_what_counts_as_this_machine(host: str, loopback: bool) -> None:
    """Only loopback addresses need no key."""
    tree: dict[str, Any] = {"server": {"host": host}, "auth": {"keys": [{"name": "a", "key": "long-enough"}]}}
    assert Settings.model_validate(tree).server.is_loopback is loopback


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for preset in presets().values():
        monkeypatch.delenv(preset.key or "NONE_NEEDED", raising=False)


@pytest.mark.parametrize("name", [*presets()])
def test_a_preset_is_named_by_a_model_and_needs_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_keys: None, name: str
) -> None:
    """``provider: groq`` is enough; the key comes from the variable that the vendor's own documents name."""
    preset = presets()[name]
    if preset.key:
        monkeypatch.setenv(preset.key, "sk-from-environment")
    text = f"server: {{port: 9000}}\nmodels: [{{name: demo, provider: mini}}, {{name: m, provider: {name}, model: x}}]"
    settings = load(write(tmp_path, text))
    mini, made = settings.providers
    assert (mini.name, made.name, made.kind, made.base_url) == ("mini", name, preset.kind, preset.base_url)
    assert made.api_key.get_secret_value() == ("sk-from-environment" if preset.key else "")
    assert (made.completions, made.api) == (preset.completions, "chat")
    assert "sk-from-environment" not in repr(settings)
    assert [served.name for served in Catalog.of(settings)][:2] == ["demo", "m"]


@pytest.mark.usefixtures("no_keys")
def test_a_preset_may_have_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row beats the preset; the key in the environment never goes to another address than the preset's own."""
    monkeypatch.setenv("MISTRAL_API_KEY", "sk-from-environment")
    rows = """\
providers:
  - {name: one, kind: mistral, api_key: sk-of-the-row, rename: {user: end_user}}
  - {name: two, kind: mistral, base_url: "http://127.0.0.1:1/v1"}
  - {name: three, kind: mistral}
models: [{name: m, provider: one}]
"""
    one, two, three = load(write(tmp_path, rows)).providers
    assert (one.base_url, one.rename["user"], one.rename["seed"]) == (
        "https://api.mistral.ai/v1",
        "end_user",
        "random_seed",
    )
    assert [row.api_key.get_secret_value() for row in (one, two, three)] == ["sk-of-the-row", "", "sk-from-environment"]
    rows = "providers: [{name: a, kind: vllm}, {name: b, kind: vllm, completions: false}]\n"
    assert [row.completions for row in load(write(tmp_path, rows + "models: [{name: m, provider: a}]")).providers] == [
        True,
        False,
    ]


@pytest.mark.usefixtures("no_keys")
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("kind: groq", ":3: providers.0: groq needs a key: set GROQ_API_KEY in the environment, or api_key in its row"),
        ("kind: openai", "openai needs a key: set OPENAI_API_KEY"),
        ("kind: grok", "there is no kind 'grok'; there are: embedded, openai, azure, anthropic, "),
        ("kind: azure, base_url: 'https://r.openai.azure.com'", "kind azure needs api_version, such as 2024-10-21"),
        ("kind: ollama, api_version: x", "'api_version' says nothing to kind openai, it is for azure: leave it out"),
        ("kind: anthropic, api_key: k, api: responses", "'api' says nothing to kind anthropic, it is for openai"),
        ("kind: embedded, completions: true", "'completions' says nothing to kind embedded, it is for azure or openai"),
        ("kind: openai, api_key: k, api: assistants", ":3: providers.0.api: "),
        ("kind: embedded, base_url: 'http://x/v1'", "'base_url' says nothing to kind embedded"),
        ("kind: huggingface", "kind huggingface needs path, the folder of a model, or its id on the hub"),
        ("kind: huggingface, path: x, dtype: int3", ":3: providers.0.dtype: "),
        ("kind: llamacpp", "provider 'x' is at port 8080, where this gateway listens: move one of the two"),
    ],
)
def test_faults_of_providers(tmp_path: Path, row: str, message: str) -> None:
    """What a provider lacks, or has too much, is said at the start, with its row."""
    with pytest.raises(InvalidSettings) as raised:
        load(write(tmp_path, f"graphs: []\nproviders:\n  - {{name: x, {row}}}\nmodels: []"))
    assert message in str(raised.value)


@pytest.mark.usefixtures("no_keys")
def test_a_preset_without_a_key_names_the_model_that_wants_it(tmp_path: Path) -> None:
    """Where no row is written, the fault names the one that led to it."""
    with pytest.raises(InvalidSettings, match=r"yaml:3: models\.1: groq needs a key: set GROQ_API_KEY"):
        load(write(tmp_path, "models:\n  - {name: o, provider: ollama, model: o}\n  - {name: m, provider: groq}"))


@pytest.mark.parametrize("option", ["organization", "project"])
def test_a_value_that_cannot_stand_in_a_header_is_refused_without_repeating_it(tmp_path: Path, option: str) -> None:
    """A line break at the end of a value from a file is the usual fault."""
    row = f'{{name: x, kind: openai, base_url: "http://127.0.0.1:1/v1", {option}: "sk-se cret\\n"}}'
    settings = load(write(tmp_path, f"graphs: []\nproviders: [{row}]\nmodels: []"))
    with pytest.raises(InvalidSettings, match=f"provider 'x': {option} holds a space, a line break") as raised:
        Catalog.of(settings)
    assert "cret" not in str(raised.value)


def test_a_row_that_clashes_with_the_table_is_named_by_its_line(tmp_path: Path) -> None:
    """What only the whole table can say comes with file and line too; without a file, with the key."""
    rows = "models: [{name: m, provider: mini}]\ngraphs: []\napi:\n  - {path: /v1/models/mine, method: get, model: m}\n"
    path = write(tmp_path, rows)
    with pytest.raises(InvalidSettings) as raised:
        create_app(load(path))
    told = "api.0: GET /v1/models/mine is answered already, by /v1/models/{id}; choose another path"
    assert str(raised.value) == f"{path}:4: {told}"
    with pytest.raises(InvalidSettings) as raised:
        create_app(
            Settings.model_validate({"api": [{"path": "/v1/models/mine", "method": "get", "model": "penstock-demo"}]})
        )
    assert str(raised.value) == told
