"""Finding on PostgreSQL: what the reference finds, and each trap by name."""

import pytest

from tests.adapters.finding import AgainstTheReference, Traps
from tests.full import times

pytestmark = pytest.mark.server("postgresql")


class TestAgainstTheReference(AgainstTheReference):
    examples = times(3, 50)


class TestTraps(Traps):
    pass
