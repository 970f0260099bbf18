"""Writers whose answers get lost: each write is applied once."""

import pytest

from tests.adapters.connections import LostAnswers


@pytest.mark.server("postgresql")
class TestLostAnswers(LostAnswers):
    pass
