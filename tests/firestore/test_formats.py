"""The format of a collection: the document ``_format`` says it, ``connect`` looks at it, and nothing else shows it."""

from __future__ import annotations

import base64
import contextlib

import grpc
import pytest
from google.cloud.firestore_v1.types import write

import datastore
from datastore import BackendUnusableError, ConfigurationError, UnsupportedError
from datastore.backend import Fields, IdRange
from datastore.conformance.faults import backend_of
from datastore.formats import FORMAT
from datastore.ids import EVERYTHING
from datastore.moving import copy, migrate
from datastore.urls import Url
from datastore_firestore.client import Connection
from datastore_firestore.codec import METADATA_LIMITS, VALUE_LIMITS, fill, set_time
from datastore_firestore.urls import connect, settings_of
from tests.firestore.recording import losing_the_answer

pytestmark = pytest.mark.server("firestore")

NOW = "2026-01-01T00:00:00.000000Z"
REMEDY = "datastore migrate URL"
MARKED = ["BatchGetDocuments"]
EMPTY = ["BatchGetDocuments", "RunQuery", "Commit"]
KEYS = ["key", "a", "~", "\0", "é🔑", "last"]


class Raw:
    """Reads and writes documents past the adapter."""

    def __init__(self, url):
        self.settings = settings_of(Url(url))
        self.connection = Connection(self.settings)

    def write(self, id, **fields):
        message = write.Write.pb()()
        message.update.name = self.settings.prefix + id
        for name, value in fields.items():
            assert fill(message.update.fields[name], value, 0, VALUE_LIMITS)
        self.connection.commit([message])

    def write_earlier(self, key, value=1, user="u", expires_at=None):
        """Write a record as the version before did that had no format."""
        id = f"{user}:default:{base64.urlsafe_b64encode(key.encode()).decode()}"
        message = write.Write.pb()()
        message.update.name = self.settings.prefix + id
        fields = message.update.fields
        texts = {"userId": user, "namespace": "default", "key": key, "createdByAgent": "a"}
        for name, text in (texts | {"revision": "r" * 24, "recentWrites": "abcdef"}).items():
            fields[name].string_value = text
        fields["accessCount"].integer_value = 3
        for name in ("createdAt", "updatedAt"):
            set_time(fields[name], NOW)
        assert fill(fields["value"], value, 0, VALUE_LIMITS)
        assert fill(fields["metadata"], {"m": 1}, 0, METADATA_LIMITS)
        if expires_at is not None:
            set_time(fields["expiresAt"], expires_at)
            fields["expires"].boolean_value = True
        self.connection.commit([message])
        return id

    def remove(self, id):
        self.connection.commit([write.Write.pb()(delete=self.settings.prefix + id)])

    def format(self):
        """What the marker says, ``None`` if there is no marker."""
        name = f"{self.settings.prefix}_format"
        found = self.connection.batch_get([name], None)[name]
        if found is None:
            return None
        assert list(found.fields) == ["format"], "an administrator sees the version and nothing else"
        return found.fields["format"].integer_value

    def everything(self):
        """Each document of the collection, and when it was written last."""
        from google.cloud.firestore_v1.types import query as messages

        query = messages.StructuredQuery.pb()()
        query.from_.add(collection_id=self.settings.collection)
        found = [one.document for one in self.connection.run_query(query) if one.HasField("document")]
        return {one.name.removeprefix(self.settings.prefix): str(one.update_time) for one in found}


@pytest.fixture(name="raw")
def open_raw(url):
    raw = Raw(url)
    with contextlib.closing(raw.connection):
        yield raw


@pytest.fixture(name="earlier")
def write_earlier(raw):
    """The ids of a collection of the earlier format."""
    return [raw.write_earlier(key) for key in KEYS] + [raw.write_earlier("key", user="v")]


@pytest.fixture(name="open_earlier")
def make_open_earlier(url, recorder):
    """Opens the collection as ``datastore migrate`` does."""

    def open_earlier(of=url):
        parsed = Url(of, {"interceptors": [recorder]})
        parsed.read_only = parsed.earlier_format = True
        return contextlib.closing(connect(parsed))

    return open_earlier


def test_an_empty_collection_is_marked_and_from_then_on_a_look_is_one_request(url, raw, recorder):
    datastore.connect(url, interceptors=[recorder]).close()
    assert recorder.requests == EMPTY
    assert raw.format() == FORMAT
    recorder.clear()
    datastore.connect(url, interceptors=[recorder]).close()
    assert recorder.requests == MARKED
    assert list(raw.everything()) == ["_format"]


def test_one_of_the_earlier_format_is_refused_and_left_as_it_is(url, raw, earlier, recorder):
    before = raw.everything()
    for options in ({}, {"mode": "ro"}):
        with pytest.raises(ConfigurationError, match=f"earlier.*{REMEDY}"):
            datastore.connect(url, interceptors=[recorder], **options)
    assert recorder.requests == ["BatchGetDocuments", "RunQuery"] * 2
    assert raw.everything() == before


def test_one_that_says_that_it_is_of_the_earlier_format_is_refused_too(url, raw, earlier, recorder):
    raw.write("_format", format=1)
    with pytest.raises(ConfigurationError, match=REMEDY):
        datastore.connect(url, interceptors=[recorder])
    assert recorder.requests == MARKED


@pytest.mark.parametrize("mode", ["rw", "ro"])
def test_one_of_a_newer_version_is_refused(url, raw, recorder, mode):
    raw.write("_format", format=FORMAT + 1)
    before = raw.everything()
    with pytest.raises(BackendUnusableError, match="newer"):
        datastore.connect(url, interceptors=[recorder], mode=mode)
    assert recorder.requests == MARKED
    assert raw.everything() == before


@pytest.mark.parametrize("fields", [{}, {"format": "pdf"}, {"format": True}, {"format": 2.0}, {"other": 2}])
def test_a_document_of_that_name_that_says_no_version_is_somebody_elses(url, raw, fields):
    raw.write("_format", **fields)
    before = raw.everything()
    with pytest.raises(ConfigurationError, match="belongs to something else"):
        datastore.connect(url)
    assert raw.everything() == before


def test_the_earlier_format_is_opened_for_moving_it(url, raw, earlier, open_earlier, recorder):
    raw.write_earlier("brief", expires_at="2999-01-01T00:00:00.000000Z")
    raw.write("a note of somebody's", text="x")
    raw.write("u:default:YmFk", text="x")
    before = raw.everything()
    with open_earlier() as backend:
        assert recorder.requests == ["BatchGetDocuments", "RunQuery"]
        page = backend.all_documents(Fields.ALL, 100)
        assert sorted(document.id for document in page.documents) == sorted([*earlier, "u:default:YnJpZWY="])
        assert [error.id for error in page.damaged] == ["u:default:YmFk"]
        first = page.documents[0]
        assert (first.value, first.metadata, first.created_at, first.access_count) == (1, {"m": 1}, NOW, 3)
        found, after = [], None
        while True:  # the order of names goes on, page by page
            part = backend.all_documents(Fields.KEY, 2, after)
            found += [document.id for document in part.documents]
            if part.after is None:
                break
            after = part.after
        assert found == [document.id for document in page.documents]
        assert backend.document_count() == len(before)
        assert backend.read(earlier[:1], Fields.VALUE)[earlier[0]].value == 1
        with pytest.raises(UnsupportedError):
            backend.scan(EVERYTHING, Fields.KEY, 10, None, True)
    assert raw.everything() == before


def test_the_records_of_the_earlier_format_are_brought_into_another_collection(url, raw, earlier):
    before = raw.everything()
    with datastore.connect(url.replace("/agent_data_store?", "/agents?")) as sink:
        report = migrate(url, sink)
        assert report.complete
        assert report.verified == report.written == len(earlier)
        ann = sink.agent("u", "a")
        assert ann.list_keys() == sorted(KEYS)
        assert ann.list_keys(reverse=True) == sorted(KEYS, reverse=True)
        record = ann.get_record("last")
        assert (record.value, record.metadata, record.access_count) == (1, {"m": 1}, 3)
        assert sink.agent("v", "a").list_keys() == ["key"]
    assert raw.everything() == before


def test_the_current_format_is_not_opened_as_the_earlier_one(url, open_earlier):
    datastore.connect(url).close()
    with pytest.raises(ConfigurationError, match="nothing to migrate"):
        open_earlier()


def test_the_marker_is_not_shown_and_not_removed(url, raw, recorder):
    with datastore.connect(url) as store, datastore.connect("memory://") as sink:
        agents = [store.agent(user, "a") for user in ("Z", "a", "u")]  # before the marker by name, and after it
        for agent in agents:
            agent.set_many({"key": 1, "brief": 2})
            agent.set("gone", 3, ttl=1e-6)
        backend = backend_of(store)
        ids = sorted(id for id in raw.everything() if id != "_format")
        assert backend.document_count() == len(ids) == 9
        for page in (backend.all_documents(Fields.ALL, 100), backend.scan(EVERYTHING, Fields.KEY, 100)):
            assert [document.id for document in page.documents] == ids
            assert page.damaged == []
        assert [document.id for document in backend.scan(EVERYTHING, Fields.KEY, 100, None, True).documents] == ids[
            ::-1
        ]
        report = copy(store, sink)
        assert (report.written, report.problems) == (6, [])
        assert store.purge_expired() == 3
        for agent in agents:
            assert agent.count() == 2
            assert agent.list_namespaces() == ["default"]
            assert agent.clear("k") == 1
            assert store.forget(agent.user_id) == (1, 0)
        assert backend.document_count() == 0
    assert list(raw.everything()) == ["_format"]


def test_one_that_is_opened_for_reading_only_is_not_marked(url, raw, recorder):
    with datastore.connect(url, mode="ro", interceptors=[recorder]) as store:
        assert store.agent("u", "a").list_keys() == []
    assert recorder.requests[:2] == ["BatchGetDocuments", "RunQuery"]
    assert raw.everything() == {}


def test_credentials_that_may_only_read_open_an_empty_one(url, raw, recorder):
    recorder.fail("Commit", grpc.StatusCode.PERMISSION_DENIED)
    with datastore.connect(url, interceptors=[recorder]) as store:
        store.agent("u", "a").set("key", 1)  # they were given the right to write meanwhile
    assert raw.format() is None
    with datastore.connect(url) as store:
        assert store.agent("u", "a").get("key") == 1
    assert raw.format() == FORMAT


def test_a_marker_that_was_removed_by_hand_is_put_back(url, raw, recorder):
    with datastore.connect(url) as store:
        store.agent("u", "a").set("key", 1)
    raw.remove("_format")
    with datastore.connect(url, mode="ro") as store:
        assert store.agent("u", "a").get("key") == 1
    assert raw.format() is None
    datastore.connect(url, interceptors=[recorder]).close()
    assert recorder.requests == EMPTY
    assert raw.format() == FORMAT


def test_of_two_that_open_an_empty_one_each_sees_the_marker(url, raw, recorder):
    def meanwhile(number):
        def fault(proceed):
            raw.write("_format", format=number)
            return proceed()

        return fault

    recorder.fail("Commit", meanwhile(FORMAT))
    datastore.connect(url, interceptors=[recorder]).close()
    assert recorder.requests == [*EMPTY, "BatchGetDocuments"]
    raw.remove("_format")
    recorder.fail("Commit", meanwhile(FORMAT + 1))
    with pytest.raises(BackendUnusableError, match="newer"):
        datastore.connect(url, interceptors=[recorder])


def test_of_two_that_open_an_empty_one_the_slower_sees_what_the_other_wrote(url, raw, recorder):
    def meanwhile(proceed):
        with datastore.connect(url) as store:
            store.agent("u", "a").set("key", 1)
        return proceed()

    recorder.fail("RunQuery", meanwhile)
    with datastore.connect(url, interceptors=[recorder]) as store:
        assert store.agent("u", "a").get("key") == 1
    assert raw.format() == FORMAT


@pytest.mark.parametrize("fault", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, losing_the_answer()])
def test_a_marker_whose_answer_is_lost_is_there_all_the_same(url, raw, recorder, fault):
    recorder.fail("Commit", fault)
    with datastore.connect(url, interceptors=[recorder]) as store:
        store.agent("u", "a").set("key", 1)
    with datastore.connect(url) as store:
        assert store.agent("u", "a").get("key") == 1
    assert raw.format() == FORMAT


def test_the_collection_of_each_tenant_is_marked(url, recorder):
    of_ann = Raw(url.replace("/agent_data_store?", "/agent_data_store-ann?"))
    shared = Raw(url)
    with contextlib.closing(of_ann.connection), contextlib.closing(shared.connection):
        with datastore.connect(url, isolation="database", interceptors=[recorder]) as store:
            store.agent("ann", "a").set("key", 1)
            assert of_ann.format() == FORMAT
            assert shared.everything() == {}
            assert store.agent("ann", "a").clear() == 1
            assert store.tenants() == ["ann"]
            assert store.drop_tenant("ann", confirm="ann") is True
            assert of_ann.everything() == {}
            assert store.drop_tenant("ann", confirm="ann") is False
            assert of_ann.everything() == {}
        of_ann.write_earlier("key", user="ann")
        with datastore.connect(url, isolation="database") as store:
            for call in (
                lambda: store.agent("ann", "a").get("key"),
                lambda: store.drop_tenant("ann", confirm="ann"),
            ):
                with pytest.raises(ConfigurationError, match=REMEDY):
                    call()


def test_what_is_written_again_after_a_drop_is_of_the_current_format(url, raw):
    with datastore.connect(url) as store:
        other = datastore.connect(url)
        backend_of(store).drop()
        with other:
            other.agent("u", "a").set("key", 1)
    assert raw.format() is None
    with datastore.connect(url) as store:
        assert store.agent("u", "a").get("key") == 1
    assert raw.format() == FORMAT


def test_a_range_of_names_around_the_marker_is_a_range_of_records(url):
    with datastore.connect(url) as store:
        store.agent("Z", "a").set("key", 1)
        page = backend_of(store).scan(IdRange("^", "`"), Fields.KEY, 10)
        assert (list(page.documents), page.after) == ([], None)
