"""A person who looks at a store: with a client that does what a browser does, and no browser."""

from __future__ import annotations

import re
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

from starlette.testclient import TestClient

from datastore.viewer import create_app

HOST = "http://localhost:8000"


class _Reader(HTMLParser):
    """What a page says, without its markup, and what its forms and links are."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.links: dict[str, str] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self._link: str | None = None
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "a":
            self._link = dict(attrs).get("href")
            self._from = len(self.text)
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False
        if tag == "a" and self._link is not None:
            self.links["".join(self.text[self._from :]).strip()] = self._link
            self._link = None

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._in_cell:
            self.rows[-1][-1] += data


class Seen:
    """A page as a person sees it."""

    def __init__(self, response: Any) -> None:
        self.status: int = response.status_code
        self.headers = response.headers
        self.html: str = response.text
        self.url = str(response.url)
        reader = _Reader()
        reader.feed(self.html)
        self.text = re.sub(r"\s+", " ", "".join(reader.text))
        self.links = reader.links
        self.tags = reader.tags
        self.rows = [[re.sub(r"\s+", " ", cell).strip() for cell in row] for row in reader.rows]

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


class Person:
    """Somebody with a session, or without one."""

    def __init__(self, app: Any, base: str = HOST) -> None:
        self.app = app
        self.base = base
        self.client = TestClient(app, base_url=base, follow_redirects=True)

    def log_in(self) -> Seen:
        return self.see(self.app.login_path())

    def see(self, path: str = "/", **asked: Any) -> Seen:
        more = urlencode(asked, errors="surrogatepass")
        return Seen(self.client.get(f"{path}{'&' if '?' in path else '?'}{more}" if more else path))

    def follow(self, page: Seen, link: str) -> Seen:
        return self.see(page.links[link])

    def send(self, path: str, form: dict[str, Any] | None = None, *, token: str | None = None, **headers: str) -> Seen:
        """Send a form as a browser does, with the token of the first page."""
        given = {"Origin": self.base, "Content-Type": "application/x-www-form-urlencoded"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in given.items() if value}
        data = {"token": self.token() if token is None else token, **(form or {})}
        return Seen(self.client.post(path, data=data, headers=given))

    def token(self) -> str:
        found = re.search(r'name="token" value="(\w+)"', self.see("/").html)
        return found[1] if found else ""


@contextmanager
def counted(store: Any):
    """Count the requests that a store makes of its database, and the documents that come back."""
    backend, seen = store.backend, Counts()
    names = ("read", "scan", "find", "namespaces", "namespace_stats", "count", "users", "all_documents", "write")
    originals = {name: getattr(backend, name) for name in names}

    def counting(name: str):
        def call(*args: Any, **kwargs: Any) -> Any:
            answer = originals[name](*args, **kwargs)
            seen.requests.append(name)
            documents = getattr(answer, "documents", answer)
            seen.documents += len(documents) if hasattr(documents, "__len__") else 0
            return answer

        return call

    for name in names:
        setattr(backend, name, counting(name))
    try:
        yield seen
    finally:
        for name in names:
            delattr(backend, name)


class Counts:
    def __init__(self) -> None:
        self.requests: list[str] = []
        self.documents = 0


def visitor(store: Any, **options: Any) -> Person:
    """Return a person who has logged in."""
    person = Person(create_app(store, **{"person": "eve", **options}))
    person.log_in()
    return person
