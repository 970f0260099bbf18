"""The progress of a move, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, TypeAlias

OnProgress: TypeAlias = Callable[[int, int | None], object]
"""Called with how many records have been looked at, and about how many there are: ``None`` if that is unknown."""

MOST_PROBLEMS = 200
"""How many problems of each kind a report describes; more are only counted, so that it stays small."""


class Problem(NamedTuple):
    """Something about one record that somebody should know."""

    kind: str
    """What is wrong; each report has kinds of its own."""
    where: str
    """The record: its id, its line in a file, or what names its row in the file of an agent framework."""
    text: str


class Problems:
    """The part of a report that notes problems. The report is a dataclass, and these are fields of it."""

    __slots__ = ()
    counts: dict[str, int]
    """How many problems there are of each kind."""
    problems: list[Problem]
    """The first of each kind."""

    @property
    def complete(self) -> bool:
        """Whether everything that was to arrive is there."""
        raise NotImplementedError

    def note(self, kind: str, where: str, text: str) -> None:
        """Note a problem."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if self.counts[kind] <= MOST_PROBLEMS:
            self.problems.append(Problem(kind, where, text))

    def as_json(self) -> dict[str, Any]:
        """Return the report as a JSON value."""
        fields: dict[str, Any] = asdict(self)  # type: ignore[call-overload]  # each report is a dataclass
        return {**fields, "problems": [problem._asdict() for problem in self.problems], "complete": self.complete}


@dataclass(slots=True)
class Report(Problems):
    """What a move did. If it continues an interrupted run, the numbers include that run's."""

    read: int = 0
    """Records looked at."""
    written: int = 0
    """Stored in the sink; of these, `replaced` replaced an older record."""
    replaced: int = 0
    unchanged: int = 0
    """There already, and equal."""
    kept: int = 0
    """Newer in the sink, and left as they are."""
    expired: int = 0
    """Left out because they have expired."""
    left_out: int = 0
    """Left out by the filters."""
    rejected: int = 0
    """Not moved from a legacy source; kept in the file of rejects, if one was given."""
    pruned: int = 0
    """Removed from the sink, because the legacy source no longer has them."""
    verified: int = 0
    """Read back from the sink and found equal."""
    ready: int = 0
    """Could be written; a dry run counts them instead of writing them."""
    resumed: int = 0
    """Looked at by earlier runs that were interrupted."""
    bytes: int = 0
    """The size of the values as JSON."""
    digest: str = "0" * 64
    """The digest of all records that were to arrive, in any order: equal for two moves of the same records."""
    counts: dict[str, int] = field(default_factory=dict)
    """How many problems there are of each kind: ``failed``, ``differs``, and the kinds of `import_legacy`."""
    problems: list[Problem] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether everything that was to arrive is there: nothing failed, nothing differs, nothing was held back."""
        return not self.counts.get("failed") and not self.counts.get("differs") and not self.rejected

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Report:
        """Return the report that `as_json` turned into a JSON value."""
        fields = {name: entry for name, entry in value.items() if name != "complete"}
        fields["problems"] = [Problem(**problem) for problem in fields["problems"]]
        return cls(**fields)
