"""Splitting into requests: nothing is lost, nothing is doubled, and no batch is too large."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore.adapters.batching import batches, batches_by_size


@pytest.mark.parametrize(
    ("number", "most", "lengths"),
    [(0, 3, []), (1, 3, [1]), (3, 3, [3]), (4, 3, [3, 1]), (7, 3, [3, 3, 1]), (2, 1, [1, 1])],
)
def test_a_batch_has_as_many_as_it_may(number, most, lengths):
    found = list(batches(range(number), most))
    assert list(map(len, found)) == lengths
    assert [one for batch in found for one in batch] == list(range(number))


def test_items_that_come_one_by_one_are_taken_as_they_are_needed():
    taken = []
    source = (taken.append(number) or number for number in range(10))
    assert next(batches(source, 3)) == [0, 1, 2]
    assert taken == [0, 1, 2]


@pytest.mark.parametrize(
    ("sizes", "most", "found"),
    [
        ([], None, []),
        ([4, 6, 1], None, [[4, 6], [1]]),
        ([4, 7, 1], None, [[4], [7, 1]]),
        ([11, 1], None, [[11], [1]]),
        ([1, 11, 1], None, [[1], [11], [1]]),
        ([1, 1, 1], 2, [[1, 1], [1]]),
        ([9, 9], 2, [[9], [9]]),
    ],
    ids=str,
)
def test_a_batch_ends_before_it_is_too_large_or_too_many(sizes, most, found):
    assert list(batches_by_size(sizes, lambda size: size, 10, most)) == found


@given(st.lists(st.integers(0, 15)), st.none() | st.integers(1, 5))
def test_no_batch_is_too_much_and_none_could_take_one_more(sizes, most):
    found = list(batches_by_size(sizes, lambda size: size, 10, most))
    assert [size for batch in found for size in batch] == sizes
    assert all(len(batch) == 1 or sum(batch) <= 10 for batch in found)
    assert all(most is None or len(batch) <= most for batch in found)
    for batch, following in pairwise(found):
        assert sum(batch) + following[0] > 10 or len(batch) == most


def test_the_size_of_each_item_is_worked_out_once():
    asked = []
    list(batches_by_size("abc", lambda item: asked.append(item) or 6, 10))
    assert asked == ["a", "b", "c"]
