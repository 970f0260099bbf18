"""What Hypothesis makes names and values from. Needs Hypothesis."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from datastore.conformance.harness import Harness
from datastore.conformance.samples import ODD_NAMES

EXAMPLES = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""They have no deadline: time decides no test."""


def examples(harness: type[Harness]) -> settings:
    """Return the settings of a property test, with as many examples as the harness wants."""
    return settings(EXAMPLES, max_examples=harness.examples)


_characters = st.characters(exclude_categories=["Cs"])  # lone surrogates are not text
_joints = st.sampled_from(list(":;/%_ab3A\0.é🔑"))

names = st.one_of(st.sampled_from(ODD_NAMES), st.text(st.one_of(_joints, _characters), min_size=1, max_size=20))
"""User ids, namespaces and keys, made mostly of what ids are joined and encoded with, and short enough to be valid."""


def splits(words: list[str], joint: str) -> list[tuple[str, str, str]]:
    """Return all ways to split some words, in their order, into a user id, a namespace and a key, joined by a text."""
    join, ends = joint.join, range(1, len(words))
    return sorted({(join(words[:i]), join(words[i:j]), join(words[j:])) for i in ends for j in ends if i < j})


_unrelated = st.lists(st.tuples(names, names, names), min_size=1, max_size=6, unique=True)
_words = st.lists(st.sampled_from("ab"), min_size=4, max_size=5)
_alike = st.builds(splits, _words, st.sampled_from([":", "/", "", "%3A", "_", "#", "|", "."]))

triples: st.SearchStrategy[list[tuple[str, str, str]]] = st.one_of(_unrelated, _alike)
"""User ids, namespaces and keys of some records: either arbitrary ones, or ones that would be equal if joined."""

_letters = st.one_of(st.sampled_from(list("\0ab-_~é\u07ff\u0800\ud7ff\ue000\uffff\U00010000🔑\U0010ffff")), _characters)
_short = st.text(_letters, min_size=1, max_size=6)
_long = st.integers(500, 512).map("k".__mul__)
_bounds = st.one_of(st.none(), st.none(), _short, _long)


class Listing(NamedTuple):
    """Some keys, and what is asked of them."""

    keys: list[str]
    prefix: str | None
    start: str | None
    end: str | None
    reverse: bool
    limit: int | None


listings: st.SearchStrategy[Listing] = st.builds(
    Listing,
    st.lists(st.one_of(_short, _short, _short, _long), max_size=12, unique=True),
    st.one_of(st.none(), st.text(_letters, max_size=2)),
    _bounds,
    _bounds,
    st.booleans(),
    st.one_of(st.none(), st.integers(1, 8)),
)
"""Keys of all planes that begin alike or with one another, and ranges of them."""

_text = st.text(_characters, max_size=20)
_members = st.one_of(_text, _text, st.sampled_from(["__proto__", "constructor", "", "\0", "$x", "a.b", "_id", "é"]))
_scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), _text)


def values(without: Collection[str] = ()) -> st.SearchStrategy[Any]:
    """Return a strategy for any JSON value.

    Args:
        without: Member names that must not occur.
    """
    members = _members.filter(lambda name: name not in without)
    return st.recursive(
        _scalars,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(members, inner, max_size=4)),
        max_leaves=20,
    )


def metadata_changes(without: Collection[str] = ()) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return a strategy for a series of changes to the metadata of one record.

    Args:
        without: Member names that must not occur.
    """
    names = st.one_of(st.sampled_from(["a", "b"]), _members).filter(lambda name: name not in without)
    return st.lists(st.dictionaries(names, values(without), max_size=4), min_size=1, max_size=3)
