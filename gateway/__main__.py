"""The entry point of ``penstock`` and ``python -m gateway``.

It looks whose packages it is about to import before it imports them: with a stranger's ``llm`` in the way, that import
would fail in the stranger's words.
"""

import sys

from gateway.ownership import NameTaken, check_import_names


def main() -> None:
    """Runs the command line."""
    try:
        check_import_names()
    except NameTaken as error:
        sys.exit(f"penstock: {error}")
    from gateway.cli.main import app  # noqa: PLC0415 - not before the check

    app(prog_name="penstock")


if __name__ == "__main__":
    main()
