"""The URLs that name a database, and the parameters after their question mark."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from datastore.arguments import as_text, is_a, lone_surrogate
from datastore.errors import ConfigurationError, DataStoreError, kind_of

T = TypeVar("T")

MODE = "mode"
Mode: TypeAlias = Literal["ro", "rw"]
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?]*)(?P<path>[^?]*)(?:\?(?P<query>.*))?", re.DOTALL
)

_SERVER = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?")


class Url:
    """A parsed backend URL, ``scheme://user:password@host:port/path?name=value``.

    Attributes:
        scheme: Names the adapter; lower case.
        user: Percent-decoded, like ``password`` and ``path``; ``None`` if the URL does not have one.
        password: Never shown, neither in ``repr`` nor in an error.
        host: With the port as given, ``host:port``.
        path: With its leading slash.
        read_only: Whether the store is opened for reading only. An adapter then opens the database for reading only if
            it can; for the others `datastore.reading` refuses writes. Nothing is created.
        earlier_format: Whether it is a store of the earlier format that is opened, by ``datastore migrate``: the
            adapter gives this to `datastore.formats.settle`. Always together with ``read_only``.

    Parameters come from the query, as text, and from the keyword arguments of `datastore.connect`, unchanged. An
    adapter takes each of them with `parameter` and then calls `check_all_taken`.

    Args:
        text: The URL.
        options: Parameters in addition to those of the query.
        beside: The names of options that are not parameters; `check_all_taken` suggests them for misspelt names.
    """

    def __init__(self, text: str, options: Mapping[str, Any] | None = None, beside: Iterable[str] = ()) -> None:
        from urllib.parse import parse_qsl, unquote  # here, because it is slow to import, and needed once

        match = _URL.fullmatch(as_text(text)) if is_a(text, str) else None
        if match is None:
            given = "the database URL" if is_a(text, str) else f"{kind_of(text)}"
            raise ConfigurationError(
                f"{given} is not of the form scheme://..., such as 'sqlite:///agents.db' or 'memory://'"
            )
        try:
            match[0].encode(errors="surrogateescape")  # Python's form of a path whose bytes are not UTF-8 is allowed
        except UnicodeEncodeError:
            raise ConfigurationError(f"the database URL holds {lone_surrogate(match[0])}") from None
        self.scheme = match["scheme"].lower()
        credentials, _, host = match["authority"].rpartition("@")
        user, colon, password = credentials.partition(":")
        self.user = unquote(user) or None
        self.password = unquote(password) if colon else None
        self.host = unquote(host)
        self.path = unquote(match["path"])
        self._parameters: dict[str, Any] = {}
        for name, value in [*parse_qsl(match["query"] or "", keep_blank_values=True), *(options or {}).items()]:
            if name in self._parameters:
                raise ConfigurationError(f"the parameter {name!r} is given twice")
            self._parameters[name] = value
        self._known: list[str] = []
        self._beside = tuple(beside)
        self.read_only = False
        self.earlier_format = False

    def server(self, port: int, path: str) -> tuple[str, int]:
        """Return the host, an address of IPv6 without its brackets, and the port.

        Args:
            port: The port if the URL has none.
            path: How a path is written, for the error.

        Raises:
            ConfigurationError: If the URL has no host, or something that is none.
        """
        found = _SERVER.fullmatch(self.host)
        number = int(found["port"] or port) if found else 0
        if found is None or not 0 < number < 65_536:
            raise ConfigurationError(
                f"the {self.scheme} URL has no server; write {self.scheme}://user:password@host:{port}{path}"
            )
        return found["host"].strip("[]"), number

    def has(self, name: str) -> bool:
        """Return whether a parameter is given and not yet taken."""
        return name in self._parameters

    def take_mode(self) -> None:
        """Take the parameter ``mode``, which every store has: ``ro`` is for reading only.

        Raises:
            ConfigurationError: If it is neither ``ro`` nor ``rw``.
        """
        if MODE in self._parameters:
            self.read_only = self._taken(MODE, one_of(*get_args(Mode))) == "ro"

    def parameter(self, name: str, convert: Callable[[Any], T], default: T) -> T:
        """Take a parameter.

        Args:
            name: Its name.
            convert: Turns the argument (text, from a query) into the value; its `ValueError` or `TypeError` says what
                it expects.
            default: The value if the parameter is not given.

        A store that is opened for reading only creates nothing, so ``create`` is then false.

        Raises:
            ConfigurationError: If ``convert`` refuses; the message names the parameter.
        """
        self._known.append(name)
        if self.read_only and name == "create":
            self._parameters[name] = False
        return self._taken(name, convert) if name in self._parameters else default

    def _taken(self, name: str, convert: Callable[[Any], T]) -> T:
        try:
            return convert(self._parameters.pop(name))
        except DataStoreError:
            raise
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"the parameter {name!r} of the {self.scheme} URL: {error}") from None
        except Exception as error:  # an argument may be any object, and raise anything
            raise ConfigurationError(f"the parameter {name!r} of the {self.scheme} URL cannot be used") from error

    def check_all_taken(self) -> None:
        """Refuse parameters that were not taken.

        Raises:
            ConfigurationError: If a parameter is left; the message lists those that exist.
        """
        for name in self._parameters:
            if name in self._beside:
                raise ConfigurationError(f"{name!r} is no part of a URL; write datastore.connect(url, {name}=...)")
            raise ConfigurationError(
                f"{self.scheme} has no parameter {name!r}{suggest(name, [*self._known, *self._beside])}; "
                f"it has {', '.join(sorted(self._known)) or 'none'}"
            )

    def __repr__(self) -> str:
        user = f"{self.user}:***@" if self.password is not None else f"{self.user}@" if self.user else ""
        return f"{self.scheme}://{user}{self.host}{self.path}"


def boolean(value: Any) -> bool:
    """Convert ``true``/``false``, ``yes``/``no``, ``on``/``off``, ``1``/``0``, or a bool."""
    known = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    answer = known.get(str(value).lower())
    if answer is None:
        raise ValueError("it must be true or false")
    return answer


def seconds(value: Any) -> float:
    """Convert a number of seconds, zero or more."""
    try:
        number = float(value)
    except (ValueError, TypeError):
        number = -1.0
    if not 0 <= number < 1e9 or isinstance(value, bool):
        raise ValueError("it must be a number of seconds, zero or more")
    return number


def positive(value: Any) -> int:
    """Convert a whole number, one or more."""
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        number = 0
    if number < 1 or isinstance(value, bool):
        raise ValueError("it must be a whole number of at least 1")
    return number


def absolute(value: Any) -> str:
    """Convert the path of a file or a folder, from the root on."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("it must be an absolute path")
    return value


def one_of(*choices: str) -> Callable[[Any], str]:
    """Return a converter that takes one of several words, in any case."""

    def convert(value: Any) -> str:
        word = str(value).lower()
        if word not in choices:
            raise ValueError(f"it must be one of {', '.join(choices)}")
        return word

    return convert


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` if something known is close to a name, else nothing."""
    from difflib import get_close_matches  # here, because it is slow to import, and needed only for a mistake

    close = get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
