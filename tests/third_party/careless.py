"""Ways in which blobs could be put, read or removed wrongly, one at a time. The kit must find them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from datastore.blobs import calls, heads, reading, sweeping
from datastore.blobs.uploads import Upload
from datastore.scope import Scope


def commits_before_the_last_parts(patch: pytest.MonkeyPatch) -> None:
    """The head is written before the last parts: for a moment it names what is not there."""
    commit = Upload._commit

    def torn(self: Upload, left: list[Any]) -> Any:
        found = commit(self, [])
        self._write(left)
        return found

    patch.setattr(Upload, "_commit", torn)


def puts_without_a_mark(patch: pytest.MonkeyPatch) -> None:
    """Nothing leads to the parts of a put that is interrupted."""

    def begin(self: Upload) -> None:
        self._look()
        self._begun = 9e9

    patch.setattr(Upload, "begin", begin)


def removes_under_readers(patch: pytest.MonkeyPatch) -> None:
    """A purge does not wait for the grace, nor for a put that goes on."""
    mark = sweeping._mark

    def due(document: Any) -> Any:
        found = mark(document)
        return None if found is None else found._replace(until="")

    patch.setattr(sweeping, "_mark", due)


def removes_what_the_head_names(patch: pytest.MonkeyPatch) -> None:
    """A purge goes by the marks alone."""
    patch.setattr(sweeping, "_heads", lambda scope, marks: {mark.name: None for mark in marks})


def leaves_what_is_replaced(patch: pytest.MonkeyPatch) -> None:
    """A purge removes the marks, and not the parts."""

    def remove(scope: Scope, version: str, parts: int | None) -> None:
        """Do nothing."""

    patch.setattr(sweeping, "remove", remove)


def believes_the_head(patch: pytest.MonkeyPatch) -> None:
    """A purge takes a version for whole because a head names it."""
    patch.setattr(sweeping, "_is_whole", lambda scope, head: True)


def does_not_wait_for_others(patch: pytest.MonkeyPatch) -> None:
    """A purge takes a version for whole that somebody may be removing at this moment."""
    patch.setattr(sweeping, "_when_to_look", lambda scope, mark: None)


def checks_no_part(patch: pytest.MonkeyPatch) -> None:
    """What is read of a part is not compared with its SHA-256."""

    patch.setattr(heads, "sha256", lambda *_: _Anything())


def checks_no_whole(patch: pytest.MonkeyPatch) -> None:
    """What is read of a whole blob is not compared with its SHA-256."""

    patch.setattr(calls, "sha256", lambda *_: _Anything())


def reads_the_newest(patch: pytest.MonkeyPatch) -> None:
    """Who has a blob open reads what has replaced it."""
    read = reading.Parts.read

    def newest(self: reading.Parts, numbers: Any) -> list[bytes]:
        found = heads.find(reading.scope_of(self), self.name)
        if found is not None:
            self.head = found.head
        return read(self, numbers)

    patch.setattr(reading.Parts, "read", newest)


class _Anything:
    """A SHA-256 that is equal to every other one."""

    def digest(self) -> bytes:
        return bytes(32)

    def hexdigest(self) -> Any:
        return _Equal()


class _Equal(str):
    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


BLOBS: list[tuple[Callable[[pytest.MonkeyPatch], None], str]] = [
    (commits_before_the_last_parts, "test_the_head_is_written_after_the_parts_and_the_marks"),
    (puts_without_a_mark, "test_an_interrupted_put_leaves_the_old_blob_whole"),
    (removes_under_readers, "test_a_blob_that_is_replaced_stays_readable_for_its_grace"),
    (removes_what_the_head_names, "test_a_put_is_done_when_its_head_is_written"),
    (leaves_what_is_replaced, "test_a_blob_that_is_replaced_stays_readable_for_its_grace"),
    (believes_the_head, "test_a_removal_that_dies_before_it_looks_at_the_head_again_is_completed"),
    (does_not_wait_for_others, "test_a_removal_that_dies_before_it_looks_at_the_head_again_is_completed"),
    (checks_no_part, "test_a_damaged_part_is_never_returned"),
    (checks_no_whole, "test_a_damaged_part_is_never_returned"),
    (reads_the_newest, "test_a_blob_that_is_replaced_stays_readable_for_its_grace"),
]
"""Each with the test that was made for it."""
