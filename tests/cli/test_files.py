"""Which files the demonstration reads, and why it leaves out the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from datastore.cli.files import Unsuitable, find, load


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")


def test_files_are_found_at_any_depth_and_sorted_by_path(tmp_path):
    write(tmp_path, "b/c/d.txt", "b.txt", "a.txt")
    assert find(tmp_path).keys == ["a.txt", "b.txt", "b/c/d.txt"]


def test_hidden_and_generated_directories_and_virtual_environments_are_left_out(tmp_path):
    write(tmp_path, ".git/config", ".venv/x.py", "node_modules/a/b.js", "src/__pycache__/x.txt", "x.egg-info/PKG-INFO")
    write(tmp_path, "build/out.txt", "env/pyvenv.cfg", "env/lib/x.py", "src/x.py")
    found = find(tmp_path)
    assert found.keys == ["src/x.py"]
    assert found.skipped_directories == {"hidden": 2, "generated": 4, "virtual environment": 1}


def test_hidden_files_are_left_out(tmp_path):
    write(tmp_path, ".env", "x")
    found = find(tmp_path)
    assert (found.keys, found.skipped_files) == (["x"], {"hidden": 1})


def test_the_store_s_own_files_are_left_out(tmp_path):
    write(tmp_path, "a.db", "a.db-wal", "a.db-shm", "a.db.txt", "sub/a.db")
    found = find(tmp_path, (tmp_path / "a.db").resolve())
    assert found.keys == ["a.db.txt", "sub/a.db"]
    assert found.skipped_files == {"the store's own": 3}


def test_links_are_not_followed(tmp_path):
    write(tmp_path, "sub/x")
    try:
        (tmp_path / "sub/loop").symlink_to(tmp_path)
        (tmp_path / "link").symlink_to("sub/x")
    except OSError:
        pytest.skip("this system makes no symbolic links")
    found = find(tmp_path)
    assert found.keys == ["sub/x"]
    assert found.skipped_files == found.skipped_directories == {"symbolic link": 1}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_file_is_left_out_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert find(tmp_path).skipped_files == {"special file": 1}


def test_a_path_that_is_no_key_is_left_out(tmp_path):
    write(tmp_path, "/".join(["d" * 100] * 6) + "/x", "ok")
    try:
        (tmp_path / os.fsdecode(b"not-utf-8-\xff")).write_text("x")
        names = 2
    except OSError:
        names = 1  # this file system takes UTF-8 only
    found = find(tmp_path)
    assert (found.keys, found.skipped_files) == (["ok"], {"name not valid as a key": names})


def test_a_directory_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        find(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        ("größe\r\n漢字".encode(), "größe\r\n漢字"),
        (b"\xef\xbb\xbfmarked", "marked"),
        ("größe".encode("latin-1"), "größe"),
        ("größe".encode("utf-16"), "größe"),
        (b"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
    ],
)
def test_text_in_the_usual_encodings_is_read(tmp_path, data, text):
    (tmp_path / "x").write_bytes(data)
    source = load(tmp_path, "x")
    assert source.text == text
    assert source.size == len(data)


@pytest.mark.parametrize("data", [b"a\0b", b"\x89PNG\r\n\x1a\n\0\0", b"\xff\xd8\xff\x01", bytes(range(256))])
def test_binary_files_are_refused(tmp_path, data):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(Unsuitable, match="binary"):
        load(tmp_path, "x")


@pytest.mark.parametrize(
    ("data", "fits"),
    [
        (b"x" * 999_000, True),
        (b"x" * 1_000_000, False),
        (b"x" * 5_000_000, False),
        (b"\x1f" * 166_000, True),
        (b"\x1f" * 167_000, False),
        ("é".encode("latin-1") * 499_000, True),
        ("é".encode("latin-1") * 501_000, False),
    ],
)
def test_a_file_is_too_large_if_its_json_is(tmp_path, data, fits):
    (tmp_path / "x").write_bytes(data)
    if fits:
        assert load(tmp_path, "x").size == len(data)
    else:
        with pytest.raises(Unsuitable, match="too large"):
            load(tmp_path, "x")


def test_a_file_that_has_gone_since_is_unreadable(tmp_path):
    with pytest.raises(Unsuitable, match="unreadable"):
        load(tmp_path, "gone")


@pytest.mark.parametrize(("name", "language"), [("a.PY", "python"), ("a.tsx", "typescript"), ("LICENSE", "text")])
def test_the_name_tells_the_language(tmp_path, name, language):
    (tmp_path / name).write_text("x")
    assert load(tmp_path, name).language == language
