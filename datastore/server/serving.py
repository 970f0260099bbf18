"""Running the server: where it listens, and how it ends."""

from __future__ import annotations

import errno
import ipaddress
import os
import secrets
import signal
import socket
import ssl
import stat
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.routing import BaseRoute

from datastore.arguments import as_int, shown
from datastore.errors import ConfigurationError
from datastore.server.app import create_app
from datastore.server.hosts import LOOPBACK
from datastore.server.prompt import protocol_for
from datastore.server.protocol import ConnectionLimits, GuardedProtocol
from datastore.server.settings import ServerLimits
from datastore.store import DataStore

_BACKLOG = 2_048
_GRACE = 5.0  # seconds more than a call may take
_SWITCH = 0.0005
"""Seconds after which a thread that computes lets another one go on. With the interpreter's 5 milliseconds a short call
takes tens of them, beside a filter that burns processor time: it changes threads a few times."""
_LONGEST_PATH = 90  # bytes: an address of a Unix socket has 104 to 108, and the name is longer while it is made


def serve(
    store: DataStore,
    *,
    uds: str | os.PathLike[str] | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    certfile: str | os.PathLike[str] | None = None,
    keyfile: str | os.PathLike[str] | None = None,
    expose: bool = False,
    without_tls: bool = False,
    allowed_hosts: Collection[str] = (),
    limits: ServerLimits | None = None,
    connections: ConnectionLimits | None = None,
    routes: Sequence[BaseRoute] = (),
    lifespan: Any = None,
    mcp: bool = False,
    ready: Callable[[str], object] | None = None,
    until: threading.Event | None = None,
) -> None:
    """Serve a store until the process is told to end (SIGTERM, SIGINT). Calls under way are then finished.

    In a thread other than the main one no signal ends it; ``until`` does.

    Args:
        store: The store. It stays open.
        uds: The path of a Unix socket, which only this user can open (mode 0600). What a dead server has left there is
            replaced.
        host: Where to listen on ``port``.
        port: A port, instead of ``uds``; 0 for any that is free.
        certfile: The certificate, for TLS, with those that lead to its root.
        keyfile: Its key; ``None`` if it is in ``certfile``.
        expose: Whether ``host`` may be another address than one of this machine's own loopback. It needs TLS.
        without_tls: Whether to listen there without TLS: where a proxy on the way has it.
        allowed_hosts: The names that clients call it by, where it is exposed; ``"*"`` for any.
        limits: As `create_app`.
        connections: The limits of connections.
        routes: As `create_app`.
        lifespan: As `create_app`.
        mcp: As `create_app`.
        ready: Called with the URL, once it listens.
        until: Ends it when it is set, as a signal does.

    Raises:
        ConfigurationError: If it cannot listen there, or should not: another server does, the address is not one of
            loopback and ``expose`` was not given, or there is no TLS.
    """
    limits, connections = limits or ServerLimits(), connections or ConnectionLimits()
    hosts = _checked_hosts(uds, host, port, certfile, keyfile, expose, without_tls, allowed_hosts)
    context = None if certfile is None else _tls(certfile, keyfile)
    app = create_app(store, limits=limits, allowed_hosts=hosts, routes=routes, lifespan=lifespan, mcp=mcp)
    with listening(uds, host, port) as listener:
        if uds is not None:
            url = f"http+unix://{Path(uds).absolute()}"
        else:
            name = f"[{host}]" if ":" in host else host
            url = f"{'http' if context is None else 'https'}://{name}:{listener.getsockname()[1]}"
        try:
            run(
                app,
                protocol_for(app, connections, limits.body_bytes),
                listener,
                url,
                context=context,
                max_seconds=store._core.max_seconds,
                ready=ready,
                until=until,
            )
        finally:
            app.stop()


def run(
    app: Any,
    protocol: type[GuardedProtocol],
    listener: socket.socket,
    url: str,
    *,
    context: ssl.SSLContext | None = None,
    max_seconds: float,
    ready: Callable[[str], object] | None = None,
    until: threading.Event | None = None,
) -> None:
    """Run an ASGI application until the process is told to end.

    Args:
        app: The application.
        protocol: HTTP on one of its connections, with the limits of these.
        listener: Where it listens.
        url: How clients call it.
        context: The certificates, for TLS.
        max_seconds: How long a call of the store may take: so long its connections are waited for at the end.
        ready: Called with the URL, once it listens.
        until: Ends it when it is set.
    """
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        loop="auto",  # uvloop where it is installed
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,  # what agents do is told by `on_call`; a path says too little, and a header too much
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=protocol.limits.idle_seconds,  # type: ignore[arg-type]  # it is given to `call_later`
        timeout_graceful_shutdown=max_seconds + _GRACE,  # type: ignore[arg-type]  # it is given to `wait_for`
    )
    config.load()
    config.ssl = context
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(_SWITCH, before))
    try:
        _Server(config, url, ready, until).run(sockets=[listener])
    finally:
        sys.setswitchinterval(before)


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        url: str,
        ready: Callable[[str], object] | None,
        until: threading.Event | None,
    ) -> None:
        super().__init__(config)
        self._url = url
        self._ready = ready
        self._until = until

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._ready is not None:
            self._ready(self._url)

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or (self._until is not None and self._until.is_set())

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again at the end, which would end the process before the store is closed.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {one: signal.signal(one, self.handle_exit) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


def _checked_hosts(
    uds: object,
    host: str,
    port: int | None,
    certfile: object,
    keyfile: object,
    expose: bool,
    without_tls: bool,
    allowed_hosts: Collection[str],
) -> Collection[str] | None:
    """Check where to listen, and return the hosts to answer to; ``None`` for any.

    Raises:
        ConfigurationError: If that is not to be done.
    """
    if (uds is None) == (port is None):
        raise ConfigurationError("give uds=PATH for a Unix socket, or port=N, and not both")
    if keyfile is not None and certfile is None:
        raise ConfigurationError("keyfile is given without certfile")
    if uds is not None:
        if certfile is not None:
            raise ConfigurationError("a Unix socket has no TLS: leave out certfile")
        return LOOPBACK
    number = as_int(port)
    if number is None or not 0 <= number < 65_536:
        raise ConfigurationError(f"port is {shown(port)}; it must be a number from 0 to 65535")
    if _is_loopback(host):
        return (*LOOPBACK, *allowed_hosts)
    if not expose:
        raise ConfigurationError(
            f"host is {shown(host)}, which others can reach: say expose=True if that is what you want, with TLS"
        )
    if certfile is None and not without_tls:
        raise ConfigurationError(
            "without TLS whoever is on the way reads the tokens: give certfile and keyfile, or without_tls=True where "
            "a proxy has it"
        )
    if not allowed_hosts:
        raise ConfigurationError('say by which names clients call it: allowed_hosts=["store.example"], or ["*"]')
    return None if "*" in allowed_hosts else (*allowed_hosts, *LOOPBACK)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tls(certfile: str | os.PathLike[str], keyfile: str | os.PathLike[str] | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certfile, keyfile)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"certfile or keyfile cannot be used: {error}") from error
    return context


@contextmanager
def listening(uds: str | os.PathLike[str] | None, host: str, port: int | None) -> Iterator[socket.socket]:
    """Listen on a Unix socket, or on a port, while the block runs.

    Raises:
        ConfigurationError: If that is not possible.
    """
    if uds is not None:
        with _unix_socket(Path(uds)) as listener:
            yield listener
        return
    try:
        listener = socket.create_server(
            ("127.0.0.1" if host == "localhost" else host, port or 0),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=_BACKLOG,
        )
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    with listener:
        yield listener


@contextmanager
def _unix_socket(path: Path) -> Iterator[socket.socket]:
    """Listen on a Unix socket that only this user can open, and remove it at the end.

    It is made under another name, and gets its own when everything is right, so nobody ever sees one that more can
    open. Whoever else does that at the same time waits.
    """
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise ConfigurationError(f"the path of the socket has more than {_LONGEST_PATH} bytes; choose a shorter one")
    made = path.with_name(f".{secrets.token_hex(4)}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _alone_in(path.parent):
            _check_free(path)
            before = os.umask(0o177)
            try:
                listener.bind(str(made))
            finally:
                os.umask(before)
            try:
                made.chmod(0o600)
                listener.listen(_BACKLOG)
                made.rename(path)
            except BaseException:
                made.unlink(missing_ok=True)
                raise
        own = path.stat()
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"cannot listen on {path}: {error.strerror or error}") from error
    except BaseException:
        listener.close()
        raise
    try:
        with listener:
            yield listener
    finally:
        with suppress(OSError):
            now = path.lstat()
            if (now.st_dev, now.st_ino) == (own.st_dev, own.st_ino):  # and not that of a server that came after
                path.unlink()


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    import fcntl  # here, because not every platform has it; those have no Unix sockets either

    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_free(path: Path) -> None:
    """Raise if there is something at a path that is not the socket of a dead server."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigurationError(f"{path} is there, and is no socket; choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(path))
        except OSError as error:
            if error.errno in (errno.ECONNREFUSED, errno.ENOENT):
                return
            if not isinstance(error, TimeoutError) and error.errno != errno.EAGAIN:
                raise
    raise ConfigurationError(f"another server listens on {path}")
