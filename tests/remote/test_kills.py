"""The server is killed in the middle of writes, again and again: nothing acknowledged is lost, or done twice."""

import threading
from collections import Counter

import pytest

import datastore
from datastore import BackendUnavailableError, OutcomeUnknownError
from tests.full import FULL
from tests.patience import PATIENCE
from tests.remote.processes import ServerProcess

ROUNDS = 40 if FULL else 4
WRITERS = 4
EACH_ROUND = 30
"""Calls that the writers make with success before the server is killed."""


@pytest.fixture
def server(tmp_path):
    server = ServerProcess(tmp_path)
    yield server
    server.kill()


class Writer(threading.Thread):
    """Makes writes that can be told from each other, and notes which were acknowledged and which may have been made."""

    def __init__(self, data_store, number, over, progress):
        super().__init__()
        self._data_store = data_store
        self._number = number
        self._over = over
        self._progress = progress
        self.done = Counter()
        self.unknown = Counter()
        self.tags = {True: [], False: []}
        """The elements appended and the records added: those acknowledged, and those that may be there."""
        self.error = None

    def run(self):
        turn = 0
        try:
            while not self._over.is_set():
                turn += 1
                tag = f"{self._number}-{turn}"
                self._write("count", tag, lambda: self._data_store.increment("count"))
                self._write("log", tag, lambda: self._data_store.append("log", tag))  # noqa: B023 - called at once
                self._write("add", tag, lambda: self._data_store.add(f"add-{tag}", tag))  # noqa: B023 - as above
                many = {f"many-{tag}-{number}": tag for number in range(10)}
                self._write("many", tag, lambda: self._data_store.add_many(many))  # noqa: B023 - as above
        except BaseException as error:  # noqa: BLE001 - asserted by the test
            self.error = error

    def _write(self, kind, tag, call):
        try:
            call()
        except (BackendUnavailableError, OutcomeUnknownError):
            is_done = False
            self.unknown[kind] += 1
        else:
            is_done = True
            self.done[kind] += 1
            self._progress.release()
        self.tags[is_done].append((kind, tag))


def test_what_was_acknowledged_is_there_once_and_what_was_not_at_most_once(server):
    server.start()
    with datastore.connect(server.database) as store:
        token = store.tokens.mint("ann", "writer")
    over, progress = threading.Event(), threading.Semaphore(0)
    with datastore.connect(server.url, token=token, retry_seconds=60, max_seconds=120) as data_store:
        writers = [Writer(data_store, number, over, progress) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        try:
            for _ in range(ROUNDS):
                for _ in range(EACH_ROUND):
                    assert progress.acquire(timeout=PATIENCE), [writer.error for writer in writers]
                server.kill()
                server.start()
        finally:
            over.set()
            for writer in writers:
                writer.join()
    assert [writer.error for writer in writers] == [None] * WRITERS  # no other error, and no KeyExistsError
    server.stop()
    done = Counter(tag for writer in writers for tag in writer.tags[True])
    unknown = {tag for writer in writers for tag in writer.tags[False]}
    counts = sum((writer.done for writer in writers), Counter()), sum((writer.unknown for writer in writers), Counter())
    with datastore.connect(server.database) as store:
        stored = store.host("ann")
        assert counts[0]["count"] <= stored.get("count") <= counts[0]["count"] + counts[1]["count"]
        log = Counter(("log", tag) for tag in stored.get("log"))
        added = Counter(("add", key.removeprefix("add-")) for key in stored.list_keys("add-"))
        many = Counter(("many", key.removeprefix("many-").rpartition("-")[0]) for key in stored.list_keys("many-"))
    assert set(log.values()) == {1}
    assert set(many.values()) <= {10}  # one transaction on SQLite
    found = log.keys() | added.keys() | many.keys()
    expected = {tag for tag in done if tag[0] != "count"}
    assert expected <= found
    assert found - expected <= unknown
