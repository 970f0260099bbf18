"""A model of CouchDB 3.5 at the level of HTTP, and the adapter over it: its own code down to the transport of httpx.

`CouchModel` answers requests. It has what the adapter asks for, and says so if it is asked for something else. That it
answers as a server does is tested: the same calls go through the adapter to it and to PouchDB Server, and must come to
the same (`test_couch.py`).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from random import Random
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx

from datastore.backend import Backend
from datastore.conformance.simulation.history import ASKS_BEFORE_IT_COUNTS, CLEARS_UNTIL_EMPTY
from datastore.conformance.simulation.luck import FAULTS, MORE
from datastore.conformance.simulation.network import (
    REQUEST_SECONDS,
    AnswerCutError,
    Client,
    ConnectionBrokeError,
    NoAnswerError,
    ServerError,
    TooManyRequestsError,
)
from datastore.conformance.simulation.world import Process, World
from datastore_couchdb import backend, reading
from datastore_couchdb.backend import CouchBackend
from datastore_couchdb.client import Session, Settings
from datastore_couchdb.flags import is_flag
from datastore_couchdb.schema import COUNTS, EXCEPTIONS
from tests.servers import mango
from tests.simulation.tokens import short

SETTINGS = Settings("http://couch.invalid:5984", "admin", "secret", "db", REQUEST_SECONDS)
_EMPTY_AT_FIRST = 0.1
"""In so many runs the first process makes the database; in the others it is there."""
_SHORTENED = 0.98
"""In so many runs requests take the short way."""
_SMALL_PAGES, _PAGE_BYTES = 0.2, 500
"""In so many runs the adapter reads a page up to so many bytes: some records. Otherwise that takes 16 MB."""
_INDEX = "_design/"


class Answer(NamedTuple):
    """An answer."""

    status: int
    body: bytes


class Revision(NamedTuple):
    """The last revision of a document: the only one that anything is kept of."""

    number: int
    digest: str
    fields: dict[str, Any]
    """Its fields, without those that begin with an underscore."""
    deleted: bool

    @property
    def rev(self) -> str:
        """What it is called."""
        return f"{self.number}-{self.digest}"

    def document(self, id: str) -> dict[str, Any]:
        """Return it as CouchDB sends it."""
        own: dict[str, Any] = {"_id": id, "_rev": self.rev}
        return own | self.fields | ({"_deleted": True} if self.deleted else {})


class CouchModel:
    """A server with at most one database. It never forgets what it has acknowledged."""

    def __init__(self) -> None:
        self.documents: dict[str, Revision] | None = None
        """By id; ``None`` if there is no database."""
        self.built: dict[str, dict[str, list[Any]]] = {}
        """The Mango indexes as they were last brought up to date: by name and id, the fields of each document."""

    def answer(self, method: str, target: str, sent: Any, part: int | None = None) -> Answer:
        """Answer a request.

        Args:
            method: Its method.
            target: Its path, with parameters.
            sent: What its body says.
            part: How many documents of a batch to write before the server fails; ``None`` for all.
        """
        path, parameters = _parsed(target)
        if path == [""]:
            return _said(200, {"couchdb": "Welcome", "version": "3.5.0"})
        if len(path) == 1:
            return self._database(method)
        if self.documents is None:
            return _said(404, {"error": "not_found", "reason": "Database does not exist."})
        match method, path[1:]:
            case "PUT", ["_revs_limit"]:
                return _said(200, {"ok": True})
            case "GET", ["_revs_limit"]:
                return Answer(200, b"20\n")
            case "POST", ["_index"]:
                return self._make_index(sent)
            case "POST", ["_bulk_docs"]:
                return _said(201, [self._written(document) for document in sent["docs"][:part]])
            case "POST", ["_bulk_get"]:
                return _said(200, {"results": [self._got(one["id"]) for one in sent["docs"]]})
            case "POST", ["_find"]:
                return self._find(sent)
            case "POST", ["_all_docs"]:
                return _rows([self._row(id, include_docs=False) for id in sent["keys"]])
            case "GET", ["_all_docs"]:
                return self._all_docs(**parameters)
            case "GET", ["_design", _, "_info"]:
                return _said(200, {"view_index": {"updates_pending": {"minimum": 0}, "updater_running": False}})
            case "GET", ["_design", name, "_view", view]:
                return self._view(_INDEX + name, view, **parameters)
            case "GET", ["_design", name]:
                return self._get(_INDEX + name)
            case "PUT", ["_design", name]:
                said = self._written({**sent, "_id": _INDEX + name})
                return _said(409 if "error" in said else 201, said)
            case "GET", [id]:
                return self._get(id, **parameters)
        raise AssertionError(f"the model has no {method} {target}")

    def _database(self, method: str) -> Answer:
        if method == "PUT":
            if self.documents is not None:
                return _said(412, {"error": "file_exists", "reason": "The database could not be created."})
            self.documents = {}
            return _said(201, {"ok": True})
        if self.documents is None:
            return _said(404, {"error": "not_found", "reason": "Database does not exist."})
        count = sum(not one.deleted for one in self.documents.values())
        return _said(200, {"db_name": "db", "doc_count": count, "props": {}})

    def _there(self, id: str) -> Revision | None:
        assert self.documents is not None
        found = self.documents.get(id)
        return None if found is None or found.deleted else found

    def _written(self, document: dict[str, Any]) -> dict[str, Any]:
        """Write one document of a batch, if its revision is that of the document, or there is none."""
        assert self.documents is not None
        id, rev = document["_id"], document.get("_rev")
        old = self.documents.get(id)
        if rev != (None if old is None else old.rev) and not (rev is None and old is not None and old.deleted):
            return {"id": id, "error": "conflict", "reason": "Document update conflict."}
        fields = {name: value for name, value in document.items() if not name.startswith("_")}
        deleted = document.get("_deleted", False)
        number, parent = (0, "") if old is None else old[:2]
        text = json.dumps([id, parent, deleted, fields])  # the same change of the same revision has the same name
        new = Revision(number + 1, blake2b(text.encode(), digest_size=8).hexdigest(), fields, deleted)
        self.documents[id] = new
        return {"ok": True, "id": id, "rev": new.rev}

    def _get(self, id: str, open_revs: str | None = None) -> Answer:
        assert self.documents is not None
        found = self.documents.get(id)
        if open_revs is not None and found is not None:
            return _said(200, [{"ok": found.document(id)}])
        if found is None or found.deleted:
            return _said(404, {"error": "not_found", "reason": "missing" if found is None else "deleted"})
        return _said(200, found.document(id))

    def _got(self, id: str) -> dict[str, Any]:
        assert self.documents is not None
        found = self.documents.get(id)
        if found is None:
            missing = {"id": id, "rev": "undefined", "error": "not_found", "reason": "missing"}
            return {"id": id, "docs": [{"error": missing}]}
        document = found.document(id)
        if found.deleted:
            document = {"_id": id, "_rev": found.rev, "_deleted": True}
        return {"id": id, "docs": [{"ok": document}]}

    def _row(self, id: str, *, include_docs: bool) -> dict[str, Any]:
        assert self.documents is not None
        found = self.documents.get(id)
        if found is None:
            return {"key": id, "error": "not_found"}
        if found.deleted:
            return {"id": id, "key": id, "value": {"rev": found.rev, "deleted": True}, "doc": None}
        row: dict[str, Any] = {"id": id, "key": id, "value": {"rev": found.rev}}
        return row | ({"doc": found.document(id)} if include_docs else {})

    def _all_docs(
        self,
        startkey: str | None = None,
        endkey: str | None = None,
        *,
        inclusive_end: bool = True,
        descending: bool = False,
        limit: int | None = None,
        include_docs: bool = False,
    ) -> Answer:
        assert self.documents is not None
        low, high = (endkey, startkey) if descending else (startkey, endkey)
        if low is not None and high is not None and low > high:
            return _said(400, {"error": "query_parse_error", "reason": "No rows can match your key range"})
        ids = sorted(
            id
            for id, one in self.documents.items()
            if not one.deleted
            and (low is None or id >= low)
            and (high is None or id <= high)
            and (inclusive_end or id != endkey)
        )
        if descending:
            ids.reverse()
        return _rows([self._row(id, include_docs=include_docs) for id in ids[:limit]])

    def _view(
        self,
        design: str,
        name: str,
        startkey: Any = None,
        endkey: Any = None,
        *,
        inclusive_end: bool = True,
        limit: int | None = None,
        group_level: int | None = None,
    ) -> Answer:
        """Read one of the store's views. Both compare keys by bytes, and are brought up to date for each request."""
        if self._there(design) is None:
            return _said(404, {"error": "not_found", "reason": "missing"})
        emitted = sorted(
            (key, id, value) for id, found in self._live() for key, value in _VIEWS[name](id, found.fields)
        )
        inside = [
            one
            for one in emitted
            if (startkey is None or one[0] >= startkey)
            and (endkey is None or one[0] < endkey or (inclusive_end and one[0] == endkey))
        ]
        if name != COUNTS:
            return _rows([{"id": id, "key": key, "value": value} for key, id, value in inside[:limit]])
        groups: dict[str, dict[str, Any]] = {}
        for key, _, _ in inside:
            group = None if group_level is None else key[:group_level]
            groups.setdefault(json.dumps(group), {"key": group, "value": 0})["value"] += 1
        return _rows(list(groups.values()))

    def _live(self) -> Iterator[tuple[str, Revision]]:
        assert self.documents is not None
        for id, found in self.documents.items():
            if not found.deleted and not id.startswith(_INDEX):
                yield id, found

    def _make_index(self, sent: dict[str, Any]) -> Answer:
        id = _INDEX + sent["ddoc"]
        answer = {"id": id, "name": sent["name"], "result": "exists"}
        if self._there(id) is None:
            view = {"map": sent["index"], "reduce": "_count", "options": {"def": sent["index"]}}
            self._written({"_id": id, "language": "query", "views": {sent["name"]: view}})
            answer["result"] = "created"
        return _said(200, answer)

    def _find(self, query: dict[str, Any]) -> Answer:
        """Answer a query as Mango does; with ``update`` unset, from the index as it was last built."""
        documents = [found.document(id) for id, found in self._live()]
        columns, warning, sort = list[str](), None, query.get("sort", [])
        if "use_index" in query:
            (name, _) = query["use_index"]
            design = self._there(_INDEX + name)
            if design is not None:
                index = design.fields["views"][name]["options"]["def"]
                columns = index["fields"]
                documents = self._indexed(name, index, documents, update=query.get("update", True))
            elif sort:
                return _said(400, {"error": "no_usable_index", "reason": "No index exists for this sort"})
            else:
                warning = f"_design/{name}, {name} was not used because it is not a valid index for this query."
        backward = any("desc" in one.values() for one in sort)
        limit, bookmark = query.get("limit", 25), query.get("bookmark", "nil")
        answer = mango.page(query["selector"], documents, columns, limit, bookmark, backward=backward)
        if "fields" in query:
            answer["docs"] = [{name: one[name] for name in query["fields"] if name in one} for one in answer["docs"]]
        return _said(200, answer | ({} if warning is None else {"warning": warning}))

    def _indexed(
        self, name: str, index: dict[str, Any], documents: list[dict[str, Any]], *, update: bool
    ) -> list[dict[str, Any]]:
        """Return the documents that an index leads to. A stale one leads to documents by what they were."""
        columns = index["fields"]
        partial = index.get("partial_filter_selector", {})
        if update or name not in self.built:
            self.built[name] = {
                one["_id"]: [mango.field(one, column) for column in columns]
                for one in documents
                if mango.is_in_index(one, columns) and mango.matches(partial, one)
            }
        built = self.built[name]
        if update:
            return [one for one in documents if one["_id"] in built]
        return [
            one
            for one in documents
            if one["_id"] in built and [mango.field(one, column) for column in columns] == built[one["_id"]]
        ]


@functools.lru_cache(maxsize=10_000)
def _parsed(target: str) -> tuple[list[str], dict[str, Any]]:
    """Return the steps of a target, and its parameters. Nobody changes them."""
    split = urlsplit(target)
    parameters = {
        name: json.loads(value) if name not in ("open_revs", "partitioned") else value
        for name, value in parse_qsl(split.query)
    }
    return [unquote(step) for step in split.path.strip("/").split("/")], parameters


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def _said(status: int, what: Any) -> Answer:
    return Answer(status, _encode(what).encode() + b"\n")


def _rows(rows: list[dict[str, Any]]) -> Answer:
    """Return rows as CouchDB sends them: a line for each."""
    lines = ",\r\n".join(map(_encode, rows))
    return Answer(200, f'{{"total_rows":{len(rows)},"offset":0,"rows":[\r\n{lines}\r\n]}}\n'.encode())


def _counted(id: str, fields: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    if fields.get("revision") and fields.get("namespace"):
        yield [fields["userId"], fields["namespace"], id], None


def _excepted(id: str, fields: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    if not isinstance(fields.get("revision"), str):
        yield id, None
    elif fields.get("expiresAt"):
        yield id, fields["expiresAt"]


_VIEWS: dict[str, Callable[[str, dict[str, Any]], Iterator[tuple[Any, Any]]]] = {
    COUNTS: _counted,
    EXCEPTIONS: _excepted,
}
"""What the functions of the store's views emit (`datastore_couchdb.schema`)."""


class Transport(httpx.BaseTransport):
    """Brings the requests of the adapter's HTTP client to a model, by way of a network if there is one."""

    def __init__(self, model: CouchModel, client: Client | None = None) -> None:
        self._model = model
        self._client = client
        self.clients = 0
        """How many clients use it that were not closed."""

    def close(self) -> None:
        """Note that a client was closed."""
        self.clients -= 1

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its answer or raise what httpx raises."""
        try:
            answer = self.send(request.method, request.url.raw_path.decode(), request.read())
        except httpx.RequestError as error:
            error.request = request
            raise
        if isinstance(answer, Cut):
            return httpx.Response(answer.status, headers=HEADERS, stream=answer)
        return httpx.Response(answer.status, headers=HEADERS, content=answer.body)

    def send(self, method: str, target: str, body: bytes) -> Answer | Cut:
        """Send a request, and return its answer or raise what httpx raises."""
        sent = json.loads(body) if body else None

        def carry_out(part: int | None) -> Answer:
            return self._model.answer(method, target, sent, part)

        if self._client is None:
            return carry_out(None)
        size = len(sent["docs"]) if "_bulk_docs" in target else 1
        try:
            answer: Answer = self._client.request(functools.partial(_told, method, target, sent), carry_out, size)
        except TooManyRequestsError:
            return _said(429, {"error": "too_many_requests", "reason": "slow down"})
        except ServerError as error:
            return _said(int(str(error)[:3]), {"error": "unknown_error", "reason": "badmatch"})
        except AnswerCutError as cut:
            return _cut(cut.answer, cut.where)
        except NoAnswerError as error:
            raise httpx.ReadTimeout(str(error)) from error
        except ConnectionBrokeError as error:
            raise httpx.ReadError(str(error)) from error
        return answer


class Cut(httpx.SyncByteStream):
    """The beginning of an answer. The client sees that it is not whole, or a proxy has hidden that from it."""

    def __init__(self, status: int, body: bytes, hidden: bool) -> None:
        self.status = status
        self._body = body
        self._hidden = hidden

    def __iter__(self) -> Iterator[bytes]:
        yield self._body
        if not self._hidden:
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


def _cut(answer: Answer, where: float) -> Cut:
    """Return an answer cut at a place, from 0 to less than 1; every other place is hidden from the client."""
    whole = answer.body.rstrip()
    place = int(where * 2 * len(whole))
    return Cut(answer.status, whole[: place // 2], bool(place % 2))


HEADERS = {"Content-Type": "application/json"}


class ShortWay(httpx.Client):
    """From a call of the client to its transport and back, without most of httpx: objects for URLs, headers, streams.

    That takes half of the time of a run. Whatever is called otherwise than the adapter does goes the whole way, such as
    what `couchdb3` asks for. That a run is the same on both ways is tested.
    """

    def __init__(self, transport: Transport, **options: Any) -> None:
        # Nothing is made of the client before something asks for it: that takes as long as some requests.
        self._short = transport
        self._options = options
        self._was_closed = False

    def __getattr__(self, name: str) -> Any:
        options = self.__dict__.pop("_options", None)
        if options is None:
            raise AttributeError(name)
        super().__init__(transport=self._short, **options)
        return getattr(self, name)

    def request(self, method: str, url: Any, *, content: Any = None, **more: Any) -> Any:
        """Send a request, and return the answer."""
        if more:
            return super().request(method, url, content=content, **more)
        answer = _Response(self._short.send(method, _target(url), content or b""))
        answer.read()
        return answer

    @contextmanager
    def stream(self, method: str, url: Any, *, content: Any = None) -> Iterator[Any]:  # type: ignore[override]  # no more is used
        """Send a request, and return the answer before it is read."""
        yield _Response(self._short.send(method, _target(url), content or b""))

    def close(self) -> None:
        """Close it."""
        if not self._was_closed:
            self._was_closed = True
            self._short.close()


class _Response:
    """What the adapter uses of `httpx.Response`."""

    headers = HEADERS

    def __init__(self, answer: Answer | Cut) -> None:
        self._answer = answer
        self.status_code = answer.status

    @property
    def content(self) -> bytes:
        return self.read()

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)

    def read(self) -> bytes:
        if isinstance(self._answer, Cut):
            self._answer = Answer(self._answer.status, b"".join(self._answer))
        return self._answer.body

    def iter_bytes(self, _: int | None = None) -> Iterator[bytes]:
        yield from self._answer if isinstance(self._answer, Cut) else (self._answer.body,)


def _target(url: Any) -> str:
    """Return the path and the parameters of a URL."""
    if isinstance(url, _URL):
        return url.raw_path.decode()
    return str(url)[len(SETTINGS.origin) :]


def _told(method: str, target: str, sent: Any) -> str:
    """Return what the story says of a request."""
    path = urlsplit(target).path.strip("/").split("/")[1:]
    if path[:1] in (["_bulk_docs"], ["_bulk_get"]):
        names = [_named(one.get("_id") or one["id"], one.get("_rev", "")) for one in sent["docs"]]
        return f"{path[0]} {', '.join(names)}"
    if len(path) == 1 and not path[0].startswith("_"):
        return f"{method} {_named(unquote(path[0]))}{' open_revs' if 'open_revs' in target else ''}"
    return f"{method} {'/'.join(path)}"


def _named(id: str, rev: str = "") -> str:
    name = short(id[:-1]) + "!" if is_flag(id) else short(id)
    return f"{name}@{rev[: rev.find('-') + 4]}" if rev else name


class CouchDatabase:
    """The database of a run.

    Args:
        adapter: The adapter.
        shortened: Whether requests take a short way through the HTTP client; by default in 98 of a hundred runs.
    """

    faults = frozenset((*FAULTS, *MORE))
    connects = True
    limits = frozenset({CLEARS_UNTIL_EMPTY, ASKS_BEFORE_IT_COUNTS})

    def __init__(self, adapter: type[CouchBackend] = CouchBackend, *, shortened: bool | None = None) -> None:
        self._adapter = adapter
        self._shortened = shortened
        self._model: CouchModel | None = None
        self._transports: dict[Process, list[Transport]] = {}
        self._chance: Random

    def make_anew(self) -> bool:
        """See `MadeAnew.make_anew`."""
        assert self._model is not None
        # Another process, or one that starts over, has prepared it; or nobody has.
        is_prepared = self._chance.random() < 0.5
        self._model.documents = _prepared_documents() if is_prepared else {}
        self._model.built = {}
        return True

    def adapter(self, client: Client) -> Backend:
        """See `Database.adapter`."""
        client.patience = lambda: REQUEST_SECONDS  # httpx knows nothing of deadlines
        if self._model is None:
            self._chance = Random(f"{client.world.plan.seed} made anew")
            is_empty = Random(f"{client.world.plan.seed} database").random() < _EMPTY_AT_FIRST
            self._model = CouchModel()
            if not is_empty:
                self._model.documents = _prepared_documents()
        if self._shortened is None:
            self._shortened = Random(f"{client.world.plan.seed} client").random() < _SHORTENED
        transport = Transport(self._model, client)
        self._transports.setdefault(client.process, []).append(transport)
        return opened(transport, self._adapter, shortened=self._shortened)

    def replaced(self, world: World) -> Iterator[tuple[Any, str, Any]]:
        """See `Replacing.replaced`."""
        if Random(f"{world.plan.seed} pages").random() < _SMALL_PAGES:
            for module in (backend, reading):
                yield module, "PAGE_BYTES", _PAGE_BYTES

    def left_open(self, process: Process) -> int:
        """See `Connected.left_open`."""
        return sum(transport.clients for transport in self._transports[process])


def opened(
    transport: httpx.BaseTransport,
    adapter: type[CouchBackend] = CouchBackend,
    settings: Settings = SETTINGS,
    *,
    shortened: bool = False,
) -> CouchBackend:
    """Return a backend whose HTTP client sends its requests through a transport, perhaps by the `ShortWay`."""

    def session(settings: Settings) -> Session:
        backend.Session = Session  # before anything waits
        return _Over(transport, settings, shortened=shortened)

    backend.Session = session  # type: ignore[assignment, misc]  # it is called as the class is
    try:
        return adapter(settings)
    finally:
        backend.Session = Session


class _Over(Session):
    """Sends requests through a transport, also with the client that it makes after a fork."""

    def __init__(self, transport: httpx.BaseTransport, settings: Settings, *, shortened: bool) -> None:
        self._transport = transport
        self._shortened = shortened
        httpx.URL = _url  # type: ignore[assignment, misc]  # it is called as the class is, with the same few addresses
        try:
            super().__init__(settings)
        finally:
            httpx.URL = _URL  # type: ignore[misc]  # a class, put back

    def _open(self) -> None:
        transport = self._transport

        def client(auth: Any, headers: Any, timeout: float, **_: Any) -> httpx.Client:
            options = {"auth": auth, "headers": headers, "timeout": timeout, "trust_env": False}
            if isinstance(transport, Transport):
                transport.clients += 1
            if self._shortened:
                assert isinstance(transport, Transport)
                return ShortWay(transport, **options)
            return _CLIENT(transport=transport, **options)

        httpx.Client = client  # type: ignore[assignment, misc]  # it is called as the class is, and nothing waits
        try:
            super()._open()
        finally:
            httpx.Client = _CLIENT  # type: ignore[misc]  # a class, put back


_CLIENT, _URL = httpx.Client, httpx.URL
_url = functools.lru_cache(_URL)


def _prepared_documents() -> dict[str, Revision]:
    """Return what a database holds that is ready for the store. Revisions are replaced, and never changed."""
    documents = _prepared().documents
    assert documents is not None
    return dict(documents)


@functools.cache
def _prepared() -> CouchModel:
    """Return a database that is ready for the store. No one writes to it."""
    model = CouchModel()
    opened(Transport(model)).close()
    return model
