"""Where the command line begins: an answer that is known already, else the commands."""

from __future__ import annotations

import sys
from contextlib import suppress

from specsci.cli import unchanged


def main() -> None:
    """Give the known answer of a run that has nothing to do, or import the command line and run it."""
    arguments = sys.argv[1:]
    if unchanged.is_asked(arguments):
        said = unchanged.answer(arguments)
        if said is not None:
            with suppress(OSError):  # a full disk, a pager that was left: the command line says so
                sys.stdout.write(said)
                sys.stdout.flush()
                sys.exit(0)
        unchanged.record(arguments)
    from specsci.cli.main import main as command_line

    command_line()
