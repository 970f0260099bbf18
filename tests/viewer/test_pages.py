"""What the pages show, at the cost of what they show."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from datastore.typed import parse_json
from tests.viewer.visiting import counted

JOBS = {f"job-{n:03}": {"price": n, "title": f"Job {n}", "done": n % 2 == 0} for n in range(120)}


@pytest.fixture
def jobs(store):
    planner = store.agent("ann", "planner", "jobs")
    planner.set_many(JOBS, {"source": "web"})
    return planner


def keys(seen):
    return [row[0] for row in seen.rows[1:]]


def test_users_are_shown_some_at_a_time(store, person):
    names = [f"user-{n:03}" for n in range(120)]
    for name in names:
        store.agent(name, "a").set("x", 1)
    found, seen = [], person.see("/")
    with counted(store) as counts:
        seen = person.see("/")
    assert counts.documents <= 52
    while True:
        found += [link for link in seen.links if link.startswith("user-")]
        if "Next page" not in seen.links:
            break
        seen = person.follow(seen, "Next page")
    assert sorted(found) == names
    assert person.follow(seen, "First page").links["user-000"] == "/user?user=user-000"
    back = person.follow(seen, "Previous page")
    assert [link for link in back.links if link.startswith("user-")] == found[50:100]
    assert "Previous page" not in back.links, "the page before it is the first one"


def test_users_are_filtered_by_the_beginning_of_their_ids(store, person):
    for name in ("ann", "anna", "an/x", "bob", "Ann"):
        store.agent(name, "a").set("x", 1)
    for prefix, expected in (
        ("an", {"ann", "anna", "an/x"}),
        ("an/", {"an/x"}),
        ("", {"ann", "anna", "an/x", "bob", "Ann"}),
    ):
        with counted(store) as counts:
            seen = person.see("/", prefix=prefix)
        assert {link for link, path in seen.links.items() if path.startswith("/user?")} == expected
        assert counts.documents <= len(expected) + 1, "those with other beginnings are not read"
    assert "No user's id begins so" in person.see("/", prefix="z").text
    assert person.see("/", prefix="x" * 256).status == 400


def test_namespaces_with_something_else_than_records_are_found(store, person):
    ann = store.agent("ann", "planner")
    for n in range(60):
        ann.use_namespace(f"chat-{n:02}").log("talk").append("hello")
    ann.use_namespace("files").blobs.put("x", b"1")
    ann.use_namespace("texts").memory.add("x", vector=[1.0, 0.0])
    assert keys(person.see("/user", user="ann")) == ["texts"]
    with counted(store) as counts:
        seen = person.see("/user?user=ann&with=logs")
    assert counts.documents <= 53
    assert keys(seen) == [f"chat-{n:02}" for n in range(50)]
    assert "talk" in person.follow(seen, "chat-07").links
    seen = person.follow(seen, "Next page")
    assert keys(seen) == [f"chat-{n:02}" for n in range(50, 60)]
    assert keys(person.follow(seen, "Previous page"))[0] == "chat-00"
    assert keys(person.see("/user?user=ann&with=logs&order=-&prefix=chat-5"))[0] == "chat-59"
    assert keys(person.see("/user?user=ann&with=blobs")) == ["files"]
    assert keys(person.see("/user?user=ann&with=vectors")) == ["texts"]
    assert person.see("/user?user=ann&with=none").status == 400


def test_a_user_is_opened_by_name(store, person):
    assert person.see("/", user="a/b:c").url.endswith("/user?user=a%2Fb%3Ac")
    assert "no namespaces" in person.see("/user", user="nobody").text


def test_namespaces_are_shown_forward_and_backward(store, person):
    ann = store.agent("ann", "planner")
    names = [f"space-{n:03}" for n in range(120)]
    for name in names:
        ann.use_namespace(name).set("x", 1)
    for order, expected in (("", names), ("-", names[::-1])):
        with counted(store) as counts:
            seen = person.see("/user", user="ann", order=order)
        assert counts.documents <= 53
        assert keys(seen) == expected[:50]
        seen = person.follow(seen, "Next page")
        assert keys(seen) == expected[50:100]
        seen = person.follow(seen, "Next page")
        assert keys(seen) == expected[100:]
        assert "Next page" not in seen.links
        seen = person.follow(person.follow(seen, "Previous page"), "Previous page")
        assert keys(seen) == expected[:50]
        assert "Previous page" not in seen.links
    assert keys(person.see("/user", user="ann", prefix="space-11")) == names[110:]


@pytest.mark.parametrize("order", ["", "-"])
def test_sizes_are_those_of_the_namespaces_on_the_page(store, person, order):
    ann = store.agent("ann", "planner")
    for n in range(60):
        ann.use_namespace(f"space-{n:02}").set_many({"x": "é", "y": [1, 2]})
    seen = person.see("/user", user="ann", order=order)
    assert "Bytes" not in seen.text
    seen = person.follow(seen, "Show what they hold")
    assert len(seen.rows) == 21
    shown = list[str]()
    while True:
        assert {tuple(row[1:4]) for row in seen.rows[1:]} == {("2", "9 bytes", "planner")}
        shown += keys(seen)
        if "Next page" not in seen.links:
            break
        seen = person.follow(seen, "Next page")
    assert shown == sorted(shown, reverse=bool(order))
    assert len(shown) == 60
    seen = person.follow(seen, "Previous page")
    assert {tuple(row[1:4]) for row in seen.rows[1:]} == {("2", "9 bytes", "planner")}
    with counted(store) as counts:
        person.see("/user", user="ann", order=order, sizes="1", prefix="space-1")
    assert counts.documents <= 10 + 20 + 10, "what lies beyond the page is not summed up"


def test_records_are_shown_in_the_order_of_keys(store, person, jobs):
    for order, expected in (("", list(JOBS)), ("-key", list(JOBS)[::-1])):
        with counted(store) as counts:
            seen = person.see("/records", user="ann", namespace="jobs", order=order)
        assert counts.documents <= 52
        assert keys(seen) == expected[:50]
        seen = person.follow(person.follow(seen, "Next page"), "Next page")
        assert keys(seen) == expected[100:]
        assert "Next page" not in seen.links
        seen = person.follow(person.follow(seen, "Previous page"), "Previous page")
        assert keys(seen) == expected[:50]
    assert keys(person.see("/records", user="ann", namespace="jobs", prefix="job-11")) == list(JOBS)[110:]


def test_the_longest_key_has_a_next_page(store, person):
    data_store = store.agent("ann", "planner", "long")
    data_store.set_many({f"{n:03}".ljust(512, "x"): n for n in range(60)})
    for order in ("", "-key"):
        seen = person.follow(person.see("/records", user="ann", namespace="long", order=order), "Next page")
        assert len(keys(seen)) == 10


def test_columns_are_fields_of_the_values(store, person, jobs):
    seen = person.see("/records?user=ann&namespace=jobs&column=price&column=title")
    assert seen.rows[0][:3] == ["Key", "price", "title"]
    assert seen.rows[3][:3] == ["job-002", "2", '"Job 2"']
    offered = [one["value"] for one in seen.attributes("input") if one.get("name") == "column"]
    assert offered == ["price", "title", "done"]


def test_a_column_of_digits_beyond_any_position_is_empty(store, person):
    store.agent("ann", "planner", "lists").set("l", [1, 2])
    seen = person.see(f"/records?user=ann&namespace=lists&column={'1' * 5_000}")
    assert "l" in seen.text


def test_records_are_sorted_by_columns_and_by_provenance(store, person, jobs):
    store.agent("ann", "reviewer", "jobs").set("job-077", {"price": 1_000})
    for order in ("-price", "-$updatedAt"):
        seen = person.see("/records?user=ann&namespace=jobs&column=price", order=order)
        assert keys(seen)[0] == "job-077"
        assert seen.rows[1][3] == "reviewer"
    seen = person.see("/records?user=ann&namespace=jobs&column=price", order="price")
    assert keys(person.follow(seen, "Next page"))[0] == "job-050"


@pytest.mark.parametrize("text", ["{", '{"price": {"$lx": 1}}', '{"price": -1}'])
def test_fields_are_offered_also_where_a_query_finds_nothing(store, person, jobs, text):
    with counted(store) as counts:
        seen = person.see("/records", user="ann", namespace="jobs", filter=text)
    assert [one["data-text"] for one in seen.attributes("code") if "data-text" in one] == ["price", "title", "done"]
    assert counts.documents <= len(JOBS) + 11


def test_a_query_is_answered_and_explained(store, person, jobs):
    asked = {"user": "ann", "namespace": "jobs", "filter": json.dumps({"price": {"$lt": 10}, "done": True})}
    seen = person.see("/records", **asked)
    assert keys(seen) == ["job-000", "job-002", "job-004", "job-006", "job-008"]
    assert "read," not in seen.text
    seen = person.see("/records", **asked, explain="1")
    read = jobs.explain({"price": {"$lt": 10}, "done": True}, limit=50)["documents_read"]
    assert f"{read:,} documents read, 5 records of the first page returned." in seen.text
    seen = person.see("/records", user="ann", namespace="jobs", meta='{"createdByAgent": "planner"}')
    assert len(keys(seen)) == 50
    assert len(keys(person.follow(seen, "Next page"))) == 50


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("filter", '{"price": {"$lx": 1}}', "did you mean $lt"),
        ("filter", '{"price": ', "line 1 column"),
        ("filter", "[]", "filter is an array"),
        ("meta", '{"createdBy": 1}', "createdBy"),
        ("meta", "{", "meta is not JSON"),
    ],
)
def test_a_mistake_in_a_query_is_said_beside_its_field(store, person, jobs, field, text, said):
    seen = person.see("/records", user="ann", namespace="jobs", **{field: text})
    assert seen.status == 400
    (area,) = [one for one in seen.attributes("textarea") if one["name"] == field]
    assert area["aria-invalid"] == "true"
    assert f"{field}-problem" in area["aria-describedby"]
    assert said in seen.text
    assert text in seen.text


def test_a_record_is_shown_with_all_that_is_known_of_it(store, person, jobs):
    revision = store.agent("ann", "reviewer", "jobs").set("job-001", {"a": [1, {"b": None}]}, ttl=3_600)
    with counted(store) as counts:
        seen = person.see("/record", user="ann", namespace="jobs", key="job-001")
    assert counts.requests == ["read", "read"]  # the record, and whether it has a vector
    assert counts.documents == 1
    for part in ("created by planner", "changed last by reviewer", "expires", revision, "a: [2 elements]", "b: null"):
        assert part in seen.text, part
    assert jobs.get_record("job-001").id in seen.text
    assert 'source: "web"' in seen.text
    whole = person.client.get(seen.links["The whole value, as plain text"])
    assert whole.json() == {"a": [1, {"b": None}]}
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert person.see("/record", user="ann", namespace="jobs", key="none").status == 404


def test_looking_is_no_access(tmp_path):
    import datastore
    from tests.viewer.visiting import visitor

    with datastore.connect("memory://", tracking="immediate") as store:
        ann = store.agent("ann", "planner", "jobs")
        ann.set("x", {"n": 1}, vector=[1.0, 2.0])
        ann.set("y", {"n": 2}, vector=[1.0, 2.0])
        person = visitor(store)
        for path in (
            "/",
            "/user?user=ann",
            "/records?user=ann&namespace=jobs",
            "/record?user=ann&namespace=jobs&key=x",
            "/edit?user=ann&namespace=jobs&key=x",
            "/value?user=ann&namespace=jobs&key=x",
            "/export?user=ann&namespace=jobs",
            "/search?user=ann&q=n",
            "/search?user=ann&filter=%7B%22n%22:1%7D",
            "/pictures?user=ann",
            "/pictures?user=ann&namespace=jobs",
            "/near?user=ann&namespace=jobs&key=x",
            "/sizes?user=ann",
            "/doctor?records=1",
        ):
            assert person.see(path).status == 200
        person.see("/records", user="ann", namespace="jobs", filter='{"n": 1}', explain="1")
        store.flush()
        assert [ann.get_record(key).access_count for key in ("x", "y")] == [0, 0]


VALUES = {
    "large text": "x" * 900_000,
    "many elements": list(range(100_000)),
    "many fields": {f"field-{n}": n for n in range(50_000)},
    "many large texts": ["<b>" * 3_000] * 100,
    "deep": json.loads("[" * 150 + "]" * 150),
    "wide and deep": [[[[[n] * 5] * 5] * 5] * 20 for n in range(5)],
    "control characters": "\x00\u202e" * 50_000,
    "a large number": 10**4_000,
}


@pytest.mark.parametrize("name", VALUES)
def test_a_page_has_a_size_whatever_a_value_has(store, person, name):
    data_store = store.agent("ann", "planner", "large")
    data_store.set_many({f"{n:02}": VALUES[name] for n in range(3)}, {"m": "<i>" * 3_000})
    seen = person.see("/record", user="ann", namespace="large", key="00")
    assert seen.status == 200
    assert len(seen.html) < 85_000  # with the scripts and the style less than 150 KB
    seen = person.see("/records", user="ann", namespace="large")
    assert len(seen.html) < 20_000
    whole = person.client.get(f"/value?{urlencode({'user': 'ann', 'namespace': 'large', 'key': '00'})}")
    assert parse_json("value", whole.text) == VALUES[name]


@pytest.mark.parametrize(
    "path", ["/user", "/records?user=ann", "/record?user=ann&namespace=jobs", "/value", "/nothing"]
)
def test_an_address_that_lacks_something_says_so(person, path):
    seen = person.see(path)
    assert seen.status in (400, 404)
    assert "lacks" in seen.text or "no such page" in seen.text


@pytest.mark.parametrize("name", ["x" * 256, "\ud800"])
def test_a_name_that_cannot_be_is_an_error_page(person, name):
    query = urlencode({"user": name}, errors="surrogatepass")
    assert person.see(f"/user?{query}").status == 400


def test_an_outage_is_said(store, person):
    store.close()
    seen = person.see("/user", user="ann")
    assert seen.status >= 500
    assert "closed" in seen.text


def test_a_fault_shows_nothing_of_its_insides(store, person, monkeypatch, caplog):
    def fail(*args, **kwargs):
        raise RuntimeError("inside")

    monkeypatch.setattr(type(store), "users", fail)
    seen = person.see("/")
    assert seen.status == 500
    assert "inside" not in seen.html
    assert "inside" in caplog.text
