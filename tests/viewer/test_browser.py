"""The pages in a real browser: for everybody, with every kind of data, beside other writers."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit

import pytest

import datastore
from datastore.viewer import app as applications
from datastore.viewer import serve
from tests.patience import PATIENCE
from tests.servers import chromium, couchdb

pytestmark = pytest.mark.server("chromium")

HOSTILE = "\"><script>alert(1)</script>\u202e\x00{{7777*7777}}'"
RECORDS = 100_000
MANY = "many"


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright  # here: without --no-servers alone it has to be installed

    found = chromium.found()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=found.program, env=found.environment, args=["--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


class Shown:
    """A store that is shown to browsers, each of which has a login of its own."""

    def __init__(self, browser, store, app, base):
        self.browser = browser
        self.store = store
        self.app = app
        self.base = base
        self.jobs = store.agent("ann", "planner", "jobs")
        self.said: list[str] = []
        self._contexts = []

    def person(self, *, log_in=True, **options):
        """Return a page of a new browser profile."""
        options.setdefault("viewport", {"width": 1_200, "height": 900})
        context = self.browser.new_context(**options)
        context.set_default_timeout(PATIENCE * 1_000)
        self._contexts.append(context)
        if log_in:
            page = self.tab(context)
            page.goto(self.base + self.app.login_path())
            return page
        return self.tab(context)

    def tab(self, context):
        page = context.new_page()
        page.on("dialog", lambda dialog: (self.said.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("pageerror", lambda error: self.said.append(f"error {error}"))
        page.on("console", lambda told: self.said.append(told.text) if told.type == "error" else None)
        page.on("request", self._look_at)
        return page

    def _look_at(self, request):
        if not request.url.startswith(self.base) and not request.url.startswith(("data:", "blob:")):
            self.said.append(f"request to {request.url}")

    def close(self):
        for context in self._contexts:
            context.close()


@contextmanager
def shown(browser, store, monkeypatch):
    """Serve a store as `datastore view` does. At the end nothing may have run, failed, or been asked of others."""
    made, ready, until = [], threading.Event(), threading.Event()
    create = applications.create_app

    def keep(*args, **options):
        made.append(create(*args, **options))
        return made[0]

    monkeypatch.setattr("datastore.viewer.serving.create_app", keep)
    addresses = []
    thread = threading.Thread(
        target=serve,
        args=(store,),
        kwargs={"person": "eve", "ready": lambda url: (addresses.append(url), ready.set()), "until": until},
    )
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        view = Shown(browser, store, made[0], f"http://{urlsplit(addresses[0]).netloc}")
        try:
            yield view
        finally:
            view.close()
        assert [text for text in view.said if "status of 4" not in text] == []  # a refusal is no fault
        assert list(view.app.reports) == []
    finally:
        until.set()
        thread.join(PATIENCE)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store of many records, made once."""
    url = f"sqlite:///{tmp_path_factory.mktemp('viewer')}/agents.db"
    with datastore.connect(url, tracking="off") as store:
        many = store.agent("ann", "importer", MANY)
        for first in range(0, RECORDS, 10_000):
            many.set_many({f"record-{n:06}": {"n": n, "even": n % 2 == 0} for n in range(first, first + 10_000)})
        yield store


def _more(jobs):
    """Keep a conversation and texts with vectors, and a log, a run and a blob beside the records."""
    jobs.set("talk", [{"role": "user", "content": "Where to?"}, {"role": "assistant", "content": "Lisbon. 🌞"}])
    jobs.set("text", "A text", vector=[1.0, 0.0])
    jobs.set("text, too", "Another one", vector=[0.9, 0.1])
    if jobs.blobs.stat("page.html") is None:
        jobs.log("chat").append({"role": "user", "content": "Where to?"}, {"role": "assistant", "content": "Lisbon."})
        with jobs.runs.start("report") as run:
            run.finish(run.step("one", lambda: 1))
        jobs.blobs.put("page.html", b"<script>alert(1)</script>", content_type="text/html")


@pytest.fixture
def view(browser, filled, monkeypatch):
    jobs = filled.agent("ann", "planner", "jobs")
    jobs.clear()
    jobs.set_many({f"job-{n:03}": {"price": n, "title": f"Job {n}"} for n in range(120)}, {"source": "web"})
    jobs.set("plan", {"goal": "sell", "steps": [{"do": "write"}, {"do": "send", "to": None}]}, {"m": 1}, ttl=3_600)
    _more(jobs)
    with shown(browser, filled, monkeypatch) as view:
        yield view


def expect(locator):
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE * 1_000)
    return expect(locator)


def at(page, key="plan", namespace="jobs", user="ann", **more):
    return f"/{page}?{urlencode({'user': user, 'namespace': namespace, 'key': key, **more})}"


LIST = "/records?" + urlencode({"user": "ann", "namespace": "jobs"})
QUERY = LIST + "&" + urlencode({"filter": '{"price": {"$lt": 5}}', "explain": "1", "column": "price"})
PAGES = {
    "users": "/?prefix=a",
    "namespaces": "/user?user=ann&sizes=1",
    "namespaces with logs": "/user?user=ann&with=logs",
    "records": LIST,
    "query": QUERY,
    "mistake": LIST + "&" + urlencode({"filter": "{", "meta": '{"x": 1}'}),
    "record": at("record"),
    "conversation": at("record", "talk"),
    "record with a vector": at("record", "text"),
    "near": at("near", "text"),
    "edit": at("edit"),
    "new": at("new"),
    "remove": at("remove"),
    "words": "/search?" + urlencode({"user": "ann", "q": "lisbon", "prefix": "j"}),
    "search": "/search?" + urlencode({"user": "ann", "filter": '{"price": {"$lt": 3}}', "prefix": "j"}),
    "search, with a mistake": "/search?" + urlencode({"user": "ann", "filter": "{"}),
    "beside": at("beside"),
    "log": at("log", name="chat"),
    "run": at("run", id="report"),
    "sizes": "/sizes?" + urlencode({"user": "ann", "prefix": "jobs"}),
    "pictures": at("pictures"),
    "pictures of a user": "/pictures?user=ann",
    "doctor": "/doctor",
    "missing": at("record", key="none"),
    "nothing": "/nothing",
    "error": "/user",
}


FAILING = ("mistake", "search, with a mistake", "missing", "nothing", "error")


def findings(page):
    """What the checker of accessibility finds on a page."""
    page.evaluate(chromium.axe())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_finding_and_every_page_is_narrow(view, theme):
    """At 320 pixels nothing but tables is to be moved sideways; that is also a window of 640 at 200 %."""
    page = view.person(color_scheme=theme, viewport={"width": 320, "height": 800})
    for name, path in PAGES.items():
        page.goto(view.base + path)
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        assert findings(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, name
    _conflict(view, page)
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.goto(view.base + "/doctor")
    page.get_by_role("button", name="Try to write").click()
    assert "it can be written to" in page.get_by_role("list").last.inner_text()
    assert findings(page) == []
    page.goto(view.base + at("record"))
    page.get_by_role("button", name="Delete").click()
    assert findings(page) == []
    page.get_by_role("button", name="Log out").click()
    assert findings(page) == []


def _conflict(view, page):
    """Edit a record while an agent does."""
    page.goto(view.base + at("edit"))
    view.jobs.set("plan", {"goal": "buy"}, ttl=3_600)
    page.get_by_label("Value, as JSON").fill('{"goal": "give"}')
    page.get_by_role("button", name="Save").click()


def test_an_agent_writes_while_a_person_edits(view):
    page = view.person()
    _conflict(view, page)
    assert "Nothing was stored" in page.get_by_role("alert").inner_text()
    assert view.jobs.get("plan") == {"goal": "buy"}
    assert '"give"' in page.locator(".removed").first.inner_text()
    assert '"buy"' in page.locator(".added").first.inner_text()
    page.get_by_role("button", name="Save this over").click()
    page.wait_for_url("**/record?*")
    assert view.jobs.get("plan") == {"goal": "give"}
    assert view.jobs.get_record("plan").updated_by_agent == "person:eve"


def test_two_tabs_edit_one_record(view):
    first = view.person()
    second = view.tab(first.context)
    for page in (first, second):
        page.goto(view.base + at("edit"))
    first.get_by_label("Value, as JSON").fill("1")
    first.get_by_role("button", name="Save").click()
    second.get_by_label("Value, as JSON").fill("2")
    second.get_by_role("button", name="Save").click()
    assert "Nothing was stored" in second.get_by_role("alert").inner_text()
    assert view.jobs.get("plan") == 1


def test_a_filter_is_answered_as_one_types(view):
    page = view.person()
    page.goto(view.base + LIST)
    field = page.get_by_label("Keys that begin with")
    field.press_sequentially("job-11")
    expect(page.locator("#list tbody tr")).to_have_count(10)
    assert field.evaluate("field => field === document.activeElement")
    assert "prefix=job-11" in page.url  # the address can be copied
    page.get_by_label("Sorted by").select_option("-key")
    expect(page.locator("#list tbody th").first).to_have_text("job-119")
    page.reload()
    assert page.locator("#list tbody tr").count() == 10


def test_users_and_namespaces_are_filtered_as_one_types(view):
    view.store.agent("bob", "a").set("x", 1)
    try:
        page = view.person()
        users = page.get_by_role("list", name="Users").get_by_role("listitem")
        expect(users).to_have_count(2)
        page.get_by_label("Ids that begin with").press_sequentially("an")
        expect(users).to_have_count(1)
        assert "prefix=an" in page.url
        page.get_by_role("link", name="ann").click()
        field = page.get_by_label("Begins with")
        field.press_sequentially("ma")
        expect(page.locator("#list tbody th")).to_have_text([MANY])
        assert field.evaluate("field => field === document.activeElement")
        field.fill("")
        page.get_by_label("Holding").select_option("logs")
        expect(page.locator("#list tbody th")).to_have_text(["jobs"])
        page.get_by_role("link", name="jobs").click()
        page.get_by_role("link", name="chat").click()
        assert "Lisbon." in page.get_by_role("list").last.inner_text()
    finally:
        view.store.forget("bob")


def test_names_of_a_query_are_completed_with_the_keyboard_and_mistakes_marked_in_the_field(view):
    page = view.person()
    page.goto(view.base + LIST)
    page.get_by_text("Query", exact=True).click()
    area = page.get_by_label("Filter on values")
    options = page.get_by_role("option").filter(visible=True)
    area.press_sequentially('{"PRI')
    expect(options).to_have_text(["price"])
    assert findings(page) == []
    page.keyboard.press("ArrowDown")
    assert area.get_attribute("aria-activedescendant") == options.first.get_attribute("id")
    page.keyboard.press("Enter")
    assert area.input_value() == '{"price": '
    area.press_sequentially('{"$l')
    expect(options).to_have_text(["$lt", "$lte"])
    page.keyboard.press("ArrowUp")
    expect(page.locator("[aria-selected=true]")).to_have_text("$lte")
    page.keyboard.press("Escape")
    expect(options).to_have_count(0)
    assert area.input_value() == '{"price": {"$l'
    area.press_sequentially("t")
    options.filter(has_text="$lte").click()
    area.press_sequentially('3}, "$x": 1}')
    expect(page.locator("#filter-problem mark")).to_have_text('"$x"')
    page.keyboard.press("Tab")  # which leaves the field, as always
    assert not area.evaluate("field => field === document.activeElement")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**filter=*")
    selected = "field => field.value.slice(field.selectionStart, field.selectionEnd)"
    assert page.get_by_label("Filter on values").evaluate(selected) == '"$x"'
    page.keyboard.type('"$key"')
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#filter-problem mark")).to_have_count(0)


def test_json_is_checked_as_one_types(view):
    page = view.person()
    page.goto(view.base + at("edit"))
    page.get_by_label("Value, as JSON").fill('{"a": ')
    expect(page.locator("#value-problem")).to_contain_text("line 1 column 7")
    page.get_by_label("Value, as JSON").fill('{"a": 1}')
    expect(page.locator("#value-problem")).to_contain_text("This is JSON")


def test_a_name_of_a_field_is_put_into_the_query(view):
    page = view.person()
    page.goto(view.base + LIST)
    page.get_by_text("Query", exact=True).click()
    page.get_by_label("Filter on values").fill("{: 3}")
    page.get_by_label("Filter on values").evaluate("field => field.setSelectionRange(1, 1)")
    page.get_by_role("button", name="price").click()
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**filter=*")
    assert page.locator("#list tbody tr").count() == 1


def test_hostile_data_is_text_and_nothing_of_it_runs(view):
    hostile = view.store.agent(HOSTILE, HOSTILE, HOSTILE)
    hostile.set(HOSTILE, {HOSTILE: [HOSTILE, {"__proto__": HOSTILE}]}, {HOSTILE: HOSTILE})
    try:
        page = view.person()
        for path in (
            "/",
            "/user?" + urlencode({"user": HOSTILE, "sizes": 1}),
            "/records?" + urlencode({"user": HOSTILE, "namespace": HOSTILE, "column": HOSTILE, "prefix": HOSTILE}),
            "/records?" + urlencode({"user": HOSTILE, "namespace": HOSTILE, "filter": HOSTILE, "order": HOSTILE}),
            *(at(name, HOSTILE, HOSTILE, HOSTILE) for name in ("record", "edit", "new", "remove", "value")),
            at("record", "none", HOSTILE, HOSTILE),
            "/?" + urlencode({"prefix": HOSTILE}),
            "/user?" + urlencode({"user": HOSTILE, "with": "logs", "prefix": HOSTILE}),
            "/search?" + urlencode({"user": HOSTILE, "q": "alert", "prefix": HOSTILE}),
            "/search?" + urlencode({"user": HOSTILE, "filter": HOSTILE}),
            "/pictures?" + urlencode({"user": HOSTILE}),
            *(at(name, HOSTILE, HOSTILE, HOSTILE) for name in ("pictures", "near", "beside")),
        ):
            page.goto(view.base + path)
            assert page.evaluate("document.querySelectorAll('script:not([src^=\"/static/\"])').length") == 0
            assert "60481729" not in page.locator("body").inner_text(), "no template takes it for its own"
        page.goto(view.base + at("edit", HOSTILE, HOSTILE, HOSTILE))
        page.get_by_role("button", name="Save").click()
        page.wait_for_url("**/record?*")
        assert r"\u202e" in page.get_by_role("heading", level=1).inner_text()
        found = hostile.get_record(HOSTILE)
        assert found.value == {HOSTILE: [HOSTILE, {"__proto__": HOSTILE}]}
        assert found.metadata == {HOSTILE: HOSTILE}
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Bring it back").click()
        page.wait_for_url("**/record?*")
        assert hostile.get(HOSTILE) == found.value
    finally:
        view.store.forget(HOSTILE)


def test_the_policy_is_reported_where_something_is_tried(view):
    """So an empty list of reports, in all these tests, means that nothing was tried."""
    page = view.person()
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'alert(1)'}))")
    page.evaluate("document.body.append(Object.assign(document.createElement('img'), {src: 'http://127.0.0.1:1/'}))")
    page.wait_for_timeout(0)
    waiting = threading.Event()
    for _ in range(int(PATIENCE * 20)):
        if len(view.app.reports) >= 2:
            break
        waiting.wait(0.05)
        page.evaluate("1")
    assert {"script-src-elem", "img-src"} == set(
        re.findall(r'"effective-directive":"([\w-]+)"', "".join(view.app.reports))
    )
    assert not [text for text in view.said if text.startswith("dialog")]
    view.app.reports.clear()
    view.said.clear()


def mend(view, page):
    """Do everything that changes a record, and take records out."""
    jobs = view.jobs
    page.goto(view.base + at("new"))
    page.get_by_label("Key").fill("made")
    page.get_by_label("Value, as JSON").fill('{"price": "=1+1"}')
    page.get_by_label("Seconds until").fill("60")
    page.get_by_role("button", name="Create").click()
    page.wait_for_url("**/record?*")
    assert jobs.get_record("made").expires_at is not None
    page.get_by_role("button", name="Set").click()
    page.wait_for_load_state()
    expect(page.get_by_text("It does not expire")).to_be_visible()
    page.get_by_label("New key").fill("renamed")
    page.get_by_role("button", name="Rename").click()
    page.wait_for_url("**key=renamed*")
    assert jobs.get_many(["made", "renamed"]) == {"renamed": {"price": "=1+1"}}
    page.get_by_role("link", name="Change").click()
    page.get_by_label("Metadata, as a JSON object").fill('{"by": "hand"}')
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/record?*")
    record = jobs.get_record("renamed")
    assert (record.metadata, record.updated_by_agent, record.expires_at) == ({"by": "hand"}, "person:eve", None)
    page.goto(view.base + LIST + "&prefix=renamed&column=price")
    for name, text in (("CSV", "renamed,'=1+1"), ("JSON lines", '"price": "=1+1"')):
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Export as {name}").click()
        exported = download.value.path().read_text(encoding="utf-8")
        assert text in exported or text.replace(": ", ":") in exported
    page.goto(view.base + at("record", "renamed"))
    page.get_by_role("button", name="Delete").click()
    assert not jobs.exists("renamed")
    page.get_by_role("button", name="Bring it back").click()
    page.wait_for_url("**/record?*")
    assert jobs.get_record("renamed").metadata == {"by": "hand"}
    page.goto(view.base + "/remove?user=ann&namespace=jobs&prefix=job")
    count = jobs.count(prefix="job")
    page.get_by_label("Type the name").fill("jobs")
    page.get_by_role("button", name=f"Remove {count} records").click()
    assert f"{count} records of jobs" in page.get_by_role("status").inner_text()
    assert jobs.list_keys() == ["plan", "renamed", "talk", "text", "text, too"]


def test_everything_can_be_mended(view):
    mend(view, view.person())


def test_no_page_weighs_more_than_it_may(view):
    """With its script and style, as a browser loads them the first time: less than 150 KB."""
    for name, path in PAGES.items():
        page = view.person()
        answers = []
        page.on("response", lambda answer, answers=answers: answers.append(answer))
        page.goto(view.base + path, wait_until="load")
        assert len(answers) >= 4, name
        assert sum(len(answer.body()) for answer in answers) < 150_000, name
        page.context.close()


def test_everything_works_with_the_keyboard_alone(view):
    page = view.person()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to the content"

    def go_to(name):
        for _ in range(200):
            page.keyboard.press("Tab")
            if page.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).innerText.trim()") == name:
                style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert style != "none", name  # where one is can be seen
                return
        raise AssertionError(f"{name} is not reached")

    for name in ("ann", "jobs"):
        go_to(name)
        with page.expect_navigation():
            page.keyboard.press("Enter")
    go_to("Keys that begin with")
    page.keyboard.type("plan")
    expect(page.locator("#list tbody tr")).to_have_count(1)
    go_to("plan")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    go_to("Change")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    go_to("Value, as JSON")
    page.keyboard.press("Control+A")
    page.keyboard.type("[1]")
    go_to("Save")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert view.jobs.get("plan") == [1]
    go_to("Delete")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    go_to("Bring it back")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert view.jobs.get("plan") == [1]


def test_everything_works_without_a_script(view):
    page = view.person(java_script_enabled=False)
    page.goto(view.base + LIST)
    page.get_by_label("Keys that begin with").fill("plan")
    page.get_by_role("button", name="Show").first.click()
    assert page.locator("#list tbody tr").count() == 1
    page.get_by_role("link", name="plan", exact=True).click()
    assert "UTC" in page.locator("time").first.inner_text()
    page.get_by_role("link", name="Change").click()
    page.get_by_label("Value, as JSON").fill("{")
    page.get_by_role("button", name="Save").click()
    assert "value is not JSON" in page.locator("#value-problem").inner_text()
    page.get_by_label("Value, as JSON").fill("[2]")
    page.get_by_role("button", name="Save").click()
    assert view.jobs.get("plan") == [2]


def test_times_are_in_the_readers_zone(view):
    page = view.person(timezone_id="Asia/Tokyo", locale="en-GB")
    page.goto(view.base + at("record"))
    time = page.locator("time").first
    made = view.jobs.get_record("plan").created_at
    assert f"{(made.hour + 9) % 24:02}:{made:%M:%S}" in time.inner_text()
    assert time.get_attribute("title") == f"{made:%Y-%m-%d %H:%M:%S} UTC"
    assert re.fullmatch(r"\(in (59 min \d+ s|1 h 0 min)\)", page.locator(".countdown").inner_text())


def test_a_session_that_is_over_sees_a_login_and_gets_one(view, monkeypatch):
    page = view.person(log_in=False)
    page.goto(view.base + at("record"))
    assert "plan" not in page.locator("main").inner_text()
    page.get_by_role("button", name="Print a new address").click()
    assert "is in the terminal" in page.get_by_role("status").inner_text()


def test_pages_of_many_records(view):
    page = view.person()
    page.goto(view.base + "/records?" + urlencode({"user": "ann", "namespace": MANY}))
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("#list tbody th").first).to_have_text("record-000050")
    page.get_by_label("Sorted by").select_option("-key")
    expect(page.locator("#list tbody th").first).to_have_text("record-099999")
    page.goto(view.base + "/records?" + urlencode({"user": "ann", "namespace": MANY, "filter": '{"n": 77777}'}))
    page.get_by_role("link", name="record-077777").click()
    page.get_by_role("link", name="Change").click()
    page.get_by_label("Value, as JSON").fill('{"n": -1}')
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/record?*")
    assert view.store.agent("ann", "a", MANY).get("record-077777") == {"n": -1}


@pytest.mark.server("couchdb")
def test_every_page_and_mend_on_a_server(browser, monkeypatch):
    name = couchdb.borrow_database()
    with datastore.connect(couchdb.url(name), tracking="off", warn_on_loop=False) as store:
        jobs = store.agent("ann", "planner", "jobs")
        jobs.set_many({f"job-{n:03}": {"price": n} for n in range(60)})
        jobs.set("plan", {"goal": "sell"})
        _more(jobs)
        with shown(browser, store, monkeypatch) as view:
            page = view.person()
            for name, path in PAGES.items():
                status = page.goto(view.base + path).status
                assert (status < 400) == (name not in FAILING), name
            _conflict(view, page)
            page.get_by_role("button", name="Save this over").click()
            page.wait_for_url("**/record?*")
            assert jobs.get("plan") == {"goal": "give"}
            mend(view, page)
            page.goto(view.base + "/doctor")
            page.get_by_role("button", name="Try to write").click()
            assert "it can be written to" in page.get_by_role("list").last.inner_text()
    couchdb.give_back_database(name)
