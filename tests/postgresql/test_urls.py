"""URLs: what they name, and what is refused before anything is sent."""

import pytest

import datastore
from datastore import ConfigurationError, PermissionDeniedError
from datastore.urls import Url
from datastore_postgresql.urls import place, settings_of
from tests.servers import postgresql
from tests.servers.processes import HOST


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql:///db", "has no server; write postgresql://"),
        ("postgresql://ho st/db", "has no server"),
        ("postgresql://host:99999/db", "has no server"),
        ("postgresql://host", "path of a PostgreSQL URL is a database, and perhaps a schema"),
        ('postgresql://host/db/a"b', "path of a PostgreSQL URL is a database"),
        ("postgresql://host/db/pg_mine", "path of a PostgreSQL URL is a database"),
        ("postgresql://host/db/a/b", "path of a PostgreSQL URL is a database"),
        ("postgresql://host/db?pool=0", "'pool' of the postgresql URL: it must be a whole number of at least 1"),
        ("postgresql://host/db?prepare=maybe", "'prepare' of the postgresql URL"),
        ("postgresql://host/db?time=1", "no parameter 'time' .did you mean 'timeout'"),
        (
            "postgresql://host/db?sslmode=maybe",
            "must be one of disable, allow, prefer, require, verify-ca, verify-full",
        ),
        ("postgresql:///db?socket=run", "it must be an absolute path"),
        ("postgresql://host/db?socket=/run", "the URL has no host"),
    ],
)
def test_a_wrong_url_is_refused_before_anything_is_sent(url, words):
    with pytest.raises(ConfigurationError, match=words):
        datastore.connect(url)


def test_what_a_url_names():
    settings = settings_of(Url("postgresql://ann:p%40ss@[::1]/agents/trips?sslmode=require"))
    wanted = {"dbname": "agents", "user": "ann", "password": "p@ss", "host": "::1", "port": 5432, "sslmode": "require"}
    assert wanted.items() <= settings.options.items()
    assert "p@ss" not in settings.address
    schemas = [settings_of(Url(f"postgresql://host/db{path}")).schema for path in ("", "/", "/a-1", "/a-1/")]
    assert schemas == ["public", "public", "a-1", "a-1"]
    assert settings_of(Url("postgresql://u@:6000/db?socket=/run")).options["port"] == 6_000
    assert place(Url("postgresql://LOCALHOST/db")) == place(Url("postgresql://u:p@127.0.0.1:5432/db/public?timeout=3"))
    assert place(Url("postgresql://host/db/other")) != place(Url("postgresql://host/db"))


@pytest.mark.server("postgresql")
def test_a_socket_a_password_and_what_is_not_there(url, sql):
    folder = postgresql.server()._folder
    schema = url.rpartition("/")[2]
    with datastore.connect(f"postgresql://agents@:{postgresql.server().port}/postgres/{schema}?socket={folder}") as one:
        one.agent("u", "a").set("k", 1)
    at = f"{HOST}:{postgresql.server().port}"
    for wrong, error in (
        (f"postgresql://nobody:wr0ng@{at}/postgres", PermissionDeniedError),
        (f"postgresql://agents:wr0ng@{at}/missing", ConfigurationError),
        (f"postgresql://agents:wr0ng@{at}/postgres?sslmode=require", ConfigurationError),
    ):
        with pytest.raises(error) as caught:
            datastore.connect(wrong, retry_seconds=0)
        assert "wr0ng" not in str(caught.value)
