"""The ASGI application: one request for each call of an agent.

What is refused costs little: the host, the headers and the token are looked at before the body is read, and the body's
size before it is parsed. Calls of agents do not pass Starlette, which serves the rest.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, MutableMapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from datastore.arguments import as_bool
from datastore.errors import (
    BackendUnavailableError,
    BackendUnusableError,
    ConfigurationError,
    DamagedRecordError,
    DataStoreError,
    InternalError,
    InvalidTokenError,
    InvalidValueError,
    PermissionDeniedError,
    QuotaExceededError,
    UnsupportedError,
    ValueTooLargeError,
    logger,
)
from datastore.events import CallEvent
from datastore.quotas import Quota
from datastore.server.access import Access, Holder, not_allowed
from datastore.server.fairness import BusyError
from datastore.server.hosts import LOOPBACK, answers_to, names
from datastore.server.openapi import document
from datastore.server.running import Runner
from datastore.server.settings import ServerLimits
from datastore.store import DataStore
from datastore.times import text_of
from datastore.watching import tell
from datastore.wire import INSTANCE, JSON_TYPE, KEY, LINES_TYPE, PREFIX, REPEAT
from datastore.wire.answered import Answer, checked_key, mark_of, refusal
from datastore.wire.calls import CALLS, Call
from datastore.wire.errors import error_to_json, status_of
from datastore.wire.messages import Request, dump, error_to_bytes, request_from_bytes

if TYPE_CHECKING:
    from datastore.server.tools import ServedTools

T = TypeVar("T")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_TOOLS = "/mcp"
_INLINE = 32_768  # bytes of a body that is parsed on the event loop; a larger one in a worker
_IN_ONE = 1_000_000  # bytes of a listing that is sent with its length
_HEALTHY = 1.0  # seconds for which the health of the database is not looked up again
_HEALTH_SECONDS = 5.0
_LOGGED = (InternalError, BackendUnusableError, DamagedRecordError, BackendUnavailableError)


class _Headers(NamedTuple):
    host: bytes | None
    authorization: bytes | None
    content_type: bytes | None
    content_length: bytes | None
    content_encoding: bytes | None
    origin: bytes | None
    key: bytes | None
    repeat: bytes | None


_NAMES = {
    b"host": 0,
    b"authorization": 1,
    b"content-type": 2,
    b"content-length": 3,
    b"content-encoding": 4,
    b"origin": 5,
    KEY.lower().encode(): 6,
    REPEAT.lower().encode(): 7,
}


class _RefusedError(Exception):
    """A request that is refused as such; the connection is closed if its body was not read."""

    def __init__(self, status: int, error: DataStoreError, *, close: bool = False, headers: Any = ()) -> None:
        super().__init__(status)
        self.status = status
        self.error = error
        self.close = close
        self.headers = tuple(headers)


class _GoneError(Exception):
    """The client has closed the connection."""


class Application:
    """The ASGI application of `create_app`."""

    def __init__(
        self,
        store: DataStore,
        limits: ServerLimits,
        allowed_hosts: Collection[str] | None,
        allowed_origins: Collection[str],
        rest: Starlette,
    ) -> None:
        self.instance = secrets.token_hex(16)
        """Names this process: every answer has it, and a repeated write says to which one it was first sent."""
        self.access = Access(store, limits)
        self.runner = Runner(store, limits)
        self._store = store
        self._limits = limits
        self._hosts = names(allowed_hosts)
        self._origins = frozenset(allowed_origins)
        self._rest = rest
        self.tools: ServedTools | None = None
        """MCP's tools, where they are served."""
        self._bodies = 0
        self._version = version("agent-datastore")
        self._health: tuple[float, bool] = (float("-inf"), False)
        self._asking_health: asyncio.Future[bool] | None = None
        self._headers = [
            (INSTANCE.lower().encode(), self.instance.encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._rest(scope, receive, send)
            self.stop()  # the life of the application is over
            return
        try:
            headers = _headers_of(scope["headers"])
            self._check_host(headers)
            path: str = scope["path"]
            root: str = scope.get("root_path", "")
            if root and path.startswith(f"{root}/"):  # it is mounted in another application
                path = path[len(root) :]
            if path.startswith(PREFIX):
                await self._call(path[len(PREFIX) :], scope, headers, receive, send)
            elif path == _TOOLS and self.tools is not None:
                await self._tool(self.tools, scope, headers, receive, send)
            else:
                await self._rest(scope, receive, send)
        except _RefusedError as refused:
            more = [*refused.headers, (b"connection", b"close")] if refused.close else list(refused.headers)
            told = error_to_json(refused.error, "", of_the_server=True)
            await self._send(send, Answer(refused.status, error_to_bytes(told)), more)
        except _GoneError:
            return

    def sender_at_once(self, headers: Sequence[tuple[bytes, bytes]], size: int) -> Holder | None:
        """Return who has sent a `get` with a body of some size that may be answered on the event loop.

        ``None`` if it is to be made as any other call: the token has to be looked up, or something is wrong.
        """
        try:
            read = _headers_of(headers)
            self._check_host(read)
            self._check_content(read)
            holder = self.access.known(read.authorization)
        except (_RefusedError, DataStoreError):
            return None
        allowed = holder is not None and not holder.is_limited and "get" in holder.requests
        return holder if allowed and size <= self._limits.body_bytes else None

    def answer_at_once(self, holder: Holder, body: bytes) -> bytes | None:
        """Return the body of the answer to a `get`, if it is answered here and now.

        ``None`` if it is to be made as any other call: it has to wait, or something is wrong with it.
        """
        if not self.access.is_known(holder):
            return None
        try:
            namespace, arguments, _ = request_from_bytes(body)
        except DataStoreError:
            return None
        return self.runner.at_once(holder, namespace, arguments)

    def headers_at_once(self) -> list[tuple[bytes, bytes]]:
        """Return the headers of such an answer, but for its length."""
        return self._with(JSON_TYPE, None)

    def stop(self) -> None:
        """End the threads of the application. The store stays open."""
        self.runner.stop()
        self.access.stop()

    # --------------------------------------------------------------------------------------------- one call

    async def _call(self, name: str, scope: Scope, headers: _Headers, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        holder = await self._sender(name, scope, headers, send)
        if holder is None:
            return
        try:
            call = CALLS.get(name)
            if call is None and name not in ("whoami", "narrow"):
                raise _RefusedError(404, UnsupportedError(f"there is no call {name[:100]!r}"))
            self._check_content(headers)
            body = await self._body(headers, receive, holder)
            try:
                if call is not None and name not in holder.requests:
                    raise not_allowed(name)
                self.access.spend(holder)
                if call is not None and call.in_lines:
                    await self._listing(call, holder, body, send, scope.get("datastore.connection"))
                    return
                answer = await self._answer(name, call, holder, headers, body)
            finally:
                self._bodies -= len(body)
                holder.family.bodies -= len(body)
        except _RefusedError as refused:
            self._tell(name, holder, refused.error, began)
            raise
        except DataStoreError as error:
            self._tell(name, holder, error, began)
            answer = self._failed(error, name, holder.user)
        await self._send(send, answer)

    async def _sender(self, name: str, scope: Scope, headers: _Headers, send: Send) -> Holder | None:
        """Return who has sent a request, or answer it and return ``None``."""
        if scope["method"] != "POST":
            error = UnsupportedError("a call is made with POST")
            raise _RefusedError(405, error, headers=((b"allow", b"POST"),))
        began = time.perf_counter()
        try:
            holder = await self.access.holder(headers.authorization)
        except InvalidTokenError as error:
            self._tell(name, None, error, began)
            raise _RefusedError(401, error, headers=((b"www-authenticate", b"Bearer"),)) from None
        except DataStoreError as error:
            await self._send(send, self._failed(error, "checking a token", ""))
            return None
        connection = scope.get("datastore.connection")
        if connection is not None:
            connection.used_with_a_token(holder.family)
        return holder

    async def _tool(self, tools: ServedTools, scope: Scope, headers: _Headers, receive: Receive, send: Send) -> None:
        """Answer a request of an MCP client."""
        began = time.perf_counter()
        holder = await self._sender("mcp", scope, headers, send)
        if holder is None:
            return
        try:
            self._check_content(headers)
            body = await self._body(headers, receive, holder)
        except _RefusedError as refused:
            self._tell("mcp", holder, refused.error, began)
            raise
        try:
            await tools.answer(scope, holder, body, receive, send)
        finally:
            self._bodies -= len(body)
            holder.family.bodies -= len(body)

    def _tell(self, name: str, holder: Holder | None, error: DataStoreError | None, began: float) -> None:
        """Tell the host of what no agent's store has done, and so does not tell of (`datastore.watching`)."""
        if self._store._core.watcher is None:
            return
        allowed = None if holder is None else holder.allowed
        event = CallEvent(
            time=datetime.fromtimestamp(self._store._core.clock(), UTC),
            token=None if allowed is None else allowed.label,
            user="" if allowed is None else allowed.user_id,
            agent="" if allowed is None else allowed.agent,
            call=name[:100],
            namespace=None,
            key=None,
            keys=None,
            found=None,
            bytes=0,
            duration=time.perf_counter() - began,
            error=None if error is None else type(error).__name__,
        )
        tell(self._store._core, event)

    async def _answer(self, name: str, call: Call | None, holder: Holder, headers: _Headers, body: bytes) -> Answer:
        """Return the answer of a call, which a write is given once only."""
        writes = name == "narrow" if call is None else call.writes
        key = _key_of(headers) if writes else None
        if key is None:
            if writes and headers.repeat is not None:
                raise InvalidValueError(f"a repeated write needs its {KEY}")
            return await self._made(name, call, holder, headers, body)
        if headers.repeat is not None and not secrets.compare_digest(headers.repeat, self.instance.encode()):
            return self._told(refusal(), holder)
        try:
            known = await holder.answers.before(key, mark_of(name, body), is_repeat=headers.repeat is not None)
        except BackendUnavailableError as error:
            return self._told(error, holder)
        if known is not None:
            return known
        answer = None
        try:
            answer = await self._made(name, call, holder, headers, body)
        except BusyError:
            holder.answers.undone(key)
            raise
        finally:
            holder.answers.after(key, None if call is None else answer)  # the answer to `narrow` is a token
        return answer

    async def _made(self, name: str, call: Call | None, holder: Holder, headers: _Headers, body: bytes) -> Answer:
        """Make a call, and return its answer, which may be an error.

        Raises:
            BusyError: If the call was not begun.
        """
        began, is_told = time.perf_counter(), False
        try:
            namespace, arguments, leases = await self._parsed(body, holder)
            if call is None:
                result = await (self._whoami if name == "whoami" else self._narrow)(holder, headers, arguments)
                if name == "narrow":
                    self._tell(name, holder, None, began)
                return Answer(200, dump({"result": result}))
            given = self.runner.checked(call, arguments)
            is_told = True
            return Answer(200, await self.runner.run(holder, call, namespace, given, leases))
        except BusyError:
            raise
        except Exception as error:  # noqa: BLE001 - told to the client as an error of the store, and logged
            if not is_told and isinstance(error, DataStoreError):
                self._tell(name, holder, error, began)
            return self._failed(error, name, holder.user)

    async def _listing(self, call: Call, holder: Holder, body: bytes, send: Send, connection: Any) -> None:
        """Answer a call in lines. An error before the first of them is an answer of its own."""
        began, is_told, sent = time.perf_counter(), False, False
        try:
            namespace, arguments, leases = await self._parsed(body, holder)
            given = self.runner.checked(call, arguments)
            is_told = True
            listing = self.runner.listing(holder, call, namespace, given, leases)
            async with aclosing(listing):
                async for some in listing:
                    if not sent and _is_short(some):
                        await self._send(send, Answer(200, b"".join(some)), kind=LINES_TYPE)
                        return
                    if not sent:
                        sent = True
                        headers = self._with(LINES_TYPE, None)
                        await send({"type": "http.response.start", "status": 200, "headers": headers})
                    for line in some:
                        await send({"type": "http.response.body", "body": line, "more_body": True})
                        if connection is not None and connection.is_gone():
                            return
        except Exception as error:  # noqa: BLE001 - told to the client as an error of the store, and logged
            if isinstance(error, BusyError) or (not is_told and isinstance(error, DataStoreError)):
                self._tell(call.name, holder, error, began)
            answer = self._failed(error, call.name, holder.user)
            if not sent:
                await self._send(send, answer)
                return
            await send({"type": "http.response.body", "body": answer.body + b"\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _parsed(self, body: bytes, holder: Holder) -> Request:
        if len(body) <= _INLINE:
            return request_from_bytes(body)
        return await self.runner.do(holder, partial(request_from_bytes, body))  # type: ignore[no-any-return]  # of that function

    # ------------------------------------------------------------------------------------ what is no agent's call

    async def _whoami(self, holder: Holder, headers: _Headers, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if arguments:
            raise InvalidValueError("whoami has no arguments")
        allowed, quota = holder.allowed, holder.allowed.quota
        core = self._store._core
        return {
            "id": allowed.id,
            "userId": allowed.user_id,
            "agent": allowed.agent,
            "namespace": allowed.namespace,
            "label": allowed.label,
            "grants": None if allowed.grants is None else dict(allowed.grants),
            "quota": None if quota is None else {
                "records": quota.records,
                "bytes": quota.bytes,
                "calls_per_minute": quota.calls_per_minute,
            },
            "calls": None if allowed.calls is None else list(allowed.calls),
            "expiresAt": None if allowed.expires_at is None else text_of(allowed.expires_at),
            "backend": self._store.backend.name,
            "maxSeconds": core.max_seconds,
            "rememberSeconds": self._limits.remember_seconds,
            "bodyBytes": self._limits.body_bytes,
            "version": self._version,
            "instance": self.instance,
        }  # fmt: skip

    async def _narrow(self, holder: Holder, headers: _Headers, arguments: Mapping[str, Any]) -> str:
        for name in arguments:
            if name not in ("namespace", "grants", "quota", "calls", "ttl", "label"):
                raise InvalidValueError(f"narrow has no argument {name[:100]!r}")
        given = {name: value for name, value in arguments.items() if value is not None}
        quota = given.get("quota")
        if quota is not None:
            if type(quota) is not dict or not quota.keys() <= {"records", "bytes", "calls_per_minute"}:
                raise InvalidValueError("quota must be an object with records, bytes and calls_per_minute, or some")
            given["quota"] = _given(Quota, **quota)
        family = holder.family
        if family.narrowing.wait() > 0:
            raise BusyError("this token has made many narrower ones in the last minute; try again later")
        family.narrowing.take()
        family.uncounted.spend(None)
        _, _, secret = (headers.authorization or b"").partition(b" ")
        text = secret.strip().decode("latin-1")
        narrow = partial(_given, self._store.tokens.narrow, text, **given)
        return await self.runner.do(holder, narrow)  # type: ignore[no-any-return]  # it is a token

    async def healthy(self) -> bool:
        """Return whether the database answers. It is asked once a second at most, whoever wants to know."""
        at, is_healthy = self._health
        if time.monotonic() - at < _HEALTHY:
            return is_healthy
        if self._asking_health is None:
            self._asking_health = asyncio.ensure_future(self._ask_health())
        return await asyncio.shield(self._asking_health)

    async def _ask_health(self) -> bool:
        is_healthy = False
        try:
            health = await self._store.asynchronous.health(max_seconds=_HEALTH_SECONDS)
            is_healthy = health.ok
            if health.error is not None:
                logger().warning("the database does not answer: %s", health.error)
        finally:
            self._health = time.monotonic(), is_healthy
            self._asking_health = None
        return is_healthy

    # ---------------------------------------------------------------------------------------- what is refused

    def _check_host(self, headers: _Headers) -> None:
        """Refuse what a browser would send that was led here: a strange host (DNS rebinding), or a strange origin."""
        if not answers_to(self._hosts, headers.host):
            error = PermissionDeniedError("this server does not answer to this Host", by_the_store=True)
            raise _RefusedError(421, error)
        if headers.origin is not None and headers.origin.decode("latin-1") not in self._origins:
            error = PermissionDeniedError("requests of web pages are refused", by_the_store=True)
            raise _RefusedError(403, error)

    def _check_content(self, headers: _Headers) -> None:
        kind = (headers.content_type or b"").partition(b";")[0].strip().lower()
        if kind != JSON_TYPE.encode():
            raise _RefusedError(415, InvalidValueError(f"the body must be {JSON_TYPE}"))
        if headers.content_encoding is not None and headers.content_encoding.lower() != b"identity":
            raise _RefusedError(415, InvalidValueError("the body must not be compressed"))

    async def _body(self, headers: _Headers, receive: Receive, holder: Holder) -> bytes:
        """Return the body of a request, which counts for its token until it is given back."""
        most = self._limits.body_bytes
        length = headers.content_length
        if length is not None and (not length.isdigit() or len(length) > 18 or int(length) > most):
            self._refuse_body()
        parts, size = list[bytes](), 0
        taken = False
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise _GoneError
                    part = message.get("body", b"")
                    size += len(part)
                    if size > most:
                        self._refuse_body()
                    parts.append(part)
                    self._bodies += len(part)
                    holder.family.bodies += len(part)
                    all = self._limits.bodies_bytes
                    if self._bodies > all or holder.family.bodies > max(all // 4, most):
                        busy = BusyError("too many large requests at once; try again later")
                        raise _RefusedError(429, busy, close=True, headers=((b"retry-after", b"1"),))
                    if not message.get("more_body", False):
                        taken = True
                        return parts[0] if len(parts) == 1 else b"".join(parts)
        except TimeoutError:
            raise _RefusedError(408, InvalidValueError("the body did not arrive in time"), close=True) from None
        finally:
            if not taken:
                kept = sum(map(len, parts))
                self._bodies -= kept
                holder.family.bodies -= kept

    def _refuse_body(self) -> NoReturn:
        most = self._limits.body_bytes
        raise _RefusedError(413, ValueTooLargeError(f"the body has more than {most:,} bytes"), close=True)

    # ------------------------------------------------------------------------------------------------- answers

    def _failed(self, error: Exception, call: str, user: str) -> Answer:
        """Return the answer for a call that failed; what the client is not told is logged."""
        if not isinstance(error, DataStoreError):
            logger().error("the server failed at %s", call, exc_info=error)
            error = InternalError("a fault of the server")
        elif isinstance(error, _LOGGED) and not isinstance(error, BusyError):
            logger().warning("%s failed: %s", call, error, exc_info=error if isinstance(error, InternalError) else None)
        retry_after = None
        if isinstance(error, QuotaExceededError) and error.unit and status_of(error) == 429:
            retry_after = max(60 // max(error.limit, 1), 1)
        elif isinstance(error, BusyError):  # only what was not begun: whoever is told so sends it again
            retry_after = 1
        told = error_to_json(error, user, of_the_server=isinstance(error, BusyError))
        return Answer(status_of(error), error_to_bytes(told), retry_after)

    def _told(self, error: DataStoreError, holder: Holder) -> Answer:
        """Return the answer for an error of the server itself, which has nothing to hide."""
        return Answer(status_of(error), error_to_bytes(error_to_json(error, holder.user, of_the_server=True)))

    def _with(self, kind: str, length: int | None) -> list[tuple[bytes, bytes]]:
        headers = [(b"content-type", kind.encode()), *self._headers]
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        return headers

    async def _send(
        self, send: Send, answer: Answer, more: Sequence[tuple[bytes, bytes]] = (), kind: str = JSON_TYPE
    ) -> None:
        headers = [*self._with(kind, len(answer.body)), *more]
        if answer.retry_after is not None:
            headers.append((b"retry-after", str(answer.retry_after).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


def _given(make: Callable[..., T], *given: Any, **named: Any) -> T:
    """Make something of what a client gives. What is a wrong setting in the host's program is a wrong argument here."""
    try:
        return make(*given, **named)
    except ConfigurationError as error:
        raise InvalidValueError(error.message) from None


def _headers_of(headers: Sequence[tuple[bytes, bytes]]) -> _Headers:
    """Return the headers that matter. Twice the same is what request smuggling is made of, so it is refused."""
    found: list[bytes | None] = [None] * len(_NAMES)
    for name, value in headers:
        number = _NAMES.get(name)
        if number is not None:
            if found[number] is not None:
                error = InvalidValueError(f"the header {name.decode('latin-1')} is there twice")
                raise _RefusedError(400, error, close=True)
            found[number] = value
    return _Headers(*found)


def _is_short(lines: list[bytes]) -> bool:
    """Return whether lines are a whole answer, and one that need not be sent in parts."""
    return bool(lines) and lines[-1].startswith(b'{"end"') and sum(map(len, lines)) <= _IN_ONE


def _key_of(headers: _Headers) -> str | None:
    if headers.key is None:
        return None
    return checked_key(headers.key.decode("latin-1"), KEY)


def create_app(
    store: DataStore,
    *,
    limits: ServerLimits | None = None,
    allowed_hosts: Collection[str] | None = LOOPBACK,
    allowed_origins: Collection[str] = (),
    routes: Sequence[BaseRoute] = (),
    lifespan: Any = None,
    describe: bool = True,
    mcp: bool = False,
) -> Application:
    """Return an ASGI application that serves a store to whoever has a token. See ``docs/server.md``.

    It listens to nobody by itself: run it under the host's ASGI server, which must close slow and idle connections, or
    use `serve`. The store stays open when it ends.

    Args:
        store: The store.
        limits: What it allows whoever speaks to it.
        allowed_hosts: The names that it answers to in ``Host``, without port. ``None`` for any: only where a proxy
            checks them.
        allowed_origins: The web pages whose scripts may call it, such as ``https://tools.example``. No other request
            with an ``Origin`` is answered.
        routes: What it serves besides, as routes of Starlette.
        lifespan: What these routes need around the life of the application, as Starlette takes it.
        describe: Whether to serve ``/openapi.json``.
        mcp: Whether to serve the calls as tools for MCP clients, too, at ``/mcp`` (see ``docs/mcp.md``). It needs the
            extra ``mcp``.
    """
    limits = limits or ServerLimits()
    application: Application

    async def health(_: Any) -> Response:
        is_healthy = await application.healthy()
        return JSONResponse({"status": "ok" if is_healthy else "unavailable"}, 200 if is_healthy else 503)

    described = dump(document(version("agent-datastore"))) if as_bool(describe, "describe") else b""

    async def openapi(_: Any) -> Response:
        return Response(described, media_type=JSON_TYPE)

    own = [Route("/health", health, methods=["GET"])]
    if describe:
        own.append(Route("/openapi.json", openapi, methods=["GET"]))

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[Any]:
        async with AsyncExitStack() as entered:
            if application.tools is not None:
                await entered.enter_async_context(application.tools.running())
            yield None if lifespan is None else await entered.enter_async_context(lifespan(app))

    rest = Starlette(routes=[*own, *routes], lifespan=life)
    application = Application(store, limits, allowed_hosts, allowed_origins, rest)
    if as_bool(mcp, "mcp"):
        try:
            from datastore.server.tools import ServedTools  # imported here, because few have the extra
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
                raise
            raise ConfigurationError("mcp=True needs the extra 'mcp': pip install 'agent-datastore[mcp]'") from None
        application.tools = ServedTools(application.access, application.runner, limits)
    return application
