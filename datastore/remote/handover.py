"""How a token comes to the program that uses it: as a text, in a file for its eyes only, or by an open descriptor.

Not through the environment: that can be read in ``/proc``, and every program that the agent starts inherits it.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from typing import NoReturn

from datastore.arguments import as_int, as_text, is_a, shown
from datastore.errors import ConfigurationError, InvalidTokenError, kind_of
from datastore.tokens import UNKNOWN

_LONGEST = 4_096
_DESCRIPTOR = re.compile(r"(?:/dev/fd|/proc/(?:self|thread-self)/fd)/(\d{1,9})")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,512}")
"""What a header ``Authorization: Bearer`` can hold (RFC 6750)."""


class Secret:
    """A token, which no ``repr`` and no error shows."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not _TOKEN.fullmatch(text):
            raise InvalidTokenError(UNKNOWN, by_the_store=True)
        self._text = text

    def header(self) -> bytes:
        """Return the line of a request that shows it to the server."""
        return f"Authorization: Bearer {self._text}\r\n".encode()

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token is not pickled")


def secret(token: object, token_file: object, token_fd: object) -> Secret:
    """Return the token from where it was said to be.

    Args:
        token: The token itself.
        token_file: A file that belongs to this user or to root, and that nobody else can read (mode 0600). It is
            removed before it is read. ``/dev/fd/3`` is the descriptor 3.
        token_fd: A descriptor that this process has inherited, such as the reading end of a pipe. It is read to its
            end and closed.

    Raises:
        ConfigurationError: If not exactly one of them is given, or it cannot be read.
        InvalidTokenError: If it is no token. It is not quoted.
    """
    given = [value for value in (token, token_file, token_fd) if value is not None]
    if len(given) != 1:
        raise ConfigurationError(
            "a store that is served needs a token: give connect() token=, token_file= or token_fd=, and only one of "
            "them. The host makes one with store.tokens.mint() or `datastore token mint`"
        )
    if token is not None:
        if not is_a(token, str):
            raise ConfigurationError(f"token is {kind_of(token)}; it must be the text that tokens.mint() returned")
        return Secret(as_text(token).strip())
    if token_fd is not None:
        number = as_int(token_fd)
        if number is None or number < 0:
            raise ConfigurationError(f"token_fd is {shown(token_fd)}; it must be the number of an open descriptor")
        return _from_descriptor(number, "token_fd")
    try:
        path = os.fsdecode(os.fspath(token_file))  # type: ignore[call-overload]  # whatever was given: that is what is found out
    except TypeError:
        raise ConfigurationError(f"token_file is {kind_of(token_file)}; it must be the path of a file") from None
    descriptor = _DESCRIPTOR.fullmatch(path)
    return _from_descriptor(int(descriptor[1]), "token_file") if descriptor else _from_file(path)


def _from_descriptor(number: int, parameter: str) -> Secret:
    try:
        return _read(number)
    except OSError as error:
        raise ConfigurationError(f"{parameter}: descriptor {number} cannot be read ({error.strerror})") from None
    finally:
        if number > 2:
            with suppress(OSError):  # it was not open
                os.close(number)


def _from_file(path: str) -> Secret:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise ConfigurationError(
            f"token_file: there is no {path}. It is removed when it is first read; the host writes another one"
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no path"
        raise ConfigurationError(f"token_file: {path} cannot be read ({why}); a link is not followed") from None
    try:
        _check_private(path, os.fstat(descriptor))
        try:
            os.unlink(path)  # noqa: PTH108 - first: what cannot be removed is not taken
        except OSError as error:
            raise ConfigurationError(
                f"token_file: {path} cannot be removed ({error.strerror}), and a token is not left where the agent's "
                "tools could read it; if it is to stay there, read it yourself and give token="
            ) from None
        return _read(descriptor)
    finally:
        os.close(descriptor)


def _check_private(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError(f"token_file: {path} is not a file")
    if not hasattr(os, "geteuid"):
        return  # on Windows, where a mode says nothing
    if found.st_uid not in (0, os.geteuid()):
        raise ConfigurationError(f"token_file: {path} belongs to another user, who can change it")
    if found.st_mode & 0o077:
        raise ConfigurationError(
            f"token_file: others can read {path} (mode {stat.S_IMODE(found.st_mode):04o}); it must be 0600. Revoke "
            "this token: somebody may have it"
        )


def _read(descriptor: int) -> Secret:
    read = b""
    while piece := os.read(descriptor, _LONGEST):
        read += piece
        if len(read) > _LONGEST:
            raise InvalidTokenError(UNKNOWN, by_the_store=True)
    return Secret(read.decode("ascii", "replace").strip())
