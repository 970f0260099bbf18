"""What a record remembers of the leases under which it was written: a holder whose lease is over changes nothing.

Every lease has a fencing number that only grows (`datastore.calls.leases`). A write under a lease carries the number,
and the record keeps it in the field ``fences``. A write with a lower number of the same lease is refused by the
database, in the same atomic step that would have written. Numbers of different leases say nothing about each other.

The field is text, the same in every database::

    "9f86d081884c7d65:001795745892 2c26b46b68ffc68f:001795741003"

One entry for each lease: 16 hex digits that stand for its namespace and name, and the number in 12 digits. So entries
of one lease compare as text does. The lease that wrote last comes first. A record remembers the last `MOST_FENCES`
leases, which takes at most 239 characters. A record that was never written under a lease has no such field.

The technique is the one of Kleppmann, "How to do distributed locking" (2016), with the check in the storage.
"""

from __future__ import annotations

from datastore.errors import LeaseLostError
from datastore.frozen import NamedTuple

MOST_FENCES = 8
"""How many leases a record remembers. One that wrote before the last eight others is forgotten."""
LEASE_LENGTH = 16
"""The hex digits that stand for a lease in an entry: 64 bits, of the leases of one user."""
NUMBER_LENGTH = 12
"""The decimal digits of a number in an entry."""
ENTRY_LENGTH = LEASE_LENGTH + 1 + NUMBER_LENGTH
"""The characters of an entry."""
LONGEST_FENCES = MOST_FENCES * (ENTRY_LENGTH + 1) - 1
"""The most characters of a record's entries."""
TAKE_AGAIN = "Take the lease again, and begin again with what is stored"
"""What to do when a lease is over, at the end of each message that says so."""
GONE = "1970-01-01T00:00:00.000000Z"
"""When a record that was deleted under a lease has expired: before every clock, so nobody takes it for a live one."""


class Fence(NamedTuple):
    """The number of a lease, as a write carries it."""

    lease: str
    """The hex digits that stand for the lease."""
    number: int

    @property
    def entry(self) -> str:
        """The text that a record remembers."""
        return f"{self.lease}:{self.number:0{NUMBER_LENGTH}d}"


def is_refused(fences: object, fence: Fence | None) -> bool:
    """Return whether a record remembers a higher number of the same lease.

    Args:
        fences: What the record remembers. Anything that is not text counts as nothing.
        fence: What a write carries; ``None`` for a write under no lease, which is never refused.
    """
    if fence is None or not fences or type(fences) is not str:
        return False
    entry, lease = fence.entry, fence.lease
    return any(one > entry for one in fences.split(" ") if one.startswith(lease) and one[LEASE_LENGTH:][:1] == ":")


def fences_after(fences: object, fence: Fence | None) -> str:
    """Return what a record remembers after a write that was not refused. Under no lease it stays as it is."""
    before = fences if type(fences) is str else ""
    if fence is None:
        return before
    others = [one for one in before.split(" ") if one and not one.startswith(f"{fence.lease}:")]
    return " ".join([fence.entry, *others])[:LONGEST_FENCES]


def lease_over(name: str, why: str) -> LeaseLostError:
    """Return the error for a lease that is over.

    Args:
        name: The lease's name.
        why: Why it is, or the message of such an error, from which the rest is taken.
    """
    beginning, end = f"the lease {name!r} is over: ", f". {TAKE_AGAIN}"
    return LeaseLostError(beginning + why.removeprefix(beginning).removesuffix(end) + end)


def lease_lost() -> LeaseLostError:
    """Return the error for a write whose number is too low."""
    return LeaseLostError(
        "another holder has the lease by now, and has written this record; what this one has read may be out of date. "
        + TAKE_AGAIN
    )
