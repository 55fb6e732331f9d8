"""The policies that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from gateway.config import Settings
from gateway.config.faults import InvalidSettings
from gateway.config.guardrails import (
    AnyRule,
    FormRow,
    HttpRow,
    InjectionRow,
    JsonSchemaRow,
    JudgedRow,
    JudgeRow,
    LanguageRow,
    LengthRow,
    ModerationRow,
    PatternsRow,
    PersonalDataRow,
    PolicyEntry,
    SecretsRow,
    TermsRow,
    TopicsRow,
)
from gateway.config.told import unknown
from gateway.guarding.guards import Guards
from guardrails import Policy, Rule
from guardrails.judge import JudgeRule, by_examples, by_http, by_model, by_moderation
from guardrails.policy import Placed
from guardrails.rules.injection import prompt_injection
from guardrails.rules.language import language
from guardrails.rules.personal import personal_data
from guardrails.rules.secrets import secrets
from guardrails.rules.text import form, json_schema, length
from guardrails.rules.words import patterns, terms
from llm import Model
from llm.http1.transport import HttpTransport
from llm.transport import Timeouts, Transport


def guards_of(settings: Settings, models: Mapping[str, Model]) -> Guards:
    """The policies by name, and whom they hold for; ``models`` are those that judges may be.

    Raises:
        InvalidSettings: when a rule cannot be made; the message names its policy.
    """
    policies: dict[str, Policy] = {}
    transports: list[Transport] = []
    written: dict[str, str] = {}
    for at, entry in enumerate(settings.guardrails):
        try:
            policies[entry.name] = _policy(entry, models, transports)
            written[entry.name] = _written(entry)
        except (ValueError, OSError) as error:
            raise InvalidSettings(f"{settings.where('guardrails', at)}: guardrails '{entry.name}': {error}") from error
    everywhere = [entry.name for entry in settings.guardrails if entry.everywhere]
    keys = {key.name: key.guardrails for key in settings.auth.keys}
    return Guards(policies, everywhere, keys, transports, written)


def _policy(entry: PolicyEntry, models: Mapping[str, Model], transports: list[Transport]) -> Policy:
    made = [
        _judge(row, models, transports) if isinstance(row, JudgedRow) else MAKERS[type(row)](row) for row in entry.rules
    ]
    return Policy(
        [Placed(_as_said(rule, row), row.places) for rule, row in zip(made, entry.rules, strict=True)],
        refusal=entry.refusal,
        replacement=entry.replacement,
        reversible=entry.reversible,
        max_held=entry.max_held,
        media=entry.media == "pass",
        lookalikes=entry.lookalikes,
    )


def _written(entry: PolicyEntry) -> str:
    """A digest of all that a policy says, with the terms that stand in files."""
    files = (row.file for row in entry.rules if isinstance(row, TermsRow) and row.file is not None)
    said = "\n".join((entry.model_dump_json(), *(term for file in files for term in _lines(file))))
    return blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _judge(row: JudgedRow, models: Mapping[str, Model], transports: list[Transport]) -> JudgeRule:
    if isinstance(row, JudgeRow):
        ask = by_model(_named(models, row), row.rubric)
    elif isinstance(row, TopicsRow):
        if not _named(models, row).embeds:
            raise ValueError(f"topics: the model '{row.model}' does not make embeddings")
        ask = by_examples(_named(models, row), row.examples, row.threshold)
    else:
        transport = HttpTransport(Timeouts())
        transports.append(transport)
        if isinstance(row, HttpRow):
            headers = {name: value.get_secret_value() for name, value in row.headers.items()}
            ask = by_http(transport, row.url, headers)
        else:
            assert isinstance(row, ModerationRow)  # noqa: S101 - there is no other
            key = row.api_key.get_secret_value()
            headers = {"authorization": f"Bearer {key}"} if key else {}
            ask = by_moderation(transport, f"{row.base_url.rstrip('/')}/moderations", headers, row.model)
    message = "The text was not let pass."
    fails_open = row.fail == "open"
    return JudgeRule(row.rule, message, ask=ask, seconds=row.timeout_seconds, fails_open=fails_open, every=row.every)


def _named(models: Mapping[str, Model], row: JudgeRow | TopicsRow) -> Model:
    if row.model not in models:
        raise ValueError(f"{row.rule}: {unknown('model', row.model, models)}")
    return models[row.model]


def _as_said(rule: Rule, row: AnyRule) -> Rule:
    """The rule with what its row says of it."""
    said = {"name": row.name, "action": row.action, "message": row.message or None}
    given = {key: value for key, value in said.items() if value is not None}
    return replace(rule, mode=row.mode, sample=row.sample, **given)  # type: ignore[arg-type]


def _terms(row: TermsRow) -> Rule:
    listed = _lines(row.file) if row.file is not None else ()
    if not row.terms and not listed:
        raise ValueError("terms: there are none; write them under terms, or one a line of a file")
    return terms(*row.terms, *listed)


def _lines(path: Path) -> tuple[str, ...]:
    return tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())


def _personal(row: PersonalDataRow) -> Rule:
    return personal_data(row.kinds, regions=row.regions, countries=row.countries)


MAKERS: Mapping[type[Any], Callable[[Any], Rule]] = {
    PatternsRow: lambda row: patterns(*row.patterns, ignore_case=row.ignore_case),
    TermsRow: _terms,
    PersonalDataRow: _personal,
    SecretsRow: lambda row: secrets(least_entropy=row.least_entropy),
    InjectionRow: lambda row: prompt_injection(threshold=row.threshold),
    LengthRow: lambda row: length(row.most),
    LanguageRow: lambda row: language(*row.languages),
    JsonSchemaRow: lambda row: json_schema(row.describes),
    FormRow: lambda row: form(row.pattern),
}
