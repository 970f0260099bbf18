"""A proxy that makes PouchDB Server refuse what a real CouchDB 3.5 refuses, counts requests, and injects faults."""

import base64
import http.client
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from tests.servers import mango

HOST = "127.0.0.1"
LONGEST_TARGET = 8_192
LARGEST_DOCUMENT = 8_000_000
_DATABASE = re.compile(r"[a-z][a-z0-9_$()+/-]{0,237}")
_JSON_PARAMETERS = {
    *("startkey", "start_key", "endkey", "end_key", "key", "keys", "limit", "skip", "descending", "include_docs"),
    *("inclusive_end", "group", "group_level", "reduce"),
}


class Request:
    """One request on its way, as rules and faults see it."""

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes):
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        parts = urlsplit(target)
        self.path = [unquote(part) for part in parts.path.strip("/").split("/")] if parts.path != "/" else []
        self.parameters = dict(parse_qsl(parts.query, keep_blank_values=True))

    @property
    def what(self) -> str:
        """The request in a word: the method, and the special resource that it asks for."""
        special = [part for part in self.path[1:] if part.startswith("_") and part != "_partition"]
        return f"{self.method} {special[0] if special else '/'.join(['db', 'doc'][: len(self.path)])}"

    def json(self):
        return json.loads(self.body) if self.body else None


class RefusalError(Exception):
    """What CouchDB answers to a request that it does not take."""

    def __init__(self, status: int, error: str, reason: str):
        super().__init__(reason)
        self.status = status
        self.body = json.dumps({"error": error, "reason": reason}).encode() + b"\n"


Fault = Callable[["_Handler", Request], bool]
"""Acts in place of the server, and returns whether the request is dealt with; if not, it goes on."""


class StrictProxy:
    """Listens on a free port in front of a server.

    Attributes:
        requests: What was asked since the list was last cleared: `Request.what`.
        down: While true, connections are cut as soon as they ask for something.
    """

    def __init__(self, port: int, user: str, password: str):
        self.upstream = port
        self.credentials = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.requests: list[str] = []
        self.down = False
        self._faults: list[tuple[str, Fault]] = []
        self._lock = threading.Lock()
        self.partitioned: set[str] = set()
        self.designs: dict[str, dict[str, tuple[int, bytes]]] = {}
        """What the server said of design documents and indexes, by database and target, until one of them changes."""
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer((HOST, 0), handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="strict-proxy", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fail(self, what: str, *faults: Fault) -> None:
        """Let the next requests that `what` names (a regular expression for `Request.what`) meet these faults."""
        with self._lock:
            self._faults += [(what, fault) for fault in faults]

    def clear_faults(self) -> None:
        with self._lock:
            self._faults.clear()

    @contextmanager
    def outage(self):
        """Nobody answers."""
        self.down = True
        try:
            yield
        finally:
            self.down = False

    def take_fault(self, request: Request) -> Fault | None:
        with self._lock:
            for place, (what, fault) in enumerate(self._faults):
                if re.fullmatch(what, request.what):
                    del self._faults[place]
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together; who answers flushes
    proxy: StrictProxy
    _upstream: http.client.HTTPConnection | None = None
    """Kept for the next request of the same client: a connection for each would be a quarter of the work."""

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        with self.proxy._lock:
            self.proxy.requests.append(request.what)
        if self.proxy.down:
            self.cut()
            return
        fault = self.proxy.take_fault(request)
        if fault is not None and fault(self, request):
            return
        self.answer(*self.forward(request))

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any  # noqa: N815  # http.server's names

    def forward(self, request: Request) -> tuple[int, bytes]:
        """Return what a strict server answers."""
        try:
            check(request, self.proxy.credentials)
            if _changes_designs(request):
                self.proxy.designs.pop(request.path[0], None)
            if "_find" in request.path:
                return find(request, self.ask, self.ask_design)
            if request.method == "PUT" and len(request.path) == 1 and request.parameters.get("partitioned") == "true":
                self.proxy.partitioned.add(request.path[0])
            status, body = self.ask(request.method, request.target, request.body)
            if request.method == "GET" and len(request.path) == 1 and request.path[0] in self.proxy.partitioned:
                body = json.dumps({**json.loads(body), "props": {"partitioned": True}}).encode()
            return as_couchdb_answers(request, status, body, self.ask, self.ask_design)
        except RefusalError as refusal:
            return refusal.status, refusal.body
        finally:
            if _changes_designs(request):
                self.proxy.designs.pop(request.path[0], None)

    def ask(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        """Return the answer of the server behind."""
        headers = {"Authorization": self.proxy.credentials, "Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/json"
        kept, self._upstream = self._upstream, None
        try:
            if kept is not None:
                try:
                    return self._ask(kept, method, target, body, headers)
                except (http.client.RemoteDisconnected, ConnectionError):
                    kept.close()  # the server has closed it meanwhile, before it has seen the request
            return self._ask(self._connect(), method, target, body, headers)
        except (OSError, http.client.HTTPException) as error:
            raise RefusalError(503, "service_unavailable", str(error)) from error

    def ask_design(self, request: Request, target: str) -> tuple[int, bytes]:
        """Return the answer to a question about design documents, which is asked again and again."""
        known = self.proxy.designs.setdefault(request.path[0], {})
        answer = known.get(target) or self.ask("GET", target, b"")
        if answer[0] == 200:
            known[target] = answer
        return answer

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(HOST, self.proxy.upstream, timeout=600)

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, target: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        try:
            connection.request(method, target, body or None, headers)
            response = connection.getresponse()
            answer = response.status, response.read()
        except BaseException:
            connection.close()
            raise
        self._upstream = connection
        return answer

    def answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.wfile.flush()
        except OSError:
            self.close_connection = True  # the client has gone away, as some tests make it do

    def cut(self) -> None:
        """Reset the connection."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def finish(self) -> None:
        if self._upstream is not None:
            self._upstream.close()
        with suppress(OSError, ValueError):  # the connection was cut
            super().finish()


# ---------------------------------------------------------------------------------------------------------- strictness


def check(request: Request, credentials: str) -> None:
    """Refuse what CouchDB 3.5 refuses."""
    if request.headers.get("authorization") is None:
        raise RefusalError(401, "unauthorized", "Authentication required.")
    if request.headers["authorization"] != credentials:
        raise RefusalError(401, "unauthorized", "Name or password is incorrect.")
    if len(request.target) > LONGEST_TARGET:
        raise RefusalError(400, "bad_request", "Request line too long.")
    for name, value in request.parameters.items():
        if name in _JSON_PARAMETERS and not _is_json(value):
            raise RefusalError(400, "query_parse_error", f"Invalid value for {name}: {value!r}")
    if {"_all_docs", "_view"} & set(request.path):
        _check_range(request.parameters)
    if request.method == "PUT" and len(request.path) == 1 and not _DATABASE.fullmatch(request.path[0]):
        raise RefusalError(400, "illegal_database_name", f"Name: '{request.path[0]}'.")
    if request.method == "DELETE" and len(request.path) > 1 and "rev" not in request.parameters:
        raise RefusalError(409, "conflict", "Document update conflict.")
    if request.body:
        try:
            # A design document may ask what becomes of numbers.
            exact = {} if "_design" in request.path else {"parse_int": _exact_int, "parse_float": _exact_float}
            body = json.loads(request.body, **exact)
        except ValueError as error:
            raise RefusalError(400, "bad_request", f"invalid UTF-8 JSON: {error}") from error
        _check_json(body)
        for document in body.get("docs", ()) if "_bulk_docs" in request.path else ():
            if len(json.dumps(document, ensure_ascii=False).encode()) > LARGEST_DOCUMENT:
                raise RefusalError(413, "document_too_large", document.get("_id", ""))
        if "_find" in request.path:
            _check_query(body)


def _check_range(parameters: dict[str, str]) -> None:
    """All that the store asks so is ordered by bytes."""
    ends = [json.loads(parameters[name]) for name in ("startkey", "endkey") if name in parameters]
    if parameters.get("descending") == "true":
        ends.reverse()
    if len(ends) == 2 and mango.by_bytes(ends[0]) > mango.by_bytes(ends[1]):
        raise RefusalError(400, "query_parse_error", "No rows can match your key range, reverse your start_key and ...")


def _changes_designs(request: Request) -> bool:
    if request.method == "GET" or not request.path:
        return False
    return len(request.path) == 1 or bool({"_design", "_index"} & set(request.path)) or b"_design/" in request.body


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _exact_int(text: str) -> int:
    number = int(text)
    if abs(number) > 2**53:
        raise ValueError(f"JavaScript would change {text[:40]}")
    return number


def _exact_float(text: str) -> float:
    number = float(text)
    if number.is_integer() and abs(number) < 1e21:
        raise ValueError(f"JavaScript would change {text}")
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is no number")
    return number


def _check_json(value: object) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise RefusalError(400, "bad_request", "invalid UTF-8 JSON: lone surrogate") from error
    elif isinstance(value, list):
        for child in value:
            _check_json(child)
    elif isinstance(value, dict):
        if "__proto__" in value:
            raise RefusalError(400, "bad_request", "__proto__")
        for key, child in value.items():
            _check_json(key)
            _check_json(child)


def _check_query(query: dict) -> None:
    selector = query["selector"]
    if isinstance(selector.get("_id"), dict) and len(selector["_id"]) > 1:
        raise RefusalError(400, "no_usable_index", "a range of _id collates by ICU: CouchDB would find something else")
    if "use_index" in query and not {"userId", "namespace"} <= set(selector):
        raise RefusalError(400, "no_usable_index", "the index begins with userId and namespace: CouchDB would scan")


def find(request: Request, ask, ask_design) -> tuple[int, bytes]:
    """Answer a query as CouchDB does: at most 25 documents, a bookmark behind them, and only what its Mango finds."""
    query = request.json()
    limit, bookmark, names = query.pop("limit", 25), query.pop("bookmark", "nil"), query.pop("fields", None)
    status, indexes = ask_design(request, f"/{quote(request.path[0], safe='')}/_index")
    if status != 200:
        return as_couchdb_answers(request, status, indexes, ask, ask_design)
    columns, partial, warning, sort = [], {}, None, query.get("sort", [])
    if "use_index" in query:
        name = query["use_index"][0]
        known = [index["def"] for index in json.loads(indexes)["indexes"] if index["ddoc"] == f"_design/{name}"]
        if known:
            columns = [column for field in known[0]["fields"] for column in field]
            partial = known[0].get("partial_filter_selector", {})
        elif sort:
            reason = "No index exists for this sort, try indexing by the sort fields."
            raise RefusalError(400, "no_usable_index", reason)
        else:
            del query["use_index"]
            warning = f"_design/{name}, {name} was not used because it is not a valid index for this query."
    if not set(columns) <= set(query["selector"]):
        raise RefusalError(400, "no_usable_index", f"the index has {columns}: CouchDB would scan")
    if [name for one in sort for name in one] != columns[: len(sort)]:
        raise RefusalError(400, "no_usable_index", f"the index has {columns}: CouchDB cannot sort by it")
    target = f"/{quote(request.path[0], safe='')}/_find"
    status, body = ask("POST", target, json.dumps(query).encode())
    if status != 200:
        return status, body
    try:
        # PouchDB's index holds also what its definition leaves out.
        docs = [one for one in json.loads(body)["docs"] if mango.matches(partial, one)]
        backward = any("desc" in one.values() for one in sort)
        answer = mango.page(query["selector"], docs, columns, limit, bookmark, backward=backward)
    except ValueError as error:
        raise RefusalError(400, "invalid_bookmark", f"Invalid bookmark value: {bookmark}") from error
    if names:
        answer["docs"] = [{name: one[name] for name in names if name in one} for one in answer["docs"]]
    if warning:
        answer["warning"] = warning
    return status, json.dumps(answer).replace('"docs": [', '"docs":[').encode()


def as_couchdb_answers(request: Request, status: int, body: bytes, ask, ask_design) -> tuple[int, bytes]:
    """Return the answer in CouchDB's words."""
    if status == 404 and b"no_db_file" in body:
        return status, b'{"error":"not_found","reason":"Database does not exist."}\n'
    if status == 404 and request.method == "GET" and len(request.path) == 2 and b'"missing"' in body:
        (id,) = request.path[1:]
        return status, body.replace(b'"missing"', b'"deleted"') if "ok" in _absent(request, [id], ask)[id] else body
    if status == 200 and "_view" in request.path and {"group", "group_level"} & set(request.parameters):
        return status, _merged(request, body, ask, ask_design)
    if status == 200 and "_bulk_get" in request.path:
        answer = json.loads(body)
        absent = _absent(request, [result["id"] for result in answer["results"] if not all(result["docs"])], ask)
        for result in answer["results"]:
            result["docs"] = [document or absent[result["id"]] for document in result["docs"]]
        return status, json.dumps(answer).encode()
    if status == 200 and "_all_docs" in request.path and body.startswith(b'{"'):
        return status, body.replace(b'"rows":[{', b'"rows":[\r\n{').replace(b'}},{"id"', b'}},\r\n{"id"')
    return status, body


def _merged(request: Request, body: bytes, ask, ask_design) -> bytes:
    """Return reduced rows as CouchDB finds them and adds them up between shards: those that ICU calls equal become one.

    An end key that is an object lies behind all text for ICU, and before it where the view compares bytes.
    """
    design = f"/{quote(request.path[0], safe='')}/_design/{request.path[-3]}"
    view = json.loads(ask_design(request, design)[1])["views"][request.path[-1]]
    start, end = (json.loads(request.parameters.get(name, "null")) for name in ("startkey", "endkey"))
    if view.get("options", {}).get("collation") == "raw":
        answer = json.loads(body)
        return json.dumps({**answer, "rows": [] if {} in (end or ()) else answer["rows"]}).encode()
    rows = json.loads(ask("GET", f"{design}/_view/{request.path[-1]}?group=true", b"")[1])["rows"]
    level = int(request.parameters.get("group_level", "99"))
    merged: dict = {}
    for row in rows:
        key = mango.collated(row["key"])
        if (start is None or mango.collated(start) <= key) and (end is None or key <= mango.collated(end)):
            row["key"] = row["key"][:level]
            first = merged.setdefault(mango.collated(row["key"]), row)
            first["value"] += row["value"] if first is not row else 0
    return json.dumps({"rows": [merged[key] for key in sorted(merged)]}).encode()


def _absent(request: Request, ids: list[str], ask) -> dict[str, dict]:
    """Return what CouchDB says of documents that are missing, or deleted."""
    if not ids:
        return {}
    _, body = ask("POST", f"/{request.path[0]}/_all_docs", json.dumps({"keys": ids}).encode())
    said = {}
    for id, row in zip(ids, json.loads(body)["rows"], strict=True):
        if "value" in row:
            said[id] = {"ok": {"_id": id, "_rev": row["value"]["rev"], "_deleted": True}}
        else:
            said[id] = {"error": {"id": id, "rev": "undefined", "error": "not_found", "reason": "missing"}}
    return said


# --------------------------------------------------------------------------------------------------------------- faults


def status(number: int, error: str = "error", reason: str = "injected") -> Fault:
    """The server answers with an error."""

    def fault(handler: _Handler, request: Request) -> bool:
        handler.answer(number, json.dumps({"error": error, "reason": reason}).encode())
        return True

    return fault


def page_of_html(number: int) -> Fault:
    """Something between client and server answers, and not in JSON."""

    def fault(handler: _Handler, request: Request) -> bool:
        handler.answer(number, b"<html><body><h1>Not Found</h1>nginx</body></html>", "text/html")
        return True

    return fault


def reset(handler: _Handler, request: Request) -> bool:
    """The connection is reset before the request reaches the server."""
    handler.cut()
    return True


def reset_after(handler: _Handler, request: Request) -> bool:
    """The server has done it, and its answer is lost."""
    handler.forward(request)
    handler.cut()
    return True


def reset_in_the_body(handler: _Handler, request: Request) -> bool:
    """The answer breaks off half-way."""
    code, body = handler.forward(request)
    handler.send_response(code)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.wfile.flush()
    handler.cut()
    return True


def stall(seconds: float) -> Fault:
    """The answer takes longer than the client waits; the server does what was asked."""

    def fault(handler: _Handler, request: Request) -> bool:
        answer = handler.forward(request)
        time.sleep(seconds)
        handler.answer(*answer)
        return True

    return fault


def meanwhile(act: Callable[[], object]) -> Fault:
    """Something else happens just before the request arrives."""

    def fault(handler: _Handler, request: Request) -> bool:
        act()
        return False

    return fault
