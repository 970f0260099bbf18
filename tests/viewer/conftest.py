from __future__ import annotations

import pytest

import datastore
from tests.viewer.visiting import visitor


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/agents.db"
    with datastore.connect(url, tracking="off") as store:
        yield store


@pytest.fixture
def person(store):
    return visitor(store)
