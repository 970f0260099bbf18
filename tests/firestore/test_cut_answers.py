"""Incomplete answers: those of every request of every call, and not one is believed.

Each is damaged in a third of the ways, and in a full run in every way (`tests.full.some`).
"""

import itertools
import socket
import struct
import threading
import uuid
from contextlib import ExitStack
from datetime import datetime

import pytest
from google.cloud.firestore_v1.types import firestore as messages_of

import datastore
from datastore import BackendUnavailableError, BatchError, DataStoreError, OutcomeUnknownError
from datastore.conformance.calls import CALLS
from datastore.conformance.clock import Clock
from datastore.moving import copy
from tests.firestore.relay import Relay, garbled, ways_to_spoil
from tests.full import some
from tests.servers.firestore import server
from tests.servers.processes import HOST
from tests.timeless import timeless

pytestmark = pytest.mark.server("firestore")

RECORDS = {"key": 1, "list": [1], "object": {"a": 1}, "other": {"a": 2}}
_BATCH = {f"k{number}": number for number in range(7)}


def _copied(place):
    with datastore.connect("memory://", clock=place.clock) as source:
        source.agent("v", "a").set_many(_BATCH, {"m": 1})
        report = copy(source, place.store)
        return report.read, report.written, report.problems


def _copied_away(place):
    with datastore.connect("memory://", clock=place.clock) as target:
        report = copy(place.store, target)
        return report.read, report.written, target.agent(place.user, "b").get_all()


def _of_agent(call):
    return lambda place: call(place.store.agent(place.user, "a"))


EVERY_CALL = {
    **{name: _of_agent(call) for name, call in CALLS.items()},
    "set-new": _of_agent(lambda agent: agent.set("new", 1, {"m": 1}, ttl=60)),
    "set-known": _of_agent(lambda agent: [agent.get("key"), agent.set("key", 5)]),
    "set-metadata": _of_agent(lambda agent: agent.set("key", 5, {"n": 2})),
    "delete-known": _of_agent(lambda agent: [agent.exists("key"), agent.delete("key")]),
    "touch": _of_agent(lambda agent: [agent.touch("key", ttl=60), agent.touch("missing", ttl=60)]),
    "touch-known": _of_agent(lambda agent: [agent.exists("key"), agent.touch("key", ttl=60)]),
    "set_many-7": _of_agent(lambda agent: agent.set_many(_BATCH, {"m": 1})),
    "delete_many-missing": _of_agent(lambda agent: agent.delete_many(["key", "missing", "other"])),
    "flush": lambda place: [place.store.agent(place.user, "a").get_many(list(RECORDS)), place.store.flush()],
    "forget": lambda place: place.store.forget(place.user),
    "purge_expired": lambda place: place.store.purge_expired(),
    "purge_expired-user": _of_agent(lambda agent: agent.purge_expired()),
    "users": lambda place: list(place.store.users()),
    "copy-to": _copied,
    "copy-from": _copied_away,
}
OF_ALL_USERS = ("purge_expired", "users", "copy-to", "copy-from")
"""The calls that see the whole database."""


def is_told(name, request, result):
    """Return whether a call that hands out what it removes says that it cannot know who has removed it."""
    return name == "pop" and request == "Commit" and isinstance(result, OutcomeUnknownError)


@pytest.fixture(scope="module", name="relay")
def start_relay():
    relay = Relay(server().port)
    yield relay
    relay.stop()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr("datastore.core._FIRST_DELAY", 0.001)


class Database:
    """A database, and a store that nobody meddles with."""

    def __init__(self):
        self.project = f"test-{uuid.uuid4().hex}"
        self.clock = Clock()
        self.direct = self.connect(f"{HOST}:{server().port}")

    def connect(self, address, **options):
        url = f"firestore://{self.project}/c?emulator={address}"
        return datastore.connect(url, clock=self.clock, flush_interval=3_600, max_pending=100_000, **options)


@pytest.fixture(scope="module")
def database():
    """Return a database that a few users share: the emulator takes long to make one, and to look through a full one."""
    with ExitStack() as opened:
        users, current = itertools.count(), []

        def database():
            if next(users) % 6 == 0:
                opened.close()
                current[:] = [Database()]
                opened.callback(current[0].direct.close)
            return current[0]

        yield database


def lasts(record):
    """Return whether a record never expires."""
    return record.expires_at is None


class Place:
    """A user of its own, for whom the call under test goes by an address; everything else goes directly.

    The store is another one each time, since it notes what it finds out about the server.
    """

    numbers = itertools.count(100_000)  # as many bytes for each

    def __init__(self, database, address, **options):
        self.user = f"u{next(self.numbers)}"
        self.clock = database.clock
        self._direct = database.direct
        agent = self._direct.agent(self.user, "writer")
        agent.set_many(RECORDS, {"m": 1})
        agent.use_namespace("n2").set("key", 1)
        agent.set_many({"old": 1, "older": 2}, ttl=10)
        self.clock.advance(11)
        self.store = database.connect(address, **options)

    def attempt(self, call):
        """Return what a call answers, or the error that it ends with."""
        try:
            return shape(call(self))
        except DataStoreError as error:
            return error

    def stored(self):
        """Return what lives, whatever it is called: values, metadata, creators, counts, and whether it expires."""
        self.store.flush()
        scopes = [(self.user, "default"), (self.user, "n2"), ("v", "default")]
        return sorted(
            repr(
                (
                    timeless(record.value),
                    record.metadata,
                    record.created_by_agent,
                    record.access_count,
                    record.expires_at is None,
                )
            )
            for user, namespace in scopes
            for record in self._direct.agent(user, "x", namespace).iter_records()
        )

    def close(self):
        self.store.close()


def shape(result):
    """Return what is the same each time: without revisions, generated keys and times."""
    if hasattr(result, "access_count"):
        return result.key, timeless(result.value), result.metadata, result.access_count
    if hasattr(result, "cursor"):
        return [shape(record) for record in result.records], result.cursor is None
    if isinstance(result, str | datetime):
        return type(result)
    if isinstance(result, dict):
        return {key: shape(value) for key, value in result.items()}
    if isinstance(result, list | tuple):
        return [shape(one) for one in result]
    return result


@pytest.fixture
def opened(database):
    """Open a place for a call: in a database of its own if the call sees all users."""
    with ExitStack() as own:

        def opened(name, address, **options):
            if name not in OF_ALL_USERS:
                return Place(database(), address, **options)
            alone = Database()
            own.callback(alone.direct.close)
            return Place(alone, address, **options)

        yield opened


def through(relay, opened, name, ways):
    """Make a call through the relay for another user; return its answer, what is stored then, and the requests."""
    place = opened(name, relay.address)
    try:
        relay.spoil(ways)
        result, answers = place.attempt(EVERY_CALL[name]), relay.answers
        relay.spoil({})
        return result, place.stored(), answers
    finally:
        place.close()


@pytest.mark.parametrize("name", EVERY_CALL)
def test_a_spoilt_answer_changes_no_result_and_no_record(relay, opened, name):
    """Each request of the call: it ends as if nothing had happened."""
    expected, stored, answers = through(relay, opened, name, {})
    assert not isinstance(expected, Exception)
    wrong, known = [], 0
    for number, (request, messages) in enumerate(answers):
        ways = ways_to_spoil(request, messages)
        known += len(ways)
        for way, spoilt in some(ways, list(EVERY_CALL).index(name) + number).items():
            result, then, again = through(relay, opened, name, {number: spoilt})
            assert len(again) > number
            if result != expected and not is_told(name, request, result):
                wrong.append((request, number, way, result))
            if then != stored:
                wrong.append((request, number, way, then))
    assert wrong == []
    assert known >= 8 * sum(bool(messages) for _, messages in answers) > 0


class _All(dict):
    """The same way for each answer."""

    def __init__(self, way):
        self._way = way

    def get(self, number, default=None):
        return self._way


LASTING = {
    "garbled": garbled,
    "empty messages": lambda messages: [b"" for _ in messages],
    "halves": lambda messages: [message[: len(message) // 2] for message in messages],
    "without the last byte": lambda messages: [message[:-1] for message in messages],
}


@pytest.mark.parametrize("way", LASTING.values(), ids=LASTING.keys())
@pytest.mark.parametrize("name", EVERY_CALL)
def test_answers_that_stay_spoilt_are_an_outage(relay, opened, name, way):
    """And nothing else: no default, no smaller number, no bare exception."""
    place = opened(name, relay.address, retry_seconds=0)
    try:
        relay.spoil(_All(way))
        result = place.attempt(EVERY_CALL[name])
        failures = result.failed.values() if isinstance(result, BatchError) else [result]
        assert {type(failure) for failure in failures} == {BackendUnavailableError}
    finally:
        relay.spoil({})
        place.close()


@pytest.fixture(scope="module")
def unbroken():
    """What becomes of a call on a connection that does not break, by its name: the same for each part of an answer."""
    return {}


@pytest.mark.parametrize("part", [0, 0.4, 0.8, 1], ids=lambda part: f"{part:.0%}")
@pytest.mark.parametrize("name", EVERY_CALL)
def test_a_connection_that_breaks_within_an_answer_changes_nothing(network, opened, unbroken, name, part):
    """After some of the bytes that come back, or before the last one."""
    if name not in unbroken:
        place = opened(name, network.address)
        try:
            before = network.received
            expected = place.attempt(EVERY_CALL[name])
            unbroken[name] = expected, network.received - before, place.stored()
        finally:
            place.close()
    expected, size, stored = unbroken[name]
    place = opened(name, network.address)
    try:
        network.cut_after(min(int(size * part), size - 1))
        result = place.attempt(EVERY_CALL[name])
        assert result == expected or is_told(name, "Commit", result)
        assert place.stored() == stored
    finally:
        place.close()


def _without_mark(messages):
    """Take away what says that an answer to a query is the last one; the protocol leaves it open."""
    answers = [messages_of.RunQueryResponse.pb().FromString(message) for message in messages]
    for answer in answers:
        answer.ClearField("done")
    return [answer.SerializeToString() for answer in answers]


def test_a_server_that_never_says_which_answer_is_the_last_is_asked_once_more_twice_and_then_known(relay, database):
    relay.spoil(_All(_without_mark))  # from the first look on, at connect
    place = Place(database(), relay.address)
    try:
        for requests in (2, 2, 1, 1):
            relay.spoil(_All(_without_mark))
            assert place.attempt(_of_agent(lambda agent: agent.get_all())) == RECORDS
            assert [request for request, _ in relay.answers] == ["RunQuery"] * requests
        relay.spoil({1: _without_mark})
        assert place.attempt(_of_agent(lambda agent: agent.count())) == len(RECORDS)
    finally:
        relay.spoil({})
        place.close()


def test_a_server_that_says_it_only_sometimes_is_asked_more_often_and_loses_nothing(relay, database):
    place = Place(database(), relay.address)
    try:
        assert place.attempt(_of_agent(lambda agent: agent.get_all())) == RECORDS
        for _ in range(3):
            relay.spoil({0: _without_mark})
            assert place.attempt(_of_agent(lambda agent: agent.get_all())) == RECORDS
            assert [request for request, _ in relay.answers] == ["RunQuery"] * 2
    finally:
        relay.spoil({})
        place.close()


def _frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


_DATA, _HEADERS, _RESET, _SETTINGS = 0, 1, 3, 4
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_GRPC = b"\x88\x5f\x10application/grpc"  # :status 200, content-type
_HTML = b"\x88\x5f\x09text/html"
_UNAVAILABLE = b"\x48\x03503"
_MISSING = b"\x12\x01x\x22\x02\x08\x01"  # of BatchGetDocuments: something is missing
_WHOLE = b"\0" + struct.pack(">I", len(_MISSING)) + _MISSING

PLAIN = {
    "HTML with status 200": lambda stream: [
        _frame(_HEADERS, _END_HEADERS, stream, _HTML),
        _frame(_DATA, _END_STREAM, stream, b"<html></html>"),
    ],
    "status 503": lambda stream: [_frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, _UNAVAILABLE)],
    "a message without a status behind it": lambda stream: [
        _frame(_HEADERS, _END_HEADERS, stream, _GRPC),
        _frame(_DATA, _END_STREAM, stream, _WHOLE),
    ],
    "half a message": lambda stream: [
        _frame(_HEADERS, _END_HEADERS, stream, _GRPC),
        _frame(_DATA, _END_STREAM, stream, _WHOLE[:8]),
    ],
    "nothing but headers": lambda stream: [_frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, _GRPC)],
    "a message and a reset without an error": lambda stream: [
        _frame(_HEADERS, _END_HEADERS, stream, _GRPC),
        _frame(_DATA, 0, stream, _WHOLE),
        _frame(_RESET, 0, stream, b"\0\0\0\0"),
    ],
    "HTTP/1.1": lambda stream: [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"],
}


def _answer(listener, frames):
    """Speak as much HTTP/2 as it takes to answer each request with some frames."""
    while True:
        try:
            end, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_talk, args=(end, frames), daemon=True).start()


def _talk(end, frames):
    with end, end.makefile("rb") as incoming:
        try:
            incoming.read(24)
            end.sendall(_frame(_SETTINGS, 0, 0))
            while len(head := incoming.read(9)) == 9:
                size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
                incoming.read(size)
                if kind == _SETTINGS and not flags & _ACK:
                    end.sendall(_frame(_SETTINGS, _ACK, 0))
                elif kind == _DATA and flags & _END_STREAM:
                    end.sendall(b"".join(frames(int.from_bytes(head[5:], "big"))))
        except OSError:
            return


@pytest.mark.parametrize("frames", PLAIN.values(), ids=PLAIN.keys())
def test_what_is_no_answer_of_grpc_is_an_outage(frames, monkeypatch):
    listener = socket.create_server((HOST, 0))
    threading.Thread(target=_answer, args=(listener, frames), daemon=True).start()
    url = f"firestore://p/c?emulator={HOST}:{listener.getsockname()[1]}"
    try:
        with pytest.raises(BackendUnavailableError):
            datastore.connect(url, timeout=5)
        monkeypatch.setattr("datastore_firestore.backend.settle_format", lambda *_: None)  # it was there at connect
        with datastore.connect(url, retry_seconds=0, tracking="off", timeout=5) as store:
            agent = store.agent("u", "a")
            for call in (
                lambda: agent.get("k"),
                lambda: agent.set("k", 1),
                lambda: agent.delete("k"),
                lambda: agent.list_keys(),
                lambda: agent.count(),
                lambda: agent.get_many(["a", "b"]),
                lambda: agent.delete_many(["a", "b"]),
            ):
                with pytest.raises(BackendUnavailableError):
                    call()
    finally:
        listener.close()
