"""What bridges are given, checked once for all of them: the agent's store, names of a framework, and spans of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from datastore import (
    AgentDataStore,
    AsyncAgentDataStore,
    AsyncLog,
    InvalidNameError,
    InvalidNameTypeError,
    InvalidValueError,
    UnsupportedError,
    limits,
)

_LONGEST = timedelta(days=365_000)  # longer ones lead out of the years that a datetime has


def awaited(data_store: AgentDataStore | AsyncAgentDataStore) -> AsyncAgentDataStore:
    """Return the awaited twin of an agent's store.

    Raises:
        InvalidValueError: If it is neither of the twins.
    """
    if isinstance(data_store, AsyncAgentDataStore):
        return data_store
    if isinstance(data_store, AgentDataStore):
        return data_store.asynchronous
    raise InvalidValueError(
        f"data_store is of type {type(data_store).__name__}; give what DataStore.agent returns, or its awaited twin"
    )


def text_of(value: object, parameter: str) -> str:
    """Return a name that a framework gave.

    Raises:
        InvalidNameError: If it is not text, or empty.
    """
    if not isinstance(value, str):
        raise InvalidNameTypeError(f"{parameter} is of type {type(value).__name__}; it must be a str")
    if not value:
        raise InvalidNameError(f"{parameter} is empty")
    if not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
        raise InvalidNameError(f"{parameter} holds half a character (a lone surrogate)")
    return value


def log_of(store: AsyncAgentDataStore, prefix: str, name: object, parameter: str) -> AsyncLog:
    """Return the log that keeps what a framework calls by a name. Long names are shortened: no two become the same.

    Raises:
        InvalidNameError: If it is not text, or empty.
    """
    return store.log(limits.shorten_name(prefix + text_of(name, parameter)))


def path_of(*names: tuple[object, str]) -> str:
    """Return names, each with what to call it in an error, as one key: no two lists of names become the same.

    Raises:
        InvalidNameError: If one is not text, or empty.
    """
    return "/".join(text_of(*name).replace("%", "%25").replace("/", "%2F") for name in names)


def last_name(path: str) -> str:
    """Return the last of the names that were made a key."""
    return path.rpartition("/")[2].replace("%2F", "/").replace("%25", "%")


def span_of(value: float | timedelta, parameter: str) -> timedelta:
    """Return a span of time that was given in seconds or as a `timedelta`.

    Raises:
        InvalidValueError: If it is neither, or not above 0, or longer than 1,000 years.
    """
    try:
        span = value if isinstance(value, timedelta) else timedelta(seconds=value)
        if isinstance(value, bool) or not timedelta() < span <= _LONGEST:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise InvalidValueError(
            f"{parameter} must be a number of seconds above 0, or such a timedelta, up to 1,000 years"
        ) from None
    return span


def check_keep(keep: int | None) -> None:
    """Check how many of something may stay.

    Raises:
        InvalidValueError: If it is neither ``None`` nor an int above 0.
    """
    if keep is not None and (type(keep) is not int or keep < 1):
        raise InvalidValueError("keep must be an int above 0, or None")


def ago(span: timedelta) -> datetime:
    """Return the moment before which something is older than a span."""
    return datetime.now(UTC) - span


def unknown_format(what: str, known: int) -> UnsupportedError:
    """Return the error for something stored that this version of a bridge does not know."""
    return UnsupportedError(
        f"{what} is not of format {known}, the one that this version of agent-datastore reads here; "
        "install the version that wrote it"
    )
