"""Moving: whole documents in and out, many together, between Redis and what else there is."""

import pytest

from tests.adapters.moves import Moving


@pytest.mark.server("redis")
class TestMoving(Moving):
    pass
