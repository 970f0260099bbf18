"""Requests to one database: an HTTP client with its own limits, checks of its answers, and the meaning of its errors.

Databases and indexes are created through `couchdb3` (`datastore_couchdb.making`). Documents go through its HTTP session
directly, because its own methods for documents do not suit the store. They do not quote ids, and send ``keys`` in a URL
that can grow too long. They wait up to 300 seconds whatever timeout was set. They return ``None`` when the server is
down, take a proxy's page for an answer, and do not tell 429 and 503 from other errors. And they wrap each row of a
listing in an object, which takes 40 % of the time of reading it.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import FrameType, NoneType, TracebackType
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from datastore import deadlines, tls
from datastore.adapters.answers import broken, member
from datastore.backend import IdRange
from datastore.errors import (
    BackendUnavailableError,
    BackendUnusableError,
    ClosedError,
    ConfigurationError,
    DamagedRecordError,
    DataStoreError,
    InternalError,
    PermissionDeniedError,
    ThrottledError,
    ValueTooLargeError,
)
from datastore.ids import is_of_one_user
from datastore.stacks import on_stack
from datastore.turns import Calls
from datastore_couchdb.parsing import loads
from datastore_couchdb.streaming import Bookmark, bookmark_of, read_found, read_rows

NAME = "couchdb"
BATCH = 1_000
"""The most documents in one request."""
_NO_DATABASE = {"no_db_file", "Database does not exist.", "Database not found"}
_NO_DOCUMENT = {"missing", "deleted"}
FORBIDDEN = re.compile(r"\b(forbidden|unauthorized)\b")
_LONGEST_REASON = 200  # characters of the reason that a message quotes


@dataclass(frozen=True, slots=True)
class Settings:
    """How to reach a database.

    Attributes:
        origin: Scheme, host and port.
        user: For basic authentication; ``None`` to send no credentials.
        password: Never shown by this package.
        database: The name of the database.
        timeout: The seconds that one request may take to connect, to send, or between two pieces of the answer.
        pool: The most connections at once.
        create: Whether a missing database and missing indexes are created.
        partitioned: Whether the database is partitioned by user.
        earlier_format: Whether it is a database of the earlier format, to be read only (`datastore.formats`).
    """

    origin: str
    user: str | None
    password: str | None
    database: str
    timeout: float = 30.0
    pool: int = 32
    create: bool = True
    partitioned: bool = False
    earlier_format: bool = False

    def __repr__(self) -> str:
        return f"Settings({self.origin}/{self.database})"


class Session:
    """An HTTP client bound to one database, shared by threads.

    Attributes:
        settings: How the database is reached.
        client: The HTTP client, which `couchdb3` uses too.
        is_in_doubt: Whether something has shown that the database may have been made again while the store was open:
            there was none, or it does not even know that a record was deleted that was there.
    """

    is_in_doubt = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._base = f"{settings.origin}/{quote(settings.database, safe='')}"
        # Taking a URL apart takes half of the time of making a request.
        self._urls = {path: httpx.URL(f"{self._base}/{path}") for path in ("_bulk_docs", "_bulk_get", "_find")}
        self._open()

    def _open(self) -> None:
        settings = self.settings
        self._closed = False
        self._under_way: dict[_Request, None] = {}  # the requests; a dict, because its operations are atomic
        self._calls = Calls("a request to CouchDB")
        self.client = httpx.Client(
            # Basic authentication, because the client's cookie session never recovers from an expired cookie. The
            # server hashes the password once and remembers the result.
            auth=httpx.BasicAuth(settings.user, settings.password or "") if settings.user else None,
            headers={"Accept": "application/json", "Content-Type": "application/json"},
            limits=httpx.Limits(max_connections=settings.pool, max_keepalive_connections=settings.pool),
            timeout=settings.timeout,
            verify=settings.origin.startswith(
                "https:"
            ),  # without TLS, certificates need not be loaded, which takes 50 ms
        )

    def get(self, path: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the object that answers a GET. The parameters are JSON-encoded, as CouchDB expects."""
        return _object(self._read(self._request("GET", path, parameters)))

    def post(self, path: str, body: str | Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON answer to a POST."""
        return self._read(self._request("POST", path, parameters, body if isinstance(body, str) else json.dumps(body)))

    def make(self, method: str, path: str, body: Any = None, parameters: Mapping[str, Any] | None = None) -> None:
        """Create the database or something in it. If it exists already, nothing happens.

        Raises:
            BackendUnavailableError: If the server does not confirm it.
        """
        response = self._request(method, path, parameters, None if body is None else json.dumps(body))
        if response.status_code in (409, 412):
            return
        answer = _object(self._read(response))
        if answer.get("ok") is not True and answer.get("result") not in ("created", "exists"):
            broken(NAME, "it does not confirm the change")

    def information(self) -> dict[str, Any]:
        """Return what the server reports about the database."""
        answer = self.get("")
        member(answer, "db_name", str, NAME)
        member(answer, "doc_count", int, NAME)
        return answer

    def view(self, path: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the rows of a view.

        Raises:
            MissingViewError: If the view does not exist.
        """
        response = self._request("GET", path, parameters)
        if response.status_code == 404 and (reason := _reason(response)) and reason not in _NO_DATABASE:
            raise MissingViewError(f"the view {path} of {self.settings.origin} does not exist ({reason})")
        rows: list[dict[str, Any]] = member(self._read(response), "rows", list, NAME)
        for row in rows:
            if type(row) is not dict or not {"key", "value"} <= row.keys():
                broken(NAME, "one of its rows has no key or no value")
        return rows

    def greet(self) -> tuple[dict[str, Any], str | None]:
        """Return what the server reports about itself, and its time in the format of HTTP."""
        response = self._request("GET", f"{self.settings.origin}/")
        answer = _object(self._read(response))
        member(answer, "version", str, NAME)
        return answer, response.headers.get("Date")

    def revisions_kept(self) -> int | None:
        """Return how many revisions of a document the server keeps, or ``None`` if it does not say."""
        response = self._request("GET", "_revs_limit")
        if response.status_code in (401, 403, 404, 405):  # some servers do not have it, and some do not tell every user
            return None
        kept = self._read(response)
        if type(kept) is not int:
            broken(NAME, "it is not a number")
        return kept

    def drop(self) -> None:
        """Remove the database."""
        if _object(self._read(self._request("DELETE", ""))).get("ok") is not True:
            broken(NAME, "it does not confirm the removal")

    def get_document(self, id: str, unheard_of: list[str] | None = None) -> dict[str, Any] | None:
        """Return one document, or ``None``, but only if the server says that it is missing or deleted.

        If it does not even know that it was deleted, the id is added to ``unheard_of``.
        """
        response = self._request("GET", quote(id, safe=""))
        if response.status_code == 404 and (reason := _reason(response)) in _NO_DOCUMENT:
            if unheard_of is not None and reason != "deleted":
                unheard_of.append(id)
            return None
        try:
            document = _object(self._read(response))
        except DamagedRecordError as error:
            error.id = id
            raise
        check_document(document, id)
        return document

    def last_of_deleted(self, id: str) -> dict[str, Any] | None:
        """Return what is left of a deleted document, or ``None`` if nothing is left or the document exists."""
        response = self._request("GET", f"{quote(id, safe='')}?open_revs=all")
        if response.status_code == 404 and _reason(response) in _NO_DOCUMENT:
            return None
        answers = self._read(response)
        if type(answers) is not list:
            broken(NAME, "it does not list the revisions of a document")
        if any(type(answer) is dict and "missing" in answer for answer in answers):
            return None  # it knows the revision, and keeps nothing of what was in it
        left = [document for answer in answers if (document := member(answer, "ok", dict, NAME)).get("_deleted")]
        return left[-1] if len(left) == len(answers) > 0 else None

    def path_in(self, range: IdRange, path: str) -> str:
        """Return where to ask for the documents of a range: in a partitioned database, in its user's partition."""
        if not self.settings.partitioned or not is_of_one_user(range):
            return path
        return f"_partition/{quote(range.start.partition(':')[0], safe='')}/{path}"

    def rows(self, path: str, parameters: Mapping[str, Any], most_bytes: int) -> tuple[list[dict[str, Any]], bool]:
        """Return the rows of a listing, up to an amount of data.

        Returns:
            The rows, and whether the answer was cut off because it exceeded ``most_bytes``.
        """
        with_documents = "include_docs" in parameters
        try:
            with (
                self.request_under_way(),
                self.client.stream("GET", self._url(path, parameters)) as response,
            ):
                self._check_stream(response)
                rows, cut = read_rows(response.iter_bytes(1 << 20), most_bytes, with_documents=with_documents)
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self.translate(error) from error
        if not _are_sound(rows, with_documents):
            for row in rows:
                _check_row(row, with_documents)
        return rows, cut

    def find(
        self, path: str, query: Mapping[str, Any], most_bytes: int | None
    ) -> tuple[list[dict[str, Any]], Bookmark | None]:
        """Return the documents that a query finds, up to an amount of data if one is given.

        Returns:
            The documents, and the bookmark after them. The bookmark is empty if there is none, and ``None`` if the
            answer was cut off because it exceeded ``most_bytes``.
        """
        body = json.dumps(query)
        bookmark: Bookmark | None
        if most_bytes is None:
            answer = self.post(path, body)
            found, bookmark = member(answer, "docs", list, NAME), bookmark_of(answer)
        else:
            try:
                with (
                    self.request_under_way(),
                    self.client.stream("POST", self._url(path), content=body.encode()) as response,
                ):
                    self._check_stream(response)
                    found, bookmark = read_found(response.iter_bytes(1 << 20), most_bytes)
            except (httpx.HTTPError, httpx.StreamError) as error:
                raise self.translate(error) from error
        for document in found:
            if type(document) is not dict or type(document.get("_id")) is not str:
                member(document, "_id", str, NAME)  # says what is wrong
        return found, bookmark

    def databases(self, beginning: str) -> list[str]:
        """Return the names of the server's databases that begin with the given text."""
        parameters = {"startkey": beginning, "endkey": beginning + "\ufff0"}
        names = self._read(self._request("GET", f"{self.settings.origin}/_all_dbs", parameters))
        if type(names) is not list or not all(type(name) is str for name in names):
            broken(NAME, "it is not a list of names")
        return [name for name in names if name.startswith(beginning)]

    def close(self) -> None:
        """Close the connections as soon as no request is under way. Idempotent."""
        self._closed = True
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._under_way:  # after an interrupt a request may not have said that it has ended: the stacks show it
            stacks = sys._current_frames()
            try:
                for request in list(self._under_way):
                    if request.is_over(stacks):
                        self._under_way.pop(request, None)
            finally:
                stacks.clear()  # this function's own frame is among them: as garbage it would keep those of all threads
        if not self._under_way:
            self.client.close()

    def request_under_way(self) -> _Request:
        """Return a context that keeps the client open: closed while it connects, it would leave a connection open."""
        return _Request(self, sys._getframe(1))

    def begin(self, request: _Request, frame: FrameType) -> None:
        """Note that a request begins.

        Raises:
            DeadlineExceededError: If the call under way has no time left.
            ClosedError: If the store was closed.
        """
        deadlines.check()
        self._under_way[request] = None  # before the check: `close` sets the flag first, and then looks here
        try:
            if self._closed:
                raise ClosedError("the store was closed", backend=NAME)
            self._calls.begin(frame)
        except BaseException:
            self._forget(request)
            raise

    def end(self, request: _Request) -> None:
        """Note that a request has ended."""
        self._calls.end()
        self._forget(request)

    def _forget(self, request: _Request) -> None:
        self._under_way.pop(request, None)
        if self._closed:
            self._close_if_idle()

    def after_fork(self) -> None:
        """Leave the connections to the parent, which they belong to."""
        _inherited.append(self.client)
        self._open()

    def _request(
        self, method: str, path: str, parameters: Mapping[str, Any] | None = None, body: str | None = None
    ) -> httpx.Response:
        url = self._url(path, parameters)
        try:
            with self.request_under_way():
                return self.client.request(method, url, content=body and body.encode())
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self.translate(error) from error

    def _url(self, path: str, parameters: Mapping[str, Any] | None = None) -> httpx.URL | str:
        """Return the URL of a path in the database, or of an absolute one. The parameters are JSON-encoded."""
        if not parameters and path in self._urls:
            return self._urls[path]
        url = path if "://" in path else f"{self._base}/{path}" if path else self._base
        if not parameters:
            return url
        encoded = {name: json.dumps(value) for name, value in parameters.items()}
        return f"{url}?{urlencode(encoded, quote_via=quote)}"  # `httpx` takes twice as long for this

    def _read(self, response: httpx.Response) -> Any:
        if response.status_code not in (200, 201, 202):
            raise self.refusal(response)
        try:
            return loads(response.content)
        except RecursionError:
            raise DamagedRecordError("a stored document is nested deeper than Python can read", backend=NAME) from None
        except ValueError as error:
            raise self._lost(response) from error

    def _check_stream(self, response: httpx.Response) -> None:
        if response.status_code != 200:
            response.read()
            raise self.refusal(response)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            response.read()
            raise self._lost(response)

    def _lost(self, response: httpx.Response) -> BackendUnavailableError:
        """Return the error for an answer that is incomplete or not CouchDB's."""
        what = "broke off" if _is_json(response) else f"is not CouchDB's ({_instead(response)})"
        return BackendUnavailableError(f"the answer of {self.settings.origin} {what}", backend=NAME)

    def translate(self, error: Exception) -> DataStoreError:
        """Return the store's error for an error of the HTTP client."""
        origin = self.settings.origin
        if isinstance(error, httpx.RequestError):
            error.request = None  # type: ignore[assignment]  # its headers hold the password, and tracebacks show it
        if (refusal := tls.refusal(error, origin, "SSL_CERT_FILE", NAME)) is not None:
            return refusal
        if isinstance(error, httpx.TimeoutException):
            return BackendUnavailableError(
                f"{origin} did not answer within {self.settings.timeout:g} s ({type(error).__name__})", backend=NAME
            )
        return BackendUnavailableError(f"{origin} cannot be reached: {type(error).__name__}: {error}", backend=NAME)

    def refusal(self, response: httpx.Response) -> DataStoreError:
        """Return the error for an answer that is not a success."""
        status, where = response.status_code, f"{self.settings.origin}/{self.settings.database}"
        said = _reason(response)
        reason = said[:_LONGEST_REASON] or _instead(response)
        if status in (401, 403) or (status == 500 and FORBIDDEN.search(said)):
            return PermissionDeniedError(
                f"{where} refused the credentials ({status}: {reason}); check user and password of the URL, and the "
                "database's members",
                backend=NAME,
            )
        if status == 404 and reason in _NO_DATABASE:
            self.is_in_doubt = True  # if it is there again the next time
            return MissingDatabaseError(f"the database {where} does not exist; create it, or connect with create=true")
        if status == 400 and _error(response) == "no_usable_index":
            return MissingIndexError(f"{where} has no index for a query ({reason})")
        if status == 413:
            return ValueTooLargeError(
                f"{where} does not accept a document of this size ({reason}); raise max_document_size", backend=NAME
            )
        if status == 429:
            return ThrottledError(f"{where} is overloaded ({reason})", backend=NAME)
        if status == 507 or "enospc" in said:
            return BackendUnusableError(
                f"the disk of {where} is full ({status}: {reason}); nothing was written. Free some space", backend=NAME
            )
        if (status >= 500 and status != 501) or status == 408:
            return BackendUnavailableError(f"{where} failed ({status}: {reason})", backend=NAME)
        if not said and _is_json(response):
            return self._lost(response)
        if not said or status in (404, 405, 501):
            return BackendUnusableError(
                f"{where} does not have what this version asks for ({status}: {reason}): it is not CouchDB, or an "
                "index was removed. Connect again",
                backend=NAME,
            )
        return InternalError(
            f"{where} did not understand a request of this package ({status}: {reason}); please report it", backend=NAME
        )


class _Request:
    """A request under way."""

    __slots__ = ("_frame", "_session", "_thread")

    def __init__(self, session: Session, frame: FrameType) -> None:
        self._session = session
        self._frame = frame
        self._thread = threading.get_ident()
        session.begin(self, frame)

    def is_over(self, stacks: Mapping[int, FrameType]) -> bool:
        """Return whether what began it has ended, given the innermost frame of each thread; no if it is not known."""
        return not on_stack(self._frame, stacks.get(self._thread))

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._session.end(self)


class MissingDatabaseError(BackendUnusableError, ConfigurationError):
    """The database does not exist: it was never created, or was deleted while the store was open."""

    def __init__(self, message: str) -> None:
        super().__init__(message, backend=NAME)


class MissingViewError(BackendUnusableError):
    """A view does not exist: it was never created, or was removed while the store was open."""

    def __init__(self, message: str) -> None:
        super().__init__(message, backend=NAME)


class MissingIndexError(BackendUnusableError):
    """An index is not there that a query needs: it was removed under us."""

    def __init__(self, message: str) -> None:
        super().__init__(message, backend=NAME)


def is_lost(error: DataStoreError) -> bool:
    """Return whether an answer was lost, so that asking again at once may tell what the request did."""
    if not isinstance(error, BackendUnavailableError) or isinstance(error, ThrottledError):
        return False
    return not isinstance(error.__cause__, httpx.TimeoutException)  # such a server would not answer at once either


def refusal_of(answer: Mapping[str, Any]) -> DataStoreError | None:
    """Return why the server refused one document of a batch.

    ``None`` if it did what was asked, or if the document was changed or removed meanwhile: the caller then reads it
    again.
    """
    kind, reason = answer.get("error"), str(answer.get("reason"))[:_LONGEST_REASON]
    if kind in (None, "conflict", "not_found"):
        return None
    if kind in ("forbidden", "unauthorized"):
        return PermissionDeniedError(f"the server refused the document: {reason}", backend=NAME)
    if kind in ("bad_request", "doc_validation", "illegal_docid"):
        return InternalError(f"the server does not accept such a document: {kind}: {reason}", backend=NAME)
    return BackendUnavailableError(f"the server failed: {kind}: {reason}", backend=NAME)


def check_document(document: Any, id: str) -> None:
    """Check that a document is the one that was asked for, and has a revision.

    Raises:
        BackendUnavailableError: If not: the answer was damaged on its way.
    """
    member(document, "_rev", str, NAME)
    if document.get("_id") != id:
        broken(NAME, "it holds another document")


def _are_sound(rows: Sequence[Any], with_documents: bool) -> bool:
    """Return whether `_check_row` would accept all rows; faster, for the many that are sound."""
    try:
        kinds = {type(row["id"]) for row in rows} | {type(row["value"]["rev"]) for row in rows}
        if with_documents:
            others = [row for row in rows if row["doc"] is not None and row["doc"]["_id"] != row["id"]]
            return kinds <= {str} and not others
    except (TypeError, LookupError):
        return False
    return kinds <= {str}


def _check_row(row: Any, with_document: bool) -> None:
    """Check a row of a listing.

    Raises:
        BackendUnavailableError: If something in it is missing: the answer was damaged on its way.
    """
    if type(member(row, "value", dict, NAME).get("rev")) is not str:
        broken(NAME, "one of its rows has no revision")
    member(row, "id", str, NAME)
    if with_document:
        document = member(row, "doc", (dict, NoneType), NAME)
        if document is not None and document.get("_id") != row["id"]:
            broken(NAME, "one of its rows has the document of another")


_inherited: list[httpx.Client] = []


def _instead(response: httpx.Response) -> str:
    """Describe an answer that is not CouchDB's, such as a proxy's page. Only HTML is quoted: others may hold values."""
    kind = response.headers.get("Content-Type", "") or "content of an unknown type"
    return f"no JSON but {response.text[:60]!r}" if kind.startswith("text/html") else f"no JSON but {kind[:60]}"


def _reason(response: httpx.Response) -> str:
    """Return CouchDB's reason for a refusal; empty if the answer is not CouchDB's, such as a proxy's HTML page."""
    try:
        answer = response.json()
        return str(answer["error"] if answer["reason"] is None else answer["reason"])
    except (ValueError, TypeError, KeyError):
        return ""


def _error(response: httpx.Response) -> Any:
    """Return CouchDB's word for what is wrong."""
    try:
        return response.json()["error"]
    except (ValueError, TypeError, KeyError):
        return None


def _is_json(response: httpx.Response) -> bool:
    return "json" in response.headers.get("Content-Type", "")


def _object(answer: Any) -> dict[str, Any]:
    if type(answer) is not dict:
        broken(NAME, "it is not an object")
    return answer
