"""Ways in which the check of an agent's grants or quota could be wrong, one at a time. The kit must find them all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest

from datastore import grants, guarded, quotas
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


def counts_every_write_as_new(patch: pytest.MonkeyPatch) -> None:
    """What a write replaces is not taken off."""
    patch.setattr(quotas, "_is_of", lambda document, agent: False)


def counts_no_metadata(patch: pytest.MonkeyPatch) -> None:
    """Metadata are free."""
    patch.setattr(quotas, "_bytes_of", lambda metadata: 0)


def replaces_what_it_has_not_read(patch: pytest.MonkeyPatch) -> None:
    """A write does not say what it has read, and replaces whatever is there."""
    planned = quotas.Account._planned

    def careless(self, write, there, is_damaged):
        return planned(self, write, there, is_damaged)._replace(write=write, again=False)

    patch.setattr(quotas.Account, "_planned", careless)


def forgets_what_it_owes(patch: pytest.MonkeyPatch) -> None:
    """If the account was written by another meanwhile, what was done is not added."""
    patch.setattr(quotas.Account, "_owe", lambda self, owed, since: None)


def takes_off_twice(patch: pytest.MonkeyPatch) -> None:
    """What was removed is taken off also from an account that was measured after it."""
    used = quotas.Account._used

    def careless(self, core, seen, *, stores):
        self._owed_since = seen.measured
        return used(self, core, seen, stores=stores)

    patch.setattr(quotas.Account, "_used", careless)


def never_measures_again(patch: pytest.MonkeyPatch) -> None:
    """What has expired counts for ever."""
    patch.setattr(quotas.Account, "_may_measure", lambda self, core: False)


def measures_at_each_refusal(patch: pytest.MonkeyPatch) -> None:
    """An agent that goes on trying makes the store list everything each time."""
    patch.setattr(quotas.Account, "_may_measure", lambda self, core: True)


def believes_that_what_failed_was_not_done(patch: pytest.MonkeyPatch) -> None:
    """An answer that was lost is taken for a write that was not made."""
    patch.setattr(quotas.Account, "_doubtful", property(lambda self: False, lambda self, value: None), raising=False)


def lets_threads_in(patch: pytest.MonkeyPatch) -> None:
    """Within a process, too, several writes read the same account."""
    patch.setattr(quotas, "Turns", Free)


class Free:
    """Takes no turns."""

    def __init__(self, doing: str) -> None:
        pass

    def take(self) -> nullcontext[None]:
        return nullcontext()


GRANTS: list[tuple[Callable[[pytest.MonkeyPatch], None], str]] = [
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
QUOTAS: list[tuple[Callable[[pytest.MonkeyPatch], None], str]] = [
    (counts_every_write_as_new, "test_an_agent_stores_so_many_records"),
    (counts_no_metadata, "test_an_agent_stores_so_many_bytes"),
    (replaces_what_it_has_not_read, "test_what_another_process_changes_meanwhile_is_known"),
    (forgets_what_it_owes, "test_what_another_process_adds_meanwhile_is_added"),
    (takes_off_twice, "test_what_was_removed_makes_room_once"),
    (never_measures_again, "test_what_has_expired_makes_room"),
    (measures_at_each_refusal, "test_what_has_expired_makes_room"),
    (believes_that_what_failed_was_not_done, "test_an_account_of_a_call_that_failed_is_measured"),
    (lets_threads_in, "test_several_threads_store_no_more"),
]
"""The same for the topic of quotas."""
