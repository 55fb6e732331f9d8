"""Code of one's own that the settings name: what is told when it cannot be used, of it and nothing of ours."""

from __future__ import annotations

import sys
import sysconfig
from importlib import import_module
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Any, Final

from gateway.config.faults import InvalidSettings
from gateway.ownership import NAMES
from graph import GraphError
from llm import ModelError
from prompts import PromptError
from prompts.names import LIKELY, did_you_mean

OURS: Final = (InvalidSettings, GraphError, ModelError, PromptError)
"""Errors that say what is wrong in words of ours; of others the class belongs to what they say."""
REFUSALS: Final = (*OURS, ValueError, TypeError, ImportError, AttributeError)
"""Errors by which code of ours says that something cannot be used. Any other is a fault of ours."""
NOT_OWN: Final = frozenset({*NAMES, *sys.stdlib_module_names})


def named(reference: str) -> Any:
    """What ``module:name`` is.

    Raises:
        ImportError: when there is no such module.
        AttributeError: when it has no such name.
        Exception: whatever goes wrong while it is imported.
    """
    path, _, name = reference.partition(":")
    try:
        module = import_module(path)
    except ModuleNotFoundError as error:
        if not f"{path}.".startswith(f"{error.name}."):
            raise
        raise ImportError(f"{error}; {_remedy(path.partition('.')[0])}") from None
    if not hasattr(module, name):
        meant = did_you_mean(name, (each for each in vars(module) if each[0] != "_"), LIKELY)
        raise AttributeError(
            f"the module {path} ({getattr(module, '__file__', None) or 'built in'}) has no '{name}'{meant}"
        )
    return getattr(module, name)


def told(error: Exception) -> str | None:
    """What went wrong, and at which line of one's own; None when it is a fault of ours."""
    place = _place(error)
    if place is None:
        return str(error) if isinstance(error, REFUSALS) else None
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{said if isinstance(error, OURS) else f'{type(error).__name__}: {said}'} ({place})"


def _remedy(module: str) -> str:
    """Where a module is, if it is here; else where modules are looked for."""
    here = Path.cwd()
    if (here / f"{module}.py").exists() or (here / module).is_dir():
        return f"it is in {here}, where Python does not look: start with PYTHONPATH={here}"
    stdlib = sysconfig.get_path("stdlib")
    looked = [path for path in dict.fromkeys(sys.path) if path not in (stdlib, f"{stdlib}/lib-dynload")]
    folders = ", ".join(path for path in looked if path and not path.endswith(".zip"))
    return f"modules are looked for in {folders}: install it, or start with PYTHONPATH=FOLDER, in which '{module}' is"


def _place(error: Exception) -> str | None:
    """The last line of one's own that an error came by: its file, its number, and the function."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{error.filename}:{error.lineno}"
    foreign = [(frame, line) for frame, line in walk_tb(error.__traceback__) if _top(frame) not in NOT_OWN]
    own = [(frame, line) for frame, line in foreign if _top(frame) == _top(foreign[0][0]) or not _is_library(frame)]
    if not own:
        return None
    code, line = own[-1][0].f_code, own[-1][1]
    return f"{code.co_filename}:{line}" + ("" if code.co_name == "<module>" else f", in {code.co_qualname}")


def _top(frame: FrameType) -> str:
    """The package that a line is in, or the module where it is in none."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _is_library(frame: FrameType) -> bool:
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return any(Path(frame.f_code.co_filename).is_relative_to(folder) for folder in folders)
