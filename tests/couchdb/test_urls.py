"""URLs: what is refused before anything is sent."""

import pytest

import datastore
from datastore import (
    ConfigurationError,
)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("couchdb:///db", "has no server"),
        ("couchdb://host:port/db", "has no server"),
        ("couchdb://host/Upper", "'Upper' is no database name"),
        ("couchdb://host/_users", "'_users' is no database name"),
        ("couchdb://host/db?pool=0", "'pool' of the couchdb URL: it must be a whole number of at least 1"),
        ("couchdb://host/db?time=1", "no parameter 'time' .did you mean 'timeout'"),
    ],
)
def test_a_wrong_url_is_refused_before_anything_is_sent(url, words):
    with pytest.raises(ConfigurationError, match=words):
        datastore.connect(url)
