"""Ordered logs: numbers without gaps, whoever appends, whatever is trimmed, and whichever answer is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from functools import partial
from itertools import product
from typing import Any

import pytest

from datastore import (
    AgentDataStore,
    BackendUnavailableError,
    DataStore,
    DataStoreError,
    Entry,
    InvalidNameError,
    InvalidValueError,
    Log,
    PermissionDeniedError,
    QueryError,
    Quota,
    QuotaExceededError,
    UnsupportedError,
    ValueTooLargeError,
)
from datastore.backend import DocumentPage, Outcome, Write
from datastore.calls.logs import GRACE, SECONDS, TOGETHER
from datastore.conformance.clock import Clock
from datastore.conformance.faults import LosesAnswers, Untouchable, Wrapped
from datastore.conformance.races import race
from datastore.conformance.topic import Opener, Topic, Wrapper, not_applicable
from datastore.conformance.topics.claims import several
from datastore.conformance.topics.retries import through
from datastore.entries import key_at
from datastore.ids import encode_key
from datastore.values import MAX_DEPTH, MAX_VALUE_BYTES

NAMES = ["a", "a:", "a%3A", "a:0000000000000001", "a/b", "ab", "A", "_a", "é", "\u0000", "%", "log", "x" * 255]
"""Names of logs of which some begin like others."""
GROUPS = [1, 3, 1, 1, 4, 2]
"""How many entries are appended together."""

BAD: dict[str, tuple[type[DataStoreError], str, Callable[[AgentDataStore], object]]] = {
    "name: empty": (InvalidNameError, "name", lambda agent: agent.log("")),
    "name: no text": (InvalidNameError, "name", lambda agent: agent.log(1)),  # type: ignore[arg-type]  # that is refused
    "name: too long": (InvalidNameError, "name", lambda agent: agent.log_append("x" * 256, 1)),
    "name: a surrogate": (InvalidNameError, "name", lambda agent: agent.log_read("\ud800")),
    "entries: none": (InvalidValueError, "entries", lambda agent: agent.log("log").append()),
    "entries: no JSON": (InvalidValueError, r"entries\[0\]", lambda agent: agent.log("log").append({1})),
    "entries: one no JSON": (
        InvalidValueError,
        r"entries\[1\]\.x",
        lambda agent: agent.log("log").append(1, {"x": {1}}),
    ),
    "entries: too large": (
        ValueTooLargeError,
        r"entries\[1\]",
        lambda agent: agent.log("log").append(1, "x" * MAX_VALUE_BYTES),
    ),
    "after: negative": (QueryError, "after", lambda agent: agent.log("log").read(after=-1)),
    "after: no int": (InvalidValueError, "after", lambda agent: agent.log("log").read(after="1")),  # type: ignore[arg-type]  # that is refused
    "after: a bool": (InvalidValueError, "after", lambda agent: agent.log("log").read(after=True)),
    "before: zero": (QueryError, "before", lambda agent: agent.log("log").read(before=0)),
    "before: no int": (InvalidValueError, "before", lambda agent: agent.log("log").read(before=1.0)),  # type: ignore[arg-type]  # that is refused
    "limit: zero": (QueryError, "limit", lambda agent: agent.log("log").read(limit=0)),
    "limit: no int": (InvalidValueError, "limit", lambda agent: agent.log("log").read(limit="1")),  # type: ignore[arg-type]  # that is refused
    "reverse: no bool": (InvalidValueError, "reverse", lambda agent: agent.log("log").read(reverse=1)),  # type: ignore[arg-type]  # that is refused
    "n: zero": (QueryError, "n|limit", lambda agent: agent.log("log").last(0)),
    "trim before: zero": (QueryError, "before", lambda agent: agent.log("log").trim(before=0)),
    "trim before: None": (InvalidValueError, "before", lambda agent: agent.log("log").trim(before=None)),  # type: ignore[arg-type]  # that is refused
    "prefix: no text": (InvalidNameError, "prefix", lambda agent: agent.list_logs(1)),  # type: ignore[arg-type]  # that is refused
}
"""Calls with an argument that is refused: the error, what its message names, and the call."""


def numbered(entries: Sequence[Entry]) -> list[tuple[int, Any]]:
    """Return number and value of each entry."""
    return [(entry.number, entry.value) for entry in entries]


def fill(log: Log, groups: Sequence[int] = GROUPS) -> list[tuple[int, Any]]:
    """Append entries in groups, and return what is then in the log."""
    expected = list[tuple[int, Any]]()
    for size in groups:
        values = [f"entry {len(expected) + place}" for place in range(1, size + 1)]
        assert log.append(*values) == len(expected) + 1
        expected += enumerate(values, len(expected) + 1)
    return expected


def check_reads(
    log: Log, expected: list[tuple[int, Any]], afters: Iterable[int] = (), limits: Sequence[int] = ()
) -> None:
    """Compare what is read from both ends with what is in a log, after some numbers, with and without limits."""
    for after, limit in product({0, *afters}, (None, *limits)):
        for before in (None, after + 1, after + 4):
            span = [one for one in expected if one[0] > after and (before is None or one[0] < before)]
            there = log.read(after=after, before=before, limit=limit)
            back = log.read(after=after, before=before, limit=limit, reverse=True)
            assert numbered(there) == span[:limit], (after, before, limit)
            assert numbered(back) == span[::-1][:limit], (after, before, limit)


class _Halves(Wrapped):
    """Applies every second write of the next batch, and then breaks down."""

    broken = False

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        if not self.broken:
            return super().write(writes)
        super().write(writes[1::2])
        raise BackendUnavailableError("the server broke down")


class _Counts(Wrapped):
    """Counts the listings: each is at least one request."""

    listings = 0

    def scan(self, *args: Any, **kwargs: Any) -> DocumentPage:
        self.listings += 1
        return super().scan(*args, **kwargs)


class _Meanwhile(Wrapped):
    """Does something after one of the next listings, before their reader goes on."""

    listings = 0
    act: Callable[[], object]

    def scan(self, *args: Any, **kwargs: Any) -> DocumentPage:
        page = super().scan(*args, **kwargs)
        self.listings -= 1
        if self.listings == 0:
            Context().run(self.act)  # somebody else does it: it is no part of the reader's call
        return page


def _trim_and_append(log: Log) -> None:
    log.trim(before=6)
    log.append("next")


class _Overlooks(Wrapped):
    """Leaves one document out of the next listing, as a database does that does not read it at one moment."""

    overlooked: str | None = None

    def scan(self, *args: Any, **kwargs: Any) -> DocumentPage:
        page, key = super().scan(*args, **kwargs), self.overlooked
        self.overlooked = None
        if key is None:
            return page
        return page._replace(documents=[one for one in page.documents if not one.id.endswith(encode_key(key))])


class Logs(Topic):
    """Appending, reading, trimming."""

    def test_entries_have_numbers_from_1_on(self, data_store: AgentDataStore, clock: Clock) -> None:
        """Of several, the first one's is returned; each says who appended it, and when."""
        log = data_store.log("events")
        assert (log.name, log.read(), log.last(), data_store.list_logs()) == ("events", [], [], [])
        assert (log.append("a"), log.append("b", "c")) == (1, 2)
        clock.advance(60)
        assert data_store.log("events").append(None) == 4
        assert numbered(log.read()) == [(1, "a"), (2, "b"), (3, "c"), (4, None)]
        assert numbered(log.last()) == [(4, None)]
        assert numbered(log.last(3)) == [(2, "b"), (3, "c"), (4, None)]
        first, *_, last = log.read()
        assert first.agent == "agent_1"
        assert 60 <= (last.at - first.at).total_seconds() < 61

    def test_every_part_can_be_read_from_both_ends(self, data_store: AgentDataStore) -> None:
        """What was appended together is read in parts, too."""
        log = data_store.log("events")
        check_reads(log, fill(log), range(14), (2,))

    @pytest.mark.parametrize("before", [1, 3, 5, 6, 12, 99])
    def test_trimming_removes_from_the_beginning(self, data_store: AgentDataStore, clock: Clock, before: int) -> None:
        """Also a part of what was appended together; now or later, the rest keeps its numbers, and new ones go on."""
        log, old = data_store.log("young"), data_store.log("old")
        expected = fill(log)
        assert fill(old) == expected
        kept = expected[before - 1 :]
        assert log.trim(before=before) == len(expected) - len(kept)
        assert log.trim(before=before) == 0
        check_reads(log, kept, (before - 1, before))
        clock.advance(GRACE + 1)
        assert old.trim(before=before) == len(expected) - len(kept)
        check_reads(old, kept, (before - 1, before))
        for one in log, old:
            assert one.append("more") == 13
            assert numbered(one.read()) == [*kept, (13, "more")]
            assert one.clear() == len(kept) + 1
            assert (one.read(), one.last(), one.clear()) == ([], [], 0)
            assert one.append("most", "last") == 14
        assert data_store.list_logs() == ["old", "young"]

    @pytest.mark.parametrize("before", [3, 6, 10, 99])
    def test_trimming_less_than_before_changes_nothing(
        self, data_store: AgentDataStore, clock: Clock, before: int
    ) -> None:
        """Neither soon nor later, and also in what was appended together, of which a mark is left."""
        log = data_store.log("events")
        expected = fill(log)
        log.trim(before=before)
        for seconds in (0.0, GRACE + 1):
            clock.advance(seconds)
            for less in range(1, min(before, len(expected))):
                assert log.trim(before=less) == 0
                assert numbered(log.read()) == expected[before - 1 :]
        assert log.append("more") == len(expected) + 1

    def test_what_another_remembers_is_not_used_after_trimming(
        self, store: DataStore, open_store: Opener, clock: Clock
    ) -> None:
        """A number is given once: also if the entry that had it is gone, and a store has not heard of either."""
        mine, other = (one.log("events") for one in several(store, open_store, 2))
        mine.append("a")
        for seconds in (0.0, 299.0, GRACE, GRACE + 300.0):
            first = mine.append("b") + 1
            assert [other.append("c"), other.append("d", "e")] == [first, first + 1]
            other.trim(before=first + 3)
            clock.advance(seconds)
            other.append("f")
            other.clear()
            assert mine.append("g") == first + 4
            assert numbered(other.read()) == [(first + 4, "g")]

    def test_concurrent_appends_lose_nothing(self, store: DataStore, open_store: Opener) -> None:
        """From several stores at once: all is there once, in the order of each, and what is together stays so."""
        agents, rounds = several(store, open_store), 12

        def append(place: int) -> list[int]:
            log = agents[place].log("events")
            return [log.append(*[[place, number, part] for part in range(1 + number % 3)]) for number in range(rounds)]

        def watch() -> list[int]:
            log, seen = agents[0].log("events"), list[int]()
            for _ in range(rounds):
                seen += [entry.number for entry in log.read(after=len(seen))]
                backward = [entry.number for entry in log.read(reverse=True)]
                assert backward == list(range(len(backward), 0, -1))
            return seen

        *given, seen = race(*[partial(append, place) for place in range(len(agents))], watch)
        assert seen == list(range(1, len(seen) + 1)), "a reader saw a gap"
        entries = agents[0].log("events").read()
        assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
        for place, numbers in enumerate(given):
            own = [entry for entry in entries if entry.value[0] == place]
            assert [entry.value for entry in own] == [
                [place, number, part] for number in range(rounds) for part in range(1 + number % 3)
            ]
            for number, first in enumerate(numbers):
                together = [entry.number for entry in own if entry.value[1] == number]
                assert together == list(range(first, first + 1 + number % 3))

    @pytest.mark.parametrize("lost", [1, 2])
    def test_a_lost_answer_appends_once(self, wrapped: Wrapper, lost: int) -> None:
        """The entry recognises itself, also if it has been trimmed meanwhile."""
        loses, data_store = through(wrapped(LosesAnswers), LosesAnswers)
        log = data_store.log("events")
        for number in (1, 2, 4):
            loses.lost = lost
            assert log.append(*["x"] * (1 + number % 2)) in (1, 3, 4)
        assert [entry.number for entry in log.read()] == list(range(1, 5))

    def test_an_entry_trimmed_before_its_answer_came_is_not_appended_again(
        self, store: DataStore, data_store: AgentDataStore, wrapped: Wrapper
    ) -> None:
        """The mark in its place knows it."""

        class TrimmedMeanwhile(LosesAnswers):
            def write(self, writes: Sequence[Write]) -> list[Outcome]:
                lost = self.lost
                try:
                    return super().write(writes)
                finally:
                    if lost:
                        data_store.log("events").append("next")
                        data_store.log("events").clear()

        if not store.capabilities.remembered_writes:
            not_applicable("remembered_writes is not declared: no answer can be lost")
        loses, other = through(wrapped(TrimmedMeanwhile), TrimmedMeanwhile)
        loses.lost = 1
        assert other.log("events").append("trimmed") == 1
        assert data_store.log("events").append("last") == 3
        assert numbered(other.log("events").read()) == [(3, "last")]

    def test_trimming_that_breaks_down_leaves_no_gap(self, wrapped: Wrapper, clock: Clock) -> None:
        """The log then begins with one of the entries that were to go; trimming it again completes it."""
        for seconds in (0.0, GRACE + 1):
            breaks, data_store = through(wrapped(_Halves, retry_seconds=0), _Halves)
            log = data_store.log(f"after {seconds}")
            expected = fill(log, [1] * 9)
            clock.advance(seconds)
            breaks.broken = True
            with pytest.raises(BackendUnavailableError):
                log.trim(before=7)
            left = numbered(log.read())
            assert left == expected[-len(left) :]
            assert numbered(log.read(reverse=True)) == left[::-1]
            breaks.broken = False
            log.trim(before=7)
            check_reads(log, expected[6:])

    @pytest.mark.parametrize("listing", [1, 2])
    def test_trimming_while_others_read_leaves_no_gap(
        self, data_store: AgentDataStore, wrapped: Wrapper, listing: int
    ) -> None:
        """What was read is then still there for its reader, or is not; and so is what comes after it."""
        meanwhile, reader = through(wrapped(_Meanwhile), _Meanwhile)
        for case, (after, limit, reverse) in enumerate(product((0, 1, 2, 3), (None, 1, 2), (False, True))):
            log, own = data_store.log(f"log {case}"), reader.log(f"log {case}")
            expected = fill(log, [2, 1, 2])
            own.read()  # it knows the end
            meanwhile.act = partial(_trim_and_append, log)
            meanwhile.listings = listing
            found = numbered(own.read(after=after, limit=limit, reverse=reverse))
            meanwhile.listings = 0
            in_order = found[::-1] if reverse else found
            numbers = [number for number, _ in in_order]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)) if numbers else ()), (after, limit)
            assert set(in_order) <= {*expected, (6, "next")}

    @pytest.mark.parametrize("number", range(1, 5))
    def test_an_entry_that_came_while_others_were_read_is_not_left_out(self, wrapped: Wrapper, number: int) -> None:
        """A database may list a later one without it: then it is asked for once more, from either end."""
        overlooks, data_store = through(wrapped(_Overlooks), _Overlooks)
        log = data_store.log("events")
        expected = fill(log, [1] * 5)
        for after in range(number):
            overlooks.overlooked = key_at("events:", number)
            assert numbered(log.read(after=after)) == expected[after:]
            overlooks.overlooked = key_at("events:", number)
            assert numbered(log.read(after=after, reverse=True)) == expected[after:][::-1]

    @pytest.mark.parametrize("reverse", [False, True])
    def test_to_ask_for_what_is_not_there_yet_is_one_request(
        self, data_store: AgentDataStore, wrapped: Wrapper, clock: Clock, *, reverse: bool
    ) -> None:
        """However long ago the end was learnt; to find something takes one more at most, and nothing is left out."""
        counts, reader = through(wrapped(_Counts), _Counts)
        there, log = data_store.log("events"), reader.log("events")

        def takes(listings: int, after: int, *expected: int) -> None:
            counts.listings = 0
            numbers = [entry.number for entry in log.read(after=after, reverse=reverse)]
            assert (sorted(numbers, reverse=reverse), counts.listings) == (numbers, listings)
            assert sorted(numbers) == list(expected)

        takes(1, 7)  # before there is a log
        there.append(1)
        takes(1, 1)
        there.append(2, 3)
        takes(1, 1, 2, 3)
        takes(1, 3)
        for _ in range(2):
            clock.advance(SECONDS + 1)
            takes(1, 3)  # it looks for the end again
            takes(1, 3)  # and knows it
        for number in (4, 5):
            there.append(number)
        takes(1, 3, 4, 5)
        clock.advance(SECONDS + 1)
        takes(1, 4, 5)  # the last record has it all
        clock.advance(SECONDS + 1)
        takes(2, 3, 4, 5)
        clock.advance(SECONDS + 1)
        there.clear()
        takes(1, 5)
        assert log.append(6) == 6

    def test_more_than_are_stored_together_come_in_parts(self, data_store: AgentDataStore) -> None:
        """By number and by size: in order, and each as it was."""
        log = data_store.log("events")
        many = [f"entry {number}" for number in range(2 * TOGETHER + 1)]
        large = ["x" * (MAX_VALUE_BYTES - 2), "y" * 600_000, "z" * 600_000, 1]
        assert log.append(*many) == 1
        assert log.append(*large) == len(many) + 1
        assert [entry.value for entry in log.read()] == many + large
        assert numbered(log.last(2)) == [(len(many) + 3, large[2]), (len(many) + 4, 1)]
        assert numbered(log.read(after=150, limit=2)) == [(151, many[150]), (152, many[151])]

    def test_a_failure_between_two_parts_says_what_is_stored(self, wrapped: Wrapper) -> None:
        """The first part stays; what is appended next follows it."""

        class SecondFails(Wrapped):
            writes = 0

            def write(self, writes: Sequence[Write]) -> list[Outcome]:
                self.writes += 1
                if self.writes == 2:
                    raise BackendUnavailableError("the server broke down")
                return super().write(writes)

        _, data_store = through(wrapped(SecondFails, retry_seconds=0), SecondFails)
        log = data_store.log("events")
        with pytest.raises(BackendUnavailableError, match=f"log 'events' .* after the first {TOGETHER} entries"):
            log.append(*range(TOGETHER + 1))
        assert log.append("next") == TOGETHER + 1
        assert [entry.value for entry in log.read()] == [*range(TOGETHER), "next"]

    def test_an_entry_is_any_value(self, data_store: AgentDataStore) -> None:
        """What comes back equals what was appended, type for type, alone and with others."""
        deep: Any = "deep"
        for _ in range(MAX_DEPTH - 1):
            deep = [deep]
        values = [None, [], {}, [[]], 0, 1.0, True, "", 2**70, {"count": 2, "trimmed": 1}, ["a", {"b": None}], deep]
        for value in values:
            data_store.log("alone").append(value)
        data_store.log("together").append(*values)
        for name in ("alone", "together"):
            log = data_store.log(name)
            found = [entry.value for entry in log.read()]
            assert found == values, name
            assert list(map(type, found)) == list(map(type, values))
        assert data_store.log("alone").append([deep]) == len(values) + 1
        assert data_store.log("alone").last()[0].value == [deep]

    def test_logs_are_apart(self, data_store: AgentDataStore) -> None:
        """By name, however much alike, by namespace and by user; no other listing shows them."""
        for name in NAMES:
            assert data_store.log(name).append(name) == 1
        for name in NAMES:
            assert numbered(data_store.log(name).read()) == [(1, name)]
        assert sorted(data_store.list_logs()) == sorted(NAMES)
        assert sorted(data_store.list_logs("a")) == sorted(name for name in NAMES if name.startswith("a"))
        data_store.log("a").clear()
        assert sorted(data_store.list_logs("a")) == sorted(
            name for name in NAMES if name.startswith("a") and name != "a"
        )
        other = data_store.use_namespace("other")
        assert (other.list_logs(), other.log("log").read()) == ([], [])
        assert (data_store.list_keys(), data_store.list_namespaces(), data_store.count()) == ([], [], 0)

    def test_logs_are_listed_in_order(self, data_store: AgentDataStore) -> None:
        """In that of ids, as namespaces are."""
        names = ["job", "job-1", "b", "b/c"]
        for name in names:
            data_store.log(name).append(1)
            data_store.use_namespace(name).set("key", 1)
        assert data_store.list_logs() == data_store.list_namespaces()

    @pytest.mark.parametrize("bad", BAD)
    def test_a_bad_argument_is_refused(self, wrapped: Wrapper, bad: str) -> None:
        """Before any request, with an error that names it."""
        kind, named, call = BAD[bad]
        _, data_store = through(wrapped(Untouchable), Untouchable)
        with pytest.raises(kind, match=named):
            call(data_store)

    def test_grants_of_the_namespace_hold(self, store: DataStore) -> None:
        """Who may read it may read its logs; who may write to it may append and trim."""
        store.agent("user_1", "a", "shared").log("events").append("a")
        agent = store.agent("user_1", "b", "shared", grants={"shared": "read", "mine": "write"})
        assert numbered(agent.log("events").read()) == [(1, "a")]
        assert agent.list_logs() == ["events"]
        writes: list[Callable[[Log], int]] = [lambda log: log.append(1), lambda log: log.trim(before=1), Log.clear]
        for write in writes:
            with pytest.raises(PermissionDeniedError, match="write namespace 'shared'"):
                write(agent.log("events"))
        mine = agent.use_namespace("mine").log("events")
        assert (mine.append(1, 2), mine.trim(before=2), mine.append(3)) == (1, 1, 3)

    def test_entries_count_against_the_quota(self, store: DataStore) -> None:
        """What is appended together is one record; trimming makes room."""
        agent = store.agent("user_1", "a", quota=Quota(bytes=3_000))
        log = agent.log("events")
        for number in (1, 3):
            assert log.append("x" * 500, "y" * 500) == number
        with pytest.raises(QuotaExceededError):
            log.append("x" * 500, "y" * 500)
        log.trim(before=3)
        assert log.append("x" * 500, "y" * 500) == 5

    def test_what_trimming_leaves_is_reclaimed(
        self, store: DataStore, data_store: AgentDataStore, clock: Clock
    ) -> None:
        """Its marks expire, and are purged with the user's expired records; the numbers go on."""
        log = data_store.log("events")
        fill(log)
        log.clear()
        clock.advance(GRACE + 1)
        try:
            assert data_store.purge_expired() == len(GROUPS) - 1
            assert store.purge_expired() == 0
        except UnsupportedError:
            pass  # the database does it by itself
        assert (log.append("more"), numbered(log.read())) == (13, [(13, "more")])
