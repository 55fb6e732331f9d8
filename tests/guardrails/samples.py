"""One true example of each kind that the rules know, and the rules that look for it."""

from __future__ import annotations

from guardrails.guardrail import Guardrail
from guardrails.rule import SpanRule
from guardrails.rules.personal import personal_data
from guardrails.rules.secrets import secrets
from guardrails.rules.words import patterns, terms

SAMPLES = {
    "email": "anna.smith+news@mail.example.co.uk",
    "phone": "+44 20 7946 0958",
    "card": "4111 1111 1111 1111",
    "iban": "DE89 3704 0044 0532 0130 00",
    "ip": "2001:db8::8a2e:370:7334",
    "national_id_at": "1237 010180",
    "national_id_be": "85.07.30-033.28",
    "national_id_br": "390.533.447-05",
    "national_id_ch": "756.9217.0769.85",
    "national_id_de": "36 574 261 809",
    "national_id_es": "54362315-K",
    "national_id_es_nie": "X-2482300W",
    "national_id_fi": "131052-308T",
    "national_id_fr": "2 95 10 99 126 111 93",
    "national_id_gb_nhs": "943 476 5870",
    "national_id_in": "2341 2341 2346",
    "national_id_it": "RCCMNL83S18D969H",
    "national_id_nl": "111.222.333",
    "national_id_pl": "44051401359",
    "national_id_se": "880320-0016",
    "national_id_us": "536-90-4399",
    "anthropic_key": "sk-ant-api03-Zx8Qw3Er5Ty7Ui9Op1As2Df4",
    "aws_key": "AKIAIOSFODNN7EXAMPLE",
    "github_key": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "gitlab_key": "glpat-Zx8Qw3Er5Ty7Ui9Op1As",
    "google_key": "AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
    "huggingface_key": "hf_AbCdEfGhIjKlMnOpQrStUvWxYz01234567",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    "npm_key": "npm_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
    "openai_key": "sk-proj-a1B2c3D4e5F6g7H8i9J0k1L2",
    "pypi_key": "pypi-AgEIcHlwaS5vcmcCJDk5ZjM0YTk2LTVhYjctNDM0Ny1hYzU4LTQ2Zjg4",
    "sendgrid_key": "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",
    "slack_key": "xoxb-123456789012-abcDEF123ghiJKL",
    "stripe_key": "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "private_key": "-----BEGIN RSA PRIVATE KEY-----\nMIIBOgIBAAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8Qu\n"
    "KUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==\n-----END RSA PRIVATE KEY-----",
    "password": "password=Tr0ub4dor&3x",
    "patterns": "project-nightjar42",
    "terms": "Project Nightjar",
}

MINE = patterns(r"\bproject-[a-z]+\d{1,4}\b", r"(?:ab+)+c")
TERMS = terms("project nightjar", "nightjar", "c++")


def rules(action: str = "redact") -> tuple[SpanRule, ...]:
    """All rules that find parts of a text, with one action."""
    return (
        personal_data(action=action),  # type: ignore[arg-type]
        secrets(action=action),  # type: ignore[arg-type]
        patterns(*MINE.kinds[0].patterns, action=action),  # type: ignore[arg-type]
        terms(*TERMS.kinds[0].terms, action=action),  # type: ignore[arg-type]
    )


REDACTING = Guardrail("redacting", rules("redact"))
REFUSING = Guardrail("refusing", rules("refuse"))
