"""The format of a table: said by an item that nothing shows, and looked at before anything is read or written."""

from __future__ import annotations

import random
import time
import zlib
from base64 import urlsafe_b64encode
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from botocore.httpsession import URLLib3Session

import datastore
from datastore import BackendUnusableError, ConfigurationError, PermissionDeniedError
from datastore.backend import Fields
from datastore.conformance.faults import backend_of
from datastore.formats import FORMAT
from datastore.ids import encode_key
from datastore.moving import copy
from datastore.urls import Url
from datastore_dynamodb.schema import definition, format_item
from datastore_dynamodb.urls import connect, settings_of
from tests.dynamodb.answers import answer as whole_answer
from tests.dynamodb.answers import refusal
from tests.dynamodb.wire import after_each_answer, operation_of
from tests.servers import dynamodb

pytestmark = pytest.mark.server("dynamodb")

MARKER = {"pk": {"S": "_format"}, "sk": {"S": "_format"}, "format": {"N": str(FORMAT)}}
TIME = {"S": "2026-01-02T03:04:05.000000Z"}
ZIPPED = zlib.compress(b'"large"')


def record(key, value):
    """The item of a record as format 1 had it: the key in padded base64 of another alphabet."""
    encoded = urlsafe_b64encode(key.encode()).decode()
    return {
        "pk": {"S": "u"}, "sk": {"S": f"default:{encoded}"}, "_id": {"S": f"u:default:{encoded}"}, "userId": {"S": "u"},
        "namespace": {"S": "default"}, "key": {"S": key}, "createdByAgent": {"S": "a"}, "createdAt": TIME,
        "updatedAt": TIME, "accessCount": {"N": "0"}, "revision": {"S": "r1"}, **value,
    }  # fmt: skip


EARLIER = [
    record("k", {"value": {"N": "1"}}),
    record("key", {"value": {"S": "small"}}),
    record("large", {"valueParts": {"N": "2"}}),
    {"pk": {"S": "u"}, "sk": {"S": "default:~"}},
    *(
        {"pk": {"S": "u:"}, "sk": {"S": f"default:bGFyZ2U=:r1:{number}"}, "data": {"B": data}, "writtenAt": TIME}
        for number, data in enumerate((ZIPPED[:5], ZIPPED[5:]))
    ),
]
"""Three records, one of which has a value in two parts, and the marker of these."""


class Table:
    """A table that an administrator has made, or an earlier version."""

    def __init__(self, client, url, items):
        self.url = url
        self._client, self._settings = client, settings_of(Url(url))
        client.create_table(**definition(self._settings))
        for item in items:
            self.put(item)

    def put(self, item):
        self._client.put_item(TableName=self._settings.table, Item=item)

    def items(self):
        found = self._client.scan(TableName=self._settings.table)["Items"]
        return sorted(found, key=lambda item: (item["pk"]["S"], item["sk"]["S"]))


@pytest.fixture
def make_table(client):
    return lambda *items: Table(client, dynamodb.MINISTACK.url(), items)


@contextmanager
def denied(*operations):
    """The credentials may not do this."""
    send = URLLib3Session.send

    def send_or_refuse(session, request):
        if operation_of(request) in operations:
            return refusal("AccessDeniedException")(request, None)
        return send(session, request)

    with patch.object(URLLib3Session, "send", send_or_refuse):
        yield


@contextmanager
def noted():
    """Yields the operations that are carried out."""
    seen = []
    with after_each_answer(lambda _, request, answer: seen.append(operation_of(request)) or answer):
        yield seen


def opened(url, **options):
    with datastore.connect(url, **options):
        pass


@pytest.mark.parametrize("marker", [[], [{**MARKER, "format": {"N": "1"}}]], ids=["no marker", "a marker"])
@pytest.mark.parametrize("options", [{}, {"mode": "ro"}, {"create": False}], ids=["", "ro", "create=false"])
def test_a_table_of_the_earlier_format_is_refused_and_left_as_it_is(make_table, marker, options):
    table = make_table(*EARLIER, *marker)
    before = table.items()
    with pytest.raises(ConfigurationError, match=r"earlier agent-datastore.*datastore migrate"):
        datastore.connect(table.url, **options)
    assert table.items() == before


@pytest.mark.parametrize("item", [EARLIER[0], EARLIER[3], {"pk": {"S": "x"}, "sk": {"S": "y"}}])
def test_a_table_with_anything_in_it_is_not_taken_for_an_empty_one(make_table, item):
    table = make_table(item)
    with pytest.raises(ConfigurationError, match="datastore migrate"):
        datastore.connect(table.url)
    assert table.items() == [item]


def earlier(url):
    """Open as ``datastore migrate`` does."""
    parsed = Url(url)
    parsed.read_only = parsed.earlier_format = True
    return connect(parsed)


def test_a_table_of_the_earlier_format_is_read_to_bring_it_over(make_table):
    table = make_table(*EARLIER)
    before = table.items()
    backend = earlier(table.url)
    page = backend.all_documents(Fields.ALL, 100)
    assert {document.id: document.value for document in page.documents} == {
        "u:default:aw==": 1,
        "u:default:a2V5": "small",
        "u:default:bGFyZ2U=": "large",
    }
    assert page.damaged == []
    assert backend.document_count() == len(EARLIER)
    backend.close()
    assert table.items() == before


def test_a_table_of_the_current_format_is_not_brought_over(url, store):
    with pytest.raises(ConfigurationError, match="nothing to migrate"):
        earlier(url)


@pytest.mark.parametrize("options", [{}, {"mode": "ro"}], ids=["", "ro"])
def test_a_table_of_a_newer_format_is_refused_and_left_as_it_is(make_table, options):
    table = make_table({**MARKER, "format": {"N": str(FORMAT + 1)}})
    before = table.items()
    with pytest.raises(BackendUnusableError, match="newer agent-datastore"):
        datastore.connect(table.url, **options)
    assert table.items() == before


@pytest.mark.parametrize("said", [{}, {"format": {"S": "two"}}, {"format": {"N": "2.5"}}], ids=["", "text", "2.5"])
def test_a_marker_that_says_nothing_is_an_error(make_table, said):
    item = {"pk": MARKER["pk"], "sk": MARKER["sk"], **said}
    table = make_table(item)
    with pytest.raises(BackendUnusableError, match=r"'_format'.* names no format"):
        datastore.connect(table.url)
    assert table.items() == [item]


def test_the_item_is_where_no_record_can_be(store, agent, client, table):
    """In the console it is found under ``_format``; a user of that name is ``%5Fformat`` in ids."""
    assert client.scan(TableName=table)["Items"] == [MARKER]
    assert store.agent("_format", "a", "_format").set("_format", 1)
    keys = {(item["pk"]["S"], item["sk"]["S"].partition(":")[0]) for item in client.scan(TableName=table)["Items"]}
    assert keys == {("_format", "_format"), ("%5Fformat", "%5Fformat")}


def test_nothing_shows_or_removes_it(store, client, table, tmp_path):
    backend = backend_of(store)
    agent = store.agent("_format", "a")
    agent.set_many({"a": 1, "b": 2})
    assert backend.document_count() == 2
    for limit in (1, 2, 100):
        ids, after = [], None
        while True:
            page = backend.all_documents(Fields.ALL, limit, after)
            ids += [document.id for document in page.documents]
            assert not page.damaged
            if page.after is None:
                break
            after = page.after
        assert len(ids) == 2
    with datastore.connect(f"sqlite:///{tmp_path}/copy.db") as target:
        report = copy(store, target)
        assert (report.written, report.problems) == (2, [])
    assert all(finding.healthy for finding in backend.examine(time.time()))
    assert agent.list_namespaces() == ["default"]
    assert agent.clear() == 2
    assert store.forget("_format") == (0, 0)
    assert client.scan(TableName=table)["Items"] == [MARKER]
    assert not backend.document_count()


def test_an_empty_table_is_told_its_format(make_table):
    table = make_table()
    with noted() as seen:
        opened(table.url)
    assert seen == ["GetItem", "DescribeTable", "Scan", "PutItem"]
    assert table.items() == [MARKER]
    with noted() as seen:
        opened(table.url)
    assert seen == ["GetItem"]


def test_a_table_that_was_made_with_its_format_needs_one_request_and_nothing_more_allowed(make_table):
    """What the error for a missing table, and the documentation, tell an administrator to put into it."""
    table = make_table(format_item())
    with noted() as seen, denied("DescribeTable", "Scan", "PutItem"):
        opened(table.url)
    assert seen == ["GetItem"]


def test_a_new_table_is_told_its_format(store, client, table):
    assert client.scan(TableName=table)["Items"] == [MARKER]


def test_a_store_that_only_reads_tells_an_empty_table_nothing(make_table):
    table = make_table()
    with datastore.connect(table.url, mode="ro") as store:
        assert store.agent("u", "a").list_keys() == []
    assert table.items() == []


def test_who_may_not_tell_an_empty_table_its_format_uses_it_and_tells_it_before_the_first_write(make_table):
    table = make_table()
    with denied("PutItem"):
        store = datastore.connect(table.url, create=False, tracking="off")
        agent = store.agent("u", "a")
        assert agent.get("key") is None
        with pytest.raises(PermissionDeniedError):
            agent.set("key", 1)
    assert table.items() == []
    agent.set("key", 1)
    assert MARKER in table.items()
    with noted() as seen:
        agent.set("key", 2)
    assert seen == ["UpdateItem"]
    opened(table.url)
    store.close()


def test_it_writes_nothing_into_what_others_have_filled_meanwhile(make_table):
    table = make_table()
    with denied("PutItem"):
        store = datastore.connect(table.url, create=False, tracking="off")
    table.put(EARLIER[0])
    with pytest.raises(ConfigurationError, match="datastore migrate"):
        store.agent("u", "a").set("key", 1)
    assert table.items() == [EARLIER[0]]
    store.close()


def test_it_goes_on_where_others_have_told_it_meanwhile(make_table):
    table = make_table()
    with denied("PutItem"):
        store = datastore.connect(table.url, create=False, tracking="off")
    table.put(MARKER)
    with denied("PutItem"):
        store.agent("u", "a").set("key", 1)
        assert store.agent("u", "a").get("key") == 1
    store.close()


def test_who_may_create_the_table_and_not_tell_it_its_format_is_told_so(make_table):
    table = make_table()
    with denied("PutItem"), pytest.raises(PermissionDeniedError, match="AccessDenied"):
        datastore.connect(table.url)
    assert table.items() == []


def test_who_may_not_look_whether_a_table_is_empty_is_told_what_to_allow(make_table):
    table = make_table()
    with denied("Scan"), pytest.raises(PermissionDeniedError, match=r"allow dynamodb:Scan.*dynamodb\.md"):
        datastore.connect(table.url)
    assert table.items() == []


@pytest.mark.parametrize("version", [FORMAT, FORMAT + 1], ids=["same", "newer"])
def test_of_two_that_find_a_table_empty_one_tells_it_its_format(make_table, version):
    """The other goes by what it says then."""
    table = make_table()
    theirs = {**MARKER, "format": {"N": str(version)}}

    def come_first(_, request, answer):
        if operation_of(request) == "Scan":
            table.put(theirs)
        return answer

    with after_each_answer(come_first):
        if version == FORMAT:
            opened(table.url)
        else:
            with pytest.raises(BackendUnusableError, match="newer"):
                datastore.connect(table.url)
    assert table.items() == [theirs]


@pytest.mark.parametrize("value", [1, random.Random(1).randbytes(400_000).hex()], ids=["small", "in parts"])
def test_a_table_that_is_made_again_under_an_open_store_is_told_its_format_by_the_next_one(
    url, client, table, agent, value
):
    """What the open store has written shows it."""
    agent.set("before", 1)
    client.delete_table(TableName=table)
    client.create_table(**definition(settings_of(Url(url))))
    agent.set("key", value)
    assert MARKER not in client.scan(TableName=table)["Items"]
    with datastore.connect(url, mode="ro") as store:
        assert store.agent("u", "b").list_keys() == ["key"]
    assert MARKER not in client.scan(TableName=table)["Items"]
    with datastore.connect(url) as store:
        assert store.agent("u", "b").list_keys() == ["key"]
    assert MARKER in client.scan(TableName=table)["Items"]
    with pytest.raises(ConfigurationError, match="nothing to migrate"):
        earlier(url)


def test_records_of_both_formats_tell_none(make_table):
    table = make_table(EARLIER[0])
    current = EARLIER[0] | {"sk": {"S": f"default:{encode_key('k')}"}}
    table.put(current)
    with pytest.raises(ConfigurationError, match="datastore migrate"):
        datastore.connect(table.url)


def test_an_empty_page_is_not_yet_an_empty_table(make_table):
    """DynamoDB may end a page before it has met an item."""
    table = make_table(EARLIER[0])
    pages = [{"Items": [], "Count": 0, "LastEvaluatedKey": {"pk": {"S": "a"}, "sk": {"S": "a"}}}]

    def begin_with_nothing(_, request, answer):
        if operation_of(request) == "Scan" and pages:
            return whole_answer(pages.pop())(request, None)
        return answer

    with after_each_answer(begin_with_nothing), pytest.raises(ConfigurationError, match="datastore migrate"):
        datastore.connect(table.url)
    assert not pages


def test_each_table_of_a_tenant_says_its_format(client, url, table):
    with datastore.connect(url, isolation="database", tracking="off") as store:
        store.agent("ann", "a").set("key", 1)
        items = client.scan(TableName=f"{table}-ann")["Items"]
        assert MARKER in items
        assert len(items) == 2
        assert store.tenants() == ["ann"]
        assert store.drop_tenant("ann", confirm="ann")


def test_the_table_of_a_tenant_in_the_earlier_format_is_refused(make_table):
    table = make_table()
    name, _, rest = table.url.partition("?")
    of_tenant = Table(table._client, f"{name}-u?{rest}", EARLIER)
    before = of_tenant.items()
    with datastore.connect(table.url, isolation="database", tracking="off") as store:
        for call in (lambda agent: agent.get("k"), lambda agent: agent.set("k", 1)):
            with pytest.raises(ConfigurationError, match="datastore migrate"):
                call(store.agent("u", "a"))
    assert of_tenant.items() == before
