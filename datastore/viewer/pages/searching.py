"""Search across the namespaces of a user: by words, by meaning, or by a filter."""

from __future__ import annotations

from typing import Any, NamedTuple

from datastore.agent import AgentDataStore
from datastore.calls.namespaces import namespaces_beside
from datastore.errors import ConfigurationError, EmbedderError, InvalidValueError, QueryError
from datastore.memory import Match
from datastore.memory.vectors import AREA
from datastore.scope import scope_of
from datastore.showing import number
from datastore.typed import parse_object
from datastore.viewer.pages.records import OPERATORS
from datastore.viewer.pages.words import Hit, Place, look
from datastore.viewer.problems import Problem, problem_of
from datastore.viewer.visits import Page, Visit

_FOUND = 50
_NEAREST = 20
_SPACES = 20
"""Namespaces whose vectors are compared for one page: each is read whole, once."""


class _Found(NamedTuple):
    """What a search has found, what it has looked at, and where it goes on."""

    hits: list[Hit]
    said: str
    then: dict[str, Any] | None = None


def search(visit: Visit) -> Page:
    """Show the records of all namespaces, or of those with a prefix, that a question or a filter finds.

    Requests: by words those of `look`; by meaning those that list 21 namespaces, and of `Memory.search_across` in 20 of
    them; by a filter those of `AgentDataStore.find_in` with a limit of 51.
    """
    user, by = visit.needed("user"), visit.one("by", "words")
    kept = {name: visit.one(name) for name in ("q", "filter", "prefix")} | {"by": by}
    found, problems = None, dict[str, Problem]()
    data_store = visit.agent(user)
    try:
        if kept["filter"].strip():
            found = _by_filter(data_store, kept["filter"], kept["prefix"])
        elif kept["q"].strip():
            found = (_by_meaning if by == "meaning" else _by_words)(visit, data_store, kept["q"], kept["prefix"])
    except (InvalidValueError, QueryError, EmbedderError, ConfigurationError) as error:
        by_filter = bool(kept["filter"].strip())
        problem = problem_of(error.message, kept["filter"], "filter") if by_filter else Problem(error.message)
        problems["filter" if by_filter else "q"] = problem
    about = {"user": user, "kept": kept, "found": found, "problems": problems}
    more = {"has_embedder": visit.has_embedder, "operators": OPERATORS}
    return Page("search.html", {**about, **more}, 400 if problems else 200)


def _by_words(visit: Visit, data_store: AgentDataStore, question: str, prefix: str) -> _Found:
    namespace = visit.maybe("namespace")
    place = None if namespace is None else Place(namespace, visit.maybe("key"))
    looked = look(data_store, question, prefix, place)
    then = None if looked.then is None else looked.then._asdict()
    return _Found(looked.found, f"{number(looked.records, 'record')} looked at.", then)


def _by_meaning(visit: Visit, data_store: AgentDataStore, question: str, prefix: str) -> _Found:
    """Return the nearest records of the namespaces that have vectors, some namespaces at a time."""
    scope, start = scope_of(data_store), visit.maybe("namespace")
    names = namespaces_beside(scope, AREA, prefix, start=start, limit=_SPACES + 1)
    if not names:
        return _Found([], "No namespace has vectors here.")
    found = data_store.memory.search_across(dict.fromkeys(names[:_SPACES]), question, _NEAREST)
    then = {"namespace": names[_SPACES]} if len(names) > _SPACES else None
    said = f"Nearest first, of {number(len(names[:_SPACES]), 'namespace')} with vectors."
    return _Found(list(map(hit_of, found)), said, then)


def hit_of(match: Match) -> Hit:
    """Return a match as pages show it."""
    return Hit(match.record, None if match.part is None else match.part.text, match.score)


def _by_filter(data_store: AgentDataStore, text: str, prefix: str) -> _Found:
    found = data_store.find_in(prefix, parse_object("filter", text), limit=_FOUND + 1)
    said = f"These are the first {_FOUND}." if len(found) > _FOUND else ""
    return _Found([Hit(one, None) for one in found[:_FOUND]], said)
