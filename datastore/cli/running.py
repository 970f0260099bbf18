"""What every command shares: its options, how it opens a store, how it speaks, and how it ends."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from typer.core import TyperGroup

from datastore.cli.show import printable
from datastore.connecting import DEFAULT_URL, URL_VARIABLE, connect
from datastore.errors import ConfigurationError, DataStoreError, InternalError
from datastore.store import DataStore
from datastore.urls import Url

T = TypeVar("T")

ERROR = 1
"""What was asked for was not done; the message says why."""
INCOMPLETE = 3
"""It was done, and something was found that somebody should look at."""
NOT_FOUND = 4
"""There is no such record."""
INTERRUPTED = 130  # 128 and the number of SIGINT, as shells report it

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="The store; env:NAME takes it from a variable.", show_default=f"${URL_VARIABLE}"
    ),
]
UserOption = Annotated[
    str, typer.Option("--user", "-u", metavar="ID", envvar="AGENT_DATASTORE_USER", help="Whose records.")
]
AnyUserOption = Annotated[
    str | None, typer.Option("--user", "-u", metavar="ID", help="Only this user's.", show_default="all users")
]
NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", metavar="NAME", help="Where the keys lie.")]
AnyNamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Only this namespace.", show_default="all")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_SECRET = re.compile(r"(\b[\w+.-]+://[^\s:/@]*:)\S+@")


def redacted(text: str) -> str:
    """Return a text with the passwords of all URLs in it made unreadable."""
    return _SECRET.sub(r"\1***@", text)


class Group(TyperGroup):
    """Commands whose usage errors, which quote what was typed, show no password."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse what stands before the command."""
        with _without_secrets():
            return super().make_context(*args, **kwargs)

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the rest, and run the command."""
        with _without_secrets():
            return super().invoke(*args, **kwargs)


@contextmanager
def _without_secrets() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a usage error has a class that is not public in every version of Typer
        message = getattr(error, "message", None)
        if isinstance(message, str):
            vars(error)["message"] = redacted(message)
        raise


@contextmanager
def in_one_line(when_interrupted: str = "interrupted") -> Iterator[None]:
    """Turn a user's mistakes and the world's into one line and an exit code; only our own mistakes have a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(when_interrupted, err=True)
        raise typer.Exit(INTERRUPTED) from None
    except InternalError:
        raise  # a mistake of ours
    except DataStoreError as error:
        fail(str(error))


def fail(message: str, code: int = ERROR) -> NoReturn:
    """End the command with a line on standard error."""
    typer.echo(printable(f"datastore: {redacted(' '.join(message.split()))}"), err=True)
    raise typer.Exit(code)


def resolve(url: str | None) -> str:
    """Return the URL that is meant: the given one, that of a named variable, or the default.

    Raises:
        ConfigurationError: If the variable is not set.
    """
    if url is not None and url.startswith("env:"):
        found = os.environ.get(url[4:])
        if not found:
            raise ConfigurationError(f"the environment variable {url[4:]!r} is not set; it is to hold the store's URL")
        return found
    return url or os.environ.get(URL_VARIABLE) or DEFAULT_URL


def shown(url: str) -> str:
    """Return a URL as it may be shown."""
    return repr(Url(url))


def open_store(url: str | None, *, create: bool = False, **options: Any) -> DataStore:
    """Open a store as an administrator does: looking counts no access, and a typing error makes no new database.

    Args:
        url: As it was typed.
        create: Whether a missing database is made.
        **options: Of `datastore.connect`.
    """
    options = {"tracking": "off", **options}
    text = resolve(url)
    if not create:
        try:
            return connect(text, create=False, **options)
        except ConfigurationError as error:
            if "parameter 'create'" not in error.message:  # else the URL has said it, or the adapter makes nothing
                if "create=" in error.message:
                    error.message += " (this command makes no new store: check the URL)"
                raise
    return connect(text, **options)


def print_json(value: Any) -> None:
    """Print a JSON value on one line."""
    typer.echo(json.dumps(value, ensure_ascii=False))
