"""What is beside records, what pictures show, and what the database says of itself."""

from __future__ import annotations

import re
import sqlite3
from datetime import UTC, datetime
from importlib import import_module

import pytest

import datastore
from datastore.administration import Diagnostic
from tests.viewer.visiting import counted, visitor

JOBS = "user=ann&namespace=jobs"
HOSTILE = "<script>alert(1)</script>\u202e"


@pytest.fixture
def jobs(store):
    return store.agent("ann", "planner", "jobs")


def test_a_log_is_a_conversation_from_its_end(store, person, jobs):
    chat = jobs.log("chat")
    for n in range(60):
        chat.append({"role": "user", "content": f"question {n}"}, {"role": "assistant", "text": f"answer {n}"})
    chat.append("plain words", {"no": "message"}, {"role": HOSTILE, "content": HOSTILE})
    seen = person.follow(person.see(f"/beside?{JOBS}"), "chat")
    assert seen.text.index("question 59") < seen.text.index("answer 59") < seen.text.index("plain words")
    for part in ("planner 121", "user 119", "assistant 120", '{"no": "message"}', r"alert(1)</script>\u202e"):
        assert part in seen.text, part
    assert not [one for one in seen.attributes("script") if not one.get("src")]
    earlier = person.follow(seen, "Earlier entries")
    assert "question 35" in earlier.text
    assert "question 59" not in earlier.text
    last = person.follow(person.follow(earlier, "Earlier entries"), "The last entries")
    assert "question 59" in last.text
    with counted(store) as counts:
        person.see(f"/log?{JOBS}&name=chat")
    assert counts.documents <= 55
    assert "no entries" in person.see(f"/log?{JOBS}&name=none").text


def test_a_run_is_its_steps(person, jobs):
    with jobs.runs.start("report") as run:
        for n in range(60):
            run.step(f"step {n}", lambda n=n: n)
        run.finish("done")
    beside = person.see(f"/beside?{JOBS}")
    assert ["report", "done", "", beside.rows[1][3]] == beside.rows[1]
    seen = person.follow(beside, "report")
    assert "done. Started" in seen.text
    assert [row[2] for row in seen.rows[2:4]] == ["step 59", "step 58"]
    assert seen.rows[2][3] == "planner"
    names = {row[2] for row in person.follow(seen, "Earlier steps").rows}
    assert "step 3" in names
    assert "step 59" not in names
    assert person.see(f"/run?{JOBS}&id=none").status == 404


def test_blobs_are_listed_and_downloaded(person, jobs):
    content = bytes(range(256)) * 4_000
    for n in range(60):
        jobs.blobs.put(f"file-{n:02}", b"x")
    jobs.blobs.put('a/"page"\u202e.html', content, content_type="text/html")
    seen = person.see(f"/beside?{JOBS}")
    (link,) = [one for one in seen.links if ".html" in one]
    answer = person.client.get(seen.links[link])
    assert answer.content == content
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%22page%22%E2%80%AE.html"
    assert answer.headers["x-content-type-options"] == "nosniff"
    seen = person.follow(seen, "Next page")
    assert [row[0] for row in seen.rows if row][-1] == "file-59"
    assert person.see(f"/blob?{JOBS}&name=none").status == 404


@pytest.mark.parametrize("before", ["x", "-1", "0", "1.5", "9" * 30, "\u0663"])
def test_a_number_that_is_none_is_refused(person, jobs, before):
    jobs.log("chat").append(1)
    assert person.see(f"/log?{JOBS}&name=chat", before=before).status == 400


def test_records_of_all_namespaces_are_found(store, person, jobs):
    for n in range(60):
        jobs.use_namespace(f"space-{n:02}").set("ada", {"name": "Ada", "n": n})
    assert person.see("/search?user=ann").status == 200
    seen = person.see("/search?user=ann", filter='{"name": "Ada"}')
    assert len(seen.rows) == 51
    assert "These are the first 50" in seen.text
    assert seen.rows[1][:2] == ["ada", "space-00"]
    seen = person.see("/search?user=ann", filter='{"n": {"$gte": 0}}', prefix="space-4")
    assert [row[1] for row in seen.rows[1:]] == [f"space-{n}" for n in range(40, 50)]
    assert "Nothing matches" in person.see("/search?user=ann", filter='{"name": "Bob"}').text
    for mistake in ("{", '{"n": {"$x": 1}}'):
        seen = person.see("/search?user=ann", filter=mistake)
        assert seen.status == 400
        assert seen.attributes("textarea")[0]["aria-invalid"] == "true"


def test_the_largest_namespaces_are_drawn(person, jobs):
    for n in range(1, 31):
        jobs.use_namespace(f"space-{n:02}").set("x", "y" * (100 * n - 2))
    seen = person.see("/sizes?user=ann")
    assert "30 namespaces: 30 records, 46.5 kB" in seen.text
    assert [row[:2] for row in seen.rows[1:3]] == [["space-30", "3.0 kB"], ["space-29", "2.9 kB"]]
    assert len(seen.rows) == 21
    widths = [float(one["width"]) for one in seen.attributes("rect")]
    assert widths[0] == 100
    assert widths == sorted(widths, reverse=True)


def test_pictures_say_by_whom_and_for_how_long_and_what_nobody_reads(store, person, jobs):
    jobs.set_many({f"k{n}": n for n in range(5)})
    jobs.set("k5", 5, ttl=3_600)
    store.agent("ann", HOSTILE, "jobs").set("k0", 1)
    seen = person.see(f"/pictures?{JOBS}")
    assert "Of 6 records; 6 records that nobody has read" in seen.text
    assert [row[:2] for row in seen.rows if "planner" in row] == [["planner", "5"], ["planner", "5 bytes"]]
    assert ["never", "5"] in [row[:2] for row in seen.rows]
    assert f"{datetime.now(UTC):%Y}" in seen.text
    assert r"</script>\u202e" in seen.text


def test_pictures_cost_what_they_are_made_of(store, person, jobs):
    jobs.set_many({f"k{n:04}": n for n in range(2_500)})
    with counted(store) as counts:
        seen = person.see(f"/pictures?{JOBS}")
    assert "Of the first 2,000 records" in seen.text
    assert counts.documents <= 2_100


def test_growth_is_drawn_by_namespace_from_a_sample_of_each(tmp_path):
    now = [1_800_000_000.0]
    url = f"sqlite:///{tmp_path}/agents.db"
    with datastore.connect(url, clock=lambda: now[0], tracking="immediate") as store:
        for n in range(30):
            place = store.agent("ann", "planner", f"space-{n:02}")
            for key in ("a", "b"):
                now[0] += 86_400
                place.set(key, n)
        store.agent("ann", "planner", "space-00").set_many({f"k{n:03}": n for n in range(150)})
        store.agent("ann", "reader", "space-01").get("a")
        person = visitor(store)
        with counted(store) as counts:
            seen = person.see("/pictures?user=ann")
        assert counts.documents <= 21 + 100 + 2 * 19
        assert len(counts.requests) <= 22 + 20
        growth = [row for row in seen.rows if row and row[0].startswith("space-")]
        assert [row[:4] for row in growth[:2]] == [
            ["space-00", "100", "188 bytes", "100"],
            ["space-01", "2", "2 bytes", "1"],
        ]
        assert len(growth) == 20
        lines = [
            [tuple(map(float, one.split(","))) for one in line["points"].split()]
            for line in seen.attributes("polyline")
        ]
        for line in lines:
            assert line == sorted(line, key=lambda point: (point[0], -point[1])), "it rises"
            assert (line[0][1], line[-1]) == (20.0, (100.0, 0.0))
        assert lines[1][1][0] < lines[2][1][0] < lines[3][1][0], "all over the same time"
        assert ["reader", "1"] in [row[:2] for row in seen.rows]
        assert "a in space-02" in seen.text
        assert "space-20" in person.follow(seen, "Next page").links
        assert "b" in person.follow(person.follow(seen, "space-01"), "All of the namespace that nobody reads").links
        assert [row[0] for row in person.see("/pictures?user=ann&prefix=space-2").rows if len(row) == 7][1:] == [
            f"space-{n}" for n in range(20, 30)
        ]


def test_pictures_end_where_values_are_large(person, jobs, monkeypatch):
    monkeypatch.setattr(import_module("datastore.viewer.pages.pictures"), "_BYTES", 2_500)
    jobs.set_many({f"k{n}": "x" * 998 for n in range(10)})
    assert "Of the first 3 records" in person.see(f"/pictures?{JOBS}").text


@pytest.mark.parametrize(
    "value",
    [
        {"messages": [{"role": "user", "content": "Where to?"}, {"role": "assistant", "content": None, "calls": [1]}]},
        [{"type": "human", "data": {"content": "Where to?"}}, {"type": "ai", "data": {"content": "Lisbon."}}],
        [{"role": "user", "content": [{"type": "input_text", "text": "Where to?"}]}],
        {"format": 1, "items": [{"item": {"role": "user", "content": "Where to?"}}]},
    ],
)
def test_a_record_that_is_a_conversation_is_shown_as_one(person, jobs, value):
    jobs.set("talk", value)
    seen = person.see(f"/record?{JOBS}&key=talk")
    assert "Conversation" in seen.text
    assert re.search("(user|human)Where to\\?", seen.text)


@pytest.mark.parametrize(
    "value", [[], {"messages": []}, [1, 2], [{"role": "user"}], [{"type": "car", "text": "x"}], "x"]
)
def test_what_is_none_is_not(person, jobs, value):
    jobs.set("talk", value)
    assert "Conversation" not in person.see(f"/record?{JOBS}&key=talk").text


def test_a_long_conversation_is_cut_where_the_page_would_be_too_large(person, jobs):
    jobs.set("talk", [{"role": "user", "content": f"{n} " + "\u202e<" * 500} for n in range(200)])
    seen = person.see(f"/record?{JOBS}&key=talk")
    assert len(seen.html) < 85_000
    assert "200 messages" in seen.text
    assert "This is the beginning" in seen.text


def test_the_doctor_tries_to_write_only_when_it_is_told_to(store, person):
    with counted(store) as counts:
        seen = person.see("/doctor")
    assert "write" not in counts.requests
    assert "can be written to" not in seen.text
    seen = person.send("/doctor")
    for part in ("it can be written to", "it takes a value of 1,000,000 bytes", "records can be deleted"):
        assert part in seen.text, part
    assert list(store.users()) == []
    reader = visitor(store, writable=False)
    assert "Try to write" not in reader.see("/doctor").text
    assert reader.send("/doctor").status == 403


def test_the_doctor_names_damaged_records_with_what_to_do(tmp_path):
    """Dates that are none, as another program may write them: pages leave such a record out, or say what it is."""
    with datastore.connect(f"sqlite:///{tmp_path}/agents.db", tracking="off") as store:
        jobs = store.agent("ann", "planner", "jobs")
        jobs.set_many({"sound": 1, "odd": 2})
        with sqlite3.connect(tmp_path / "agents.db") as connection:
            connection.execute(
                "UPDATE agent_data_store SET createdAt = '<b>2026-99-99' WHERE _id LIKE ?", (jobs.get_record("odd").id,)
            )
        person = visitor(store)
        assert "cannot" not in person.see("/doctor").text
        seen = person.follow(person.see("/doctor"), "Read every record, and name those that are damaged")
        assert "1 record can be read, 1 cannot" in seen.text
        assert "--remove-damaged" in seen.text
        assert [row[0] for row in person.see(f"/records?{JOBS}").rows[1:]] == ["sound"]
        for path in (f"/record?{JOBS}&key=odd", f"/edit?{JOBS}&key=odd"):
            seen = person.see(path)
            assert seen.status >= 400
            assert "damaged" in seen.text or "createdAt" in seen.text
        for path in (f"/pictures?{JOBS}", "/pictures?user=ann", "/search?user=ann&q=odd", "/user?user=ann&sizes=1"):
            assert person.see(path).status == 200, path


def test_the_database_says_how_it_is(store, person, monkeypatch):
    findings = [Diagnostic(True, "all is well"), Diagnostic(False, f"bad {HOSTILE}", "do this")]
    monkeypatch.setattr(store.backend, "examine", lambda now: findings)
    seen = person.see("/doctor")
    assert f"{store.backend.name} answers in" in seen.text
    for part in ("ok all is well", r"bad <script>alert(1)</script>\u202e", "do this"):
        assert part in seen.text, part
    store.close()
    assert "problem the database does not answer" in person.see("/doctor").text
