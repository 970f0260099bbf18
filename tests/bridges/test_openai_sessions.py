"""The session of the OpenAI Agents SDK, by its contract, and by what `SQLiteSession` does."""

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from time import monotonic

import pytest
from agents import Agent, Runner, set_tracing_disabled
from agents.memory import Session, SessionSettings
from agents.models.interface import Model, ModelResponse
from agents.usage import Usage
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

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
    connect,
)
from datastore.bridges import openai_reading
from datastore.bridges.openai_sessions import DataStoreSession, prune_sessions
from tests.bridges.counting import counted
from tests.bridges.places import ON_SERVERS

set_tracing_disabled(True)


def said(number):
    return {"role": "user", "content": f"message {number}"}


def numbers(items):
    return [int(item["content"].rpartition(" ")[2]) for item in items]


def items_of(session, limit=None):
    return numbers(asyncio.run(session.get_items(limit)))


def add(session, *which):
    asyncio.run(session.add_items([said(number) for number in which]))


def pop(session):
    item = asyncio.run(session.pop_item())
    return None if item is None else numbers([item])[0]


@pytest.fixture
def session(data_store):
    return DataStoreSession(data_store, "talk")


class Scripted(Model):
    """Answers with how many items it was given."""

    async def get_response(self, system_instructions, input, *args, **kwargs):
        text = ResponseOutputText(text=f"{len(input)} items", type="output_text", annotations=[])
        message = ResponseOutputMessage(id="m", content=[text], role="assistant", status="completed", type="message")
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *args, **kwargs):
        raise NotImplementedError


@ON_SERVERS
class TestContract:
    def test_it_is_a_session(self, session):
        assert isinstance(session, Session)
        assert session.session_id == "talk"
        assert session.session_settings == SessionSettings()

    def test_items_come_back_as_they_were_in_their_order(self, session, data_store):
        strange = [
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": [1, 2.5, null]}'},
            {"type": "function_call_output", "call_id": "c", "output": "日本 \x00 é"},
            {"role": "user", "content": [{"type": "input_text", "text": ""}, {"deep": {"n": 2**70, "x": 1.0}}]},
            {"item": {"pop": {"seen": 1, "rest": 0}}, "pop": 1},
        ]
        asyncio.run(session.add_items(strange[:1]))
        asyncio.run(session.add_items(strange[1:]))
        asyncio.run(session.add_items([]))
        other = DataStoreSession(data_store.asynchronous, "talk")
        assert asyncio.run(other.get_items()) == strange

    def test_a_limit_is_of_the_last_ones(self, session, data_store):
        add(session, *range(130))
        assert items_of(session) == list(range(130))
        assert items_of(session, 3) == [127, 128, 129]
        assert items_of(session, 1_000) == list(range(130))
        assert items_of(session, 0) == []
        limited = DataStoreSession(data_store, "talk", session_settings=SessionSettings(limit=2))
        assert items_of(limited) == [128, 129]
        assert items_of(limited, 4) == [126, 127, 128, 129]

    def test_the_last_one_is_popped(self, session):
        assert pop(session) is None
        add(session, 1, 2)
        add(session, 3)
        assert [pop(session), pop(session)] == [3, 2]
        add(session, 4)
        assert items_of(session) == [1, 4]
        assert [pop(session), pop(session), pop(session)] == [4, 1, None]
        assert items_of(session) == []
        add(session, 5)
        assert items_of(session, 2) == [5]

    def test_clearing_removes_the_items_of_one_session(self, session, data_store):
        other = DataStoreSession(data_store, "talk2")
        add(session, 1, 2)
        add(other, 3)
        asyncio.run(session.clear_session())
        asyncio.run(session.clear_session())
        assert (items_of(session), items_of(other), pop(session)) == ([], [3], None)
        add(session, 4)
        assert items_of(session) == [4]

    def test_those_who_add_at_the_same_moment_lose_nothing_and_keep_their_order(self, session, url, store):
        others = [session, DataStoreSession(store.agent("ann", "other"), "talk")]

        def work(who):
            for turn in range(6):
                add(others[who % 2], *(1000 * who + 10 * turn + number for number in range(3)))

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, range(4)))
        found = items_of(session)
        assert len(found) == 4 * 18
        for who in range(4):
            mine = [number for number in found if number // 1000 == who]
            assert mine == sorted(mine)
            for turn in range(6):
                place = found.index(1000 * who + 10 * turn)  # what one call adds stands together
                assert found[place : place + 3] == [1000 * who + 10 * turn + number for number in range(3)]

    def test_those_who_pop_at_the_same_moment_get_each_another_one(self, session, store):
        add(session, *range(20))
        others = [session, DataStoreSession(store.agent("ann", "other"), "talk")]
        with ThreadPoolExecutor(4) as threads:
            taken = list(threads.map(lambda number: pop(others[number % 2]), range(24)))
        assert sorted(number for number in taken if number is not None) == list(range(20))
        assert taken.count(None) == 4
        assert items_of(session) == []

    def test_a_runner_goes_on_with_the_conversation(self, data_store):
        agent = Agent(name="assistant", model=Scripted())

        def ask(text):
            session = DataStoreSession(data_store, "with a runner")
            return asyncio.run(Runner.run(agent, text, session=session)).final_output

        assert [ask("one"), ask("two")] == ["1 items", "3 items"]
        entry = data_store.log("openai-with a runner").last()[0]
        assert entry.value["format"] == 1
        assert entry.value["item"]["role"] == "assistant"
        assert entry.agent == "assistant"


class Interrupted:
    """The log of a session, before whose next append somebody else does something."""

    def __init__(self, log, meanwhile):
        self.name, self.read, self._log, self._meanwhile = log.name, log.read, log, meanwhile

    async def append(self, *entries):
        await self._meanwhile()
        return await self._log.append(*entries)


async def pop_while(session, meanwhile, got):
    """Pop, and let somebody act between what the pop reads and what it writes; return whether it wrote anything.

    It does not if it knows that there is nothing.
    """
    acted = []

    async def act():
        acted.append(True)
        await meanwhile()

    log, session._log = session._log, Interrupted(session._log, act)
    try:
        item = await session.pop_item()
    finally:
        session._log = log
    got += [] if item is None and not got else [item]
    return bool(acted)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_done_in_whatever_order_it_holds_what_a_list_holds(seed, data_store):
    """Two share a session; now and then the one acts in the middle of the other's pop."""
    chance = random.Random(seed)
    sessions = [DataStoreSession(data_store, "talk") for _ in range(2)]
    expected: list = []

    async def act(number):
        one, other = chance.sample(sessions, 2)
        kind = chance.choices(["add", "pop", "pop while one adds", "pop while one pops", "clear"], [6, 5, 2, 2, 1])[0]
        item, got = said(number), []

        async def add_one():
            await other.add_items([item])
            expected.append(item)

        async def pop_one():
            got.append(await other.pop_item())

        if kind == "add":
            some = [said(100 * number + place) for place in range(chance.randint(1, 4))]
            await one.add_items(some)
            expected.extend(some)
        elif kind == "clear":
            await one.clear_session()
            expected.clear()
        elif kind == "pop":
            assert await one.pop_item() == (expected.pop() if expected else None)
        else:
            acted = await pop_while(one, add_one if kind.endswith("adds") else pop_one, got)
            twice = 0 if not acted else 1 if kind.endswith("adds") else 2
            assert got == [expected.pop() if expected else None for _ in range(twice)]
        for limit in (None, chance.randint(1, 6)):
            assert await one.get_items(limit) == await other.get_items(limit) == expected[-(limit or 1_000) :]

    async def play():
        for number in range(60):
            await act(number)

    asyncio.run(play())


@ON_SERVERS
def test_what_each_call_asks_for(place, url):
    with counted(place, url) as asked:
        session = DataStoreSession(asked.store.agent("ann", "assistant"), "talk")
        assert asked.by(lambda: add(session, 0)) == 2  # where the log ends is not known here
        assert asked.by(lambda: add(session, *range(1, 60))) == 1
        for number in range(60, 80):
            add(session, number)
        assert asked.by(lambda: items_of(session)) == 1
        assert asked.by(lambda: items_of(session, 5)) == 1
        assert asked.by(lambda: pop(session)) == 2
        assert asked.by(lambda: items_of(session, 5)) <= 2
        assert asked.by(lambda: asyncio.run(session.add_items([]))) == 0
        assert asked.by(lambda: items_of(session, 0)) == 0
        other = DataStoreSession(asked.store.agent("ann", "assistant"), "other")
        assert asked.by(lambda: pop(other)) == 1


def test_what_is_read_does_not_grow_with_what_was_said_or_popped(place, url):
    with counted(place, url) as asked:
        session = DataStoreSession(asked.store.agent("ann", "assistant"), "talk")

        async def scratch():
            for number in range(30):
                await session.add_items([said(number)])
            for _ in range(200):
                await session.add_items([said(99)])
                assert await session.pop_item() == said(99)

        async def talk():
            for number in range(300):
                await session.add_items([said(number)])

        asyncio.run(scratch())
        assert asked.read_by(lambda: items_of(session, 5)) <= 5 + 4 * 5
        assert asked.read_by(lambda: items_of(session, 1)) <= 2 + 4
        assert asked.by(lambda: items_of(session, 5)) == 2
        assert asked.read_by(lambda: pop(session)) <= 2 + 8
        assert items_of(session, 3) == [26, 27, 28]
        asyncio.run(talk())
        assert asked.read_by(lambda: items_of(session, 10)) == 10


def test_what_is_read_is_what_is_returned_however_it_was_added_and_popped(place, url):
    with counted(place, url) as asked:
        session = DataStoreSession(asked.store.agent("ann", "assistant"), "talk")
        for start in range(0, 500, 50):
            add(session, *range(start, start + 50))
        assert asked.read_by(lambda: items_of(session, 20)) == 1, "a record has 50 of them"
        for number in range(40):
            add(session, number)
        assert asked.read_by(lambda: items_of(session, 20)) == 20
        assert asked.by(lambda: pop(session)) == 2
        assert asked.read_by(lambda: items_of(session, 20)) <= 20 + 2 + 4, "two places are taken by what was popped"
        assert asked.by(lambda: items_of(session, 20)) == 1, "which is known then"
        assert asked.read_by(lambda: items_of(session, 20)) == 20 + 2
        for number in range(38, 30, -1):
            assert asked.by(lambda: pop(session)) == 2, "also right after others"
            assert asked.by(lambda: items_of(session, 1)) <= 2
            assert items_of(session, 1) == [number - 1]
        other = DataStoreSession(asked.store.agent("ann", "assistant"), "talk")
        assert asked.by(lambda: pop(other)) == 3, "where others have popped the last ones"


class TestPoppingOneAfterAnother:
    """A session knows what its last pop has left, and does not look at the end of the log for the next one."""

    def test_what_was_cleared_since_is_not_returned(self, session, data_store):
        other = DataStoreSession(data_store, "talk")
        add(session, *range(6))
        assert pop(session) == 5
        asyncio.run(other.clear_session())
        assert pop(session) is None
        add(other, 6, 7)
        assert [pop(session), pop(session), pop(session)] == [7, 6, None]

    def test_what_was_pruned_since_is_not_returned(self, session, data_store):
        other = DataStoreSession(data_store, "talk")
        add(session, *range(3))
        add(session, 3)
        assert [pop(session), items_of(session)] == [3, [0, 1, 2]]
        add(other, 4)
        asyncio.run(other.prune(keep=1))
        assert [pop(session), pop(session)] == [4, None]

    @pytest.mark.parametrize("which", ["one", "both"])
    def test_what_others_did_since_counts(self, session, data_store, which):
        other = DataStoreSession(data_store, "talk")
        add(session, *range(6))
        assert pop(session) == 5
        add(other, 6)
        if which == "both":
            add(session, 7)
            assert pop(other) == 7
        assert [pop(session), pop(other), pop(session), pop(session), items_of(other)] == [6, 4, 3, 2, [0, 1]]

    @pytest.mark.parametrize("place", ["sqlite"], indirect=True)  # a file can be opened twice
    def test_a_log_that_has_begun_again_is_another_one(self, session, url):
        for number in range(6):
            add(session, number)
        assert pop(session) == 5
        with connect(url) as store:  # which does not know where the log ended
            store.forget("ann")
            other = DataStoreSession(store.agent("ann", "assistant"), "talk")
            for number in range(10, 17):
                add(other, number)
        assert [pop(session), items_of(session)] == [16, list(range(10, 16))]

    def test_only_for_a_short_time(self, session, data_store, monkeypatch):
        add(session, *range(6))
        assert pop(session) == 5
        before = monotonic()
        monkeypatch.setattr(openai_reading, "monotonic", lambda: before + 60)
        assert [pop(session), pop(session)] == [4, 3]


class TestHostile:
    @pytest.mark.parametrize("id", ["a:b", "a/b", "../x", "%3A", " ", "日本", "\x00", "_", "x" * 248, "/" * 900])
    def test_sessions_with_strange_names_do_not_meet(self, data_store, id):
        for number, name in enumerate([id, id[1:] or "-", f"openai-{id}"]):
            add(DataStoreSession(data_store, name), number)
        assert items_of(DataStoreSession(data_store, id)) == [0]

    def test_names_that_cannot_be_are_refused_before_any_request(self, data_store):
        for id, error in (("", InvalidNameError), (3, InvalidNameTypeError), ("\ud800", InvalidNameError)):
            with pytest.raises(error, match="session_id"):
                DataStoreSession(data_store, id)
        with pytest.raises(InvalidValueError, match="data_store is of type str"):
            DataStoreSession("sqlite://", "talk")

    @pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), True, "1", timedelta(0), 1e300])
    def test_spans_that_cannot_be_are_refused(self, data_store, ttl):
        with pytest.raises(InvalidValueError, match="ttl"):
            DataStoreSession(data_store, "talk", ttl=ttl)
        with pytest.raises(InvalidValueError, match="idle"):
            asyncio.run(prune_sessions(data_store, idle=ttl))

    def test_what_is_no_json_is_refused_whole(self, session, data_store):
        add(session, 1)
        for item in ({"a": {1, 2}}, {"a": "x" * 1_000_001, "b": float("nan")}):
            with pytest.raises(InvalidValueError):
                asyncio.run(session.add_items([said(2), item]))
        assert items_of(session) == [1]
        assert data_store.blobs.list() == []

    @pytest.mark.parametrize(
        "value",
        [
            "text",
            {"format": 2, "item": {}},
            {"item": {}},
            {"format": 1},
            {"format": "1", "item": {}},
        ],
    )
    def test_an_entry_of_an_unknown_format_is_refused(self, session, data_store, value):
        add(session, 1)
        data_store.log("openai-talk").append(value)
        with pytest.raises(UnsupportedError, match="entry 2 of log 'openai-talk' is not of format 1"):
            items_of(session)
        with pytest.raises(UnsupportedError):
            pop(session)

    @pytest.mark.parametrize("rest", [7, 3, 10**30, -5, "x", None])
    def test_a_pop_that_leads_nowhere_leads_nobody_into_a_circle(self, session, data_store, rest):
        add(session, 1, 2)
        data_store.log("openai-talk").append({"format": 1, "pop": {"seen": 2, "rest": rest}})
        assert items_of(session) in ([1], [])
        assert items_of(session, 1) in ([1], [])


LARGE = [{"role": "user", "content": sign * 1_200_000} for sign in "ab"]


@ON_SERVERS
class TestLarge:
    """Items of more than 1 MB, which are in blobs beside the log."""

    def test_they_are_as_all_others(self, session, data_store):
        items = [said(0), LARGE[0], said(1), {"content": "é" * 300_000}, LARGE[1], said(2)]
        asyncio.run(session.add_items(items))
        assert asyncio.run(session.get_items()) == items
        assert asyncio.run(session.get_items(2)) == items[-2:]
        assert pop(session) == 2
        assert asyncio.run(session.pop_item()) == LARGE[1]
        assert asyncio.run(session.get_items()) == items[:4]
        assert len(data_store.blobs.list()) == 2, "one of fewer than 1 MB is an entry"

    def test_clearing_removes_them_and_pruning_what_is_not_needed(self, url):
        late = [7_200.0]
        with connect(url, clock=lambda: time.time() - late[0]) as store:
            data_store = store.agent("ann", "assistant")
            session, other = (DataStoreSession(data_store, name) for name in ("talk", "other"))
            asyncio.run(session.add_items(LARGE))
            asyncio.run(other.add_items(LARGE[:1]))
            late[0] = 0.0
            asyncio.run(session.add_items([said(1), *LARGE]))
            asyncio.run(session.pop_item())
            assert asyncio.run(session.prune(keep=2)) > 0
            assert asyncio.run(session.get_items()) == [said(1), LARGE[0]]
            assert len(data_store.blobs.list()) == 3, (
                "one that was put a moment ago may be of an item that is being added"
            )
            asyncio.run(session.clear_session())
            assert len(data_store.blobs.list()) == 1
            assert asyncio.run(prune_sessions(data_store, idle=3_600)) == 1
            assert data_store.blobs.list() == []

    def test_one_whose_blob_is_gone_is_damage(self, session, data_store):
        asyncio.run(session.add_items(LARGE[:1]))
        data_store.blobs.delete(data_store.blobs.list()[0].name)
        with pytest.raises(DamagedRecordError, match="the blob of entry 1 is gone"):
            asyncio.run(session.get_items())

    def test_what_they_cost(self, place, url):
        with counted(place, url) as asked:
            data_store = asked.store.agent("ann", "assistant")
            session = DataStoreSession(data_store, "talk")
            add(session, 1, 2)
            put = asked.by(lambda: data_store.blobs.put("openai/x", b"x" * 1_200_000, grace=0))
            got = asked.by(lambda: data_store.blobs.get("openai/x"))
            small = asked.by(lambda: add(session, 3))
            assert asked.by(lambda: asyncio.run(session.add_items([said(4), LARGE[0]]))) <= small + put + 1
            one = asked.by(lambda: asyncio.run(session.get_items(4)))
            add(session, 5, 6, 7, 8)
            assert asked.by(lambda: asyncio.run(session.get_items(4))) == one - got, "those before are not read"


class TestKeeping:
    @pytest.fixture
    def clock(self):
        """The seconds by which the clock of the store is late."""
        return [0.0]

    @pytest.fixture
    def data_store(self, url, clock):
        with connect(url, clock=lambda: time.time() - clock[0]) as store:
            yield store.agent("ann", "assistant")

    def test_items_past_their_time_are_forgotten_and_pruned(self, data_store, clock):
        kept = DataStoreSession(data_store, "talk")
        session = DataStoreSession(data_store, "talk", ttl=timedelta(hours=1))
        clock[0] = 7_200
        add(kept, *range(5))
        clock[0] = 0
        assert (items_of(session), pop(session), len(items_of(kept))) == ([], None, 5)
        add(session, 7, 8)
        assert (items_of(session), items_of(session, 1), len(items_of(kept))) == ([7, 8], [8], 7)
        assert pop(session) == 8
        assert pop(session) == 7
        assert (pop(session), items_of(kept)) == (None, [0, 1, 2, 3, 4])
        add(session, 9)
        assert asyncio.run(session.prune()) > 0
        assert items_of(kept) == [9]

    def test_of_pops_in_a_row_none_returns_what_is_past_its_time(self, data_store, clock):
        kept = DataStoreSession(data_store, "talk")
        session = DataStoreSession(data_store, "talk", ttl=timedelta(hours=1))
        for late, number in ((7_200, 0), (0, 1), (7_200, 2), (0, 3), (0, 4), (0, 5)):
            clock[0] = late
            add(kept, number)
        assert [pop(session), pop(session), pop(session), pop(session)] == [5, 4, 3, None]
        assert items_of(kept) == [0, 1, 2]

    def test_all_but_the_last_ones_are_pruned(self, session, data_store):
        for number in range(20):
            add(session, number)
        assert pop(session) == 19
        assert asyncio.run(session.prune(keep=4)) == 15
        assert items_of(session) == [15, 16, 17, 18]
        assert [entry.number for entry in data_store.log("openai-talk").read(limit=1)] == [16]
        assert asyncio.run(session.prune()) == 0
        asyncio.run(session.clear_session())
        assert asyncio.run(session.prune(keep=1)) == 0
        for keep in (0, True, "1"):
            with pytest.raises(InvalidValueError, match="keep"):
                asyncio.run(session.prune(keep=keep))

    def test_sessions_that_are_idle_are_pruned(self, data_store, clock):
        clock[0] = 7_200
        for name in ("old", "used"):
            add(DataStoreSession(data_store, name), 1)
        data_store.log("not a session").append(1)
        clock[0] = 0
        add(DataStoreSession(data_store, "used"), 2)
        assert asyncio.run(prune_sessions(data_store, idle=3_600)) == 1
        assert data_store.list_logs() == ["not a session", "openai-used"]
        assert asyncio.run(prune_sessions(data_store, idle=3_600)) == 0


class TestWhoseItIs:
    def test_users_and_namespaces_have_sessions_of_their_own(self, store, session):
        add(session, 1)
        for other in (store.agent("bob", "assistant"), store.agent("ann", "assistant", "other")):
            assert items_of(DataStoreSession(other, "talk")) == []
        store.forget("ann")
        assert items_of(session) == []

    def test_grants_and_quotas_hold(self, store, session):
        add(session, 1)
        reader = DataStoreSession(store.agent("ann", "reader", grants={"default": "read"}), "talk")
        assert items_of(reader) == [1]
        for call in (lambda: add(reader, 2), lambda: pop(reader), lambda: asyncio.run(reader.clear_session())):
            with pytest.raises(PermissionDeniedError):
                call()
        nobody = DataStoreSession(store.agent("ann", "nobody", grants={}), "talk")
        with pytest.raises(PermissionDeniedError):
            items_of(nobody)
        small = DataStoreSession(store.agent("ann", "small", quota=Quota(records=2)), "other")
        add(small, 1)
        add(small, 2)
        with pytest.raises(QuotaExceededError):
            add(small, 3)
        assert items_of(session) == [1]

    def test_entries_say_who_added_them(self, store, session, data_store):
        add(session, 1)
        add(DataStoreSession(store.agent("ann", "helper"), "talk"), 2)
        assert [entry.agent for entry in data_store.log("openai-talk").read()] == ["assistant", "helper"]

    def test_a_closed_store_says_so(self, store, session):
        store.close()
        with pytest.raises(datastore.ClosedError):
            items_of(session)
