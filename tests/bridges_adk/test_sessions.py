"""Sessions of Google's ADK in an agent's store: what is promised beyond the contract, costs, and who is hostile."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import timedelta

import pytest
from google.adk.errors import StaleSessionError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events import Event
from google.adk.sessions import InMemorySessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig

import datastore
from datastore import (
    DamagedRecordError,
    InvalidNameError,
    InvalidNameTypeError,
    InvalidValueError,
    PermissionDeniedError,
    Quota,
    QuotaExceededError,
    UnsupportedError,
    ValueTooLargeError,
    connect,
)
from datastore.bridges.google_adk_history import History
from datastore.bridges.google_adk_sessions import DataStoreSessionService
from datastore.conformance.faults import Wrapped, backend_of
from tests.bridges.counting import counted
from tests.bridges.places import ON_SERVERS
from tests.bridges_adk.services import in_a_loop
from tests.bridges_adk.test_sessions_contract import SHOP, TALK, numbers, said

LAST_TWO = GetSessionConfig(num_recent_events=2)


@pytest.fixture
def service(data_store):
    return DataStoreSessionService(data_store)


def create(service, **kwargs):
    return asyncio.run(service.create_session(**(TALK | kwargs)))


def append(service, session, event):
    return asyncio.run(service.append_event(session, event))


def read(service, config=None, **kwargs):
    return asyncio.run(service.get_session(**(TALK | kwargs), config=config))


@ON_SERVERS
def test_of_those_who_append_at_the_same_moment_nobody_loses_an_event_or_a_change(place, url, store, data_store):
    """Each has read the session when it appends, and reads it again if it was too late."""
    create(DataStoreSessionService(data_store), state={"count": 0})

    def work(who):
        with nullcontext(store) if place == "memory" else connect(url) as mine:  # as a process of its own
            asyncio.run(talk(who, DataStoreSessionService(mine.agent("ann", f"agent {who}"))))

    async def talk(who, service):
        for turn in range(4):
            while True:
                session = await service.get_session(**TALK, config=LAST_TWO)
                changes = {"count": session.state["count"] + 1, f"user:{who}-{turn}": who, f"app:{who}-{turn}": who}
                try:
                    await service.append_event(session, said(10 * who + turn, **changes))
                    break
                except StaleSessionError:
                    continue

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(work, range(3)))
    found = read(DataStoreSessionService(data_store))
    assert sorted(numbers(found)) == sorted(10 * who + turn for who in range(3) for turn in range(4))
    for who in range(3):
        mine = [number for number in numbers(found) if number // 10 == who]
        assert mine == sorted(mine)
    assert [event.actions.state_delta["count"] for event in found.events] == list(range(1, 13))
    shared = {f"{scope}:{who}-{turn}": who for scope in ("user", "app") for who in range(3) for turn in range(4)}
    assert found.state == {"count": 12} | shared


def test_who_is_overtaken_between_the_event_and_the_record_is_stale(service, store, monkeypatch):
    session = create(service, state={"n": 0})
    other = DataStoreSessionService(store.agent("ann", "other"))
    append_entry = History.append

    async def overtaken(self, head, event):
        monkeypatch.setattr(History, "append", append_entry)
        number = await append_entry(self, head, event)
        theirs = await other.get_session(**TALK)
        assert (theirs.events, theirs.state) == ([], {"n": 0})  # what is not in the record yet is not seen
        await other.append_event(theirs, said(1, n=1, **{"user:u": 1}))
        return number

    monkeypatch.setattr(History, "append", overtaken)
    with pytest.raises(StaleSessionError):
        append(service, session, said(2, n=2, **{"user:u": 2}))
    assert session.state == {"n": 0}
    found = read(service)
    assert (numbers(found), found.state) == ([1], {"n": 1, "user:u": 1})
    append(service, found, said(2, n=2))
    assert numbers(read(other)) == [1, 2]


class Dies(Wrapped):
    """Lets some writes through; from the next one on nothing is answered, as if the process had ended."""

    def __init__(self, inner, writes):
        super().__init__(inner)
        self.left = writes

    def _check(self):
        if self.left < 0:
            raise PermissionDeniedError("the process has ended")

    def write(self, writes):
        self.left -= 1
        self._check()
        return super().write(writes)

    def read(self, *args, **kwargs):
        self._check()
        return super().read(*args, **kwargs)

    def scan(self, *args, **kwargs):
        self._check()
        return super().scan(*args, **kwargs)


@pytest.mark.parametrize("writes", range(6))
def test_whenever_it_is_interrupted_an_event_is_there_with_all_its_changes_or_not_at_all(writes, store, data_store):
    service = DataStoreSessionService(data_store)
    create(service, state={"own": 0, "user:u": 0, "app:a": 0})
    dying = datastore.DataStore(Dies(backend_of(store), writes), tracking="off")
    event = said(1, own=1, **{"user:u": 1, "app:a": 1})
    begun = read(DataStoreSessionService(dying.agent("ann", "assistant")))
    its_end = [asyncio.run(attempt(DataStoreSessionService(dying.agent("ann", "assistant")), begun, event))]
    found = read(service)
    there = numbers(found) == [1]
    assert there == (writes >= 2)  # the entry of the log, and then the record of the session
    assert its_end == [writes >= 5]
    assert found.state == dict.fromkeys(("own", "user:u", "app:a"), int(there))
    assert [one.state for one in asyncio.run(service.list_sessions(**SHOP)).sessions] == [found.state]
    append(service, found, said(2))
    assert numbers(read(service)) == [1, 2][not there :]
    other = create(service, session_id="other")
    assert other.state == dict.fromkeys(("user:u", "app:a"), int(there))
    append(service, other, said(3, **{"user:u": 2, "app:a": 2}))
    assert read(service).state == {"own": int(there), "user:u": 2, "app:a": 2}  # and what was late is not made twice


async def attempt(service, session, event):
    try:
        await service.append_event(session, event)
    except PermissionDeniedError:
        return False
    return True


@ON_SERVERS
def test_what_each_call_asks_for(place, url):
    with counted(place, url) as asked:
        service = DataStoreSessionService(asked.store.agent("ann", "assistant"))
        made = []
        assert asked.by(lambda: made.append(create(service))) == 2
        (session,) = made
        assert asked.by(lambda: append(service, session, said(0, a=1))) <= 3  # where the log ends is not known here
        for number in range(1, 60):
            append(service, session, said(number))
        assert asked.by(lambda: append(service, session, said(60, a=2))) == 2
        assert asked.by(lambda: append(service, session, said(61, **{"user:u": 1}))) <= 5 + (place == "firestore")
        append(service, session, said(62, **{"user:u": 1, "app:a": 1}))
        assert asked.by(lambda: append(service, session, said(63, **{"user:u": 2, "app:a": 2}))) <= 7
        assert asked.by(lambda: read(service)) == 2
        assert asked.by(lambda: read(service, LAST_TWO)) == 2
        assert asked.by(lambda: read(service, GetSessionConfig(num_recent_events=0))) == 1
        assert asked.by(lambda: read(service, GetSessionConfig(after_timestamp=1_050.0))) == 2
        assert asked.by(lambda: read(service, session_id="none")) == 1
        assert asked.by(lambda: asyncio.run(service.get_user_state(**SHOP))) == 1
        other = DataStoreSessionService(asked.store.agent("ann", "another"))
        assert asked.by(lambda: append(other, session, said(64))) == 3
        stale = session.model_copy(deep=True)
        append(service, session, said(65))
        third = DataStoreSessionService(asked.store.agent("ann", "third"))
        with pytest.raises(StaleSessionError):
            asked.by(lambda: append(third, stale, said(66)))
        assert asked.by(lambda: asyncio.run(service.list_sessions(**SHOP))) <= 3


def test_what_is_read_does_not_grow_with_what_was_said(place, url):
    with counted(place, url) as asked:
        service = DataStoreSessionService(asked.store.agent("ann", "assistant"))
        session = create(service)

        async def talk():
            for number in range(300):
                await service.append_event(session, said(number, n=number))

        asyncio.run(talk())
        assert asked.read_by(lambda: append(service, session, said(300, n=300))) == 0
        assert asked.read_by(lambda: read(service, LAST_TWO)) == 1 + 2
        assert asked.read_by(lambda: read(service, GetSessionConfig(num_recent_events=0))) == 1
        assert asked.read_by(lambda: read(service, GetSessionConfig(after_timestamp=1_290.0))) == 1 + 50
        assert asked.read_by(lambda: read(service, GetSessionConfig(after_timestamp=1_200.0))) <= 1 + 50 + 200
        assert asked.read_by(lambda: asyncio.run(service.list_sessions(**SHOP))) <= 2
        assert asked.read_by(lambda: read(service)) == 1 + 301


class TestStale:
    def test_what_was_refused_is_passed_over_wherever_it_lies(self, service, data_store):
        session = create(service)
        for number in range(4):
            append(service, session, said(number))
            for _ in range(3):  # of a process that saw the session before, and was too late when it had appended
                data_store.log("adk/shop/ann/talk").append({"format": 1, "after": number, "event": {"author": "late"}})
        assert numbers(read(service)) == [0, 1, 2, 3]
        assert numbers(read(service, LAST_TWO)) == [2, 3]
        assert numbers(read(service, GetSessionConfig(num_recent_events=4))) == [0, 1, 2, 3]

    def test_one_that_comes_from_elsewhere_is_compared_as_adk_does(self, service):
        session = create(service)
        append(service, session, said(1))
        session._storage_update_marker = None
        append(DataStoreSessionService(service._store), session, said(2))
        old = Session(id="talk", **SHOP, events=session.events[:1], last_update_time=1_001.0)
        with pytest.raises(StaleSessionError):
            append(service, old, said(3))
        theirs = asyncio.run(InMemorySessionService().create_session(**TALK))
        with pytest.raises(SessionNotFoundError):
            append(service, theirs.model_copy(update={"id": "other"}), said(3))
        assert numbers(read(service)) == [1, 2]

    def test_one_of_a_session_that_was_deleted_and_created_again(self, service, data_store):
        session = create(service)
        append(service, session, said(1))
        other = DataStoreSessionService(data_store)
        asyncio.run(other.delete_session(**TALK))
        create(other)
        with pytest.raises(StaleSessionError):
            append(service, session, said(2))
        assert read(service).events == []


class TestHostile:
    @pytest.mark.parametrize(
        "name", ["a:b", "a/b", "../x", "%2F", "user:", "日本", "\x00", "_", "x" * 200, "/" * 60, "a%2Fb"]
    )
    def test_apps_users_and_sessions_with_strange_names_do_not_meet(self, service, name):
        shorter = name[1:] or "-"
        places = [
            {"app_name": app, "user_id": user, "session_id": id}
            for app in (name, shorter) for user in (name, shorter) for id in (name, shorter, f"{name}/{name}")
        ]  # fmt: skip
        for number, place in enumerate(places):
            session = create(service, **place, state={"n": number, f"user:{place['user_id']}": place["app_name"]})
            append(service, session, said(number))
        for number, place in enumerate(places):
            found = read(service, **place)
            assert (numbers(found), found.state["n"], found.id) == ([number], number, place["session_id"].strip())
            assert {key for key in found.state if key != "n"} == {f"user:{place['user_id']}"}
        for app in (name, shorter):
            listed = asyncio.run(service.list_sessions(app_name=app, user_id=name)).sessions
            assert {one.id for one in listed} == {name, shorter, f"{name}/{name}"}
            assert len(asyncio.run(service.list_sessions(app_name=app)).sessions) == 6

    def test_an_id_is_without_white_space_around_it_as_in_memory(self, service):
        async def ids(one):
            made = [await one.create_session(**SHOP, session_id=" talk\n"), await one.get_session(**TALK)]
            found = await one.get_session(**SHOP, session_id="\ttalk ")
            await one.delete_session(**SHOP, session_id=" talk ")
            return [session.id for session in [*made, found]], (
                await one.create_session(**SHOP, session_id=" ")
            ).id != " "

        assert asyncio.run(ids(service)) == asyncio.run(ids(InMemorySessionService())) == (["talk"] * 3, True)

    def test_long_ids_do_not_become_the_same(self, service):
        for end in "ab":
            append(service, create(service, session_id="s" * 600 + end), said(ord(end)))
        assert [numbers(read(service, session_id="s" * 600 + end)) for end in "ab"] == [[97], [98]]
        assert len(asyncio.run(service.list_sessions(**SHOP)).sessions) == 2

    def test_names_that_cannot_be_are_refused_before_any_request(self, data_store, store):
        service = DataStoreSessionService(data_store)
        store.close()
        for parameter in ("app_name", "user_id", "session_id"):
            for value, error in ((3, InvalidNameTypeError), ("\ud800", InvalidNameError)):
                with pytest.raises(error, match=parameter):
                    create(service, **{parameter: value})
            with pytest.raises(InvalidNameError, match=parameter):
                read(service, **{parameter: ""})
        with pytest.raises(InvalidNameError, match="app_name and user_id"):
            create(service, app_name="x" * 300, user_id="y" * 300)
        with pytest.raises(InvalidValueError, match="data_store is of type str"):
            DataStoreSessionService("sqlite://")
        with pytest.raises(datastore.ClosedError):
            create(service)

    @pytest.mark.parametrize("ttl", [0, -1, float("nan"), True, "1", timedelta(0)])
    def test_spans_that_cannot_be_are_refused(self, service, data_store, ttl):
        with pytest.raises(InvalidValueError, match="ttl"):
            DataStoreSessionService(data_store, ttl=ttl)
        with pytest.raises(InvalidValueError, match="idle"):
            asyncio.run(service.prune(idle=ttl))

    def test_what_is_no_json_is_refused_and_the_session_goes_on(self, service):
        session = create(service)
        for event, error in (
            (said(1, n=float("nan")), InvalidValueError),
            (Event(author="agent", output=object()), InvalidValueError),
            (said(1, text="\ud800"), InvalidValueError),
            (said(1, large="x" * 1_000_001), ValueTooLargeError),
        ):
            with pytest.raises(error):
                append(service, session, event)
            assert session.events == []
        with pytest.raises(InvalidValueError, match="state holds a number that is not finite"):
            create(service, session_id="other", state={"n": float("inf")})
        create(service, session_id="third", state={"temp:n": float("inf")})
        append(service, session, said(2, when=timedelta(seconds=1)))
        found = read(service)
        assert (numbers(found), found.state) == ([2], {"when": "PT1S"})

    def test_large_events_are_kept_apart(self, service, data_store):
        session = create(service)
        events = [said(1), Event(author="agent", timestamp=2.0, output="日" * 400_000), said(3)]
        for event in events:
            append(service, session, event)
        assert read(DataStoreSessionService(data_store)).events == events
        assert [entry.value.keys() >= {"blob"} for entry in data_store.log("adk/shop/ann/talk").read()] == [
            False, True, False,
        ]  # fmt: skip
        (blob,) = data_store.blobs.list("adk/")
        data_store.blobs.delete(blob.name)
        with pytest.raises(DamagedRecordError, match="the blob of entry 2 of log 'adk/shop/ann/talk'"):
            read(service)
        assert numbers(read(service, GetSessionConfig(num_recent_events=1))) == [3]

    @pytest.mark.parametrize(
        ("value", "error"),
        [
            ("text", UnsupportedError),
            ({"format": 2, "after": 0, "event": {}}, UnsupportedError),
            ({"format": 1, "event": {}}, UnsupportedError),
            ({"format": 1, "after": 0}, UnsupportedError),
            ({"format": 1, "after": 1, "event": {"author": "a"}}, DamagedRecordError),
            ({"format": 1, "after": -1, "event": {"author": "a"}}, DamagedRecordError),
            ({"format": 1, "after": 0, "event": {"author": 7}}, UnsupportedError),
            ({"format": 1, "after": 0, "event": {"actions": {"from_the_future": 1}}}, UnsupportedError),
        ],
    )
    def test_an_entry_that_this_version_does_not_know_is_refused(self, service, data_store, value, error):
        create(service)
        data_store.log("adk/shop/ann/talk").append(value)
        data_store.update("adk/shop/ann/talk", {"$set": {"last": 1, "first": 1}})
        with pytest.raises(error, match="entry 1 of log 'adk/shop/ann/talk'"):
            read(service)

    def test_what_a_newer_adk_has_added_to_an_event_is_passed_over(self, service, data_store):
        create(service)
        data_store.log("adk/shop/ann/talk").append({"format": 1, "after": 0, "event": {"author": "a", "new": {"x": 1}}})
        data_store.update("adk/shop/ann/talk", {"$set": {"last": 1, "first": 1}})
        assert [event.author for event in read(service).events] == ["a"]

    @pytest.mark.parametrize("key", ["adk/shop/ann/talk", "adk-user/shop/ann", "adk-app/shop"])
    def test_a_record_of_an_unknown_format_is_refused(self, service, data_store, key):
        create(service, state={"user:u": 1, "app:a": 1})
        value = data_store.get(key)
        changed = [{**value, name: None} for name in value if name != "event"]
        for other in ({**value, "format": 2}, {"format": 1}, [value], *changed, {**value, "pending": [], "changes": 1}):
            data_store.set(key, other)
            with pytest.raises(UnsupportedError, match=f"record '{key}' is not of format 1"):
                read(service)

    def test_a_record_that_leads_past_its_log_leads_nobody_into_a_circle(self, service, data_store):
        append(service, create(service), said(1))
        data_store.update("adk/shop/ann/talk", {"$set": {"last": 7}})
        assert read(service).events == []
        assert read(service, LAST_TWO).events == []


class TestKeeping:
    @pytest.fixture
    def clock(self):
        """The seconds by which the clock of the store is late."""
        return [0.0]

    @pytest.fixture
    def store(self, url, clock):
        with connect(url, clock=lambda: time.time() - clock[0]) as store:
            yield store

    def test_a_session_lives_for_a_time_after_its_last_event(self, data_store, clock):
        service = DataStoreSessionService(data_store, ttl=timedelta(hours=1))
        clock[0] = 9_000
        session = create(service, state={"user:u": 1})
        append(service, session, said(1))
        append(service, create(service, session_id="other"), said(1))
        clock[0] = 6_000
        append(service, session, said(2, **{"user:u": 2}))
        clock[0] = 3_000
        assert numbers(read(service)) == [1, 2]
        clock[0] = 2_000
        assert read(service) is None
        assert asyncio.run(service.list_sessions(**SHOP)).sessions == []
        with pytest.raises(SessionNotFoundError):
            append(service, session, said(3))
        assert asyncio.run(service.get_user_state(**SHOP)) == {"u": 2}
        again = create(service)
        append(service, again, said(4))
        assert numbers(read(service)) == [4]
        asyncio.run(service.delete_session(**TALK))
        assert data_store.list_logs() == ["adk/shop/ann/other"]
        assert asyncio.run(service.prune()) == 1
        assert data_store.list_logs() == []

    def test_sessions_that_are_idle_are_pruned_with_what_is_left_of_others(self, data_store, service, clock):
        large = Event(author="agent", output="x" * 1_000_001)
        clock[0] = 7_200
        for id in ("old", "used", "gone"):
            append(service, create(service, session_id=id), large)
        data_store.delete("adk/shop/ann/gone")
        data_store.log("adk/mine").append("not ADK's")
        data_store.blobs.put("adk/mine", b"not ADK's")
        clock[0] = 0
        append(service, read(service, session_id="used"), said(2))
        assert asyncio.run(service.prune(idle=3_600)) == 2
        assert data_store.list_keys() == ["adk/shop/ann/used"]
        assert data_store.list_logs() == ["adk/mine", "adk/shop/ann/used"]
        assert len(data_store.blobs.list()) == 2
        assert len(read(service, session_id="used").events) == 2
        assert asyncio.run(service.prune(idle=3_600)) == 0

    def test_what_may_be_of_a_call_that_is_under_way_is_left(self, data_store, service):
        append(service, create(service), Event(author="agent", output="x" * 1_000_001))
        data_store.delete("adk/shop/ann/talk")
        assert asyncio.run(service.prune()) == 0
        assert (len(data_store.list_logs()), len(data_store.blobs.list())) == (1, 1)

    def test_all_but_the_last_events_are_pruned_and_state_stays(self, service, data_store, clock):
        session = create(service)
        clock[0] = 7_200
        append(service, session, Event(author="agent", output="x" * 1_000_001))
        for number in range(1, 20):
            append(service, session, said(number, **{f"k{number}": number}))
        clock[0] = 0
        assert asyncio.run(service.prune(keep=4)) == 0
        found = read(service)
        assert numbers(found) == [16, 17, 18, 19]
        assert found.state == {f"k{number}": number for number in range(1, 20)}
        assert numbers(read(service, GetSessionConfig(num_recent_events=9))) == [16, 17, 18, 19]
        assert data_store.blobs.list() == []
        append(service, found, said(20))
        assert numbers(read(service)) == [16, 17, 18, 19, 20]
        for keep in (0, True, "1"):
            with pytest.raises(InvalidValueError, match="keep"):
                asyncio.run(service.prune(keep=keep))


class TestWhoseItIs:
    def test_users_and_namespaces_of_the_store_have_sessions_of_their_own(self, store, service):
        append(service, create(service, state={"user:u": 1, "app:a": 1}), said(1))
        for other in (store.agent("bob", "assistant"), store.agent("ann", "assistant", "other")):
            theirs = DataStoreSessionService(other)
            assert read(theirs) is None
            assert create(theirs).state == {}
        store.forget("ann")
        assert read(service) is None

    def test_grants_and_quotas_hold(self, store, service):
        session = create(service)
        append(service, session, said(1))
        reader = DataStoreSessionService(store.agent("ann", "reader", grants={"default": "read"}))
        assert numbers(read(reader)) == [1]
        for call in (
            lambda: append(reader, session, said(2)),
            lambda: create(reader, session_id="other"),
            lambda: asyncio.run(reader.delete_session(**TALK)),
        ):
            with pytest.raises(PermissionDeniedError):
                call()
        small = DataStoreSessionService(store.agent("ann", "small", "small", quota=Quota(records=2)))
        other = create(small)
        append(small, other, said(1))
        with pytest.raises(QuotaExceededError):
            append(small, other, said(2))
        assert numbers(read(small)) == [1]

    def test_entries_say_who_added_them(self, store, service, data_store):
        session = create(service)
        append(service, session, said(1))
        append(DataStoreSessionService(store.agent("ann", "helper")), session, said(2))
        assert [entry.agent for entry in data_store.log("adk/shop/ann/talk").read()] == ["assistant", "helper"]


@in_a_loop
async def test_the_awaited_twin_is_taken_as_well(tmp_path):
    async with datastore.connect_async(f"sqlite:///{tmp_path}/twin.db") as store:
        service = DataStoreSessionService(store.agent("ann", "assistant"))
        await service.append_event(await service.create_session(**TALK), said(1))
        assert numbers(await service.get_session(**TALK)) == [1]
