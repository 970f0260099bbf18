"""What is beside records, what pictures show, and what the database says of itself."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from datastore.administration import Diagnostic
from tests.viewer.visiting import counted

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
    assert [row[:2] for row in seen.rows if "planner" in row] == [["planner", "5"]]
    assert ["never", "5"] in [row[:2] for row in seen.rows]
    assert f"{datetime.now(UTC):%Y}" in seen.text
    assert r"</script>\u202e" in seen.text


def test_pictures_cost_what_they_are_made_of(store, person, jobs):
    jobs.set_many({f"k{n:04}": n for n in range(2_500)})
    with counted(store) as counts:
        seen = person.see(f"/pictures?{JOBS}")
    assert "Of the first 2,000 records" in seen.text
    assert counts.documents <= 2_100


def test_the_database_says_how_it_is(store, person, monkeypatch):
    findings = [Diagnostic(True, "all is well"), Diagnostic(False, f"bad {HOSTILE}", "do this")]
    monkeypatch.setattr(store.backend, "examine", lambda now: findings)
    seen = person.see("/doctor")
    assert f"{store.backend.name} answers in" in seen.text
    for part in ("ok all is well", r"bad <script>alert(1)</script>\u202e", "do this"):
        assert part in seen.text, part
    store.close()
    assert "problem the database does not answer" in person.see("/doctor").text
