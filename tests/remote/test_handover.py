"""How a token comes to the client: read once, from where nobody else can read it, and shown nowhere."""

import os
import pickle
import traceback

import pytest

from datastore import ConfigurationError, InvalidTokenError
from datastore.remote.handover import Secret, secret
from tests.remote.conftest import TOKEN


@pytest.fixture
def token_file(tmp_path):
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(f"{TOKEN}\n")
    return file


def shown(made: Secret) -> str:
    return made.header().decode()


def piped(text: str) -> int:
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    return reading


def test_a_file_is_removed_when_it_is_read(token_file):
    assert shown(secret(None, token_file, None)) == f"Authorization: Bearer {TOKEN}\r\n"
    assert not token_file.exists()
    with pytest.raises(ConfigurationError, match=r"there is no .*It is removed when it is first read"):
        secret(None, str(token_file), None)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_can_read_is_refused_and_stays(token_file, mode):
    token_file.chmod(mode)
    with pytest.raises(ConfigurationError, match=r"others can read .* it must be 0600"):
        secret(None, token_file, None)
    assert token_file.exists()


def test_a_link_is_not_followed(token_file, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(token_file)
    with pytest.raises(ConfigurationError, match="a link is not followed"):
        secret(None, link, None)
    assert token_file.exists()


def test_only_a_file_is_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ConfigurationError, match=r"is not a file|cannot be read"):
            secret(None, path, None)


def test_a_file_that_cannot_be_removed_is_not_read(token_file, monkeypatch):
    def refuse(path):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(ConfigurationError, match=r"cannot be removed .*give token="):
        secret(None, token_file, None)


def test_the_file_of_another_user_is_refused(token_file, monkeypatch):
    owner = token_file.stat().st_uid
    if owner == 0:
        os.chown(token_file, 1234, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        secret(None, token_file, None)


@pytest.mark.parametrize("given", ["number", "/dev/fd/{}", "/proc/self/fd/{}"])
def test_a_descriptor_is_read_to_its_end_and_closed(given):
    number = piped(f"{TOKEN}\n")
    made = secret(None, None, number) if given == "number" else secret(None, given.format(number), None)
    assert TOKEN in shown(made)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_a_descriptor_that_is_not_open_is_said():
    number = piped("")
    os.close(number)
    with pytest.raises(ConfigurationError, match=rf"token_fd: descriptor {number} cannot be read"):
        secret(None, None, number)


@pytest.mark.parametrize("text", ["", "dst_a b", "dst_\r\nX: y", "dst_é", "x" * 5_000], ids=range(5))
@pytest.mark.parametrize("way", ["token", "file", "descriptor"])
def test_what_is_no_token_is_not_quoted(text, way, token_file):
    token_file.write_text(text)
    given = {"token": (text, None, None), "file": (None, token_file, None)}.get(way) or (None, None, piped(text))
    with pytest.raises(InvalidTokenError) as raised:
        secret(*given)
    if text:
        assert text not in "".join(traceback.format_exception_only(raised.value))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((None, None, None), "needs a token"),
        ((TOKEN, None, 3), "only one"),
        ((b"dst_", None, None), "token is a bytes"),
        ((None, 3, None), "token_file is an int"),
        ((None, "a\0b", None), "cannot be read"),
        ((None, None, True), "token_fd is True"),
        ((None, None, -1), "token_fd is -1"),
    ],
)
def test_what_is_wrong_is_said(given, words):
    with pytest.raises(ConfigurationError, match=words) as raised:
        secret(*given)
    assert TOKEN not in str(raised.value)


def test_a_token_shows_itself_to_the_server_alone():
    made = Secret(TOKEN)
    assert TOKEN not in f"{made} {made!r} {made.__dir__()}"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(made)
