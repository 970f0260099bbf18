"""The command line, ``datastore``. It needs Typer and Rich, which the extra ``cli`` brings."""

from __future__ import annotations

import sys

_NEEDED = ("typer", "rich")


def main() -> None:
    """Run the command line; exit with 2 and say what to install if Typer or Rich is missing."""
    try:
        from datastore.cli.app import app
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _NEEDED:
            raise
        sys.stderr.write(f"datastore: {missing} is not installed: pip install 'agent-datastore[cli]'\n")
        sys.exit(2)
    app(prog_name="datastore")
