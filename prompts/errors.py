"""What can be wrong with a prompt.

::

    PromptError
    ├── InvalidPrompt      the file or template is wrong: its author must act, before anything is served
    ├── UnknownPrompt      nobody has loaded a prompt of that name, or no version or label of it
    ├── MissingVariable    a template was rendered without one of its variables
    └── RenderingFailed    a template asked for something that a value does not have, or ran too long
"""

from __future__ import annotations


class PromptError(Exception):
    """Anything wrong with a prompt."""


class InvalidPrompt(PromptError):
    """A prompt that cannot be used, found when it is loaded. The message names the file, the line and the remedy.

    Attributes:
        place: the keys and indexes that lead to the fault, such as ``("prompt_template", 0, "role")``.
    """

    def __init__(self, message: str, place: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.place = place


class UnknownPrompt(PromptError):
    """No prompt of this name has been loaded, or none of this version or label."""


class MissingVariable(PromptError):
    """A template was rendered without a variable that it uses."""


class RenderingFailed(PromptError):
    """A template asked for something that a value does not have, or ran too long."""
