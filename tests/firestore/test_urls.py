"""URLs: what they name, and what is refused before anything is opened."""

import pytest
from google.auth.credentials import AnonymousCredentials

import datastore
from datastore import ConfigurationError
from datastore.backend import IdRange
from datastore.urls import Url
from datastore_firestore import urls


def settings_of(url, **options):
    return urls.settings_of(Url(url, options))


def test_a_url_names_project_collection_and_database():
    settings = settings_of("firestore://my-project/memories?database=agents&emulator=127.0.0.1:1&timeout=3")
    assert settings.prefix == "projects/my-project/databases/agents/documents/memories/"
    assert settings.timeout == 3


def test_collection_and_database_have_defaults():
    settings = settings_of("firestore://my-project?emulator=127.0.0.1:1")
    assert settings.prefix == "projects/my-project/databases/(default)/documents/agent_data_store/"
    assert settings_of("firestore://p/c?database=(default)&emulator=h:1").database == "(default)"


def test_the_emulators_variable_is_honoured(monkeypatch):
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:2")
    assert settings_of("firestore://my-project/c").emulator == "127.0.0.1:2"
    assert settings_of("firestore://my-project/c?emulator=127.0.0.1:3").emulator == "127.0.0.1:3"


def test_credentials_are_taken_as_an_object():
    credentials = AnonymousCredentials()
    assert settings_of("firestore://my-project/c", credentials=credentials).credentials is credentials


def test_without_credentials_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    with pytest.raises(ConfigurationError, match="application-default login"):
        datastore.connect("firestore://my-project/c")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("firestore:///c", "has no project"),
        ("firestore://My_Project/c", "not a Google Cloud project"),
        ("firestore://u:p4ssw0rd@my-project/c", "no user and no password"),
        ("firestore://my-project/a/b", "cannot name a collection"),
        ("firestore://my-project/__x__", "cannot name a collection"),
        ("firestore://my-project/..", "cannot name a collection"),
        ("firestore://my-project/c?database=X", "database"),
        ("firestore://my-project/c?timeout=0", "timeout"),
        ("firestore://my-project/c?timeout=x", "timeout"),
        ("firestore://my-project/c?emulator=here", "host:port"),
        ("firestore://my-project/c?credentials=key.json", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("firestore://my-project/c?interceptors=x", "interceptors"),
        ("firestore://my-project/c?databse=x", "did you mean 'database'"),
    ],
)
def test_what_is_wrong_is_said(url, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        datastore.connect(url)
    assert "p4ssw0rd" not in str(caught.value)


@pytest.mark.server("firestore")
def test_a_closed_store_says_so_even_below(url):
    store = datastore.connect(url)
    backend = store.backend
    store.close()
    backend.close()
    for call in (lambda: backend.read(["u:n:a"], 0), lambda: backend.scan(IdRange("u:", "u;"), 0, 1)):
        with pytest.raises(datastore.ClosedError):
            call()
