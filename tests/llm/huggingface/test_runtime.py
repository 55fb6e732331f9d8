"""What is needed to run models of transformers' is said when it is missing, and imported only when it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llm.providers.huggingface import HuggingFaceProvider


def test_a_missing_extra_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is loaded."""
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"torch and transformers.*pip install 'penstock\[huggingface\]'"):
        HuggingFaceProvider("anywhere")


def test_nothing_is_imported_before_it_is_used() -> None:
    """A gateway without such a model does not pay for it."""
    program = "import sys, gateway.app; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=50).returncode == 0
