"""Ways in which texts could be split, found by their words, or kept in a vector vault wrongly, one at a time.

The kit must find them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from datastore.memory import fusing, keywords, vector_vault, writing
from datastore.memory.items import Ranked
from datastore.memory.matrix import Matrix


def finds_each_part(patch: pytest.MonkeyPatch) -> None:
    """A text is found once for each of its parts that is near."""
    ranked = Matrix.ranked

    def each(self: Matrix, *args: Any) -> Iterator[list[Ranked]]:
        for found in ranked(self, *args):
            yield [one for one in found for _ in range(1 if one.part is None else 2)]

    patch.setattr(Matrix, "ranked", each)


def names_the_first_part(patch: pytest.MonkeyPatch) -> None:
    """A match says that its text begins with what is like the question."""
    compared = Matrix._compared

    def first(self: Matrix, *args: Any) -> list[Ranked]:
        spans, places = self._spans, self._places
        return [one._replace(part=spans.get(places[one.revision])) for one in compared(self, *args)]

    patch.setattr(Matrix, "_compared", first)


def forgets_how_to_split(patch: pytest.MonkeyPatch) -> None:
    """An edit makes one vector of the new text."""
    old = writing._old

    def whole(*args: Any) -> Any:
        found = old(*args)
        return None if found is None else found._replace(split=None)

    patch.setattr(writing, "_old", whole)


def edits_a_vault_as_if_nothing_was_said(patch: pytest.MonkeyPatch) -> None:
    """The text of an item is edited before it has a vector, and nobody looks how it was to be split."""
    patch.setattr(vector_vault, "_split_of", lambda entry: None)


def knows_whole_words_alone(patch: pytest.MonkeyPatch) -> None:
    """What is joined is one word, and case matters."""
    patch.setattr(keywords, "words_of", str.split)


def filters_after_the_ranks(patch: pytest.MonkeyPatch) -> None:
    """Of the first of each ranking those are left out that do not match."""
    first = fusing.Side.first

    def afterwards(self: fusing.Side, depth: int) -> Any:
        matches, self._matches = self._matches, None
        self._question = self._question._replace(filter=None)
        return tuple([one for one in some if matches is None or matches(one.document)] for some in first(self, depth))

    patch.setattr(fusing.Side, "first", afterwards)


def adds_up_one_over_the_rank(patch: pytest.MonkeyPatch) -> None:
    """The first of one ranking is before whatever both have."""
    patch.setattr(fusing, "K", 0)


def ranks_what_was_edited(patch: pytest.MonkeyPatch) -> None:
    """The words that a text had once count as well as those that it has."""
    put = keywords.Index._put

    def also(self: keywords.Index, key: str, revision: str, counted: Any) -> None:
        before = {word: of_word[key] for word, of_word in self._postings.items() if key in of_word}
        put(self, key, revision, counted | Counter(before))

    patch.setattr(keywords.Index, "_put", also)


def waits_for_nobody(patch: pytest.MonkeyPatch) -> None:
    """An item whose writer has its number, and has not stored it yet, never gets a vector."""
    patch.setattr(vector_vault, "GRACE", 0.0)


def numbers_by_counting(patch: pytest.MonkeyPatch) -> None:
    """The number of a new item is how many there are."""

    def adding(vault: str, text: Any, *_: Any) -> vector_vault.Asking:
        number = yield lambda store: store.use_namespace(vault).count()
        yield lambda store: store.use_namespace(vault).set(vector_vault.key_of(number), text)
        yield lambda store: store.use_namespace(vault).log_append(vector_vault.LOG, None)
        return number

    patch.setattr(vector_vault, "adding", adding)


def guarantees_nothing(patch: pytest.MonkeyPatch) -> None:
    """The places of all vaults go to the nearest."""
    patch.setattr(vector_vault, "as_dict", lambda places, _: dict.fromkeys(places))


SPLITTING: list[tuple[Callable[[pytest.MonkeyPatch], None], str]] = [
    (finds_each_part, "test_a_long_text_is_found_once_by_its_nearest_part"),
    (names_the_first_part, "test_a_long_text_is_found_once_by_its_nearest_part"),
    (forgets_how_to_split, "test_an_edit_replaces_all_parts_at_once"),
    (edits_a_vault_as_if_nothing_was_said, "test_an_item_is_split_as_it_was_to_be"),
]
KEYWORDS: list[tuple[Callable[[pytest.MonkeyPatch], None], str]] = [
    (knows_whole_words_alone, "test_names_and_numbers_are_found_by_their_words"),
    (filters_after_the_ranks, "test_a_filter_comes_before_the_ranks"),
    (adds_up_one_over_the_rank, "test_the_order_is_the_one_of_the_definitions"),
    (ranks_what_was_edited, "test_the_order_is_the_one_of_the_definitions"),
]
VECTOR_VAULTS: list[tuple[Callable[[pytest.MonkeyPatch], None], str]] = [
    (waits_for_nobody, "test_an_item_that_is_being_added_is_waited_for"),
    (numbers_by_counting, "test_a_number_is_given_once"),
    (guarantees_nothing, "test_items_of_several_vaults"),
]
"""Each with the test that was made for it."""
