"""The folders at the top of this project are its import names; nothing else that is installed may own one of them."""

from __future__ import annotations

from importlib.metadata import packages_distributions

NAMES = ("gateway", "graph", "guardrails", "llm", "prompts")
OURS = "penstock"


class NameTaken(Exception):
    """Another distribution installs a package of one of our names; only one of the two can be imported."""


def check_import_names() -> None:
    """Looks who owns our import names.

    Raises:
        NameTaken: naming the package, the other distribution and the remedy.
    """
    owners = packages_distributions()
    for name in NAMES:
        others = sorted({owner for owner in owners.get(name, ()) if owner != OURS})
        if others:
            raise NameTaken(
                f"the installed distribution '{others[0]}' also provides the package '{name}', which is Penstock's; "
                f"install Penstock into a virtual environment of its own, or run: pip uninstall {others[0]}"
            )
