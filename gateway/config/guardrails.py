"""The rows under ``guardrails``: named policies, and the rules in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, SecretStr, model_validator

from gateway.config.fields import HeaderName, Name, Secret, Section, written
from gateway.config.tools import Line
from guardrails.guardrail import MAX_HELD
from guardrails.places import Place
from guardrails.rules.injection import THRESHOLD
from guardrails.rules.secrets import LEAST_ENTROPY

BaseUrl: TypeAlias = Annotated[str, written(r"https?://[^\s?#@]+", "an address such as https://host/path")]
BOTH: tuple[Place, ...] = ("input", "output")
LEAST_ONE = Field(min_length=1)


class RuleRow(Section):
    """What all rules have in common."""

    name: Name | None = None
    """What it is called in verdicts and metrics; by default as the rule."""
    places: Annotated[tuple[Place, ...], LEAST_ONE] = BOTH
    """The texts that it looks at."""
    action: Literal["refuse", "redact", "flag"] | None = None
    """What becomes of a text in which it finds something; by default what the rule does."""
    mode: Literal["enforce", "shadow"] = "enforce"
    """``shadow`` records what it would have done, and does nothing."""
    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The share of texts that it looks at."""
    message: str = ""
    """What a caller whose text is refused is told."""

    @model_validator(mode="after")
    def _redacts_parts(self) -> Self:
        if self.action == "redact" and isinstance(self, WHOLE):
            raise ValueError("this rule is about the whole text, so there is nothing to redact; write refuse or flag")
        return self


class PatternsRow(RuleRow):
    """What regular expressions match."""

    rule: Literal["patterns"]
    patterns: Annotated[tuple[str, ...], Field(min_length=1)]
    ignore_case: bool = False


class TermsRow(RuleRow):
    """Words and phrases, in any case: in the settings, or one a line of a file."""

    rule: Literal["terms"]
    terms: tuple[str, ...] = ()
    file: Path | None = None


class PersonalDataRow(RuleRow):
    """E-mail, phone, card, IBAN, IP, national ids."""

    rule: Literal["personal_data"]
    kinds: tuple[Literal["email", "phone", "card", "iban", "ip", "national_id"], ...] = ()
    regions: tuple[str, ...] = ("US", "GB")
    """Countries whose phone numbers are known without ``+`` too."""
    countries: tuple[str, ...] = ()
    """Countries whose national ids are looked for; by default all that are known."""

    @model_validator(mode="after")
    def _of_its_kinds(self) -> Self:
        for option, kind in (("regions", "phone"), ("countries", "national_id")):
            if self.kinds and kind not in self.kinds and option in self.model_fields_set:
                raise ValueError(f"'{option}' is for {kind}, which is not among the kinds: add it, or leave it out")
        return self


class SecretsRow(RuleRow):
    """Keys and passwords."""

    rule: Literal["secrets"]
    least_entropy: Annotated[float, Field(ge=0, le=8)] = LEAST_ENTROPY


class InjectionRow(RuleRow):
    """Texts that try to change the instructions."""

    rule: Literal["prompt_injection"]
    places: Annotated[tuple[Place, ...], LEAST_ONE] = ("input", "tool_results")
    threshold: Annotated[float, Field(gt=0)] = THRESHOLD


class LengthRow(RuleRow):
    """At most so many characters."""

    rule: Literal["length"]
    places: Annotated[tuple[Place, ...], LEAST_ONE] = ("input",)
    most: Annotated[int, Field(ge=1)]


class LanguageRow(RuleRow):
    """Only these languages."""

    rule: Literal["language"]
    places: Annotated[tuple[Place, ...], LEAST_ONE] = ("input",)
    languages: Annotated[tuple[str, ...], Field(min_length=1)]


class JsonSchemaRow(RuleRow):
    """JSON that a schema describes."""

    rule: Literal["json_schema"]
    places: Annotated[tuple[Place, ...], LEAST_ONE] = ("output",)
    describes: Mapping[str, Any] = Field(alias="schema")


class FormRow(RuleRow):
    """All of the text matches a regular expression."""

    rule: Literal["form"]
    places: Annotated[tuple[Place, ...], LEAST_ONE] = ("output",)
    pattern: str


class JudgedRow(RuleRow):
    """What rules that ask somebody have in common."""

    places: Annotated[tuple[Literal["input", "tool_results", "tool_arguments", "output"], ...], LEAST_ONE] = ("input",)
    fail: Literal["closed", "open"] = "closed"
    """Whether a text is refused or passes when nobody answers."""
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 10
    every: Annotated[int, Field(ge=1)] = 400
    """Of an answer that streams: after how many characters it is asked at the latest; else at the end of a sentence."""


class JudgeRow(JudgedRow):
    """A model is asked whether a text keeps to a rubric."""

    rule: Literal["judge"]
    model: str
    """The name of a row under ``models``."""
    rubric: Annotated[str, Field(min_length=1)]


class TopicsRow(JudgedRow):
    """A text must be like one of the examples, by the embeddings of a model."""

    rule: Literal["topics"]
    model: str
    """The name of a row under ``models`` that makes embeddings."""
    examples: Annotated[tuple[str, ...], Field(min_length=1)]
    threshold: Annotated[float, Field(ge=-1, le=1)] = 0.5


class ModerationRow(JudgedRow):
    """An endpoint as OpenAI's ``/v1/moderations`` is asked."""

    rule: Literal["moderation"]
    base_url: BaseUrl
    """The address that ``/moderations`` is under, such as https://api.openai.com/v1."""
    api_key: Secret = SecretStr("")
    model: str = ""


class HttpRow(JudgedRow):
    """A server of one's own is sent ``{"text": …, "place": …}`` and answers ``{"allowed": …, "reason": …}``."""

    rule: Literal["http"]
    url: BaseUrl
    headers: Mapping[HeaderName, Line] = Field(default_factory=dict)


WHOLE = (InjectionRow, LengthRow, LanguageRow, JsonSchemaRow, FormRow, JudgedRow)
AnyRule: TypeAlias = Annotated[
    PatternsRow
    | TermsRow
    | PersonalDataRow
    | SecretsRow
    | InjectionRow
    | LengthRow
    | LanguageRow
    | JsonSchemaRow
    | FormRow
    | JudgeRow
    | TopicsRow
    | ModerationRow
    | HttpRow,
    Field(discriminator="rule"),
]


class PolicyEntry(Section):
    """A policy: rules that keys, models and graphs name under ``guardrails``."""

    name: Name
    everywhere: bool = False
    """Whether it holds for every request."""
    rules: Annotated[tuple[AnyRule, ...], Field(min_length=1)]
    refusal: str = ""
    """What is answered, instead of an error, to a request that is refused."""
    replacement: str = ""
    """What is said in place of the rest of an answer that is refused."""
    reversible: bool = False
    """Whether what is redacted in a request is put back into the answer, by numbered placeholders."""
    media: Literal["pass", "refuse"] = "pass"
    """What becomes of images, sounds and files, at which no rule can look."""
    lookalikes: bool = True
    """Whether texts that come whole are looked at as they are read too, whatever signs they are written in."""
    max_held: Annotated[int, Field(ge=64, le=1_000_000)] = MAX_HELD
    """How many characters of an answer may be held back; one that would need more is refused."""

    @property
    def judges(self) -> Iterator[str]:
        """The models that its judges ask."""
        yield from (rule.model for rule in self.rules if isinstance(rule, JudgeRow | TopicsRow))

    @property
    def secrets(self) -> Iterator[SecretStr]:
        """What its judges are shown."""
        for rule in self.rules:
            if isinstance(rule, ModerationRow):
                yield rule.api_key
            elif isinstance(rule, HttpRow):
                yield from rule.headers.values()
