"""Splitting what is too much for one request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batches(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """Yield items in lists of at most ``most``, in their order."""
    iterator = iter(items)
    while batch := list(islice(iterator, most)):
        yield batch


def batches_by_size(
    items: Iterable[T], size: Callable[[T], int], most_size: int, most: int | None = None
) -> Iterator[list[T]]:
    """Yield items in lists that together are not too large, in their order.

    Args:
        items: What to split.
        size: Returns the size of an item, in bytes or in any other unit.
        most_size: The largest size of a batch. An item that is larger by itself gets its own batch.
        most: How many items a batch may have; ``None`` for any number.
    """
    batch: list[T] = []
    total = 0
    for item in items:
        its_size = size(item)
        if batch and (total + its_size > most_size or len(batch) == most):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += its_size
    if batch:
        yield batch
