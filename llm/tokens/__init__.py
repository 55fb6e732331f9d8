"""Counting tokens, for calls whose provider does not say what they cost."""

from llm.tokens.counter import CHARACTERS, CharacterCounter, TokenCounter, counted
from llm.tokens.openai import TIKTOKEN, ChatText, TiktokenCounter, text_of_ids

__all__ = [
    "CHARACTERS",
    "TIKTOKEN",
    "CharacterCounter",
    "ChatText",
    "TiktokenCounter",
    "TokenCounter",
    "counted",
    "text_of_ids",
]
