"""URLs: what they name, and what is refused before anything is opened."""

import pytest

import datastore
from datastore import (
    ConfigurationError,
    PermissionDeniedError,
)
from tests.servers import dynamodb


@pytest.mark.server("dynamodb")
def test_no_credentials_are_said(monkeypatch, tmp_path):
    endpoint = dynamodb.MINISTACK.endpoint
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(PermissionDeniedError, match="no credentials"):
        datastore.connect(f"dynamodb://tab?region=eu-west-1&endpoint_url={endpoint}")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("dynamodb://key:secret@tab", "no credentials"),
        ("dynamodb://tab/path", "without a path"),
        ("dynamodb://x", "no table name"),
        ("dynamodb://tab?regoin=x", "did you mean 'region'"),
        ("dynamodb://tab?capacity=5", "read and write units"),
        ("dynamodb://tab?consistency=some", "one of strong, eventual"),
        ("dynamodb://tab?connections=0", "at least 1"),
        ("dynamodb://tab?endpoint_url=http://key:secret@localhost", "without credentials"),
        ("dynamodb://tab?profile=nobody", "no profile 'nobody'"),
    ],
)
def test_a_wrong_url_says_what_is_wrong(url, says):
    with pytest.raises(ConfigurationError, match=says) as caught:
        datastore.connect(url)
    assert "secret" not in str(caught.value)
