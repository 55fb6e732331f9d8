"""Models of transformers', in this process. Nothing here imports torch before a model is loaded."""

from llm.huggingface.batch import Row, run
from llm.huggingface.grammar import Grammars, Guide
from llm.huggingface.runtime import Runtime, check_installed, check_path
from llm.huggingface.sampling import Sampling
from llm.huggingface.speech import Speech

__all__ = ["Grammars", "Guide", "Row", "Runtime", "Sampling", "Speech", "check_installed", "check_path", "run"]
