"""A collection of another program: it is refused at connect, and its documents are never harmed."""

from __future__ import annotations

import re

import grpc
import pytest
from google.cloud.firestore_v1.types import write

import datastore
from datastore import BackendUnavailableError, ConfigurationError, DamagedRecordError
from datastore.backend import IdRange
from datastore.ids import encode_key
from datastore.urls import Url
from datastore_firestore.client import Connection
from datastore_firestore.codec import VALUE_LIMITS, fill, set_time
from datastore_firestore.urls import settings_of
from tests.firestore.recording import breaking_after
from tests.moving.test_legacy_format import legacy

pytestmark = pytest.mark.server("firestore")

NOW = "2026-01-01T00:00:00.000000Z"


@pytest.fixture(name="theirs")
def another_program(url):
    """Writes and reads documents as the other program does."""

    class Theirs:
        def __init__(self, url):
            self.settings = settings_of(Url(url))
            self.connection = Connection(self.settings)

        def write(self, *documents, expires_at=None):
            messages = []
            for document in documents:
                message = write.Write.pb()()
                message.update.name = self.settings.prefix + document["_id"]
                for name, value in document.items():
                    assert name == "_id" or fill(message.update.fields[name], value, 0, VALUE_LIMITS)
                if expires_at is not None:
                    set_time(message.update.fields["expiresAt"], expires_at)
                messages.append(message)
            self.connection.batch_write(messages)

        def read(self, *documents):
            """Which of some documents are there, and as they were written."""
            names = [self.settings.prefix + document["_id"] for document in documents]
            found = self.connection.batch_get(names, None)
            return [document for document, name in zip(documents, names, strict=True) if found[name] is not None]

    opened = {}

    def open_theirs(of=url):
        if of not in opened:
            opened[of] = Theirs(of)
        return opened[of]

    open_theirs.write, open_theirs.read = open_theirs().write, open_theirs().read
    open_theirs.settings = open_theirs().settings
    yield open_theirs
    for theirs in opened.values():
        theirs.connection.close()


SEVERAL = [legacy(key=f"key {number}", value=number) for number in range(5)]


def test_a_collection_of_another_program_is_refused_before_anything_is_written(theirs, url, recorder):
    theirs.write(*SEVERAL)
    project, collection = theirs.settings.project, theirs.settings.collection
    wanted = f"belongs to something else.*datastore import-legacy firestore://{project}/{collection} SINK_URL"
    with pytest.raises(ConfigurationError, match=wanted):
        datastore.connect(url, interceptors=[recorder])
    assert recorder.requests == ["BatchGetDocuments", "RunQuery"]
    assert theirs.read(*SEVERAL) == SEVERAL


def test_so_is_that_of_a_program_of_another_kind(theirs, url):
    theirs.write({"_id": "invoice 1", "total": 5})
    with pytest.raises(ConfigurationError, match="belongs to something else") as caught:
        datastore.connect(url)
    assert "import-legacy" not in str(caught.value)


def test_a_tenant_is_not_given_a_collection_of_another_program(theirs, url):
    of_ann = theirs(url.replace("/agent_data_store?", "/agent_data_store-ann?"))
    of_ann.write(legacy())
    with datastore.connect(url, isolation="database") as store:
        with pytest.raises(ConfigurationError, match="'agent_data_store-ann' belongs to something else"):
            store.agent("ann", "host").get("key")
        with pytest.raises(ConfigurationError, match="belongs to something else"):
            store.drop_tenant("ann", confirm="ann")
        assert store.agent("bob", "host").get("key") is None
    assert of_ann.read(legacy()) == [legacy()]


def test_an_empty_collection_and_one_of_ours_are_opened(url):
    with datastore.connect(url) as store:
        store.agent("ann", "host").set("key", 1)
    with datastore.connect(url) as store:
        assert store.agent("ann", "host").get("key") == 1


def test_a_damaged_record_does_not_lock_the_others_in(theirs, url):
    with datastore.connect(url) as store:
        store.agent("ann", "host").set_many({"k1": 1, "k2": 2})
    theirs.write(legacy(key="a first one"), {"_id": "a note of the administrator's", "text": "x"})
    with datastore.connect(url) as store:
        assert store.agent("ann", "host").get("k2") == 2


def test_an_outage_at_connect_is_waited_for_a_while_and_never_reads_as_an_empty_collection(
    theirs, url, recorder, monkeypatch
):
    theirs.write(*SEVERAL)
    for request in ("BatchGetDocuments", "RunQuery"):
        recorder.fail(request, grpc.StatusCode.UNAVAILABLE, breaking_after(0), None)
        with pytest.raises(ConfigurationError, match="belongs to something else"):
            datastore.connect(url, interceptors=[recorder])
    monkeypatch.setattr("datastore_firestore.opening._SECONDS", 0)
    for request in ("BatchGetDocuments", "RunQuery"):
        for fault in (grpc.StatusCode.UNAVAILABLE, breaking_after(0)):
            recorder.fail(request, fault)
            with pytest.raises(BackendUnavailableError):
                datastore.connect(url, interceptors=[recorder])


class TestMetLater:
    """Documents that another program writes into a collection of ours while it is open."""

    @pytest.fixture(autouse=True)
    def written(self, theirs, agent, store):
        self.agent = store.agent("ann", "host")
        self.agent.set_many({"own": 1, "own too": 2})
        self.several = [one | {"_id": f"ann:default:{encode_key(one['key'])}"} for one in SEVERAL]
        theirs.write(*self.several)
        theirs.write(legacy(key="expired"), {"_id": "a note", "text": "x"}, expires_at=NOW)
        self.all = [*self.several, legacy(key="expired"), {"_id": "a note", "text": "x"}]

    def test_each_is_a_damaged_record_that_is_named(self):
        calls = {
            "get": lambda: self.agent.get("key 1"),
            "get_record": lambda: self.agent.get_record("key 1"),
            "exists": lambda: self.agent.exists("key 1"),
            "get_many": lambda: self.agent.get_many(["own", "key 1"]),
            "set": lambda: self.agent.set("key 1", "ours"),
            "add": lambda: self.agent.add("key 1", "ours"),
            "increment": lambda: self.agent.increment("key 1"),
        }
        for call in calls.values():
            with pytest.raises(DamagedRecordError, match=re.escape(self.several[1]["_id"])):
                call()

    def test_none_is_harmed_by_what_removes_many(self, theirs, store):
        assert self.agent.get_all() == {"own": 1, "own too": 2}
        assert self.agent.clear() == 2
        self.agent.set("own", 1)
        assert store.forget("ann") == (1, 0)
        assert store.purge_expired() == 0
        theirs.write(legacy(key="expired") | {"expires": True}, expires_at=NOW)  # a field that only ours have
        assert store.backend.purge(NOW, IdRange("ann:", "ann;")) == 0
        with pytest.raises(DamagedRecordError):
            self.agent.set("key 0", 1)
        assert theirs.read(*self.all) == self.all

    def test_it_does_not_stop_a_purge_of_the_expired(self, theirs, store, monkeypatch):
        monkeypatch.setattr("datastore_firestore.backend.MOST_WRITES", 3)
        theirs.write(*(legacy(key=f"old {number}") for number in range(7)), expires_at=NOW)
        self.agent.set_many({f"brief {number}": number for number in range(4)}, ttl=1e-6)
        assert store.purge_expired() == 4
        assert theirs.read(*self.all) == self.all

    def test_delete_with_its_key_removes_it(self, theirs):
        assert self.agent.delete("key 1")
        assert theirs.read(self.several[1]) == []
