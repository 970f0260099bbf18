"""What all commands share: options, opening a store, messages, and exit codes."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from typer.core import TyperGroup

from datastore.cli.show import printable
from datastore.connecting import DEFAULT_URL, URL_VARIABLE, connect
from datastore.errors import ConfigurationError, DataStoreError, InternalError
from datastore.store import DataStore
from datastore.urls import MODE, Url

T = TypeVar("T")

ERROR = 1
"""The command failed; the message says why."""
INCOMPLETE = 3
"""The command ran to its end, and found something that somebody should look at."""
NOT_FOUND = 4
"""There is no such record."""
INTERRUPTED = 130  # 128 plus the number of SIGINT, as shells report it

UrlOption = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The store; env:NAME names a variable.", show_default=f"${URL_VARIABLE}"),
]
UserOption = Annotated[
    str, typer.Option("--user", "-u", metavar="ID", envvar="AGENT_DATASTORE_USER", help="Whose records.")
]
AnyUserOption = Annotated[
    str | None, typer.Option("--user", "-u", metavar="ID", help="Only this user's records.", show_default="all users")
]
NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", metavar="NAME", help="The namespace of the keys.")]
AnyNamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Only this namespace.", show_default="all")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_IN_COMMANDS = (
    (re.compile(r"use set\(\) to overwrite it"), "leave out --add to overwrite it"),
    (re.compile(r"^(?=ttl )|(?<=leave )(?=ttl )"), "--"),
    (re.compile(r"^user_id\b"), "--user"),
    (re.compile(r"^if_revision\b"), "--if-revision"),
    (re.compile(r"^filter\b"), "FILTER"),
    (re.compile(r"^(?=(metadata|meta|sort)\b)"), "--"),
    (re.compile(r"\bdelete\(\)"), "`datastore rm`"),
    (re.compile(r"\bset\(\)"), "`datastore set`"),
)
"""How the library's messages name something, and how the command line names it."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What goes wrong where standard output is a file: its disk is full, or fails. Databases and named files say it
themselves, and a pipe that nobody reads any more ends the command quietly."""
_SECRET = re.compile(r"(\b[\w+.-]+://[^\s:/@]*:)\S+@")


def redacted(text: str) -> str:
    """Return a text with the passwords of all URLs in it masked."""
    return _SECRET.sub(r"\1***@", text)


class Group(TyperGroup):
    """Commands whose usage errors show no password, although they quote what was typed."""

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
    """Turn mistakes of the user and failures outside into one line and an exit code; only bugs show a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(when_interrupted, err=True)
        raise typer.Exit(INTERRUPTED) from None
    except InternalError:
        raise  # a bug
    except DataStoreError as error:
        error.message = in_commands(error.message)
        fail(str(error))
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _drop_output()
        fail(f"the output cannot be written: {error.strerror}")


def _drop_output() -> None:
    """Let what is left of the output go nowhere: the interpreter writes it when it ends, and would fail again."""
    with suppress(OSError, ValueError):  # it is no file of the operating system
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def in_commands(message: str) -> str:
    """Return an error message with the words of the command line in place of the library's calls."""
    for called, here in _IN_COMMANDS:
        message = called.sub(here, message)
    return message


def fail(message: str, code: int = ERROR) -> NoReturn:
    """End the command with a line on standard error."""
    warn(message)
    raise typer.Exit(code)


def warn(message: str) -> None:
    """Print a message on standard error, in one line."""
    typer.echo(printable(f"datastore: {redacted(' '.join(message.split()))}"), err=True)


def filtered(user: str | None, namespace: str | None) -> str:
    """Return the options that choose records as they would be typed; empty text if there are none."""
    chosen = (("--user", user), ("--namespace", namespace))
    return " ".join(f"{name} {shlex.quote(given)}" for name, given in chosen if given is not None)


def resolve(url: str | None) -> str:
    """Return the URL to use: the given one, the one in a named environment variable, or the default.

    Raises:
        ConfigurationError: If the variable is not set.
    """
    if url is not None and url.startswith("env:"):
        found = os.environ.get(url[4:])
        if not found:
            raise ConfigurationError(f"the environment variable {url[4:]!r} is not set; set it to the store's URL")
        return found
    return url or os.environ.get(URL_VARIABLE) or DEFAULT_URL


def shown(url: str) -> str:
    """Return a URL that is safe to show."""
    return repr(Url(url))


def open_store(url: str | None, *, write: bool = False, create: bool = False, **options: Any) -> DataStore:
    """Open a store for an administrator: no access is counted, and a typing error creates no new database.

    Args:
        url: The URL as it was typed.
        write: Whether the command writes; otherwise the store is opened for reading only.
        create: Whether the command writes, and creates a missing database.
        **options: The options of `datastore.connect`.
    """
    options = {"tracking": "off", **options}
    text = resolve(url)
    if create:
        return _connect(text, options)
    if not write and not Url(text).has(MODE):
        options[MODE] = "ro"
    try:
        if write:
            return _connect(text, {**options, "create": False})
        return _connect(text, options)
    except ConfigurationError as error:
        if write and "parameter 'create'" in error.message:  # the URL has it already, or the adapter has no such one
            return _connect(text, options)
        if "create=" in error.message or "mode=ro creates" in error.message:
            error.message += " (this command creates no new store: check the URL)"
        raise


def print_json(value: Any, *, on_error: bool = False) -> None:
    """Print a JSON value on one line, on standard output or standard error."""
    typer.echo(json.dumps(value, ensure_ascii=False), err=on_error)


def _connect(url: str, options: dict[str, Any]) -> DataStore:
    store: DataStore = connect(url, **options)  # there is no token among them
    return store
