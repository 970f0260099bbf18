"""Ways in which the check of grants, a quota or a token could be wrong, one at a time. The kit must find them all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import pytest

from datastore import grants, guarded, quotas, tokens
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


def keeps_the_token(patch: pytest.MonkeyPatch) -> None:
    """The token itself lies in the database."""
    patch.setattr(tokens, "_hash", lambda secret: secret[4:])


def takes_any_part(patch: pytest.MonkeyPatch) -> None:
    """The end of a token makes no difference."""
    find = tokens._hash
    patch.setattr(tokens, "_hash", lambda secret: find(secret[:40]))


def knows_no_ancestors(patch: pytest.MonkeyPatch) -> None:
    """A token outlives the one that it was made from."""
    kept = tokens._kept
    patch.setattr(tokens, "_kept", lambda document: replace(kept(document), ancestors=()))


def lets_quotas_grow(patch: pytest.MonkeyPatch) -> None:
    """A token can be made that may store more."""
    patch.setattr(tokens, "_least", lambda unit, given, wanted: wanted or given)


def lets_grants_grow(patch: pytest.MonkeyPatch) -> None:
    """A token can be made that may write what the other one may read."""

    class Careless(grants.Grants):
        def __init__(self, user, given):
            super().__init__(user, given)
            self.writable = self.readable

    patch.setattr(tokens, "Grants", Careless)


def lets_time_grow(patch: pytest.MonkeyPatch) -> None:
    """A token can be made that ends later."""
    patch.setattr(tokens, "min", max, raising=False)


def leaves_the_tokens_of_the_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Whoever holds one goes on as a user that is no longer there."""
    patch.setattr(tokens, "end_all", lambda core, user: 0)


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
TOKENS: list[tuple[Callable[[pytest.MonkeyPatch], None], str]] = [
    (keeps_the_token, "test_a_token_is_random_and_only_its_hash_is_kept"),
    (takes_any_part, "test_a_part_of_a_token_or_a_changed_one_is_refused"),
    (knows_no_ancestors, "test_a_token_whose_parent_is_gone_is_refused"),
    (knows_no_ancestors, "test_to_revoke_a_token_revokes_all_that_were_made_from_it"),
    (lets_quotas_grow, "test_a_token_cannot_be_made_wider"),
    (lets_grants_grow, "test_a_token_cannot_be_made_wider"),
    (lets_time_grow, "test_a_narrower_token_may_do_a_part"),
    (leaves_the_tokens_of_the_forgotten, "test_to_forget_a_user_ends_the_tokens_for_it"),
]
"""And for that of tokens."""
