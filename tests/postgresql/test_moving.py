"""Moving: whole documents in and out, many together, between PostgreSQL and what else there is."""

import pytest

from tests.adapters.moves import Moving


@pytest.mark.server("postgresql")
class TestMoving(Moving):
    pass
