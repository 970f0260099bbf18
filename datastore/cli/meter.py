"""How long calls of the store take, by kind of call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Timing:
    """The calls of one kind."""

    calls: int = 0
    records: int = 0
    seconds: float = 0.0


class Meter:
    """Measures calls as they are made; ``timings`` holds the sums by the name of the call."""

    def __init__(self) -> None:
        self.timings: dict[str, Timing] = {}

    def timed(self, records: Callable[[T], int], call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a call and return its result.

        Args:
            records: Returns how many records a result stands for.
            call: A method of the store; its name is the kind.
            *args: Its arguments.
            **kwargs: Its keyword arguments.
        """
        timing = self._timing(call.__name__)
        began = perf_counter()
        try:
            result = call(*args, **kwargs)
        finally:
            timing.seconds += perf_counter() - began
            timing.calls += 1
        timing.records += records(result)
        return result

    def streamed(self, call: Callable[[], Iterator[T]]) -> Iterator[T]:
        """Yield what a call yields, without counting the time that the consumer takes in between."""
        timing = self._timing(call.__name__)
        timing.calls += 1
        items = call()

        while True:
            began = perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                timing.seconds += perf_counter() - began
            timing.records += 1
            yield item

    def _timing(self, name: str) -> Timing:
        return self.timings.setdefault(name, Timing())


def one(result: object) -> int:
    """Return 1, for calls that are about one record."""
    return 1
