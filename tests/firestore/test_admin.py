"""What a database says of itself, to `datastore doctor`."""

import time
from types import SimpleNamespace

import google.api_core.exceptions
import pytest
from google.cloud.firestore_admin_v1 import types as admin

import datastore
from datastore import BackendUnavailableError
from datastore_firestore import admin as examining
from datastore_firestore.client import Connection, Settings

pytestmark = pytest.mark.server("firestore")


class Administration:
    """Stands for the administration API, which the emulator does not have."""

    def __init__(self, kind="FIRESTORE_NATIVE", ttl="ACTIVE", error=None):
        self.asked = []
        self._kind = kind
        self._ttl = ttl
        self._error = error

    def get_database(self, *, name):
        self.asked.append(name)
        if self._error:
            raise self._error
        return admin.Database(
            name=name,
            type_=admin.Database.DatabaseType[self._kind],
            point_in_time_recovery_enablement="POINT_IN_TIME_RECOVERY_ENABLED",
        )

    def get_field(self, *, name):
        self.asked.append(name)
        if self._error:
            raise self._error
        return admin.Field(name=name, ttl_config=admin.Field.TtlConfig(state=self._ttl) if self._ttl else None)

    def list_indexes(self, *, parent):
        self.asked.append(parent)
        if self._error:
            raise self._error
        vectors = admin.Index.IndexField.VectorConfig(dimension=384)
        fields = [admin.Index.IndexField(field_path="vector384", vector_config=vectors)]
        return [admin.Index(state="CREATING", fields=fields)]


@pytest.fixture(name="examined")
def examine_as_a_real_one(store, monkeypatch):
    """Examine the emulator's database as if it were a real one, with an administration of the test's choice."""
    backend = store.backend
    settings = Settings(project="p", database="d", collection="c")

    def examined(administration, now=None):
        monkeypatch.setattr(examining, "admin_client", lambda settings: administration)
        moment = SimpleNamespace(time_of=lambda name: backend._connection.time_of(backend._settings.prefix + "0"))
        return examining.examine(moment, settings, time.time() if now is None else now)

    return examined


def test_an_emulator_says_that_it_is_one(store, recorder):
    backend = store.backend
    findings = backend.examine(time.time())
    assert recorder.requests == ["BatchGetDocuments"]
    assert all(finding.healthy for finding in findings)
    assert "the emulator" in findings[0].text
    late = [finding for finding in backend.examine(time.time() + 60) if not finding.healthy]
    assert [finding.remedy for finding in late] == ["synchronise this one (NTP)"]


def test_a_database_that_is_as_it_should_be(examined):
    administration = Administration()
    findings = examined(administration)
    assert all(finding.healthy for finding in findings)
    assert administration.asked == [
        "projects/p/databases/d",
        "projects/p/databases/d/collectionGroups/c/fields/expiresAt",
        "projects/p/databases/d/collectionGroups/c",
    ]
    assert "indexes of vectors: vector384 (creating)" in [finding.text for finding in findings]
    assert "point-in-time recovery is on" in [finding.text for finding in findings]


@pytest.mark.parametrize(
    ("administration", "text", "remedy"),
    [
        (Administration(ttl=None), "no TTL policy", "gcloud firestore fields ttls update expiresAt"),
        (Administration(ttl="NEEDS_REPAIR"), "no TTL policy", "--enable-ttl"),
        (Administration(kind="DATASTORE_MODE"), "Datastore mode", "native mode"),
    ],
)
def test_what_is_to_be_done(examined, administration, text, remedy):
    (finding,) = [finding for finding in examined(administration) if not finding.healthy]
    assert text in finding.text
    assert remedy in finding.remedy


def test_what_may_not_be_asked_is_no_problem(examined):
    findings = examined(Administration(error=google.api_core.exceptions.PermissionDenied("no")))
    assert all(finding.healthy for finding in findings)
    assert sum("cannot tell" in finding.text for finding in findings) == 3


def test_a_database_that_does_not_answer_is_an_outage(network):
    connection = Connection(Settings(project="p", emulator="127.0.0.1:1"))
    with pytest.raises(BackendUnavailableError):
        examining.examine(connection, connection._settings, 0)
    connection.close()


def test_doctor_says_it(url):
    from typer.testing import CliRunner

    from datastore.cli.app import app

    result = CliRunner().invoke(app, ["doctor", url])
    assert result.exit_code == 0, result.output
    assert "the emulator serves the collection agent_data_store" in result.stdout
    assert "the clocks agree" in result.stdout
    with datastore.connect(url) as store:
        assert store.backend.document_count() == 0
