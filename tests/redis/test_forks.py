"""A store in a forked child: it has connections of its own, and nothing of what its parent has sent."""

import pytest

from tests.adapters.forks import Forks


@pytest.mark.server("redis")
class TestForks(Forks):
    pass
