"""One request to a page, as the page sees it, and what it answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlencode

from datastore.agent import AgentDataStore
from datastore.errors import InvalidValueError
from datastore.scope import scope_of
from datastore.store import DataStore

PERSON = "person:"
"""What the name of a person begins with where agents have theirs: in provenance and in the audit log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request of a person who may see the pages.

    Attributes:
        store: The store.
        person: Who it is; empty if nobody said.
        writable: Whether it may change something.
        root: What the addresses of all pages begin with.
        path: The address of this page, behind ``root``.
        asked: What its address asks for.
        form: What a form has sent.
        token: What each form has to bring.
    """

    store: DataStore
    person: str
    writable: bool
    root: str
    path: str
    asked: Mapping[str, Sequence[str]]
    form: Mapping[str, Sequence[str]] = field(default_factory=dict)
    token: str = ""

    def one(self, name: str, otherwise: str = "") -> str:
        """Return what the address asks for, or the form sends, under a name."""
        found = self.form.get(name) or self.asked.get(name)
        return found[0] if found else otherwise

    def maybe(self, name: str) -> str | None:
        """Return the same, or ``None`` if it is not there or empty."""
        return self.one(name) or None

    def needed(self, name: str) -> str:
        """Return the same.

        Raises:
            InvalidValueError: If it is not there.
        """
        found = self.maybe(name)
        if found is None:
            raise InvalidValueError(f"the address of this page lacks {name!r}")
        return found

    def all(self, name: str) -> list[str]:
        """Return everything that the address asks for under a name."""
        return list(self.asked.get(name, ()))

    def agent(self, user: str, namespace: str = "default") -> AgentDataStore:
        """Bind a store for this person, whose looking is no access."""
        return AgentDataStore(scope_of(self.store.agent(user, self.name, namespace)).uncounted())

    @property
    def has_embedder(self) -> bool:
        """Whether the host has given what makes vectors of texts."""
        return self.store._core.embedder is not None

    @property
    def name(self) -> str:
        """Who the person is where agents have their names."""
        return PERSON + (self.person or "unknown")

    def url(self, page: str, **asked: Any) -> str:
        """Return the address of a page. What is empty is left out."""
        given = {name: value for name, value in asked.items() if value not in (None, "", False, [])}
        query = urlencode(given, doseq=True)
        return f"{self.root}/{page}" + (f"?{query}" if query else "")


class Page(NamedTuple):
    """A page to be shown: its template, and what that shows."""

    template: str
    shown: Mapping[str, Any]
    status: int = 200


class Redirect(NamedTuple):
    """Another page to go on with, after a form."""

    url: str


def said(agent: str | None) -> str:
    """Return who an agent's name stands for."""
    if agent is None:
        return "not noted"
    if not agent:
        return "the host"
    return agent.removeprefix(PERSON) + " (a person)" if agent.startswith(PERSON) else agent
