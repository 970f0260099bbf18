"""Blobs: bytes of any size, whole or not at all, read in part, and nothing left behind."""

from __future__ import annotations

import ctypes
import io
import random
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Any

import pytest

from datastore import (
    AgentDataStore,
    BlobNotFoundError,
    BlobReplacedError,
    ConflictError,
    DamagedRecordError,
    DataStore,
    InvalidNameError,
    InvalidValueError,
    PermissionDeniedError,
    QueryError,
    Quota,
    QuotaExceededError,
    UnsupportedError,
    ValueTooLargeError,
)
from datastore.backend import Delete, Document, Fields, Outcome, Put, Write
from datastore.blobs.heads import DATA, MARK, PART, TOGETHER
from datastore.blobs.uploads import GRACE, SWEEP_EVERY, UPLOAD
from datastore.conformance.clock import Clock
from datastore.conformance.faults import LosesAnswers, Untouchable, Wrapped, backend_of
from datastore.conformance.topic import Topic, Wrapper
from datastore.errors import BackendUnavailableError, DataStoreError
from datastore.ids import (
    area_prefix,
    decode_key,
    encode_name,
    home_of,
    is_system,
    key_range,
    namespace_prefix,
    system_prefix,
)
from datastore.values import encode

_LONG = 30.0  # seconds: a thread that has not come so far by then never will
LATER = "2040-01-01T00:00:00.000000Z"
SIZES = [0, 1, PART - 1, PART, PART + 1, TOGETHER * PART + 1, 3_000_000]


def content(size: int, seed: int = 0) -> bytes:
    """Return bytes that look like nothing else."""
    return random.Random(size * 31 + seed).randbytes(size)


def is_same(found: bytes | None, expected: bytes | None) -> bool:
    """Compare contents: of two large ones that differ pytest would look for the differences for minutes."""
    return found == expected


class _LosesTheHead(Wrapped):
    """Loses the answer to the first write of a head, and does something before that is noticed."""

    def __init__(self, inner: Any, meanwhile: Callable[[], None]) -> None:
        super().__init__(inner)
        self._meanwhile: Callable[[], None] | None = meanwhile

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        outcomes, meanwhile = self.inner.write(writes), self._meanwhile
        if meanwhile is not None and any(isinstance(one, Put) and "partSize" in (one.value or ()) for one in writes):
            self._meanwhile = None
            meanwhile()
            raise BackendUnavailableError("the connection was reset before the answer came")
        return outcomes


def stored(store: DataStore, beginning: str = "", namespace: str = "default") -> list[Document]:
    """Return the documents of the blobs of a namespace whose keys begin with something."""
    home = namespace_prefix(encode_name("user_1", "user_id"), encode_name(namespace, "namespace"))
    range = key_range(area_prefix(home, "blobs"), beginning or None)
    found, after = list[Document](), None
    while True:
        page = backend_of(store).scan(range, Fields.VALUE, 100, after)
        found += page.documents
        if page.after is None:
            return found
        after = page.after


class _WaitsToRemove(Wrapped):
    """Waits before it removes parts, until it is told to go on."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.waits, self.goes_on = Event(), Event()
        self.keeps: int | None = None

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        if any(isinstance(one, Delete) and decode_key(one.id.rpartition(":")[2]).startswith(DATA) for one in writes):
            self.waits.set()
            assert self.goes_on.wait(_LONG)
            if self.keeps is not None:
                self.inner.write(writes[self.keeps :])
                raise PermissionDeniedError("the host has been switched off")  # which is not tried again
        return self.inner.write(writes)


class _Remover:
    """Removes something in a thread of its own, up to its first parts, and those when it is told to."""

    def __init__(self, wrapped: Wrapper) -> None:
        made = list[_WaitsToRemove]()

        def waiting(backend: Any) -> _WaitsToRemove:
            made.append(_WaitsToRemove(backend))
            return made[0]

        self.agent = wrapped(waiting).agent("user_1", "agent_1")
        (self._backend,) = made
        self._threads = ThreadPoolExecutor(1)

    def begin(self, call: Callable[[], Any]) -> None:
        """Go on until parts would be removed, or to the end if there are none to be removed."""
        self._call = self._threads.submit(call)
        self._call.add_done_callback(lambda _: self._backend.waits.set())
        assert self._backend.waits.wait(_LONG)

    def end(self, keeps: int | None = None) -> None:
        """Remove them; or all but so many, and lose the database."""
        self._backend.keeps = keeps
        self._backend.goes_on.set()
        self._call.result(_LONG)
        self._threads.shutdown()


class _AroundTheHead(Wrapped):
    """Does something before the first write of a head, and something after it."""

    def __init__(self, inner: Any, before: Callable[[], None], after: Callable[[], None]) -> None:
        super().__init__(inner)
        self._steps = [before, after]

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        if not self._steps or not any(isinstance(one, Put) and "partSize" in (one.value or ()) for one in writes):
            return self.inner.write(writes)
        before, after = self._steps
        self._steps = []
        before()
        outcomes = self.inner.write(writes)
        after()
        return outcomes


class Fails(Wrapped):
    """Loses the connection before one of the writes: nothing of it is done, nor of any that follows."""

    def __init__(self, inner: Any, at: int) -> None:
        super().__init__(inner)
        self.left = at

    def write(self, writes: Any) -> list[Outcome]:
        self.left -= not all(is_system(one.id) and home_of(one.id) is None for one in writes)  # a reminder
        if self.left < 0:
            raise BackendUnavailableError("the connection was refused")
        return self.inner.write(writes)


class Blobs(Topic):
    """``data_store.blobs``."""

    @pytest.mark.parametrize("size", SIZES)
    def test_what_comes_back_is_what_was_put(self, data_store: AgentDataStore, size: int) -> None:
        """Whole, by a file object, and in what is told of it; however it was given."""
        blobs, data = data_store.blobs, content(size)
        blob = blobs.put("a", data, "image/png", {"page": 1})
        assert (blob.name, blob.size, blob.content_type, blob.metadata) == ("a", size, "image/png", {"page": 1})
        assert blob.created_by_agent == blob.updated_by_agent == "agent_1"
        assert blobs.stat("a") == blob
        assert is_same(blobs.get("a"), data)
        with blobs.open("a") as file:
            assert is_same(file.read(), data)
        blobs.put("file", io.BytesIO(data))
        blobs.put("pieces", (data[start : start + 100_000] for start in range(0, size, 100_000)))
        assert is_same(blobs.get("file"), data)
        assert is_same(blobs.get("pieces"), data)

    @pytest.mark.parametrize(
        "view",
        [
            memoryview(b"abcdefgh")[::2],
            memoryview(array("i", range(1_000))),
            memoryview(array("i")),
            memoryview((ctypes.c_int32 * 3)(1, 2, 3)),
            memoryview(bytes(range(12))).cast("B", (3, 4)),
        ],
        ids=["with gaps", "of numbers", "empty", "of another library", "of rows"],
    )
    def test_any_memoryview_can_be_put(self, data_store: AgentDataStore, view: memoryview) -> None:
        """What is stored are its bytes in a row, given at once or as a piece."""
        data_store.blobs.put("whole", view)
        data_store.blobs.put("pieces", [b"<", view, b">"])
        assert data_store.blobs.get("whole") == view.tobytes()
        assert data_store.blobs.get("pieces") == b"<%b>" % view.tobytes()

    def test_a_memoryview_that_was_released_is_refused(self, data_store: AgentDataStore) -> None:
        """With the store's error, and the blob that is there stays."""
        released = memoryview(b"new")
        released.release()
        data_store.blobs.put("a", b"old")
        for data in (released, [released]):
            with pytest.raises(InvalidValueError, match="released"):
                data_store.blobs.put("a", data)
        assert data_store.blobs.get("a") == b"old"

    def test_reading_is_that_of_a_file(self, data_store: AgentDataStore) -> None:
        """Any reads, lines and places give what they give in `io.BytesIO`."""
        data, chance = content(5 * PART // 2), random.Random(7)
        data_store.blobs.put("a", data)
        expected = io.BytesIO(data)
        with data_store.blobs.open("a") as file:
            assert file.seekable()
            assert file.readable()
            assert not file.writable()
            for _ in range(60):
                size = chance.choice([0, 1, 10, 70_000, PART, PART + 1, len(data)])
                where = chance.choice([chance.randrange(len(data)), PART, PART - 1, len(data), len(data) + 5])
                match chance.randrange(5):
                    case 0:
                        assert file.seek(where) == expected.seek(where)
                    case 1:
                        back = -min(where, len(data))
                        assert file.seek(back, io.SEEK_END) == expected.seek(back, io.SEEK_END)
                    case 2:
                        assert file.readline(size) == expected.readline(size)
                    case 3:
                        assert file.readinto(bytearray(size)) == expected.readinto(bytearray(size))
                    case _:
                        assert is_same(file.read(size), expected.read(size))
                assert file.tell() == expected.tell()
        with pytest.raises(ValueError, match="closed"):
            file.read(1)

    def test_only_the_parts_that_are_read_are_fetched(self, data_store: AgentDataStore, wrapped: Wrapper) -> None:
        """A short read asks for one part, and one that was read last is not asked for again."""
        asked = list[int]()

        class Counts(Wrapped):
            def read(self, ids: Any, *args: Any, **kwargs: Any) -> dict[str, Document]:
                asked.append(len(ids))
                return super().read(ids, *args, **kwargs)

        data = content(12 * PART)
        data_store.blobs.put("a", data)
        file = wrapped(Counts).agent("user_1", "agent_1").blobs.open("a")
        assert asked == [1], "the head"
        file.seek(3 * PART + 5)
        assert asked == [1]
        assert file.read(10) == data[3 * PART + 5 :][:10]
        file.seek(3 * PART + 90_000)
        assert file.read(10) == data[3 * PART + 90_000 :][:10]
        assert asked == [1, 1]
        file.seek(0)
        assert is_same(file.read(), data)
        assert sum(asked) <= 3 + 12
        assert max(asked) <= TOGETHER

    def test_a_blob_is_no_record(self, data_store: AgentDataStore, store: DataStore) -> None:
        """No listing of keys, records or namespaces shows it, and a record of the same name is another thing."""
        data_store.blobs.put("a", b"blob")
        assert data_store.list_keys() == data_store.list_namespaces() == []
        assert "a" not in data_store
        data_store.set("a", 1)
        data_store.clear()
        assert data_store.blobs.get("a") == b"blob"
        assert data_store.use_namespace("other").blobs.get("a") is None
        assert store.agent("user_10", "agent_1").blobs.get("a") is None
        store.forget("user_1")
        assert data_store.blobs.get("a") is None
        assert stored(store) == []

    def test_blobs_are_listed_by_name(self, data_store: AgentDataStore) -> None:
        """In the order of code points; prefix, start, end, reverse and limit are those of `list_keys`."""
        names = ["a", "a/b", "b", "é", "\U0001f600", "%", ":/..", "x" * 255]
        for name in names:
            data_store.blobs.put(name, name.encode())
        blobs = data_store.blobs

        def listed(**options: Any) -> list[str]:
            return [blob.name for blob in blobs.list(**options)]

        assert listed() == sorted(names)
        assert listed(prefix="a") == ["a", "a/b"]
        assert listed(start="a/", end="c") == ["a/b", "b"]
        assert listed(reverse=True, limit=2) == sorted(names, reverse=True)[:2]
        assert blobs.list(prefix="é") == [blobs.stat("é")]

    def test_a_blob_that_is_replaced_stays_readable_for_its_grace(
        self, data_store: AgentDataStore, store: DataStore, clock: Clock
    ) -> None:
        """Who has it open reads what it was; then a purge removes that, and reading says so."""
        old, new = content(2 * PART), content(3 * PART)
        data_store.blobs.put("a", old)
        file, late = data_store.blobs.open("a"), data_store.blobs.open("a")
        data_store.blobs.put("a", new)
        purge(data_store)
        assert is_same(file.read(), old)
        assert is_same(data_store.blobs.get("a"), new)
        clock.advance(GRACE)
        assert purge(data_store) == 1
        with pytest.raises(BlobReplacedError):
            late.read()
        assert is_same(data_store.blobs.get("a"), new)
        assert len(stored(store, DATA)) == 3
        assert stored(store, MARK) == []

    def test_without_a_grace_what_is_replaced_or_deleted_is_removed_at_once(
        self, data_store: AgentDataStore, store: DataStore
    ) -> None:
        """Nothing is left of it."""
        data_store.blobs.put("a", content(2 * PART))
        data_store.blobs.put("a", b"new", grace=0)
        assert len(stored(store)) == 2, "one part and the head"
        assert data_store.blobs.delete("a", grace=0) is True
        assert stored(store) == []
        assert data_store.blobs.delete("a") is False

    def test_a_name_that_is_put_often_removes_what_is_due(
        self, data_store: AgentDataStore, store: DataStore, clock: Clock
    ) -> None:
        """Without any purge."""
        for number in range(2 * SWEEP_EVERY):
            data_store.blobs.put("a", b"%d" % number, grace=1)
            clock.advance(2)
        assert len(stored(store, DATA)) <= SWEEP_EVERY
        assert data_store.blobs.get("a") == b"%d" % (2 * SWEEP_EVERY - 1)

    def test_a_deleted_blob_is_gone_and_its_readers_go_on(
        self, data_store: AgentDataStore, store: DataStore, clock: Clock
    ) -> None:
        """For the grace; a purge then removes everything."""
        data = content(2 * PART)
        data_store.blobs.put("a", data)
        with data_store.blobs.open("a") as file:
            assert data_store.blobs.delete("a", grace=60) is True
            assert data_store.blobs.get("a", b"none") == b"none"
            assert data_store.blobs.list() == []
            with pytest.raises(BlobNotFoundError) as caught:
                data_store.blobs.open("a")
            assert isinstance(caught.value, FileNotFoundError)
            assert is_same(file.read(), data)
        clock.advance(60)
        assert purge(data_store) == 1
        assert stored(store) == []

    def test_an_expired_blob_is_gone_with_its_parts(
        self, data_store: AgentDataStore, store: DataStore, clock: Clock
    ) -> None:
        """It is hidden from its expiry on, and a purge removes what it had."""
        data_store.blobs.put("a", content(2 * PART), ttl=100, grace=50)
        clock.advance(99)
        purge(data_store)
        assert data_store.blobs.get("a") is not None
        clock.advance(1)
        assert data_store.blobs.get("a") is None
        assert data_store.blobs.list() == []
        clock.advance(50)
        purge(data_store)
        assert stored(store, DATA) == stored(store, MARK) == []

    @pytest.mark.parametrize("at", range(5))
    def test_an_interrupted_put_leaves_the_old_blob_whole(
        self, data_store: AgentDataStore, store: DataStore, clock: Clock, wrapped: Wrapper, at: int
    ) -> None:
        """Wherever it ends; and a purge removes what it left, a day later."""
        old = content(2 * PART, 1)
        data_store.blobs.put("a", old)
        failing = wrapped(lambda backend: Fails(backend, at), retry_seconds=0).agent("user_1", "agent_1")
        pieces = (content(TOGETHER * PART, number) for number in range(2))
        # The writes are the mark, two times 8 parts, the mark of what is replaced, and the head.
        with pytest.raises(BackendUnavailableError):
            failing.blobs.put("a", pieces)
        assert is_same(data_store.blobs.get("a"), old)
        clock.advance(UPLOAD)
        purge(data_store)
        assert is_same(data_store.blobs.get("a"), old)
        assert len(stored(store, DATA)) == 2
        assert stored(store, MARK) == []

    def test_the_head_is_written_after_the_parts_and_the_marks(
        self, data_store: AgentDataStore, wrapped: Wrapper
    ) -> None:
        """In a later request: there is no moment in which a head names what is not there."""
        requests = list[set[str]]()

        class Notes(Wrapped):
            def write(self, writes: Sequence[Write]) -> list[Outcome]:
                outcomes = super().write(writes)
                kinds = {decode_key(one.id.rpartition(":")[2]).partition("/")[0] for one in writes}
                if here := kinds & {"head", "data", "mark"}:  # others are of a reminder, or of a quota's account
                    requests.append(here)
                return outcomes

        data_store.blobs.put("a", content(PART))
        wrapped(Notes).agent("user_1", "agent_1").blobs.put("a", content(TOGETHER * PART + 5), grace=60)
        head = requests.index({"head"})
        assert requests[0] == {"mark"}
        assert {"data"} in requests[:head]
        assert {"data", "mark"} in requests[:head]
        assert set().union(*requests[head + 1 :]) <= {"mark"}

    def test_a_put_is_done_when_its_head_is_written(
        self, data_store: AgentDataStore, store: DataStore, clock: Clock, wrapped: Wrapper
    ) -> None:
        """What fails after that is no error: a purge does it."""
        data_store.blobs.put("a", b"old")
        # The writes are the mark, the part with the mark of what is replaced, the head, and the removal of the mark.
        agent = wrapped(lambda backend: Fails(backend, 3), retry_seconds=0).agent("user_1", "agent_1")
        agent.blobs.put("a", b"new")
        assert len(stored(store, MARK)) == 2
        assert data_store.blobs.get("a") == b"new"
        clock.advance(UPLOAD)
        purge(data_store)
        assert data_store.blobs.get("a") == b"new"
        assert len(stored(store)) == 2

    def test_what_the_callers_source_raises_is_raised(self, data_store: AgentDataStore, store: DataStore) -> None:
        """Then nothing was put, and nothing is left."""

        def broken() -> Iterator[bytes]:
            yield content(TOGETHER * PART + 5)
            raise KeyError("the caller's own")

        with pytest.raises(KeyError, match="the caller's own"):
            data_store.blobs.put("a", broken())
        assert stored(store) == []

    @pytest.mark.parametrize("lost", range(1, 6))
    def test_a_lost_answer_changes_nothing(
        self, data_store: AgentDataStore, store: DataStore, wrapped: Wrapper, lost: int
    ) -> None:
        """A put whose answers are lost is repeated, and is done once."""
        old, new = content(PART + 1, 1), content(PART + 1, 2)
        data_store.blobs.put("a", old)
        made = list[LosesAnswers]()

        def losing(backend: Any) -> LosesAnswers:
            made.append(LosesAnswers(backend))
            return made[0]

        agent = wrapped(losing).agent("user_1", "agent_1")
        made[0].lost = lost
        blob = agent.blobs.put("a", new)
        assert is_same(data_store.blobs.get("a"), new)
        assert data_store.blobs.stat("a") == blob

    @pytest.mark.parametrize("ttl", [None, 60], ids=["", "expires"])
    @pytest.mark.parametrize("put_again", [False, True], ids=["", "put again"])
    def test_a_blob_that_was_deleted_before_its_put_was_told_leaves_no_head_without_parts(
        self, data_store: AgentDataStore, store: DataStore, wrapped: Wrapper, ttl: float | None, put_again: bool
    ) -> None:
        """It was stored and deleted, although the answer to the write of its head was lost in between."""
        blobs, expected = data_store.blobs, None
        if put_again:
            expected = content(PART, 2)

        def meanwhile() -> None:
            assert is_same(blobs.get("a"), content(PART, 1))
            assert blobs.delete("a", grace=0)
            if expected is not None:
                blobs.put("a", expected)

        agent = wrapped(lambda backend: _LosesTheHead(backend, meanwhile)).agent("user_1", "agent_1")
        agent.blobs.put("a", content(PART, 1), ttl=ttl)
        assert is_same(blobs.get("a"), expected)
        assert len(stored(store)) == (0 if expected is None else 2)

    @pytest.mark.parametrize("ttl", [None, 60], ids=["", "expires"])
    def test_a_blob_that_is_being_deleted_when_its_put_is_told_leaves_no_head_without_parts(
        self, data_store: AgentDataStore, store: DataStore, wrapped: Wrapper, ttl: float | None
    ) -> None:
        """As above, but the parts are still there when the put ends: their removal begins after that."""
        remover = _Remover(wrapped)

        def meanwhile() -> None:
            remover.begin(lambda: remover.agent.blobs.delete("a", grace=0))

        agent = wrapped(lambda backend: _LosesTheHead(backend, meanwhile)).agent("user_1", "agent_1")
        agent.blobs.put("a", content(PART, 1), ttl=ttl)
        remover.end()
        assert data_store.blobs.get("a") is None
        assert stored(store, DATA) == []

    @pytest.mark.parametrize("ttl", [None, 86_400], ids=["", "expires"])
    @pytest.mark.parametrize("keeps", [0, 1], ids=["", "but the first"])
    def test_a_removal_that_dies_before_it_looks_at_the_head_again_is_completed(
        self,
        data_store: AgentDataStore,
        store: DataStore,
        clock: Clock,
        wrapped: Wrapper,
        keeps: int,
        ttl: float | None,
    ) -> None:
        """As above, but whoever removes the parts is gone then. The blob is an error, and removed by a later purge."""
        remover = _Remover(wrapped)

        def meanwhile() -> None:
            remover.begin(lambda: remover.agent.blobs.delete("a", grace=0))

        agent = wrapped(lambda backend: _LosesTheHead(backend, meanwhile)).agent("user_1", "agent_1")
        agent.blobs.put("a", content(3 * PART), ttl=ttl)
        with pytest.raises(PermissionDeniedError):
            remover.end(keeps)
        assert len(stored(store, DATA)) == keeps
        for seconds in (0, GRACE / 2):
            clock.advance(seconds)
            with pytest.raises(DamagedRecordError):
                data_store.blobs.get("a")
            with data_store.blobs.open("a") as file, pytest.raises(DamagedRecordError):
                file.seek(PART)
                file.read()
            assert purge(data_store) == 0, "whoever began to remove it may still be at work"
        clock.advance(GRACE / 2)
        assert purge(data_store) == 1
        assert data_store.blobs.get("a") is None
        assert stored(store) == []

    @pytest.mark.parametrize("ttl", [None, 86_400], ids=["", "expires"])
    def test_a_deletion_that_dies_before_the_head_is_removed_leaves_the_blob(
        self, data_store: AgentDataStore, store: DataStore, clock: Clock, wrapped: Wrapper, ttl: float | None
    ) -> None:
        """Also for a purge, which removes the mark that the deletion has left."""
        data = content(3 * PART)
        data_store.blobs.put("a", data, ttl=ttl)
        failing = wrapped(lambda backend: Fails(backend, 1), retry_seconds=0).agent("user_1", "agent_1")
        with pytest.raises(BackendUnavailableError):
            failing.blobs.delete("a", grace=0)
        for seconds in (0, GRACE):
            assert len(stored(store, MARK)) == 1
            clock.advance(seconds)
            assert purge(data_store) == 0
            assert is_same(data_store.blobs.get("a"), data)
        assert len(stored(store, MARK)) == (0 if ttl is None else 1)

    def test_a_put_whose_ttl_is_over_before_it_is_first_keeps_its_parts(
        self, data_store: AgentDataStore, clock: Clock, wrapped: Wrapper
    ) -> None:
        """Another put was first at its first attempt. Whoever removes what is due by the second one leaves it alone."""
        remover, data = _Remover(wrapped), content(PART + 1)

        def before() -> None:
            data_store.blobs.put("a", b"another")

        def after() -> None:
            clock.advance(2)
            remover.begin(lambda: purge(remover.agent))

        agent = wrapped(lambda backend: _AroundTheHead(backend, before, after)).agent("user_1", "agent_1")
        blob = agent.blobs.put("a", data, ttl=1, grace=0.5)
        remover.end()
        assert is_same(data_store.blobs.get("a"), data)
        assert data_store.blobs.stat("a") == blob

    def test_of_concurrent_puts_one_is_there_whole(self, data_store: AgentDataStore, clock: Clock) -> None:
        """The others' parts are removed, and readers meanwhile see one or the other."""
        contents = [content(PART + number, number) for number in range(6)]
        data_store.blobs.put("a", contents[0])
        with ThreadPoolExecutor(6) as threads:
            puts = [threads.submit(data_store.blobs.put, "a", one) for one in contents]
            reads = [threads.submit(data_store.blobs.get, "a") for _ in range(6)]
            assert all(put.result().size >= PART for put in puts)
            assert all(read.result() in contents for read in reads)
        last = data_store.blobs.get("a")
        assert last in contents
        clock.advance(UPLOAD)
        assert purge(data_store) == 6
        assert is_same(data_store.blobs.get("a"), last)

    def test_a_put_can_depend_on_the_revision(self, data_store: AgentDataStore, store: DataStore) -> None:
        """Another one is refused, and so is a deletion; the blob stays, and nothing is left."""
        first = data_store.blobs.put("a", b"first")
        second = data_store.blobs.put("a", b"second", if_revision=first.revision, grace=0)
        assert second.created_at == first.created_at
        for stale in (first.revision, "none"):
            with pytest.raises(ConflictError) as caught:
                data_store.blobs.put("a", content(2 * PART), if_revision=stale)
            assert caught.value.revision == second.revision
            with pytest.raises(ConflictError):
                data_store.blobs.delete("a", if_revision=stale)
        with pytest.raises(ConflictError):
            data_store.blobs.put("none", b"", if_revision=first.revision)
        assert data_store.blobs.get("a") == b"second"
        assert len(stored(store)) == 2
        assert data_store.blobs.delete("a", if_revision=second.revision) is True

    def test_a_put_that_loses_the_race_for_a_revision_leaves_nothing(
        self, data_store: AgentDataStore, store: DataStore
    ) -> None:
        """Whoever comes in between wins."""
        first = data_store.blobs.put("a", b"first")

        def pieces() -> Iterator[bytes]:
            yield content(TOGETHER * PART + 1)
            data_store.blobs.put("a", b"another", grace=0)

        with pytest.raises(ConflictError):
            data_store.blobs.put("a", pieces(), if_revision=first.revision)
        assert data_store.blobs.get("a") == b"another"
        assert len(stored(store, DATA)) == 1

    @pytest.mark.parametrize("damage", ["content", "form", "other part", "missing"])
    def test_a_damaged_part_is_never_returned(self, data_store: AgentDataStore, store: DataStore, damage: str) -> None:
        """Neither whole nor in part; what is before it can be read."""
        data = content(3 * PART)
        data_store.blobs.put("a", data)
        first, second, _ = stored(store, DATA)
        value = {
            "content": {**second.value, "data": first.value["data"]},
            "form": {"data": "?"},
            "other part": {**first.value},
            "missing": None,
        }[damage]
        write: Write = Delete(second.id, LATER)
        if value is not None:
            write = rewritten(second, value)
        assert backend_of(store).write([write])[0].error is None
        with pytest.raises(DamagedRecordError):
            data_store.blobs.get("a")
        with data_store.blobs.open("a") as file:
            assert is_same(file.read(PART), data[:PART])
            if damage != "other part":  # it is sound by itself: only the whole shows that it is another one
                with pytest.raises(DamagedRecordError):
                    file.read(1)
        data_store.blobs.put("a", b"mended")
        assert data_store.blobs.get("a") == b"mended"

    def test_a_removal_that_was_interrupted_is_completed(
        self, data_store: AgentDataStore, store: DataStore, clock: Clock
    ) -> None:
        """By the next purge, whichever parts are gone already."""
        data_store.blobs.put("a", content(5 * PART))
        old = stored(store, DATA)
        data_store.blobs.put("a", b"new", grace=1)
        backend_of(store).write([Delete(old[number].id, LATER) for number in (0, 3)])
        clock.advance(2)
        assert purge(data_store) == 1
        assert len(stored(store)) == 2
        assert data_store.blobs.get("a") == b"new"

    def test_a_damaged_head_is_an_error_and_can_be_deleted(self, data_store: AgentDataStore, store: DataStore) -> None:
        """Others are listed all the same."""
        data_store.blobs.put("a", b"a")
        data_store.blobs.put("b", b"b")
        head = next(one for one in stored(store, "head/a"))
        backend_of(store).write([rewritten(head, {"format": 1})])
        for call in (data_store.blobs.get, data_store.blobs.stat, data_store.blobs.open):
            with pytest.raises(DamagedRecordError):
                call("a")
        assert [blob.name for blob in data_store.blobs.list()] == ["b"]
        assert data_store.blobs.delete("a") is True
        data_store.blobs.put("a", b"again")
        assert data_store.blobs.get("a") == b"again"

    def test_grants_hold_for_blobs(self, store: DataStore, wrapped: Wrapper) -> None:
        """Who may read the namespace reads its blobs, who may write it writes them, and nobody else does."""
        store.host("user_1", "shared").blobs.put("a", b"a")
        reader = store.agent("user_1", "agent_1", "shared", grants={"shared": "read"})
        with reader.blobs.open("a") as file:
            assert file.read() == reader.blobs.get("a") == b"a"
        agent = wrapped(Untouchable).agent("user_1", "agent_1", "shared", grants={"shared": "read"})
        for write in (lambda: agent.blobs.put("b", b"b"), lambda: agent.blobs.delete("a")):
            with pytest.raises(PermissionDeniedError, match="'shared'"):
                write()
        closed = wrapped(Untouchable).agent("user_1", "agent_1", "shared", grants={"other": "write"}).blobs
        calls: list[Callable[[], object]] = [
            *(lambda: closed.get("a"), lambda: closed.open("a"), lambda: closed.stat("a"), closed.list),
            *(lambda: closed.put("a", b""), lambda: closed.delete("a")),
        ]
        for call in calls:
            with pytest.raises(PermissionDeniedError, match="'shared'"):
                call()
        assert store.agent("user_1", "agent_2", "own", grants={"own": "write"}).blobs.put("a", b"a").size == 1

    def test_a_purge_leaves_what_an_agent_may_not_write(
        self, store: DataStore, data_store: AgentDataStore, clock: Clock
    ) -> None:
        """It removes what is due in its own namespaces."""
        for namespace in ("mine", "shared"):
            blobs = data_store.use_namespace(namespace).blobs
            blobs.put("a", b"old")
            blobs.put("a", b"new", grace=1)
        clock.advance(2)
        agent = store.agent("user_1", "agent_1", "mine", grants={"mine": "write", "shared": "read"})
        assert purge(agent) == 1
        assert len(stored(store, DATA, "shared")) == 2
        assert store.purge_expired("user_1") == 1

    def test_the_host_purges_the_blobs_of_all_users(self, store: DataStore, clock: Clock) -> None:
        """Also of a user who is somebody else's neighbour, or has nothing but blobs."""
        for user in ("user_1", "user_10", "a:b"):
            agent = store.agent(user, "agent", "notes/1")
            if user != "user_1":
                agent.set("record", 1)
            agent.blobs.put("a", b"old")
            agent.blobs.put("a", b"new", grace=1)
        clock.advance(2)
        assert store.purge_expired() == 3
        assert store.agent("a:b", "agent", "notes/1").blobs.get("a") == b"new"

    def test_the_host_is_reminded_until_nothing_is_left(self, store: DataStore, clock: Clock, wrapped: Wrapper) -> None:
        """Of what an interrupted put has left, also by a purge that is too early; and of nothing that is forgotten."""
        for user in ("user_1", "user_2"):
            failing = wrapped(lambda backend: Fails(backend, 1), retry_seconds=0).agent(user, "agent_1")
            with pytest.raises(BackendUnavailableError):
                failing.blobs.put("a", content(PART))
        store.forget("user_2")
        reminders = backend_of(store).scan(key_range(system_prefix("", "due")), Fields.VALUE, 100).documents
        if not backend_of(store).capabilities.supports("database"):  # then it goes through all databases
            assert [one.value["userId"] for one in reminders] == ["user_1"]
        for seconds, left in ((GRACE, 1), (UPLOAD - GRACE, 0), (UPLOAD, 0)):
            clock.advance(seconds)
            with suppress(UnsupportedError):  # where nothing has a reminder, and nothing is left
                store.purge_expired()
            assert len(stored(store)) == left

    def test_blobs_count_against_the_quota(self, store: DataStore) -> None:
        """With each part; a put that is too much leaves nothing, and the old blob."""
        agent = store.agent("user_1", "agent_1", quota=Quota(bytes=1_000_000))
        agent.blobs.put("a", content(PART))
        with pytest.raises(QuotaExceededError):
            agent.blobs.put("a", content(4 * PART))
        assert is_same(agent.blobs.get("a"), content(PART))
        assert len(stored(store, DATA)) == 1

    @pytest.mark.parametrize("name", ["", "x" * 256, "é" * 128, None, 1, b"a", "\ud83d"])
    def test_a_bad_name_is_refused(self, wrapped: Wrapper, name: Any) -> None:
        """By each call, before any request."""
        blobs = wrapped(Untouchable).agent("user_1", "agent_1").blobs
        for call in (blobs.get, blobs.open, blobs.stat, blobs.delete, lambda name: blobs.put(name, b"")):
            with pytest.raises(InvalidNameError, match="name"):
                call(name)

    def test_bad_arguments_of_a_blob_are_refused(self, wrapped: Wrapper) -> None:
        """Before any request; the message names the parameter."""
        blobs: Any = wrapped(Untouchable).agent("user_1", "agent_1").blobs
        wrong: list[tuple[str, type[DataStoreError], Callable[[], object]]] = [
            ("data", InvalidValueError, lambda: blobs.put("a", "text")),
            ("data", InvalidValueError, lambda: blobs.put("a", 5)),
            ("data", InvalidValueError, lambda: blobs.put("a", None)),
            ("content_type", InvalidValueError, lambda: blobs.put("a", b"", 1)),
            ("content_type", InvalidValueError, lambda: blobs.put("a", b"", "x" * 256)),
            ("metadata", InvalidValueError, lambda: blobs.put("a", b"", None, [1])),
            ("metadata", ValueTooLargeError, lambda: blobs.put("a", b"", None, {"a": "x" * 16_000})),
            ("ttl", InvalidValueError, lambda: blobs.put("a", b"", ttl=0)),
            ("if_revision", InvalidValueError, lambda: blobs.put("a", b"", if_revision=1)),
            ("if_revision", InvalidValueError, lambda: blobs.delete("a", if_revision=1)),
            *(
                ("grace", InvalidValueError, lambda grace=grace: blobs.put("a", b"", grace=grace))
                for grace in (-1, "1", float("nan"), float("inf"), True)
            ),
            ("grace", InvalidValueError, lambda: blobs.delete("a", grace=-1)),
            ("limit", QueryError, lambda: blobs.list(limit=0)),
            ("prefix", InvalidNameError, lambda: blobs.list(1)),
            ("start", InvalidNameError, lambda: blobs.list(start=1)),
            ("reverse", InvalidValueError, lambda: blobs.list(reverse=1)),
        ]
        for parameter, kind, call in wrong:
            with pytest.raises(kind, match=parameter):
                call()

    def test_a_source_that_gives_no_bytes_is_refused(self, data_store: AgentDataStore, store: DataStore) -> None:
        """When it shows; nothing is left."""
        sources: list[Any] = [io.StringIO("text"), iter([b"a", "b"]), [1, 2]]
        for source in sources:
            with pytest.raises(InvalidValueError, match="data"):
                data_store.blobs.put("a", source)
        assert stored(store) == []


def purge(data_store: AgentDataStore) -> int:
    """Purge; also where the database removes expired records by itself, and no blob is there."""
    try:
        return data_store.purge_expired()
    except UnsupportedError:
        return 0


def rewritten(document: Document, value: Any) -> Put:
    """Return a write of another value over a document, as somebody in the database's console would make it."""
    user, namespace, key = document.id.split(":")
    return Put(document.id, user, namespace, key, value, encode(value), None, "", LATER, "0" * 24, None)
