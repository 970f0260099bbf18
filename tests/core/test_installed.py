"""Entry points are found in the files of what is installed, and give what `importlib.metadata` gives."""

from __future__ import annotations

import importlib.metadata
import sys
import zipfile
from pathlib import Path

import pytest

import datastore
from datastore.connecting import ENTRY_POINTS
from datastore.installed import entry_point


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Write the metadata of a distribution with an entry point into a directory, which comes first on the path."""

    def install(directory: str, distribution: str, content: str) -> Path:
        path = tmp_path / directory
        info = path / distribution
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution.partition('-')[0]}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(content)
        if str(path) not in sys.path:
            monkeypatch.syspath_prepend(path)
        return path

    return install


def metadata_says(name: str) -> set[tuple[str, str]]:
    """Return what `importlib.metadata` itself finds, which the tests of other modules look up only once."""
    points = importlib.metadata.EntryPoints(
        point for found in importlib.metadata.distributions() for point in found.entry_points
    )
    return {(point.module, point.attr) for point in points.select(group=ENTRY_POINTS, name=name)}


@pytest.mark.parametrize(
    "scheme", ["couchdb", "couchdbs", "dynamodb", "firestore", "memory", "postgresql", "redis", "rediss", "sqlite"]
)
def test_our_own_adapters_are_found(scheme):
    assert {entry_point(ENTRY_POINTS, scheme)} == metadata_says(scheme)


@pytest.mark.parametrize(
    "content",
    [
        "[datastore.backends]\nacme = acme.store:connect\n",
        "\n# theirs\n[console_scripts]\nacme = wrong:main\n\n"
        "[datastore.backends]\nother=o:p\n  acme=acme.store:connect  \n",
        "[datastore.backends]\r\nacme = acme.store:connect\r\n",
    ],
    ids=["plain", "among others", "other ends of lines"],
)
@pytest.mark.parametrize("directory", ["acme-1.0.dist-info", "Acme.Store-1.0.egg-info", "acme.egg-info"])
def test_a_third_partys_is_found(content, directory, install):
    install("site", directory, content)
    assert entry_point(ENTRY_POINTS, "acme") == ("acme.store", "connect")
    assert metadata_says("acme") == {("acme.store", "connect")}
    assert entry_point("other.group", "acme") is None
    assert entry_point(ENTRY_POINTS, "ACME") is None


def test_of_two_versions_the_one_that_is_imported_counts(install):
    install("later", "acme_store-1.0.dist-info", "[datastore.backends]\nacme = old:connect\n")
    install("first", "Acme.Store-2.0.dist-info", "[datastore.backends]\nacme = new:connect\n")
    assert entry_point(ENTRY_POINTS, "acme") == ("new", "connect")


@pytest.mark.parametrize(
    "content",
    [
        "[datastore.backends]\nacme = acme.store:connect [extra]\n",
        "[datastore.backends]\nacme = acme.store\n",
        "[datastore.backends]\nacme = acme.store:Store.connect\n",
        "[datastore.backends]\nacme = one:connect\nacme = two:connect\n",
    ],
    ids=["an extra", "no attribute", "an attribute of an attribute", "two of a name"],
)
def test_what_is_not_plain_is_left_to_importlib(content, install):
    install("site", "acme-1.0.dist-info", content)
    assert entry_point(ENTRY_POINTS, "acme") is None


def test_two_packages_that_want_the_same_name_are_left_to_importlib(install):
    install("site", "acme-1.0.dist-info", "[datastore.backends]\nacme = one:connect\n")
    install("site", "other-1.0.dist-info", "[datastore.backends]\nacme = two:connect\n")
    assert entry_point(ENTRY_POINTS, "acme") is None


def test_an_adapter_in_an_archive_is_found_by_importlib(tmp_path, monkeypatch):
    archive = tmp_path / "acme.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(
            "acme_archived.py",
            "from datastore_memory import MemoryBackend\ndef connect(url):\n    return MemoryBackend()\n",
        )
        file.writestr("acme-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
        file.writestr("acme-1.0.dist-info/entry_points.txt", "[datastore.backends]\narchived = acme_archived:connect\n")
    monkeypatch.syspath_prepend(archive)
    assert entry_point(ENTRY_POINTS, "archived") is None
    with datastore.connect("archived://") as store:
        store.agent("u", "a").set("k", 1)


def test_a_directory_that_is_not_there_and_a_file_that_is_not_text_are_passed_over(install, monkeypatch, tmp_path):
    broken = install("site", "broken-1.0.dist-info", "")
    (broken / "broken-1.0.dist-info" / "entry_points.txt").write_bytes(b"[datastore.backends]\nsqlite = \xff:connect")
    monkeypatch.syspath_prepend(tmp_path / "nowhere")
    assert entry_point(ENTRY_POINTS, "sqlite") == ("datastore_sqlite", "connect")
