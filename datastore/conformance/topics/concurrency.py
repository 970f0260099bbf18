"""Concurrency: threads on one store, and counting during writes. Races run for a number of rounds, not of seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from datastore import AgentDataStore, ConflictError, DataStore, KeyExistsError
from datastore.conformance.races import ROUNDS, race
from datastore.conformance.topic import Topic

THREADS = 8


def paces() -> Iterator[tuple[list[str], int]]:
    """Yield some new keys, and how long to wait before touching each one, so that two calls meet in some round.

    The unit is a read of the database and not a time, so that the pauses suit fast and slow databases alike.
    """
    for pause in (0, 1, 2, 4, 8, 16):
        for repetition in range(2):
            yield [f"{pause}.{repetition}.{number}" for number in range(3)], pause


def wait(data_store: AgentDataStore, reads: int) -> None:
    """Wait for as long as the given number of reads takes."""
    for _ in range(reads):
        data_store.exists("nothing")


def in_turn(round: int, *calls: Callable[[], None]) -> tuple[Callable[[], None], ...]:
    """Return the calls in this order or in reverse, so that each of them is the last one in half of the rounds."""
    return calls if round % 2 else calls[::-1]


class Concurrency(Topic):
    """What holds if several threads do something at once."""

    def test_threads_setting_one_key_do_not_fail(self, data_store: AgentDataStore) -> None:
        """One of the values is stored, and it is complete."""
        values = [{"writer": n, "items": [n] * 300} for n in range(THREADS)]

        def write(number: int) -> None:
            for _ in range(5):
                data_store.set("key", values[number], {f"by {number}": number})

        race(*(partial(write, number) for number in range(THREADS)))
        assert data_store.get("key") in values
        record = data_store.get_record("key")
        assert record is not None
        assert record.metadata == {f"by {n}": n for n in range(THREADS)}, "somebody's metadata was lost"

    def test_threads_setting_a_new_key_do_not_fail(self, data_store: AgentDataStore) -> None:
        """No thread gets an error because another one was faster."""
        for round in range(ROUNDS):
            race(*(partial(data_store.set, f"key {round}", number) for number in range(THREADS)))
            assert data_store.get(f"key {round}") in range(THREADS)
        assert data_store.count() == ROUNDS

    def test_threads_setting_the_same_batch_do_not_fail(self, data_store: AgentDataStore) -> None:
        """They write in opposite orders, which can lead databases into a deadlock."""
        keys = [f"key {number:02}" for number in range(26)]  # more than DynamoDB writes in one request

        def write(number: int) -> int:
            order = keys if number % 2 else keys[::-1]
            return data_store.set_many(dict.fromkeys(order, number), {"by": number})

        for _ in range(ROUNDS):
            assert race(*(partial(write, number) for number in range(4))) == [26] * 4
        assert set(data_store.get_all().values()) <= {0, 1, 2, 3}
        assert data_store.list_keys() == keys

    def test_of_several_adds_one_succeeds(self, data_store: AgentDataStore) -> None:
        """Its value is the one that is stored."""

        def add(key: str, number: int) -> int | None:
            try:
                data_store.add(key, number)
            except KeyExistsError:
                return None
            return number

        for round in range(ROUNDS):
            key = f"key {round}"
            results = race(*(partial(add, key, number) for number in range(THREADS)))
            winners = [number for number in results if number is not None]
            assert len(winners) == 1, f"{len(winners)} threads added the same key"
            assert data_store.get(key) == winners[0]

    def test_of_several_sets_at_one_revision_one_succeeds(self, data_store: AgentDataStore) -> None:
        """The others get the winner's revision."""

        def write(key: str, number: int, revision: str) -> tuple[str, str | None]:
            try:
                return "done", data_store.set(key, number, if_revision=revision)
            except ConflictError as conflict:
                return "conflict", conflict.revision

        for round in range(ROUNDS):
            key = f"key {round}"
            revision = data_store.set(key, None)
            results = race(*(partial(write, key, number, revision) for number in range(THREADS)))
            winners = [result for result in results if result[0] == "done"]
            assert len(winners) == 1, f"{len(winners)} threads wrote at the same revision"
            assert {current for _, current in results} == {winners[0][1]}
            assert data_store.get(key) == results.index(winners[0])

    def test_of_several_deletes_one_says_that_it_removed(self, data_store: AgentDataStore) -> None:
        """The record existed once."""
        for _ in range(ROUNDS):
            data_store.set("key", 1)
            assert sum(race(*[partial(data_store.delete, "key")] * THREADS)) == 1
            assert not data_store.exists("key")

    def test_no_increment_is_lost(self, data_store: AgentDataStore) -> None:
        """Eight threads add twelve times each; the test with two processes takes longer."""

        def count() -> None:
            for _ in range(12):
                data_store.increment("key")

        race(*[count] * THREADS)
        assert data_store.get("key") == 12 * THREADS

    def test_no_appended_item_is_lost(self, data_store: AgentDataStore) -> None:
        """Each item is there once, and the items of each thread are in order."""

        def append(thread: int) -> None:
            for number in range(10):
                data_store.append("key", [thread, number])

        race(*(partial(append, thread) for thread in range(4)))
        items = data_store.get("key")
        assert sorted(items) == [[thread, number] for thread in range(4) for number in range(10)]
        for thread in range(4):
            assert [number for by, number in items if by == thread] == list(range(10))

    def test_readers_beside_writers_see_whole_values(self, data_store: AgentDataStore) -> None:
        """No read of a busy key fails, misses the record, or sees part of a value."""
        data_store.set("key", [0] * 500, {"n": 0})

        def write(number: int) -> None:
            for _ in range(15):
                data_store.set("key", [number] * 500, {"n": number})

        def read(number: int) -> None:
            for _ in range(25):
                if number % 2:
                    value = data_store.get("key")
                    assert value is not None, "the record was missing for a moment"
                    assert len(value) == 500
                    assert len(set(value)) == 1, "parts of two values"
                else:
                    record = data_store.get_record("key")
                    assert record is not None, "the record was missing for a moment"
                    assert record.metadata == {"n": record.value[0]}, "value and metadata of different writes"
                    assert list(data_store.get_all()) == ["key"]

        race(*(partial(write if n < 3 else read, n) for n in range(7)))

    def test_a_set_stands_beside_a_flush(self, store: DataStore, data_store: AgentDataStore) -> None:
        """Counting an access never writes back the value that was read, and the count is not lost either."""
        for round, (keys, pause) in enumerate(paces(), start=1):
            data_store.set_many(dict.fromkeys(keys, "old"))
            data_store.get_many(keys)

            def write(keys: list[str] = keys, pause: int = pause) -> None:
                for key in keys:
                    wait(data_store, pause)
                    data_store.set(key, "new")

            race(*in_turn(round, store.flush, write))
            records = [record for record in data_store.iter_records() if record.key in keys]
            assert [record.value for record in records] == ["new"] * len(keys), "a flush undid a set"
            assert [record.access_count for record in records] == [1] * len(keys), "a set undid a flush"

    def test_a_delete_stands_beside_a_flush(self, store: DataStore, data_store: AgentDataStore) -> None:
        """Counting an access never restores a deleted record."""
        for round, (keys, pause) in enumerate(paces()):
            data_store.set_many(dict.fromkeys(keys, 1))
            data_store.get_many(keys)

            def delete(keys: list[str] = keys, pause: int = pause) -> None:
                for key in keys:
                    wait(data_store, pause)
                    assert data_store.delete(key)

            race(*in_turn(round, store.flush, delete))
            assert data_store.list_keys() == [], "a flush brought back a deleted record"

    def test_no_access_is_lost_beside_flushes(self, store: DataStore, data_store: AgentDataStore) -> None:
        """Reads continue while earlier counts are written."""
        data_store.set("key", 1)

        def read() -> None:
            for _ in range(50):
                assert data_store.get("key") == 1

        def flush() -> None:
            for _ in range(10):
                store.flush()

        race(read, read, read, read, flush, flush)
        store.flush()
        record = data_store.get_record("key")
        assert record is not None
        assert record.access_count == 200

    def test_a_listing_beside_writers_holds_what_is_there_throughout(self, data_store: AgentDataStore) -> None:
        """They are in it exactly once, whatever is created and deleted around them."""
        lasting = [f"key {number:03}" for number in range(0, 300, 3)]
        data_store.set_many(dict.fromkeys(lasting, 1))

        def come_and_go() -> None:
            for number in range(60):
                data_store.set(f"key {number * 3 + 1:03}", 1)
                data_store.set(lasting[number], 2)
                data_store.delete(f"key {number * 3 + 1:03}")

        def read() -> None:
            for _ in range(5):
                keys = []
                cursor = None
                while True:
                    page = data_store.scan(limit=17, cursor=cursor)
                    keys += [record.key for record in page.records]
                    cursor = page.cursor
                    if cursor is None:
                        break
                assert sorted(key for key in keys if key in lasting) == lasting
                assert [key for key in data_store.list_keys() if key in lasting] == lasting

        race(come_and_go, read, read)
