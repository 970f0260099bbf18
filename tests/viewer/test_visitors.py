"""Who may see the pages: whoever has a login, once, for a time, from these pages; or whom the host says."""

from __future__ import annotations

import pytest

import datastore
from datastore.viewer import create_app
from tests.viewer.visiting import HOST, Person, visitor


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store():
    with datastore.connect("memory://", tracking="off") as store:
        store.agent("ann", "planner", "jobs").set("secret-key", "secret-value")
        yield store


PAGES = [
    "/",
    "/user?user=ann",
    "/records?user=ann&namespace=jobs",
    "/record?user=ann&namespace=jobs&key=secret-key",
    "/search?user=ann&q=secret",
    "/pictures?user=ann",
    "/near?user=ann&namespace=jobs&key=secret-key",
    "/doctor?records=1",
]


@pytest.mark.parametrize("path", [*PAGES, "/value?user=ann&namespace=jobs&key=secret-key"])
def test_without_a_login_nothing_is_seen(store, path):
    seen = Person(create_app(store)).see(path)
    assert seen.status == 401
    assert "secret" not in seen.html
    assert "ann" not in seen.text


def test_a_login_works_once(store):
    app = create_app(store)
    path = app.login_path()
    first, second = Person(app), Person(app)
    assert first.see(path).status == 200
    assert first.see("/").status == 200
    assert second.see(path).status == 401
    assert second.see("/").status == 401


def test_a_login_is_not_kept_in_the_address(store):
    person = Person(create_app(store))
    assert person.log_in().url == f"{HOST}/"


@pytest.mark.parametrize("code", ["", "x", "é", "\x00", "a" * 10_000])
def test_a_guessed_login_is_refused(store, code):
    app = create_app(store)
    app.login_path()
    assert Person(app).see("/login", code=code).status == 401


def test_an_old_login_is_refused(store):
    clock = Clock()
    app = create_app(store, clock=clock)
    path = app.login_path()
    clock.now = 601
    assert Person(app).see(path).status == 401


def test_a_session_ends_when_it_is_idle(store):
    clock = Clock()
    person = visitor(store, clock=clock, session_seconds=60)
    clock.now = 59
    assert person.see("/").status == 200
    clock.now = 118
    assert person.see("/").status == 200
    clock.now = 179
    assert person.see("/").status == 401


def test_a_session_ends_after_a_time_although_it_is_used(store):
    clock = Clock()
    person = visitor(store, clock=clock, session_seconds=60)
    for clock.now in range(0, 721, 50):
        assert person.see("/").status == 200
    clock.now = 721
    assert person.see("/").status == 401


def test_who_logs_out_is_out(store):
    person = visitor(store)
    assert person.send("/logout").status == 401
    assert person.see("/").status == 401


def test_the_session_is_kept_from_scripts_and_other_pages(store):
    app = create_app(store)
    response = Person(app).client.get(app.login_path(), follow_redirects=False)
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie
    secure = Person(app, "https://localhost").client.get(app.login_path(), follow_redirects=False)
    assert "Secure" in secure.headers["set-cookie"]


def test_two_viewers_on_one_host_have_cookies_of_their_own(store):
    """A browser gives the cookies of one host to all its ports."""
    one, other = create_app(store), create_app(store)
    names = {
        Person(app).client.get(app.login_path(), follow_redirects=False).headers["set-cookie"].split("=")[0]
        for app in (one, other)
    }
    assert len(names) == 2


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""])
def test_another_host_name_is_refused(store, host):
    """So a name that is led to loopback (DNS rebinding) sees nothing, not even where to log in."""
    person = visitor(store)
    response = person.client.get("/", headers={"Host": host})
    assert response.status_code == 421
    assert "ann" not in response.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
def test_a_form_of_another_page_is_refused(store, headers):
    person = visitor(store)
    token = person.token()
    assert person.send("/logout", token=token, **headers).status == 403
    assert person.see("/").status == 200


@pytest.mark.parametrize("token", ["", "x", "é", "0" * 64])
def test_a_form_without_the_token_of_the_session_is_refused(store, token):
    person, other = visitor(store), visitor(store)
    assert person.send("/logout", token=token).status == 403
    assert person.send("/logout", token=other.token()).status == 403
    assert person.see("/").status == 200


def test_a_form_is_a_form_and_not_too_long(store):
    person = visitor(store)
    assert person.send("/logout", Content_Type="application/json").status == 415
    assert person.send("/logout", {"x": "y" * 4_000_001}).status == 413
    assert person.client.put("/").status_code == 405


def test_a_page_loads_nothing_from_elsewhere_and_runs_no_script_of_its_own(store):
    person = visitor(store)
    for path in PAGES:
        seen = person.see(path)
        policy = seen.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert seen.headers["cache-control"] == "no-store"
        for _, attributes in seen.tags:
            assert not [name for name in attributes if name.startswith("on") or name in ("style", "srcdoc")]
            for name in ("src", "href", "action"):
                assert (attributes.get(name) or "/").startswith(("/", "#")), attributes
        assert not [one for one in seen.attributes("script") if not one.get("src")]
        for one in [*seen.attributes("script"), *seen.attributes("link")]:
            response = person.client.get(one.get("src") or one["href"])
            assert response.status_code == 200
            assert "immutable" in response.headers["cache-control"]


def test_what_a_browser_reports_is_kept(store, caplog):
    app = create_app(store)
    person = Person(app)
    response = person.client.post("/reports", content=b'{"csp-report": {}}')
    assert response.status_code == 204
    assert list(app.reports) == ['{"csp-report": {}}']
    assert person.client.post("/reports", content=b"x" * 20_000).status_code == 413
    for _ in range(200):
        person.client.post("/reports", content=b"x")
    assert len(app.reports) == 100
    assert caplog.records


def test_whoever_asks_for_a_login_gets_it_in_the_terminal_alone(store):
    clock, printed = Clock(), list[str]()
    app = create_app(store, clock=clock, new_login=lambda: printed.append(app.login_path()))
    person = Person(app)
    for _ in range(3):
        seen = person.send("/login", token="")
        assert seen.status == 401
        assert "code=" not in seen.html
    assert len(printed) == 1
    assert person.see(printed[0]).status == 200
    assert Person(app).send("/login", token="", Origin="http://evil.example").status == 403


def test_where_the_host_decides_there_is_no_login_and_nothing_is_changed(store):
    async def authorise(request):
        return {"Bearer right": "eve"}.get(request.headers.get("authorization"))

    app = create_app(store, authorise=authorise)
    person = Person(app)
    assert person.see("/").status == 403
    assert person.see(app.login_path()).status == 403
    person.client.headers["authorization"] = "Bearer right"
    seen = person.see("/")
    assert seen.status == 200
    assert "read-only" in seen.text
    assert person.send("/record", {"user": "ann"}, token=_token(app, person)).status in (403, 404)


def _token(app, person):
    (cookie,) = person.client.cookies.values()
    return app.sessions.token(cookie, "eve")


def test_it_can_be_mounted_in_an_application(store):
    from starlette.applications import Starlette
    from starlette.routing import Mount

    app = Starlette(routes=[Mount("/memory", create_app(store, authorise=lambda request: "eve"))])
    person = Person(app)
    seen = person.see("/memory/")
    assert seen.links["ann"] == "/memory/user?user=ann"
    assert person.follow(seen, "ann").links["jobs"].startswith("/memory/records")
    assert "report-uri /memory/reports" in seen.headers["content-security-policy"]
    for link in seen.attributes("link"):
        assert person.client.get(link["href"]).status_code == 200


@pytest.mark.parametrize(
    "options", [{"authorise": 1}, {"session_seconds": 0}, {"session_seconds": "1"}, {"writable": 1}]
)
def test_wrong_settings_are_refused(store, options):
    with pytest.raises(datastore.DataStoreError, match=next(iter(options))):
        create_app(store, **options)
    with pytest.raises(datastore.ConfigurationError, match="store"):
        create_app(None)
