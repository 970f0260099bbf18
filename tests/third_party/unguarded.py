"""Ways in which the check of an agent's grants could be wrong, one at a time. The kit must find them all."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from datastore import grants, guarded
from datastore.core import Core
from datastore.errors import PermissionDeniedError


def lets_everything_be_read(patch: pytest.MonkeyPatch) -> None:
    """A read is not checked."""
    patch.setattr(guarded.Guard, "check_read", lambda self, ids: None)


def lets_everything_be_written(patch: pytest.MonkeyPatch) -> None:
    """A write is not checked."""
    patch.setattr(guarded.Guard, "check_write", lambda self, ids: None)


def checks_one_write_of_a_batch(patch: pytest.MonkeyPatch) -> None:
    """Only the first write of a batch is checked."""
    check = guarded.Guard.check_write
    patch.setattr(guarded.Guard, "check_write", lambda self, ids: check(self, list(ids)[:1]))


def takes_reading_for_enough(patch: pytest.MonkeyPatch) -> None:
    """Who may read may write."""
    patch.setattr(guarded.Guard, "check_write", guarded.Guard.check_read)


def reads_before_it_refuses(patch: pytest.MonkeyPatch) -> None:
    """A call that reads before it writes is refused when it writes."""
    patch.setattr(guarded.GuardedCore, "check_writes", Core.check_writes)


def lists_everything(patch: pytest.MonkeyPatch) -> None:
    """A listing shows every namespace of the user."""
    patch.setattr(grants.Ranges, "within", lambda self, whole: [whole])


def ends_after_the_first_grant(patch: pytest.MonkeyPatch) -> None:
    """A listing ends with the first range."""
    within = grants.Ranges.within
    patch.setattr(grants.Ranges, "within", lambda self, whole: within(self, whole)[:1])


def counts_the_first_pattern(patch: pytest.MonkeyPatch) -> None:
    """Of the patterns that match, the one that was given first counts."""
    parse = grants._parse
    patch.setattr(grants, "_parse", lambda *arguments: parse(*arguments)._replace(rank=0))


def takes_a_name_for_a_prefix(patch: pytest.MonkeyPatch) -> None:
    """A namespace stands for all that begin with it."""
    parse = grants._parse
    patch.setattr(grants, "_parse", lambda user, name, writes: parse(user, f"{name.rstrip('*')}*", writes))


def tells_what_is_missing(patch: pytest.MonkeyPatch) -> None:
    """A record that is not there is reported as missing, and one that is there is refused."""
    read = guarded.GuardedBackend.read

    def look_first(self, ids, fields):
        try:
            return read(self, ids, fields)
        except PermissionDeniedError:
            if not self.inner.read(ids, fields):
                return {}
            raise

    patch.setattr(guarded.GuardedBackend, "read", look_first)


FAULTS: list[tuple[Callable[[pytest.MonkeyPatch], None], str]] = [
    (lets_everything_be_read, "test_a_namespace_without_a_grant_is_refused"),
    (lets_everything_be_written, "test_a_call_that_writes_needs_the_grant_to_write"),
    (checks_one_write_of_a_batch, "test_a_batch_with_one_refused_item_stores_nothing"),
    (takes_reading_for_enough, "test_a_call_that_writes_needs_the_grant_to_write"),
    (reads_before_it_refuses, "test_a_call_that_writes_needs_the_grant_to_write"),
    (lists_everything, "test_listings_show_what_may_be_read"),
    (ends_after_the_first_grant, "test_many_records_are_listed_over_several_grants"),
    (counts_the_first_pattern, "test_a_namespace_can_be_used_as_far_as_it_is_granted"),
    (takes_a_name_for_a_prefix, "test_a_namespace_can_be_used_as_far_as_it_is_granted"),
    (tells_what_is_missing, "test_a_missing_record_is_refused_as_one_that_is_there"),
]
"""Each with the test that was made for it."""
