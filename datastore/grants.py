"""Which namespaces of a user an agent may read and which it may write, as ranges of ids: no I/O here."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from datastore.arguments import as_dict, as_text, check_name, is_a, shown
from datastore.errors import ConfigurationError, DataStoreError, kind_of
from datastore.ids import IdRange, encode_name, namespace_prefix, namespace_range

Grant: TypeAlias = Literal["read", "write"]
"""What an agent may do in a namespace; ``"write"`` includes reading."""

MOST = 256
"""How many patterns the grants of one agent can have."""

_ESCAPED = re.compile(r"\\([*\\])")


class _Pattern(NamedTuple):
    range: IdRange
    rank: int
    """Of patterns that match the same namespace the one with the highest rank counts."""
    writes: bool


class Ranges:
    """Ranges of ids, in order and apart from each other.

    Args:
        ranges: The ranges, in order; those that touch are combined.
    """

    __slots__ = ("_starts", "all")

    def __init__(self, ranges: list[IdRange]) -> None:
        combined = list[IdRange]()
        for one in ranges:
            if combined and combined[-1].end == one.start:
                combined[-1] = IdRange(combined[-1].start, one.end)
            else:
                combined.append(one)
        self.all = combined
        self._starts = [one.start for one in combined]

    def __contains__(self, id: str) -> bool:
        """Return whether an id, or the beginning of the ids of a namespace, is in one of them."""
        number = bisect_right(self._starts, id)
        return number > 0 and id < self.all[number - 1].end

    def within(self, range: IdRange) -> list[IdRange]:
        """Return the parts of a range that are in these ranges, in order."""
        parts = (IdRange(max(range.start, one.start), min(range.end, one.end)) for one in self.all)
        return [part for part in parts if part.start < part.end]


class Grants:
    """What an agent may do with the namespaces of one user.

    Args:
        encoded_user: The user, as ids have it.
        grants: By pattern, what the agent may do in the namespaces that match it; ``None`` for everything in all.

    Raises:
        ConfigurationError: If it is not such a mapping.
        InvalidNameError: If no namespace can have the name in a pattern.
    """

    __slots__ = ("readable", "writable")

    def __init__(self, encoded_user: str, grants: Mapping[str, Grant] | None) -> None:
        everything = namespace_range(encoded_user, None)
        if grants is None:
            self.readable = self.writable = Ranges([everything])
            return
        patterns = _parsed(encoded_user, grants)
        bounds = sorted({bound for pattern in patterns for bound in pattern.range})
        readable, writable = list[IdRange](), list[IdRange]()
        # Between two bounds all namespaces are alike: a range either holds all of them or no one.
        for start, end in pairwise(bounds):
            matching = [one for one in patterns if one.range.start <= start and end <= one.range.end]
            if matching:
                part = IdRange(start, end)
                readable.append(part)
                if max(matching, key=lambda one: one.rank).writes:
                    writable.append(part)
        self.readable, self.writable = Ranges(readable), Ranges(writable)
        """Where the agent may read, and where it may write."""


def _parsed(encoded_user: str, grants: Mapping[str, Grant]) -> list[_Pattern]:
    def refusal() -> DataStoreError:
        return ConfigurationError(
            f"grants is {kind_of(grants)}; it must be a dict such as {{'shared/*': 'read', 'mine': 'write'}}"
        )

    given: dict[Any, Any] = as_dict(grants, refusal)
    if len(given) > MOST:
        raise ConfigurationError(f"grants has {len(given)} patterns, more than {MOST}; give each agent only its own")
    found = dict[IdRange, _Pattern]()
    for pattern, grant in given.items():
        if not is_a(grant, str) or as_text(grant) not in get_args(Grant):
            raise ConfigurationError(f"grants[{shown(pattern)}] is {shown(grant)}; it must be 'read' or 'write'")
        one = _parse(encoded_user, check_name(pattern, "a pattern of grants"), as_text(grant) == "write")
        if one.range in found:
            raise ConfigurationError(f"grants names the namespaces of {shown(pattern)} twice; leave out one of them")
        found[one.range] = one
    return list(found.values())


def _parse(encoded_user: str, pattern: str, writes: bool) -> _Pattern:
    """Return the pattern: a namespace, or what namespaces begin with before a star; a backslash escapes a star."""
    parameter = f"grants[{shown(pattern)}]"
    bare = _ESCAPED.sub("", pattern)
    is_prefix = bare.endswith("*")
    if "*" in (bare[:-1] if is_prefix else bare):
        raise ConfigurationError(
            f"{parameter} has a star that is not at its end: it stands there for everything that begins with what is "
            r"before it. A star that belongs to a name is written \*"
        )
    name = _ESCAPED.sub(r"\1", pattern[:-1] if is_prefix else pattern)
    if is_prefix:
        return _Pattern(namespace_range(encoded_user, name, None, None, parameter), len(name), writes)
    prefix = namespace_prefix(encoded_user, encode_name(name, parameter))
    return _Pattern(IdRange(prefix, prefix[:-1] + ";"), len(name) + 1, writes)
