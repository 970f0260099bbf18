"""The shelf's adapter with its own search, and that search with one fault at a time. The kit must find them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datastore.adapters.pushdown import UNSUPPORTED, About, Dialect, Translation, exact, push
from datastore.backend import DocumentPage, Fields, IdRange, Plan, Query
from datastore.queries.matcher import compile_filter
from datastore.queries.tree import Condition, Path
from tests.third_party.shelf import ShelfBackend


class ValuesOnly(Dialect[str]):
    """Decides everything about the value, and nothing about metadata and provenance."""

    nothing = "nothing"

    def condition(self, about: About, path: Path, condition: Condition) -> Translation[str]:
        return exact(f"{path}: {condition}") if about == "value" else UNSUPPORTED

    def all_of(self, parts: Sequence[str]) -> str:
        return f"all of {parts}"

    def any_of(self, parts: Sequence[str]) -> str:
        return f"one of {parts}"

    def negate(self, part: str) -> str:
        return f"not {part}"


class Searches(ShelfBackend):
    """Decides about the value itself, and leaves metadata and provenance to the store."""

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        found = push(query, ValuesOnly(), tuple)
        return None if found is None else Plan(found.pushed, found.residual, [one.expression for one in found.pieces])

    def find(
        self,
        range: IdRange,
        plan: Plan,
        fields: Fields,
        limit: int,
        after: str | None = None,
        reverse: bool = False,
    ) -> DocumentPage:
        matches = compile_filter(plan.pushed.value)
        page = self.scan(range, Fields.ALL, limit, after, reverse)
        return page._replace(documents=[found for found in page.documents if matches(self._seen(found.value))])

    def _seen(self, value: Any) -> Any:
        return value


class LimitsBeforeItFilters(Searches):
    """Looks at as many documents as are wanted, and no further."""

    def find(
        self,
        range: IdRange,
        plan: Plan,
        fields: Fields,
        limit: int,
        after: str | None = None,
        reverse: bool = False,
    ) -> DocumentPage:
        return super().find(range, plan, fields, limit, after, reverse)._replace(after=None)


class CapsFinds(Searches):
    """Returns 25 documents at most, as some databases do where nobody asks for more."""

    def find(
        self,
        range: IdRange,
        plan: Plan,
        fields: Fields,
        limit: int,
        after: str | None = None,
        reverse: bool = False,
    ) -> DocumentPage:
        page = super().find(range, plan, fields, 10_000, after, reverse)
        return DocumentPage(page.documents[:25], None)


class SearchesEverybody(Searches):
    """Finds what matches wherever it lies."""

    def find(
        self,
        range: IdRange,
        plan: Plan,
        fields: Fields,
        limit: int,
        after: str | None = None,
        reverse: bool = False,
    ) -> DocumentPage:
        return super().find(IdRange("", "\U0010ffff"), plan, fields, limit, after, reverse)


class FindsTheExpired(Searches):
    """Forgets to say when a document that it finds expires."""

    def find(
        self,
        range: IdRange,
        plan: Plan,
        fields: Fields,
        limit: int,
        after: str | None = None,
        reverse: bool = False,
    ) -> DocumentPage:
        page = super().find(range, plan, fields, limit, after, reverse)
        return page._replace(documents=[found._replace(expires_at=None) for found in page.documents])


class LooksIntoNoArray(Searches):
    """An array is just another value, which nothing else equals."""

    def _seen(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._seen(child) for name, child in value.items()}
        return {"array": True} if isinstance(value, list) else value


class TakesTrueForOne(Searches):
    """A boolean is a number."""

    def _seen(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._seen(child) for name, child in value.items()}
        return int(value) if isinstance(value, bool) else value


class RoundsIntegers(Searches):
    """An integer is a floating-point number."""

    def _seen(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._seen(child) for name, child in value.items()}
        return float(value) if type(value) is int else value
