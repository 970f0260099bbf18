"""The format of a database: one of an earlier version is refused and left as it is, one of a newer version, too."""

import json
from base64 import urlsafe_b64encode
from contextlib import closing

import pytest

import datastore
from datastore import BackendUnusableError, ConfigurationError
from datastore.backend import Fields
from datastore.formats import EARLIEST, FORMAT
from datastore.ids import EVERYTHING, encode_key
from datastore.urls import Url
from datastore_couchdb import formats
from datastore_couchdb.earlier import format_of_record
from datastore_couchdb.keeping import KEEPS
from datastore_couchdb.schema import EXPIRY_INDEX, NAMESPACE_INDEX, RECORD_VIEWS
from datastore_couchdb.urls import connect
from tests.couchdb.server import contents, fill, only_read, proxy_connection, proxy_request, send
from tests.servers import couchdb
from tests.servers.strict_couchdb import meanwhile, status

pytestmark = pytest.mark.server("couchdb")

AT = "2026-11-21T14:23:36.114994Z"
KEYS = ("rome", "ab", "a/b", "plan")


def earlier_id(key):
    return f"u:trips%3A2026:{urlsafe_b64encode(key.encode()).decode()}"


def earlier(key, /, **more):
    """A record as the version before wrote it."""
    document = {
        "_id": earlier_id(key), "userId": "u", "namespace": "trips:2026", "key": key, "createdByAgent": "planner",
        "lastAccessedByAgent": None, "accessCount": 0, "createdAt": AT, "updatedAt": AT, "lastAccessedAt": None,
        "revision": "c0ffee5eed00112233445566", "recentWrites": "9b1d3f0c", "metadata": {"source": "mail"},
        "value": {"of": key},
    }  # fmt: skip
    return document | more


EARLIER_FLAG = {
    "_id": earlier_id("rome") + "!", "userId": "u", "namespace": "", "expiresAt": 0, "revision": "flag",
    "about": "a record that may expire",
}  # fmt: skip
RECORDS = [*map(earlier, KEYS[1:]), earlier(KEYS[0], expiresAt="2126-11-21T14:23:36.114994Z"), EARLIER_FLAG]
"""One of them expires, and has its flag beside it."""


def index(name, *fields):
    """A Mango index as CouchDB stores it."""
    definition = {"fields": dict.fromkeys(fields, "asc"), "partial_filter_selector": {}}
    views = {name: {"map": definition, "reduce": "_count", "options": {"def": {"fields": list(fields)}}}}
    return {"_id": f"_design/{name}", "language": "query", "views": views}


_COUNTING = "function (doc) { if (doc.revision && doc.namespace) { emit([doc.userId, doc.namespace], null); } }"
VIEWS = {
    "_id": f"_design/{RECORD_VIEWS}", "format": 1, "language": "javascript",
    "views": {"namespaces": {"map": _COUNTING, "reduce": "_count", "options": {"collation": "raw"}}},
}  # fmt: skip
DESIGNS = [
    index(NAMESPACE_INDEX, "userId", "namespace"),
    index(EXPIRY_INDEX, "userId", "namespace", "expiresAt"),
    VIEWS,
    {"_id": f"_design/{formats.FORMAT}", "numbers": KEEPS, "expiring": "flagged"},
]
"""The design documents of the version before."""
UNMARKED = {name: member for name, member in VIEWS.items() if name != "format"}


@pytest.mark.parametrize(
    "documents",
    [
        pytest.param([*DESIGNS, *RECORDS], id="as it was"),
        pytest.param(DESIGNS, id="with nothing in it"),
        pytest.param([*DESIGNS[:2], UNMARKED, *RECORDS], id="without a version"),
        pytest.param([*DESIGNS[:2], DESIGNS[3], *RECORDS], id="without its views"),
        pytest.param(RECORDS, id="without design documents"),
    ],
)
@pytest.mark.parametrize("parameters", ["", "?create=false", "?mode=ro"])
def test_a_database_of_the_version_before_is_refused_and_left_as_it_is(name, url, proxy, documents, parameters):
    fill(proxy, name, documents)
    message = r"earlier agent-datastore.*datastore migrate URL.*left untouched"
    with only_read(proxy, name), pytest.raises(ConfigurationError, match=message):
        datastore.connect(url + parameters)


@pytest.mark.parametrize("said", [FORMAT + 1, 1_000, "three"])
@pytest.mark.parametrize("parameters", ["", "?create=false"])
def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(name, store, url, proxy, said, parameters):
    session = store.backend._session
    design = session.get(f"_design/{RECORD_VIEWS}")
    session.post("_bulk_docs", {"docs": [{**design, "format": said}]})
    message = r"written by a newer agent-datastore.*install that version"
    with only_read(proxy, name), pytest.raises(BackendUnusableError, match=message):
        datastore.connect(url + parameters)


def test_the_version_before_refuses_a_database_of_this_one(store):
    """It looks for the version here, and takes only a 1."""
    assert store.backend._session.get(f"_design/{RECORD_VIEWS}").get("format", 1) != 1


def opened_for_migration(url):
    parsed = Url(url)
    parsed.read_only = parsed.earlier_format = True
    return connect(parsed)


@pytest.mark.parametrize("designs", [DESIGNS, []], ids=["with design documents", "without"])
def test_migration_reads_it_and_writes_nothing(name, url, proxy, designs):
    strangers = [{"_id": "notes", "text": "by hand"}, {**EARLIER_FLAG, "_id": earlier_id("gone") + "!"}]
    fill(proxy, name, [*designs, *RECORDS, *(strangers if designs else [])])
    before = contents(proxy, name)
    proxy.requests.clear()
    with closing(opened_for_migration(url)) as backend:
        if designs:
            assert proxy.requests == ["GET db", "GET _all_docs"]
        found, after = [], None
        while True:
            page = backend.all_documents(Fields.ALL, 3, after)
            assert not page.damaged
            found += page.documents
            after = page.after
            if after is None:
                break
        assert [(document.id, document.value) for document in found] == [
            (earlier_id(key), {"of": key}) for key in sorted(KEYS, key=earlier_id)
        ]
        expiring = {document.id for document in found if document.expires_at}
        keys = backend.all_documents(Fields.KEY, 100).documents
        assert {document.id for document in keys if document.expires_at} == expiring == {earlier_id("rome")}
        assert len(keys) == len(found)
        if designs:
            assert backend.document_count() == len(KEYS)
    assert {request for request in proxy.requests if not request.startswith("GET")} <= {"POST _find", "POST _bulk_get"}
    assert contents(proxy, name) == before


def test_there_is_nothing_to_migrate_in_a_database_of_this_version(store, url):
    with pytest.raises(ConfigurationError, match="nothing to migrate"):
        opened_for_migration(url)


def test_where_nothing_says_the_version_the_records_do(name, url, proxy):
    """A member may use an empty database whose administrator never connected; who may says the version later."""
    fill(proxy, name, [])
    for _ in range(2):
        with datastore.connect(url + "?create=false") as store:
            agent = store.agent("u", "a")
            agent.set_many({"rome": 1, "ab": 2})
            assert agent.list_keys(reverse=True) == ["rome", "ab"]
    assert not any(id.startswith("_design") for id in contents(proxy, name))
    with datastore.connect(url) as store:
        assert store.agent("u", "a").get_all() == {"ab": 2, "rome": 1}
    assert contents(proxy, name)[f"_design/{RECORD_VIEWS}"]["format"] == FORMAT


def test_the_version_comes_back_with_the_views_that_were_removed(name, url, store, agent, proxy):
    agent.set("k", 1)
    couchdb.remove_design(store, RECORD_VIEWS)
    with datastore.connect(url + "?mode=ro") as reading:
        assert reading.agent("u", "a").get("k") == 1
    assert f"_design/{RECORD_VIEWS}" not in contents(proxy, name)
    with datastore.connect(url) as other:
        assert other.agent("u", "a").get("k") == 1
    assert contents(proxy, name)[f"_design/{RECORD_VIEWS}"]["format"] == FORMAT


def test_the_version_is_said_before_anything_else(url, proxy):
    """Whoever comes in the middle, or finds what was interrupted, sees it."""
    proxy.fail("POST _index", status(500, "error", "injected"))
    with pytest.raises(datastore.BackendUnavailableError):
        datastore.connect(url, retry_seconds=0)
    proxy.requests.clear()
    with pytest.raises(ConfigurationError, match="nothing to migrate"):
        opened_for_migration(url)
    datastore.connect(url).close()


def test_of_two_versions_that_begin_at_once_the_second_is_refused(name, url, proxy):
    fill(proxy, name, [])
    proxy.fail("PUT _design", meanwhile(lambda: send(proxy, name, [VIEWS])))
    with pytest.raises(ConfigurationError, match="earlier agent-datastore"):
        datastore.connect(url)


def test_the_version_is_nobodys_record(store, agent, name, proxy):
    agent.set("k", 1)
    backend = store.backend
    id = f"u:default:{encode_key('k')}"
    for fields in (Fields.KEY, Fields.ALL):
        assert [document.id for document in backend.all_documents(fields, 100).documents] == [id]
        for reverse in (False, True):
            assert [document.id for document in backend.scan(EVERYTHING, fields, 100, None, reverse).documents] == [id]
    assert backend.document_count() == 1
    assert store.purge_expired() == 0
    assert (agent.count(), agent.clear()) == (1, 1)
    assert store.forget("u") == (0, 0)
    assert contents(proxy, name)[f"_design/{RECORD_VIEWS}"]["format"] == FORMAT


def test_the_database_of_a_tenant_has_the_version(proxy, name):
    url = couchdb.url(name) + "?isolation=database"
    with datastore.connect(url) as store:
        store.agent("acme", "a").set("k", 1)
    (database,) = databases(proxy, name)
    assert contents(proxy, database)[f"_design/{RECORD_VIEWS}"]["format"] == FORMAT
    with closing(connect(Url(couchdb.url(database)))) as backend:
        backend.drop()
    fill(proxy, database, [*DESIGNS, *RECORDS])
    with datastore.connect(url) as store, pytest.raises(ConfigurationError, match="earlier agent-datastore"):
        store.agent("acme", "a").get("k")
    proxy_request(proxy, "DELETE", f"/{database}")


def databases(proxy, name):
    with closing(proxy_connection(proxy)) as connection:
        connection.request("GET", "/_all_dbs", headers={"Authorization": proxy.credentials})
        return [one for one in json.loads(connection.getresponse().read()) if one.startswith(name)]


def test_an_earlier_record_is_told_by_its_key_and_its_id():
    assert format_of_record(earlier("rome")) == EARLIEST
    assert format_of_record(earlier("rome", _id=f"u:n:{encode_key('rome')}")) == FORMAT
    for other in (EARLIER_FLAG, earlier("rome", revision=None), earlier("rome", key=5), earlier("rome", _id="rome")):
        assert format_of_record(other) is None
