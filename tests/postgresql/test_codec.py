"""What lies in PostgreSQL, and that it comes back exactly."""

import json

import pytest

from datastore.backend import Fields
from datastore.conformance.topics.moving import document, restoring
from datastore.errors import InternalError
from datastore_postgresql.codec import is_held, read_name, written

VALUES = [
    None, True, 0, -1, 1.0, -0.0, 5e-324, 1.5e-9, 1.7976931348623157e308, 1e16, 1e-7, 2**53 + 1, 2**63, 2**70, "", "\0",
    "é\U0001f600", [], {}, {"": {"": []}}, {"__proto__": 1, "a.b": {"$x": None}}, [[[1], 1.0], "1"],
    {"a": [-0.0, 1e22]},
]  # fmt: skip


@pytest.mark.server("postgresql")
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_type_for_type(agent, value):
    agent.set("key", value, {"m": value})
    found = agent.get_record("key")
    for one in (agent.get("key"), found.value, found.metadata["m"] if value is not None else None):
        assert json.dumps(one, sort_keys=True) == json.dumps(value, sort_keys=True)


@pytest.mark.parametrize(
    ("json", "exact"),
    [
        ('{"n":1,"f":1.5,"z":0.05,"m":-0.5}', True),
        ("1.0", True),
        ('{"n":"1e5"}', True),
        ("-0.05", True),
        ("-0.0", False),
        ("[1,-0.0]", False),
        ('{"n":1e16}', False),
        ("1.5e-7", True),
        ('{"n":[-1e-7,5e-324]}', True),
        ('{"n":[1e-7,1e+16]}', False),
        (' {"n":1180591620717411303424}', False),
        (r'"\u0000"', False),
    ],
)
def test_only_what_jsonb_holds_exactly_is_jsonb(json, exact):
    assert is_held(json) is exact


@pytest.mark.parametrize("name", ["", "a", "\0", "a\0é\U0001f600\\", "\x01", "\x01\\x00", None])
def test_a_name_with_a_nul_is_written_without_it_and_comes_back(name):
    stored = written(name)
    assert stored is None or "\0" not in stored
    assert read_name(stored) == name


@pytest.mark.server("postgresql")
def test_a_record_is_a_row_that_people_can_read(store, sql):
    store.agent("ann", "planner").use_namespace("trips").set("rome", {"days": 3}, {"source": "mail"}, ttl=60)
    store.agent("ann", "planner").use_namespace("trips").set("big", 2**70)
    names = '"userId", "namespace", "key", "value", "metadata", "createdByAgent", "updatedByAgent", "accessCount"'
    shown = sql(f'SELECT {names}, "valueText" FROM agent_data_store ORDER BY "key"')
    assert shown[1] == ("ann", "trips", "rome", {"days": 3}, {"source": "mail"}, "planner", "planner", 0, None)
    assert (shown[0][3], shown[0][-1]) == (None, f" {2**70}")


@pytest.mark.server("postgresql")
def test_the_content_of_a_blob_lies_there_as_bytes(agent, sql):
    agent.blobs.put("blob", b"\0\xff" * 50_000)
    sizes = sql(
        'SELECT octet_length("content"), octet_length("value"::text) FROM agent_data_store WHERE "content" IS NOT NULL'
    )
    assert sum(size for size, _ in sizes) - 32 * len(sizes) == 100_000
    assert all(beside < 100 for _, beside in sizes)


@pytest.mark.server("postgresql")
def test_a_document_is_restored_field_for_field_over_another(backend):
    whole = document("key")
    backend.restore([restoring(whole)])
    bare = whole._replace(
        metadata={}, last_accessed_by_agent=None, last_accessed_at=None, updated_by_agent=None, expires_at=None,
        access_count=0, revision="another",
    )  # fmt: skip
    assert backend.restore([restoring(bare, whole.revision, moment=1)])[0].done
    assert backend.read([whole.id], Fields.ALL) == {whole.id: bare}


ARRAYS = [
    [],
    [None],
    ["", None, "NULL", "{", "}", ",", '"', "\\", '\\"', "é", "\x01\x01", " a "],
    [b"", None, b"\0\\"],
]


@pytest.mark.server("postgresql")
@pytest.mark.parametrize("items", ARRAYS)
def test_a_list_is_an_array_as_it_is(backend, items):
    kind = "bytea" if b"" in items else "text"
    assert backend._session.ask(f"SELECT unnest(%s::{kind}[])", (items,)) == [(item,) for item in items]


@pytest.mark.server("postgresql")
@pytest.mark.parametrize("parameter", ["a\0b", ["a", "b\0c"]])
def test_a_text_with_a_nul_is_refused_whole_and_not_cut_off(backend, parameter):
    with pytest.raises(InternalError):
        backend._session.ask("SELECT %s", (parameter,))


@pytest.mark.server("postgresql")
def test_a_parameter_may_stand_in_several_places_and_a_percent_sign_is_doubled(backend):
    assert backend._session.ask("SELECT %(a)s::int %% 4, %(a)s::text, %(b)s", {"b": "c", "a": 6}) == [(2, "6", "c")]
