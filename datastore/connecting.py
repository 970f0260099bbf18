"""Opens a store from a URL: finds the adapter for the scheme by its entry point, ours or a third party's."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, overload

from datastore.access import Tracking
from datastore.arguments import as_bool
from datastore.backend import Backend
from datastore.deadlines import unlimited
from datastore.errors import ConfigurationError, DataStoreError, UnsupportedError, of_the_store
from datastore.installed import entry_point
from datastore.store import DataStore, number_of
from datastore.urls import MODE, Mode, Url, suggest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from datastore.administration import LegacySource
    from datastore.events import CallEvent, Telemetry
    from datastore.memory import Embedder
    from datastore.remote.agent import RemoteAgentDataStore

ENTRY_POINTS = "datastore.backends"
"""The entry-point group: a name is the scheme of a URL, an object is a function from `Url` to an open `Backend`."""
URL_VARIABLE = "AGENT_DATASTORE_URL"
_NAME = "agent_data_store"
"""What a store is called that its URL does not name."""
DEFAULT_URL = f"sqlite:///{_NAME}.db"

_STORE_OPTIONS = (
    *("tracking", "flush_interval", "max_pending", "retry_seconds", "max_seconds", "clock", "warn_on_loop"),
    *("on_call", "telemetry", "embedder"),
)
SERVED = frozenset({"http+unix", "http", "https"})
"""The schemes of a store that a server serves (`datastore.remote`)."""
_TOKEN_OPTIONS = ("token", "token_file", "token_fd")


@overload
def connect(
    url: str | None = None,
    *,
    token: str,
    retry_seconds: float = 10.0,
    max_seconds: float = 30.0,
    warn_on_loop: bool = True,
    **parameters: Any,
) -> RemoteAgentDataStore: ...


@overload
def connect(
    url: str | None = None,
    *,
    token_file: str | os.PathLike[str],
    retry_seconds: float = 10.0,
    max_seconds: float = 30.0,
    warn_on_loop: bool = True,
    **parameters: Any,
) -> RemoteAgentDataStore: ...


@overload
def connect(
    url: str | None = None,
    *,
    token_fd: int,
    retry_seconds: float = 10.0,
    max_seconds: float = 30.0,
    warn_on_loop: bool = True,
    **parameters: Any,
) -> RemoteAgentDataStore: ...


@overload
def connect(
    url: str | None = None,
    *,
    tracking: Tracking = "deferred",
    flush_interval: float | None = None,
    max_pending: int | None = None,
    retry_seconds: float = 10.0,
    max_seconds: float = 30.0,
    clock: Callable[[], float] = time.time,
    warn_on_loop: bool = True,
    on_call: Callable[[CallEvent], object] | None = None,
    telemetry: bool | Telemetry = False,
    embedder: Embedder | None = None,
    mode: Mode | None = None,
    token: None = None,
    token_file: None = None,
    token_fd: None = None,
    **parameters: Any,
) -> DataStore: ...


def connect(
    url: str | None = None,
    *,
    tracking: Tracking = "deferred",
    flush_interval: float | None = None,
    max_pending: int | None = None,
    retry_seconds: float = 10.0,
    max_seconds: float = 30.0,
    clock: Callable[[], float] = time.time,
    warn_on_loop: bool = True,
    on_call: Callable[[CallEvent], object] | None = None,
    telemetry: bool | Telemetry = False,
    embedder: Embedder | None = None,
    mode: Mode | None = None,
    token: str | None = None,
    token_file: str | os.PathLike[str] | None = None,
    token_fd: int | None = None,
    **parameters: Any,
) -> DataStore | RemoteAgentDataStore:
    """Open the store that a URL names; or, with a token, the store of one agent that a server serves.

    Args:
        url: ``memory://``, ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``sqlite://:memory:``, or the scheme
            of any installed adapter. By default ``$AGENT_DATASTORE_URL``, else ``sqlite:///agent_data_store.db``, a
            file in the working directory. With a token: ``http+unix:///run/store.sock``, ``https://host`` or
            ``http://127.0.0.1:8000`` (``docs/server.md``); then only ``retry_seconds``, ``max_seconds`` and
            ``warn_on_loop`` can be given, because all else is the host's.
        tracking: How accesses are counted: ``"deferred"`` counts them in memory and writes the counts in the
            background, ``"immediate"`` writes each access at once, ``"off"`` does not count.
        flush_interval: Seconds between two writes of the counts. By default what suits the database: 1; on DynamoDB and
            Firestore, which bill writes, 60, and a record that was read fewer than 100 times waits up to ten minutes.
            What is given here holds for every record.
        max_pending: Records with unwritten counts at which they are written before the interval is over. By default
            1,000; on DynamoDB and Firestore 10,000.
        retry_seconds: How long one call repeats what fails for a transient reason before it raises.
        max_seconds: How long one call of an agent may take in all, its retries included.
        clock: Returns seconds since the epoch; expiry and all times follow it. For tests.
        warn_on_loop: Whether the first call that blocks a running event loop is a `BlockingCallWarning`, where the
            database is asked over a network.
        on_call: Called with a `CallEvent` after each call of an agent; see `DataStore`. ``datastore.audit`` logs each
            call as a line of JSON.
        telemetry: Whether each call is a span of OpenTelemetry, and is measured; needs the extra ``otel``. ``True``
            uses the providers of the process, also if they are set later; a `Telemetry` names others.
        embedder: What makes vectors of texts for ``data_store.memory``: an `Embedder`, such as
            ``datastore.Embedder(function, dimensions=384, name="all-MiniLM-L6-v2")``.
        mode: ``"ro"`` opens any store for reading only: nothing is created, every call that writes raises
            `PermissionDeniedError`, and no access is counted. ``"rw"`` is for reading and writing. ``None`` is what
            the URL says with ``?mode=``, and else ``"rw"``.
        token: The token that the host has minted (`DataStore.tokens`).
        token_file: Or a file that holds it, which only this user can read (mode 0600). It is removed when it is read.
        token_fd: Or a descriptor that this process has inherited, such as a pipe's. It is read to its end and closed.
        **parameters: Parameters of the adapter, as if they stood in the URL's query.

    Returns:
        The open store, a `DataStore`; with a token an `AgentDataStore`, which makes its calls at the server. Close it,
        or use it as a context manager.

    Raises:
        InvalidTokenError: If the server does not know the token, or it has ended.
        ConfigurationError: If the scheme or a parameter is unknown, the adapter's extra is not installed, or the
            place that the URL names cannot hold a store.
        PermissionDeniedError: If the database or the operating system refuses access.
        BackendUnavailableError: If the database does not answer.
        BackendUnusableError: If the database is damaged or full.

    Requests: those that check that database, table and indexes are there (CouchDB 2, DynamoDB 1, Firestore 1; on SQLite
    a few statements), and those that create them where they are missing. With a token 1, to the server.
    """
    text = url if url is not None else os.environ.get(URL_VARIABLE) or DEFAULT_URL
    if mode is not None:
        parameters[MODE] = mode
    parsed = Url(text, parameters, (*_STORE_OPTIONS, *_TOKEN_OPTIONS, MODE))
    if parsed.scheme in SERVED:
        hosts = {
            "tracking": tracking != "deferred",
            "flush_interval": flush_interval is not None,
            "max_pending": max_pending is not None,
            "clock": clock is not time.time,
            "on_call": on_call is not None,
            "telemetry": telemetry is not False,
            "embedder": embedder is not None,
            MODE: parsed.has(MODE),
        }
        for name, is_given in hosts.items():
            if is_given:
                raise ConfigurationError(f"{name} is for the host, which has opened the store; leave it out here")
        from datastore.remote.connecting import connect_remote  # imported here, because few stores are served

        return connect_remote(
            parsed,
            token=token,
            token_file=token_file,
            token_fd=token_fd,
            retry_seconds=number_of("retry_seconds", retry_seconds, minimum=0),
            max_seconds=number_of("max_seconds", max_seconds, minimum=0.001),
            warn_on_loop=as_bool(warn_on_loop, "warn_on_loop"),
        )
    if token is not None or token_file is not None or token_fd is not None:
        raise ConfigurationError(f"a token is for a store that is served, such as http+unix://, not {parsed.scheme}://")
    parsed.take_mode()
    open_backend = _adapter(parsed)
    backend = _opened(open_backend, parsed)
    try:
        store = DataStore(
            _read_only(backend) if parsed.read_only else backend,
            tracking="off" if parsed.read_only else tracking,
            flush_interval=flush_interval,
            max_pending=max_pending,
            retry_seconds=retry_seconds,
            max_seconds=max_seconds,
            clock=clock,
            warn_on_loop=warn_on_loop,
            on_call=on_call,
            telemetry=telemetry,
            embedder=embedder,
        )
        store._core.place = _place(text, parameters, open_backend)
        return store
    except BaseException:
        backend.close()
        raise


def _read_only(backend: Backend) -> Backend:
    from datastore.reading import ReadOnlyBackend  # here, because few programs need it

    return ReadOnlyBackend(backend)


def beside(text: str, suffix: str) -> str:
    """Return the URL of a store beside another one, with something at the end of its name.

    An adapter says how: the module that defines its ``connect`` may have ``beside``, a function from what a URL has
    before the question mark, and the suffix, to the same of the other store. Without that the path is the name.

    Raises:
        ConfigurationError: If the URL is wrong, or no adapter serves it.
    """
    location, question, query = text.partition("?")
    find: Callable[[str, str], str] | None = _beside_connect(_adapter(Url(text)), "beside")
    if find is not None:
        return find(location, suffix) + question + query
    name = "" if Url(text).path.strip("/") else f"/{_NAME}"
    return location.rstrip("/") + name + suffix + question + query


def _beside_connect(open_backend: Callable[[Url], Backend], name: str) -> Any:
    """Return a function of the module that defines an adapter's ``connect``; ``None`` if it has none of that name."""
    return getattr(sys.modules.get(getattr(open_backend, "__module__", "")), name, None)


def _place(text: str, options: Mapping[str, Any], open_backend: Callable[[Url], Backend]) -> Hashable:
    """Return what tells the database of a URL from others, however the URL spells it; ``None`` if nobody knows."""
    find: Callable[[Url], Hashable] | None = _beside_connect(open_backend, "place")
    if find is None:
        return None
    url = Url(text, options)
    url.take_mode()
    return find(url)


def _opened(open_backend: Callable[[Url], Backend], url: Url) -> Backend:
    """Return the backend that an adapter opens; whatever it raises is an error of the store."""
    try:
        with unlimited():
            return open_backend(url)
    except DataStoreError:
        raise
    except Exception as error:  # noqa: BLE001 - raised as an error of the store
        known = of_the_store(error)
        raise known.during("connecting", url.scheme) from known.__cause__


def connect_earlier(url: str) -> DataStore:
    """Open a store of the earlier format for reading, as if it were of the current one (`datastore.formats`).

    Args:
        url: As for `connect`.

    Returns:
        The open store; its records can be listed and copied, and nothing else.

    Raises:
        ConfigurationError: Also if the store has the current format already.
        UnsupportedError: If the adapter cannot list the records of all users.
        PermissionDeniedError, BackendUnavailableError, BackendUnusableError: As `connect`.
    """
    from datastore.earlier import EarlierFormat

    parsed = Url(url, {MODE: "ro"})
    parsed.take_mode()
    parsed.earlier_format = True
    backend = _opened(_adapter(parsed), parsed)
    store = DataStore(_read_only(EarlierFormat(backend)), tracking="off")
    store._core.place = place_of(url)
    return store


def connect_legacy(url: str) -> LegacySource:
    """Open a database in the legacy format, for `datastore.moving.import_legacy` to read.

    Args:
        url: As for `connect`; on SQLite the parameter ``table`` names the table.

    Returns:
        The source; close it.

    Raises:
        UnsupportedError: If the adapter cannot read such a database.
        ConfigurationError, PermissionDeniedError, BackendUnavailableError: As `connect`.
    """
    parsed = Url(url)
    _adapter(parsed)
    opener: Callable[[Url], LegacySource] | None = getattr(
        import_module(_entry_point(parsed).module), "open_legacy", None
    )
    if opener is None:
        raise UnsupportedError("this adapter reads no databases of another format", backend=parsed.scheme)
    source = opener(parsed)
    source.place = place_of(url)
    return source


def migrator(url: str) -> Callable[[Url, Callable[[int, int | None], object] | None], int] | None:
    """Return the adapter's function that brings a store of the earlier format to the current one in place.

    Args:
        url: As for `connect`.

    Returns:
        A function of the parsed URL, and of one that is told how many records are done and of how many, which returns
        how many there are; ``None`` if the adapter has no safe way in place.
    """
    parsed = Url(url)
    _adapter(parsed)
    found: Callable[[Url, Callable[[int, int | None], object] | None], int] | None = getattr(
        import_module(_entry_point(parsed).module), "migrate", None
    )
    return found


def place_of(url: str) -> Hashable:
    """Return what tells the database of a URL from others, however the URL spells it; ``None`` if nobody knows.

    Raises:
        ConfigurationError: If the URL is wrong, or no adapter serves it.
    """
    return _place(url, {}, _adapter(Url(url)))


def _entry_point(url: Url) -> EntryPoint:
    from importlib.metadata import entry_points  # here, because it is slow to import and needed once

    installed = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    point = installed.get(url.scheme)
    if point is None:
        raise ConfigurationError(
            f"no backend serves {url.scheme}://{suggest(url.scheme, installed)}; "
            f"installed are {', '.join(sorted(installed)) or 'none: install the package agent-datastore itself'}"
        )
    return point


def _adapter(url: Url) -> Callable[[Url], Backend]:
    known = entry_point(ENTRY_POINTS, url.scheme)
    if known is not None:
        module, attribute = known
        with suppress(ImportError, AttributeError):  # what is missing is said below, with the name of the package
            found: Callable[[Url], Backend] = getattr(import_module(module), attribute)
            return found
    point = _entry_point(url)
    try:
        adapter: Callable[[Url], Backend] = point.load()
    except ImportError as error:
        raise ConfigurationError(_missing(point, error), backend=url.scheme) from error
    return adapter


def _missing(point: EntryPoint, error: ImportError) -> str:
    package = point.dist.name if point.dist else "agent-datastore"
    remedy = (
        f"pip install '{package}[{point.name}]'" if package == "agent-datastore" else f"install what {package} needs"
    )
    return f"the {point.name} backend cannot be imported ({error}): {remedy}"
