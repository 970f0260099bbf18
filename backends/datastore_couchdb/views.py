"""The views: how many documents there are, and which of them are not to be counted or removed like others."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import unquote

from datastore.adapters.answers import broken, member
from datastore.backend import IdRange
from datastore.errors import InvalidNameError
from datastore.ids import EVERYTHING, encode_name, namespace_prefix, scope_of
from datastore_couchdb.client import NAME, MissingViewError, Session
from datastore_couchdb.schema import COUNTS, EXCEPTIONS, RECORD_VIEWS, Schema, is_built, prepare_again

_PAGE = 10_000


class Exceptions(NamedTuple):
    """The documents, by id, that must not be counted or removed like others."""

    expired: set[str]
    foreign: set[str]
    """The ids of documents that another program has written."""

    def take(self, id: str, expires_at: object, at: str) -> None:
        """Add a document to the set it belongs to, if any.

        Args:
            id: Its id.
            expires_at: When it expires; ``None`` if another program has written it.
            at: Now.
        """
        if expires_at is None:
            self.foreign.add(id)
        elif has_expired(expires_at, at):
            self.expired.add(id)


class Views:
    """Asks the views of one database."""

    def __init__(self, session: Session, schema: Schema) -> None:
        self._session = session
        self._schema = schema

    def are_there(self) -> bool:
        """Return whether they are there and built.

        Requests: 0; 1 as long as they are being built.
        """
        if self._schema.building and RECORD_VIEWS in self._schema.indexes:
            self._schema.building = not is_built(self._session)
        return RECORD_VIEWS in self._schema.indexes and not self._schema.building

    def counts(self, range: IdRange) -> dict[str, int]:
        """Return how many documents of a range there are in each of its namespaces, by id prefix.

        Raises:
            MissingViewError: If the view is not there.

        Requests: 1.
        """
        scope = scope_of(range)
        if scope is not None:
            start, end = [*scope, range.start], [*scope, range.end]
        else:
            user = unquote(range.start.partition(":")[0])
            # By bytes, nothing lies between a name and that name with a NUL after it. An object, the usual end, sorts
            # before text.
            start, end = [user], [user + "\0"]
        counts: dict[str, int] = {}
        for row in self._rows(range, COUNTS, startkey=start, endkey=end, inclusive_end=False, group_level=2):
            try:
                user_id, name = row["key"]
                prefix = namespace_prefix(encode_name(user_id, "user_id"), encode_name(name, "namespace"))
            except (InvalidNameError, TypeError, ValueError):
                continue  # its document was written by somebody else
            if scope is not None or range.start <= prefix < range.end:
                counts[prefix] = _number_in(row)
        return counts

    def exceptions(self, range: IdRange, at: str) -> Exceptions:
        """Return the documents of one user's range that must not be counted or removed like others.

        Raises:
            MissingViewError: If the view is not there.

        Requests: 1 per 10,000 such documents.
        """
        found = Exceptions(set(), set())
        start = range.start
        while True:
            rows = self._rows(range, EXCEPTIONS, startkey=start, endkey=range.end, inclusive_end=False, limit=_PAGE)
            for row in rows:
                found.take(member(row, "key", str, NAME), row["value"], at)
            if len(rows) < _PAGE:
                return found
            start = rows[-1]["key"] + " "

    def count_all(self) -> int:
        """Return how many documents there are in the database.

        Raises and requests: as `counts`.
        """
        rows = self._rows(EVERYTHING, COUNTS)
        return _number_in(rows[0]) if rows else 0

    def _rows(self, range: IdRange, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return rows of a view. If it was removed while the store was open, it is made again, for later calls."""
        path = self._session.path_in(range, f"_design/{RECORD_VIEWS}/_view/{name}")
        try:
            return self._session.view(path, parameters)
        except MissingViewError:
            self._schema.indexes -= {RECORD_VIEWS}
            prepare_again(self._session, self._schema)
            raise


def has_expired(expires_at: object, at: str) -> bool:
    """Return whether a document with this expiry, which may be anything, is expired."""
    return isinstance(expires_at, str) and expires_at <= at


def _number_in(row: dict[str, Any]) -> int:
    number = row["value"]
    if type(number) is not int:
        broken(NAME, "a count in it is not a number")
    return number
