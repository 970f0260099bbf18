"""Mending: nothing of an agent's is overwritten unseen, and everything is told to the host as the person's."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from urllib.parse import urlencode

import pytest

import datastore
from tests.viewer.visiting import counted, visitor

JOB = {"user": "ann", "namespace": "jobs", "key": "plan"}


@pytest.fixture
def jobs(store):
    jobs = store.agent("ann", "planner", "jobs")
    jobs.set("plan", {"n": 1, "text": "é"}, {"source": "web", "old": 1})
    return jobs


def at(page, **more):
    return f"/{page}?{urlencode({**JOB, **more})}"


def opened(person, page="edit", **more):
    """Open a form, and return what it would send if nobody changed it."""
    seen = person.see(at(page, **more))
    fields = {one["name"]: one.get("value") for one in seen.attributes("input") if one.get("name") != "token"}
    areas = re.findall(r'<textarea [^>]*name="(\w+)"[^>]*>\n?(.*?)</textarea>', seen.html, re.DOTALL)
    return fields | {name: html.unescape(text) for name, text in areas}


def test_what_was_opened_is_saved_as_it_was(store, person, jobs):
    """With its expiry, its metadata, and every character, also those that cannot be seen."""
    value = {"a": ["\u202e\x00\x7f", 1.0, 10**30, "</textarea>", "\r\n line", "\U0001f469\u200d\U0001f467"], "": None}
    jobs.set("plan", value, {"m": "\u2066"}, ttl=3_600)
    before = jobs.get_record("plan")
    form = opened(person)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x7f]", form["value"] + form["metadata"])
    seen = person.send(at("edit"), form)
    assert seen.status == 200
    assert seen.url.endswith(at("record"))
    after = jobs.get_record("plan")
    assert (after.value, after.metadata) == (before.value, before.metadata)
    assert abs((after.expires_at - before.expires_at).total_seconds()) < 5
    assert after.revision != before.revision
    assert (after.created_by_agent, after.updated_by_agent) == ("planner", "person:eve")


def test_fields_of_the_metadata_are_changed_added_and_removed(person, jobs):
    person.send(at("edit"), opened(person) | {"metadata": '{"source": "book", "new": [1]}'})
    assert jobs.get_record("plan").metadata == {"source": "book", "new": [1]}


def test_an_edit_costs_a_read_and_a_write(store, person, jobs):
    form = opened(person) | {"token": person.token()}
    with counted(store) as counts:
        person.send(at("edit"), form, token=form["token"])
    assert counts.requests == ["read"] * 2 + ["write"] + ["read"] * 2  # with the vector; the last two show the record


def test_what_an_agent_wrote_meanwhile_is_shown_beside_and_kept(store, person, jobs):
    form = opened(person)
    revision = jobs.set("plan", {"n": 2, "text": "of the agent"})
    seen = person.send(at("edit"), form | {"value": '{"n": 3, "text": "é"}'})
    assert seen.status == 409
    assert "Nothing was stored" in seen.text
    assert jobs.get("plan") == {"n": 2, "text": "of the agent"}
    marked = [text for kind, text in re.findall(r'<span class="(removed|added)">([^<]*)', seen.html)]
    assert [html.unescape(line).strip() for line in marked] == [
        '−   "n": 3,',
        '−   "text": "é"',
        '+   "n": 2,',
        '+   "text": "of the agent"',
    ]
    assert [one["value"] for one in seen.attributes("input") if one.get("name") == "revision"] == [revision]
    form = {"revision": revision, "value": '{"n": 3}', "metadata": "{}"}
    assert person.send(at("edit"), form).status == 200
    assert jobs.get("plan") == {"n": 3}
    assert person.send(at("edit"), form).status == 409


def test_a_write_between_the_look_and_the_save_is_found(store, person, jobs, monkeypatch):
    """The revision is the condition of the write itself."""
    form = opened(person)
    backend, write = store.backend, store.backend.write
    others = []

    def late(writes):
        if not others:
            others.append(1)
            jobs.set("plan", "of the agent")
        return write(writes)

    monkeypatch.setattr(backend, "write", late)
    seen = person.send(at("edit"), form | {"value": "1"})
    assert seen.status == 409
    assert "of the agent" in seen.text
    assert jobs.get("plan") == "of the agent"


def test_a_record_that_was_deleted_meanwhile_is_not_brought_back(person, jobs):
    form = opened(person)
    jobs.delete("plan")
    assert person.send(at("edit"), form).status == 409
    assert not jobs.exists("plan")


def test_a_touch_by_an_agent_meanwhile_stays(person, jobs):
    """It does not change the revision: what holds is the expiry at the time of the save."""
    form = opened(person)
    jobs.touch("plan", ttl=3_600)
    person.send(at("edit"), form | {"value": "1"})
    assert jobs.get_record("plan").expires_at is not None


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("value", "{", "value is not JSON"),
        ("value", "", "value is not JSON"),
        ("value", "NaN", "value is not JSON"),
        ("value", '"\\ud800"', "surrogate"),
        ("value", json.dumps("x" * 1_000_001), "1,000,000"),
        ("metadata", "[1]", "metadata is an array"),
        ("metadata", json.dumps({"a": "x" * 20_000}), "metadata"),
    ],
)
def test_what_cannot_be_stored_is_said_and_what_was_typed_stays(person, jobs, field, text, said):
    form = opened(person)
    seen = person.send(at("edit"), form | {field: text})
    assert seen.status == 400
    assert said in seen.text
    areas = re.findall(r'<textarea [^>]*name="(\w+)"[^>]*>\n?(.*?)</textarea>', seen.html, re.DOTALL)
    assert html.unescape(dict(areas)[field]) == text
    assert jobs.get_record("plan").revision == form["revision"]


def test_json_is_checked_as_one_types_without_the_store(store, person, jobs):
    token = person.token()
    with counted(store) as counts:
        assert "This is JSON" in person.send("/check?of=value", {"value": "[1]"}, token=token).text
        assert "line 1 column 3" in person.send("/check?of=value", {"value": "[1"}, token=token).text
        assert "object" in person.send("/check?of=metadata", {"value": "[1", "metadata": "1"}, token=token).text
    assert counts.requests == []


def test_a_record_is_created_and_never_over_another(person, jobs):
    seen = person.send("/new?user=ann&namespace=jobs", {"key": "a/b", "value": "[1]", "metadata": "", "ttl": "60"})
    assert seen.url.endswith("key=a%2Fb")
    made = jobs.get_record("a/b")
    assert (made.value, made.created_by_agent) == ([1], "person:eve")
    assert made.expires_at is not None
    seen = person.send("/new?user=ann&namespace=jobs", {"key": "plan", "value": "2"})
    assert (seen.status, "There is a record with this key" in seen.text) == (400, True)
    assert jobs.get("plan") == {"n": 1, "text": "é"}
    for form, said in (
        ({"key": "", "value": "1"}, "key"),
        ({"key": "x" * 513, "value": "1"}, "512"),
        ({"key": "y", "value": "1", "ttl": "soon"}, "ttl is no number"),
        ({"key": "y", "value": "1", "ttl": "-1"}, "ttl"),
        ({"key": "y", "value": "1", "ttl": "nan"}, "ttl"),
    ):
        seen = person.send("/new?user=ann&namespace=jobs", form)
        assert (seen.status, said in seen.text) == (400, True), form
    assert sorted(jobs.list_keys()) == ["a/b", "plan"]


def test_expiry_is_moved_and_ended(person, jobs):
    person.send(at("touch"), {"ttl": "60"})
    assert jobs.get_record("plan").expires_at is not None
    person.send(at("touch"), {"ttl": ""})
    assert jobs.get_record("plan").expires_at is None


def test_a_key_is_changed_unless_somebody_was_there_or_changed_it(person, jobs):
    revision = jobs.get_record("plan").revision
    jobs.set("taken", 1)
    assert person.send(at("rename"), {"to": "taken", "revision": revision}).status == 409
    assert jobs.get("taken") == 1
    newer = jobs.set("plan", {"n": 5})
    assert person.send(at("rename"), {"to": "goal", "revision": revision}).status == 409
    assert jobs.list_keys() == ["plan", "taken"]
    seen = person.send(at("rename"), {"to": "goal", "revision": newer})
    assert seen.url.endswith("key=goal")
    assert jobs.list_keys() == ["goal", "taken"]
    assert jobs.get_record("goal").metadata == {"source": "web", "old": 1}


def test_what_was_deleted_can_be_brought_back(person, jobs):
    value = {"n": [1, "\x00\u202e\r\n"]}
    revision = jobs.set("plan", value, ttl=3_600)
    stale = person.send(at("delete"), {"revision": "another"})
    assert (stale.status, jobs.exists("plan")) == (409, True)
    seen = person.send(at("delete"), {"revision": revision})
    assert "is deleted" in seen.text
    assert not jobs.exists("plan")
    kept = {one["name"]: one["value"] for one in seen.attributes("input") if one["name"] != "token"}
    (form,) = [one["action"] for one in seen.attributes("form") if "new" in (one.get("action") or "")]
    assert person.send(form, kept).status == 200
    back = jobs.get_record("plan")
    assert (back.value, back.metadata) == (value, {"source": "web", "old": 1})
    assert back.expires_at is not None


def test_records_are_removed_by_query_after_their_number_and_the_name(person, jobs):
    jobs.set_many({f"n{n}": {"n": n} for n in range(10)})
    query = {"user": "ann", "namespace": "jobs", "filter": '{"n": {"$gte": 5}}'}
    path = f"/remove?{urlencode(query)}"
    seen = person.see(path)
    assert "Remove 5 records" in seen.text
    for form in (
        {"typed": "job", "count": "5"},
        {"typed": "", "count": "5"},
        {"typed": "jobs", "count": "4"},
        {"typed": "jobs"},
    ):
        seen = person.send(path, form)
        assert (seen.status, "Nothing was removed" in seen.text) == (409, True)
    assert jobs.count() == 11
    assert "5 records of jobs" in person.send(path, {"typed": "jobs", "count": "5"}).text
    assert jobs.count() == 6
    path = "/remove?user=ann&namespace=jobs&prefix=n"
    person.send(path, {"typed": "jobs", "count": "5"})
    assert jobs.list_keys() == ["plan"]
    path = "/remove?user=ann&namespace=jobs"
    person.send(path, {"typed": "jobs", "count": "1"})
    assert jobs.list_keys() == []


def test_a_mistake_in_a_query_removes_nothing(person, jobs):
    path = f"/remove?{urlencode({'user': 'ann', 'namespace': 'jobs', 'filter': '{'})}"
    assert person.see(path).status == 400
    assert person.send(path, {"typed": "jobs", "count": "1"}).status == 400
    assert jobs.count() == 1


def test_what_is_shown_is_exported(person, jobs):
    jobs.set_many({f"n{n:04}": {"n": n, "t": 'x,"y"\n'} for n in range(1_200)})
    asked = {"user": "ann", "namespace": "jobs"}
    response = person.client.get("/export", params=asked)
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert [one["key"] for one in lines] == jobs.list_keys()
    assert lines[-1]["metadata"] == {"source": "web", "old": 1}
    assert response.headers["content-disposition"] == 'attachment; filename="records.jsonl"'
    response = person.client.get(
        "/export",
        params=asked | {"filter": '{"n": {"$lt": 700, "$gt": 1}}', "order": "-n", "as": "csv", "column": ["n", "t"]},
    )
    rows = list(csv.DictReader(io.StringIO(response.text, newline="")))
    assert [row["n"] for row in rows] == [str(n) for n in range(699, 1, -1)]
    assert rows[0]["t"] == 'x,"y"\n'
    assert rows[0]["createdByAgent"] == "planner"
    assert person.client.get("/export", params=asked | {"prefix": "none"}).text == ""
    assert person.client.get("/export", params=asked | {"filter": "{"}).status_code == 400
    assert person.client.get("/export", params=asked | {"as": "csv", "column": "a..b"}).status_code == 400


def test_no_cell_is_a_formula(person, jobs):
    jobs.set_many({"=1+1": "=cmd|' /C calc'!A0", "@a": -5, "-b": "-b", "+c": "\t=1", "d": {"=2+2": "=3+3"}})
    for columns in ([], ["=2+2"]):  # the names of fields are offered as columns, and are an agent's choice
        asked = {"user": "ann", "namespace": "jobs", "as": "csv", "column": columns}
        response = person.client.get("/export", params=asked)
        cells = {cell for row in csv.reader(io.StringIO(response.text, newline="")) for cell in row}
        assert not [cell for cell in cells if cell[:1] in ("=", "+", "@", "\t") or (cell[:1] == "-" and cell != "-5")]
        assert ("'=2+2" if columns else "-5") in cells


WRITES = [
    ("edit", {"value": "1", "revision": "x"}),
    ("new", {"key": "k", "value": "1"}),
    ("touch", {"ttl": "1"}),
    ("rename", {"to": "k", "revision": "x"}),
    ("delete", {"revision": "x"}),
    ("remove", {"typed": "jobs", "count": "1"}),
    ("check", {"value": "1"}),
]


@pytest.mark.parametrize(("page", "form"), WRITES, ids=[page for page, _ in WRITES])
def test_a_viewer_that_is_read_only_changes_nothing(store, jobs, page, form):
    person = visitor(store, writable=False)
    revision = jobs.get_record("plan").revision
    assert person.send(at(page), {**form, **({"revision": revision} if "revision" in form else {})}).status == 403
    assert jobs.get_record("plan").revision == revision
    assert jobs.list_keys() == ["plan"]
    for path in (at("record"), "/records?user=ann&namespace=jobs"):
        assert "post" not in [
            one.get("method") for one in person.see(path).attributes("form") if "logout" not in one["action"]
        ]


@pytest.mark.parametrize(("page", "form"), WRITES, ids=[page for page, _ in WRITES])
def test_a_forged_form_changes_nothing(store, jobs, page, form):
    person = visitor(store)
    revision = jobs.get_record("plan").revision
    given = {**form, **({"revision": revision} if "revision" in form else {})}
    token = person.token()
    assert person.send(at(page), given, token="").status == 403
    assert person.send(at(page), given, token=token, Origin="http://evil.example").status == 403
    assert person.see(at(page, **given)).status in (200, 404)  # nothing is changed by an address
    assert jobs.get_record("plan").revision == revision
    assert jobs.list_keys() == ["plan"]


def test_every_change_is_told_as_the_persons():
    events = []
    with datastore.connect("memory://", tracking="off", on_call=events.append) as store:
        jobs = store.agent("ann", "planner", "jobs")
        revision = jobs.set("plan", 1)
        person = visitor(store)
        events.clear()
        person.send(at("edit"), {"value": "2", "revision": revision})
        person.send(at("touch"), {"ttl": "60"})
        person.send("/new?user=ann&namespace=jobs", {"key": "other", "value": "1"})
        person.send("/remove?user=ann&namespace=jobs&prefix=o", {"typed": "jobs", "count": "1"})
        person.send(at("delete"), {"revision": jobs.get_record("plan").revision})
        told = [(one.call, one.key) for one in events if one.agent == "person:eve" and one.call != "get_record"]
        assert told == [
            ("set", "plan"),
            ("touch", "plan"),
            ("add", "other"),
            ("count", None),
            ("clear", None),
            ("delete", "plan"),
        ]
        assert {one.user for one in events} == {"ann"}
