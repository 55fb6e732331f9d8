"""Patterns and terms over a text that comes in pieces: exactly where they match, and from where they still may."""

from guardrails.automaton.machine import Machine, Match, Reading, Scan
from guardrails.automaton.program import Program

__all__ = ["Machine", "Match", "Program", "Reading", "Scan"]
