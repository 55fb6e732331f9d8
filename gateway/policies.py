"""The policies that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.config import Settings
from gateway.config_faults import InvalidSettings
from gateway.config_guardrails import (
    AnyRule,
    FormRow,
    InjectionRow,
    JsonSchemaRow,
    LanguageRow,
    LengthRow,
    PatternsRow,
    PersonalDataRow,
    PolicyEntry,
    SecretsRow,
    TermsRow,
)
from gateway.guarding import Guards
from guardrails import Policy, Rule
from guardrails.policy import Placed
from guardrails.rules.injection import prompt_injection
from guardrails.rules.language import language
from guardrails.rules.personal import personal_data
from guardrails.rules.secrets import secrets
from guardrails.rules.text import form, json_schema, length
from guardrails.rules.words import patterns, terms


def guards_of(settings: Settings) -> Guards:
    """The policies by name, and whom they hold for.

    Raises:
        InvalidSettings: when a rule cannot be made; the message names its policy.
    """
    policies = {}
    for entry in settings.guardrails:
        try:
            policies[entry.name] = policy_of(entry)
        except (ValueError, OSError) as error:
            raise InvalidSettings(f"guardrails '{entry.name}': {error}") from error
    everywhere = [entry.name for entry in settings.guardrails if entry.everywhere]
    return Guards(policies, everywhere, {key.name: key.guardrails for key in settings.auth.keys})


def policy_of(entry: PolicyEntry) -> Policy:
    """The policy of a row.

    Raises:
        ValueError: when one of its rules cannot be made.
        OSError: when a file of terms cannot be read.
    """
    return Policy(
        [Placed(rule_of(row), row.places) for row in entry.rules],
        refusal=entry.refusal,
        replacement=entry.replacement,
        reversible=entry.reversible,
        max_held=entry.max_held,
    )


def rule_of(row: AnyRule) -> Rule:
    """The rule of a row."""
    rule = MAKERS[type(row)](row)
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
