"""A database that replaces one document at a time, if it still has the version that the client has seen.

CouchDB is one: a document has a revision, and a bulk request has an outcome for each of its documents. The adapter is
the shelf's, over a client that sends requests.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from datastore import BackendUnavailableError, Capabilities, ThrottledError
from datastore.adapters.changes import Applied, Change, Late, Result
from datastore.adapters.remembering import REMEMBERED
from datastore.backend import Backend, DocumentPage, Fields, IdRange
from datastore.conformance.simulation.luck import FAULTS
from datastore.conformance.simulation.network import Client, ClientError, TooManyRequestsError
from tests.third_party.shelf import Row, ShelfBackend


class TokenDatabase:
    """The database."""

    faults = frozenset(FAULTS) | {"restart", "made anew"}
    connects = False
    limits = frozenset[str]()

    def __init__(self, adapter: type[TokenBackend] | None = None) -> None:
        self._adapter = adapter or TokenBackend
        self._rows: dict[str, tuple[int, Row]] = {}
        self._versions = itertools.count(1)

    def adapter(self, client: Client) -> Backend:
        """See `Database.adapter`."""
        return self._adapter(TokenClient(self, client))

    def make_anew(self) -> bool:
        """See `MadeAnew.make_anew`."""
        self._rows.clear()
        return True

    def get(self, names: Sequence[str]) -> dict[str, tuple[int, Row]]:
        """Return the rows that exist, each with its version."""
        return {name: self._rows[name] for name in names if name in self._rows}

    def list(self, start: str, end: str, limit: int, *, reverse: bool) -> list[str]:
        """Return the first names in a range, in order, or the last ones in the opposite order."""
        return sorted((name for name in self._rows if start <= name < end), reverse=reverse)[:limit]

    def replace(self, name: str, version: int | None, row: Row | None) -> int | None:
        """Replace the row that is at a version; see `tests.third_party.shelf.Shelf.replace`."""
        if self._rows.get(name, (None,))[0] != version:
            return None
        new = next(self._versions)
        if row is None:
            self._rows.pop(name, None)
        else:
            self._rows[name] = (new, row)
        return new


class TokenClient:
    """Sends requests to the database. Has the methods of a `Shelf`, and takes many rows at once."""

    def __init__(self, database: TokenDatabase, client: Client) -> None:
        self._database = database
        self._client = client

    def get(self, names: Sequence[str]) -> dict[str, tuple[int, Row]]:
        """Return the rows that exist, each with its version."""
        found: dict[str, tuple[int, Row]] = self._client.request(
            f"read {', '.join(map(short, names))}", lambda _: self._database.get(names)
        )
        return found

    def page(self, start: str, end: str, limit: int, *, reverse: bool) -> dict[str, tuple[int, Row]]:
        """Return the first rows of a range."""
        database = self._database
        found: dict[str, tuple[int, Row]] = self._client.request(
            f"list {limit} from {short(start)}",
            lambda _: database.get(database.list(start, end, limit, reverse=reverse)),
        )
        return found

    def replace_all(self, rows: Sequence[tuple[str, int | None, Row | None]]) -> list[int | None]:
        """Replace rows, each on its condition, and return their new versions, or ``None`` where it does not hold."""
        done: list[int | None] = self._client.request(
            f"write {', '.join(f'{short(name)} over version {version}' for name, version, _ in rows)}",
            lambda part: [self._database.replace(*row) for row in rows[:part]],
            len(rows),
        )
        return done

    def replace(self, name: str, version: int | None, row: Row | None) -> int | None:
        """Replace one row."""
        return self.replace_all([(name, version, row)])[0]


class TokenBackend(ShelfBackend):
    """The adapter."""

    name = "token"
    capabilities = Capabilities(
        read_batch=3, write_batch=3, scan_page=2, persistent=True, shared=True, remembered_writes=REMEMBERED
    )

    _shelf: TokenClient

    def swap(self, changes: Sequence[Change]) -> Sequence[Result]:
        """See `Primitives.swap`."""
        rows = [(self._place(change.id), change.token, self._row(change)) for change in changes]
        with self._translated():
            versions = self._shelf.replace_all(rows)
        return [Late() if version is None else Applied(version) for version in versions]

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`."""
        start, end = range.start, range.end
        if after is not None and reverse:
            end = min(end, after)
        elif after is not None:
            start = max(start, f"{after}\0")
        with self._translated():
            found = self._shelf.page(start, end, limit + 1, reverse=reverse)
        names = list(found)[:limit]
        documents = [self._document(found[name][1]) for name in names]
        return DocumentPage(documents, names[-1] if len(found) > limit else None)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TooManyRequestsError as error:
            raise ThrottledError(str(error), backend=self.name) from error
        except ClientError as error:
            raise BackendUnavailableError(str(error), backend=self.name) from error


def short(id: str) -> str:
    """Return an id as the story shows it: with the key in clear text."""
    from datastore.ids import decode_id, is_id

    if not is_id(id):
        return id
    name = decode_id(id)
    return f"{name.user_id}/{name.namespace}/{name.key}"
