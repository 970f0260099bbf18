"""The command line, ``datastore``. It needs Typer and Rich, which the extra ``cli`` brings."""

from __future__ import annotations

import sys

_NEEDED = ("typer", "rich")


def main() -> None:
    """Run the command line; if it cannot be imported, say what to do and exit with 2.

    The import fails if Typer or Rich is missing, or if another distribution has replaced files of this package.
    """
    try:
        from datastore.cli.app import app
    except Exception as error:  # noqa: BLE001 - a file that is not ours may raise anything
        missing = ((error.name or "") if isinstance(error, ModuleNotFoundError) else "").partition(".")[0]
        if missing not in _NEEDED:
            from agent_datastore import refuse

            refuse(error)
        sys.stderr.write(f"datastore: {missing} is not installed: pip install 'agent-datastore[cli]'\n")
        sys.exit(2)
    app(prog_name="datastore")
