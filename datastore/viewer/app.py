"""The ASGI application of the viewer: who may see a page, what a page may load, and what a form has to bring."""

from __future__ import annotations

import asyncio
import inspect
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from datastore.arguments import as_bool
from datastore.errors import ConfigurationError, DataStoreError, logger
from datastore.server.hosts import LOOPBACK, answers_to, names
from datastore.store import DataStore, number_of
from datastore.viewer.pages import PAGES
from datastore.viewer.rendering import STATIC, Template, render
from datastore.viewer.sessions import Sessions
from datastore.viewer.visits import Page, Redirect, Visit
from datastore.wire.errors import status_of

Authorise = Callable[[Request], str | Awaitable[str | None] | None]
"""Says who has sent a request: the person's name; ``None`` for somebody who may not see the pages."""
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_FORM_BYTES = 4_000_000  # a value of 1 MB, in which each byte may be written with three characters
_REPORT_BYTES = 16_384
_REPORTS = 100
_FIELDS = 2_000
_AT_ONCE = 8  # pages that are made at once: each has a thread
_ASKING_SECONDS = 5.0  # between two new addresses that are printed because a visitor asked for one

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; report-uri {}"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class Viewer:
    """The ASGI application of `create_app`."""

    def __init__(
        self,
        store: DataStore,
        authorise: Authorise | None,
        writable: bool,
        allowed_hosts: Collection[str] | None,
        person: str,
        session_seconds: float,
        clock: Callable[[], float],
        new_login: Callable[[], object] | None,
    ) -> None:
        self.sessions = Sessions(session_seconds, clock)
        """The logins, where the host has not said who may see the pages."""
        self.reports: deque[str] = deque(maxlen=_REPORTS)
        """What browsers have told of things that the policy did not let them do: there should be nothing."""
        self._store = store
        self._authorise = authorise
        self._writable = writable
        self._hosts = names(allowed_hosts)
        self._person = person
        self._clock = clock
        self._new_login = new_login
        self._asked = float("-inf")
        self._cookie = f"datastore_view_{secrets.token_hex(4)}"
        """Its own for each viewer: a browser gives those of one host to every port."""
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            response = await self._respond(Request(scope, receive))
            root = scope.get("root_path", "")
            response.headers.update(_HEADERS)
            response.headers["Content-Security-Policy"] = _POLICY.format(f"{root}/reports")
            response.headers.setdefault("Cache-Control", "no-store")
            await response(scope, receive, send)

    def login_path(self) -> str:
        """Return the address of a login that works once, behind the address of the viewer."""
        return f"/login?code={self.sessions.code()}"

    # ------------------------------------------------------------------------------------- who may see what

    async def _respond(self, request: Request) -> Response:
        try:
            if not answers_to(self._hosts, request.headers.get("host", "").encode("latin-1")):
                raise HTTPException(421, "This viewer does not answer to this host name.")
            root = str(request.scope.get("root_path", ""))
            path = request.url.path.removeprefix(root).lstrip("/")
            if path.startswith("static/"):
                return _static(path.removeprefix("static/"))
            if path == "reports":
                return await self._report(request)
            if request.method not in ("GET", "HEAD", "POST"):
                raise HTTPException(405, "Pages are read with GET, and forms are sent with POST.")
            form = await self._form(request) if request.method == "POST" else {}
            if path == "login" and self._authorise is None:
                return self._log_in(request, root, form)
            return await self._page(request, root, path, form)
        except HTTPException as error:
            return _failed(error.status_code, error.detail, str(request.scope.get("root_path", "")))

    def _log_in(self, request: Request, root: str, form: Mapping[str, list[str]]) -> Response:
        if request.method == "POST":  # somebody without a session asks for another address, in the terminal
            if self._new_login is not None and self._clock() - self._asked > _ASKING_SECONDS:
                self._asked = self._clock()
                self._new_login()
            return self._unknown(root, asked=True)
        name = self.sessions.log_in(request.query_params.get("code", ""))
        if name is None:
            return self._unknown(root)
        response = RedirectResponse(f"{root}/", 303)  # so the address with the code is not kept in the history
        self._set_cookie(response, request, name)
        return response

    def _unknown(self, root: str, *, asked: bool = False) -> Response:
        shown = {"root": root, "asked": asked, "can_ask": self._new_login is not None}
        return Response(render(Template.LOGIN, shown), 401, media_type="text/html")

    async def _who(self, request: Request) -> tuple[str, str] | None:
        """Return who has sent a request, and the name of the session: a new one, if the host says who it is."""
        session = request.cookies.get(self._cookie, "")
        if self._authorise is None:
            return (self._person, session) if self.sessions.is_open(session) else None
        person = self._authorise(request)
        if inspect.isawaitable(person):
            person = await person
        if person is None:
            raise HTTPException(403, "You may not see these pages.")
        return person, session or secrets.token_urlsafe(32)

    async def _form(self, request: Request) -> dict[str, list[str]]:
        """Return what a form has sent, which this viewer's own page must have made."""
        origin = request.headers.get("origin")
        if origin is None or urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
            raise HTTPException(403, "Forms of other pages are refused.")
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise HTTPException(403, "Forms of other pages are refused.")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise HTTPException(415, "A form is sent as application/x-www-form-urlencoded.")
        try:
            text = (await _body(request, _FORM_BYTES)).decode("ascii")
            return parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=_FIELDS)
        except ValueError:
            raise HTTPException(400, "The form cannot be read.") from None

    async def _report(self, request: Request) -> Response:
        """Take what a browser tells of something that the policy did not let it do."""
        if request.method != "POST":
            raise HTTPException(405, "Reports are sent with POST.")
        report = (await _body(request, _REPORT_BYTES)).decode("utf-8", "replace")
        self.reports.append(report)
        logger().warning("a page of the viewer was kept from loading something: %a", report[:500])
        return Response(status_code=204)

    # ---------------------------------------------------------------------------------------------- a page

    async def _page(self, request: Request, root: str, path: str, form: Mapping[str, list[str]]) -> Response:
        who = await self._who(request)
        if who is None:
            return self._unknown(root)
        person, session = who
        token = self.sessions.token(session, person)
        is_form = request.method == "POST"
        if is_form and not self.sessions.is_token(form.get("token", [""])[0], session, person):
            raise HTTPException(403, "This form is not of this session: load its page again, and send it once more.")
        if path == "logout" and is_form and self._authorise is None:
            self.sessions.end(session)
            return self._unknown(root)
        made = PAGES.get((path, "POST" if is_form else "GET"))
        if made is None:
            raise HTTPException(404, "There is no such page.")
        if is_form and not self._writable:
            raise HTTPException(403, "This viewer is read-only.")
        try:
            asked = parse_qs(request.url.query, errors="strict", max_num_fields=_FIELDS)
        except ValueError:
            raise HTTPException(400, "The address of this page cannot be read.") from None
        visit = Visit(
            store=self._store,
            person=person,
            writable=self._writable,
            root=root,
            path=path,
            asked=asked,
            form=form,
            token=token,
        )
        async with self._places:
            response = await run_in_threadpool(_make, made, visit, has_logout=self._authorise is None)
        if self._cookie not in request.cookies:
            self._set_cookie(response, request, session)
        return response

    def _set_cookie(self, response: Response, request: Request, session: str) -> None:
        root = str(request.scope.get("root_path", ""))
        is_secure = request.url.scheme == "https"
        response.set_cookie(self._cookie, session, path=root or "/", httponly=True, samesite="lax", secure=is_secure)


def _make(made: Callable[[Visit], Page | Redirect | Response], visit: Visit, *, has_logout: bool) -> Response:
    """Make a page, in a thread: the store is asked here."""
    try:
        answer = made(visit)
    except DataStoreError as error:
        answer = Page("error.html", {"message": error.message, "retryable": error.retryable}, status_of(error))
    except Exception as error:  # noqa: BLE001 - a fault of this package must not show its insides on a page
        logger().error("the viewer failed at the page %a", visit.path, exc_info=error)
        answer = Page("error.html", {"message": "This is a fault of the viewer.", "retryable": False}, 500)
    if isinstance(answer, Redirect):
        return RedirectResponse(answer.url, 303)
    if isinstance(answer, Page):
        shown = {"visit": visit, "root": visit.root, "has_logout": has_logout, **answer.shown}
        return Response(render(answer.template, shown), answer.status, media_type="text/html")
    return answer


async def _body(request: Request, most: int) -> bytes:
    """Return the body of a request."""
    parts, size = list[bytes](), 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise HTTPException(413, f"What was sent has more than {most:,} bytes.")
        parts.append(part)
    return b"".join(parts)


def _static(name: str) -> Response:
    found = STATIC.get(name)
    if found is None:
        raise HTTPException(404, "There is no such file.")
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}  # its name changes with its content
    return Response(found.content, media_type=found.media_type, headers=headers)


def _failed(status: int, message: str, root: str) -> Response:
    return Response(render(Template.REFUSED, {"root": root, "message": message}), status, media_type="text/html")


async def _live(receive: Receive, send: Send) -> None:
    """Say that the application has begun, and that it has ended: it needs nothing for either."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def create_app(
    store: DataStore,
    *,
    authorise: Authorise | None = None,
    writable: bool | None = None,
    allowed_hosts: Collection[str] | None = LOOPBACK,
    person: str = "",
    session_seconds: float = 3_600.0,
    new_login: Callable[[], object] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Viewer:
    """Return an ASGI application that shows a store to a person. See ``docs/viewer.md``.

    It sees the data of all users. The store stays open when it ends.

    Args:
        store: The store.
        authorise: Says who has sent a request: given a `starlette.requests.Request` it returns, or is awaited for, the
            name of a person who may see all of this, or ``None``. Without it whoever has a login may
            (`Viewer.login_path`).
        writable: Whether records can be changed. By default they can where there are logins, and not where
            ``authorise`` decides.
        allowed_hosts: The names that it answers to in ``Host``, without port. ``None`` for any: only where a proxy
            checks them.
        person: Whose logins these are: the name that provenance and the audit log show, with ``person:`` before it.
        session_seconds: After how long without a request a login ends. It ends after twelve times as long anyway.
        new_login: Called when somebody without a login asks for another one; it tells them in a place that they alone
            see, such as the terminal.
        clock: Returns seconds that only grow. For tests.

    Raises:
        ConfigurationError: If an argument is not as it should be.
    """
    if not isinstance(store, DataStore):
        raise ConfigurationError("store is no DataStore: open one with datastore.connect()")
    if authorise is not None and not callable(authorise):
        raise ConfigurationError("authorise must be a function from a request to the name of a person, or None")
    may_write = authorise is None if writable is None else as_bool(writable, "writable")
    seconds = number_of("session_seconds", session_seconds, minimum=1)
    return Viewer(store, authorise, may_write, allowed_hosts, person, seconds, clock, new_login)
