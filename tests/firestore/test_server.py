"""The emulator is found, or the message says what is missing."""

import pytest

from tests.servers.firestore import REMEDY, emulator
from tests.servers.installing import NotInstalledError


def test_without_java_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotInstalledError, match="Java"):
        emulator(tmp_path)


def test_without_the_cloud_cli_it_names_the_command(monkeypatch, tmp_path):
    (tmp_path / "java").write_text("#!/bin/sh\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotInstalledError) as caught:
        emulator(tmp_path)
    assert REMEDY in str(caught.value)
