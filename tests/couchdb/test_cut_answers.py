"""Every answer of every call, cut at several places: the right result after a repetition, or a typed error.

Whatever a proxy or a broken connection makes of an answer, no part of it is taken for what is stored. Afterwards the
database holds either what the call should store, or what was there before. Every answer is cut at a third of the
places, and in a full run at every place (`tests.full.some`).
"""

import itertools
import json
from collections.abc import Callable
from contextlib import suppress

import pytest

import datastore
from datastore import DataStoreError, NamespaceStats, Record
from datastore.backend import Fields, IdRange
from datastore.conformance.calls import CALLS
from datastore.conformance.documents import put
from datastore.ids import decode_id
from datastore.moving import copy
from tests.couchdb.server import proxy_request
from tests.full import some
from tests.servers.strict_couchdb import reset_in_the_body
from tests.timeless import timeless

pytestmark = pytest.mark.server("couchdb")
OWN_DATABASES = True  # who is cut off from an answer does not know when the server is done

MEMBERS = {
    *("rows", "docs", "results", "id", "_id", "rev", "_rev", "ok", "error", "reason", "value", "key", "doc", "result"),
    *("doc_count", "db_name", "version"),
}
"""What CouchDB's answers are made of. The fields of a document are its own: without one it is damaged, or another."""
RANDOM = {"set", "add", "create", "set over another one's"}
"""The calls whose result is new each time."""


def body(cut: Callable[[bytes], bytes], kind: str = "application/json", status: int | None = None):
    """An answer with another body, and the length of that."""

    def fault(handler, request):
        code, whole = handler.forward(request)
        handler.answer(status or code, cut(whole), kind)
        return True

    return fault


def last_chunk_missing(handler, request):
    """Half of the body in a chunk, and no end."""
    code, whole = handler.forward(request)
    half = whole[: len(whole) // 2]
    handler.send_response(code)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(f"{len(half):x}\r\n".encode() + half + b"\r\n")
    handler.wfile.flush()
    handler.cut()
    return True


PLACES = {
    "empty": body(lambda whole: b""),
    "half": body(lambda whole: whole[: len(whole) // 2]),
    "one byte less": body(lambda whole: whole.rstrip()[:-1]),
    "shorter than announced": reset_in_the_body,
    "no last chunk": last_chunk_missing,
    "html": body(lambda whole: b"<html><body>Be back soon</body></html>", "text/html", 200),
    "no members": body(lambda whole: b"{}", status=200),
    "no elements": body(lambda whole: b"[]", status=200),
    "null": body(lambda whole: b"null", status=200),
}


def members_of(answer: object, path: tuple = ()) -> list[tuple]:
    """Return the paths of the members of an answer, and of the first elements in it."""
    if isinstance(answer, list) and answer:
        return members_of(answer[0], (*path, 0))
    found = []
    if isinstance(answer, dict):
        for name, child in answer.items():
            if name in MEMBERS and ("_id" not in answer or name.startswith("_")):
                found.append((*path, name))
                if name != "value" or isinstance(child, dict):
                    found += members_of(child, (*path, name))
    return found


def without(path: tuple) -> Callable[[bytes], bytes]:
    """Return what removes a member from an answer."""

    def cut(whole: bytes) -> bytes:
        answer = parent = json.loads(whole)
        with suppress(LookupError, TypeError):  # an answer of another shape than the first time
            for step in path[:-1]:
                parent = parent[step]
            parent.pop(path[-1], None)
        return json.dumps(answer, separators=(",", ":")).encode()

    return cut


def places_of(answer: bytes) -> dict[str, Callable]:
    try:
        members = members_of(json.loads(answer))
    except ValueError:
        members = []
    return PLACES | {f"without {path}": body(without(path)) for path in members}


def to_memory(bench):
    with datastore.connect("memory://") as target:
        report = copy(bench.store, target, user_id=bench.user)
        return report.written, {r.key: r.value for r in target.agent(bench.user, "a").iter_records()}


def from_memory(bench):
    with datastore.connect("memory://") as source:
        source.agent(bench.user, "x").use_namespace("copied").set_many({"a": 1, "b": 2})
        source.agent(bench.user, "x").set("key", "theirs")
        return copy(source, bench.store, overwrite=True).written


def flush(bench):
    bench.agent.get_many(["key", "other"])
    bench.store.flush()


def after_a_stranger(call):
    """The record was changed by another process: what is known of it here is out of date."""

    def changed(bench):
        bench.stranger.agent(bench.user, "stranger").set("key", 100)
        return call(bench.agent)

    return changed


OTHERS = {
    "forget": lambda bench: bench.store.forget(bench.user),
    "purge": lambda bench: bench.store.purge_expired() > 0,
    "purge of one user": lambda bench: bench.store.purge_expired(bench.user),
    "users": lambda bench: bench.user in bench.store.users(),
    "touch another one's": after_a_stranger(lambda agent: agent.touch("key", ttl=60)),
    "flush": flush,
    "copy": to_memory,
    "restore": from_memory,
    "examine": lambda bench: [finding.healthy for finding in bench.store.backend.examine(0.0)][:2],
    "document_count": lambda bench: bench.store.backend.document_count() > 0,
    "set over another one's": after_a_stranger(lambda agent: agent.set("key", 1)),
    "delete another one's": after_a_stranger(lambda agent: agent.delete("key")),
    "increment another one's": after_a_stranger(lambda agent: agent.increment("key")),
}
EVERY = {name: (lambda bench, call=call: call(bench.agent)) for name, call in CALLS.items()} | OTHERS


class Bench:
    """A store with a user of its own for each attempt, and another process's store that looks at what became of it."""

    numbers = itertools.count()

    def __init__(self, store, stranger):
        self.store, self.stranger = store, stranger

    def fill(self) -> None:
        self.user = f"user{next(self.numbers)}"
        self.agent = self.store.agent(self.user, "a")
        values = {"key": 1, "other": 2, "list": [], "object": {"a": 1}, "ke": {"a": 5}}
        common = {"user": self.user, "at": self.store._core.now(), "agent": "a"}
        puts = [put(key, value, namespace="default", metadata={"m": 1}, **common) for key, value in values.items()]
        puts.append(put("old", 1, namespace="default", expires_at="2026-01-01T00:00:00.000000Z", **common))
        self.store._core.write([*puts, put("k", 1, namespace="second", **common)])

    def state(self) -> dict:
        """Return what is stored of the user, seen by the other process, once all is counted."""
        self.store.flush()
        range = IdRange(f"{self.user}:", f"{self.user};")
        found = self.stranger._core.scan(range, Fields.ALL)
        return {
            decode_id(one.id)[1:]: (timeless(one.value), one.metadata, one.access_count, one.created_by_agent)
            for one in found
        }

    def plain(self, name: str, result: object) -> str:
        """Return a result as text that is the same for every user."""
        if name in RANDOM:
            return type(result).__name__
        if isinstance(result, Record):
            result = (result.key, timeless(result.value), result.metadata, result.created_by_agent)
        if isinstance(result, NamespaceStats):
            result = result._replace(updated_at=None)
        if isinstance(result, dict):
            result = {key: self.plain(name, value) for key, value in result.items()}
        if isinstance(result, list):
            return repr([self.plain(name, one) for one in result])
        if hasattr(result, "records") and hasattr(result, "cursor"):
            return self.plain(name, result.records)
        return repr(result).replace(self.user, "user")


@pytest.fixture
def bench(name, url, proxy):
    with (
        datastore.connect(url, flush_interval=3_600, retry_seconds=5) as store,
        datastore.connect(url, tracking="off") as stranger,
    ):
        yield Bench(store, stranger)
    proxy_request(proxy, "DELETE", f"/{name}")


def same_keys(name: str, state: dict) -> dict:
    """Return a state in which new keys that are random have a name."""
    known = {"key", "other", "list", "object", "ke", "k"}
    return {(ns, key if name != "create" or key in known else "new"): value for (ns, key), value in state.items()}


def keeping(answers: list[bytes]):
    def fault(handler, request):
        code, whole = handler.forward(request)
        answers.append(whole)
        handler.answer(code, whole)
        return True

    return fault


def passing(handler, request):
    return False


@pytest.mark.parametrize("called", EVERY)
def test_no_answer_that_is_not_whole_is_taken_for_one(called, bench, proxy, monkeypatch, record_property):
    monkeypatch.setattr("datastore.core._FIRST_DELAY", 0.001)
    call = EVERY[called]
    bench.fill()
    before = bench.state()
    answers: list[bytes] = []
    proxy.fail(".*", *[keeping(answers)] * 20)
    expected = bench.plain(called, call(bench))
    proxy.clear_faults()
    after = same_keys(called, bench.state())
    assert answers
    tried = 0
    for number, answer in enumerate(answers):
        for place, fault in some(places_of(answer), list(EVERY).index(called) + number).items():
            bench.fill()
            proxy.fail(".*", *[passing] * number, fault)
            what = f"{called}, answer {number}, {place}"
            try:
                result = bench.plain(called, call(bench))
            except DataStoreError:
                result = None
            proxy.clear_faults()
            state = same_keys(called, bench.state())
            if result is not None:
                assert result == expected, what
                assert state == after, what
            else:
                for key in state.keys() | before.keys() | after.keys():
                    others = (100, *before[key][1:]) if "another" in called and key in before else None
                    assert state.get(key) in (before.get(key), others, after.get(key)), (what, key)
            tried += 1
    record_property("answers cut", f"{len(answers)} at {tried} places")


def test_connecting_takes_no_half_answer_for_a_database(bench, url, proxy):
    """Nor for one without its indexes, which it would make again, or do without."""
    answers: list[bytes] = []
    proxy.fail(".*", *[keeping(answers)] * 20)
    datastore.connect(url).close()
    proxy.clear_faults()
    assert len(answers) == 2
    for number, answer in enumerate(answers):
        for place, fault in places_of(answer).items():
            proxy.fail(".*", *[passing] * number, fault)
            try:
                with datastore.connect(url) as store:
                    assert len(store.backend._schema.indexes) == 3, place
                    store.agent("u", "a").list_namespaces()
            except DataStoreError:
                pass
            proxy.clear_faults()


@pytest.mark.parametrize("place", ["half", "html", "no members"])
def test_making_a_database_takes_no_half_answer_for_done(place, name, url, proxy):
    for number in range(8):
        database = f"{name}_{number}"
        proxy.fail(".*", *[passing] * number, PLACES[place])
        try:
            with datastore.connect(url + f"_{number}") as store:
                assert len(store.backend._schema.indexes) == 3
        except DataStoreError:
            pass
        proxy.clear_faults()
        with datastore.connect(url + f"_{number}") as store:
            assert len(store.backend._schema.indexes) == 3
            store.agent("u", "a").set("k", 1)
            assert store.agent("u", "a").list_namespaces() == ["default"]
        proxy_request(proxy, "DELETE", f"/{database}")
