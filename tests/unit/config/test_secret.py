import os
from pathlib import Path

import pytest

from sftpd.config.secret import Secret, SecretError

CANARY = "canary-4711"


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(CANARY + "\n")
    path.chmod(0o600)
    return path


def test_a_file_is_read_relative_to_the_root(secret_file: Path) -> None:
    secret = Secret.parse("file:password", secret_file.parent)
    assert secret.reveal() == f"{CANARY}\n".encode()
    assert secret.text() == CANARY


def test_a_credential_is_read_from_the_directory_of_systemd(
    secret_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = Secret.parse("credential:password")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert not secret.known_here
    with pytest.raises(SecretError, match="out of reach"):
        secret.reveal()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secret_file.parent))
    assert secret.known_here
    assert secret.text() == CANARY


def test_an_environment_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTPD_TEST_SECRET", CANARY)
    assert Secret.parse("env:SFTPD_TEST_SECRET").text() == CANARY
    monkeypatch.delenv("SFTPD_TEST_SECRET")
    with pytest.raises(SecretError, match="empty or not set"):
        Secret.parse("env:SFTPD_TEST_SECRET").reveal()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_open_to_others_is_refused(secret_file: Path, mode: int) -> None:
    secret_file.chmod(mode)
    with pytest.raises(SecretError, match="others than its owner") as caught:
        Secret.parse(f"file:{secret_file}").reveal()
    assert CANARY not in str(caught.value)


def test_what_is_no_small_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "large").touch(0o600)
    os.truncate(tmp_path / "large", 70_000)
    for name, reason in (
        ("fifo", "not a regular file"),
        ("large", "larger than"),
        ("absent", "No such file"),
    ):
        with pytest.raises(SecretError, match=reason):
            Secret.parse(f"file:{name}", tmp_path).reveal()


@pytest.mark.parametrize(
    "text", [CANARY, "", "file:", "env:", "env:a b", "credential:../x", "credential:..", "vault:x"]
)
def test_what_is_no_reference_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(SecretError) as caught:
        Secret.parse(text)
    assert CANARY not in str(caught.value)


def test_no_text_form_shows_what_is_referred_to(secret_file: Path) -> None:
    secret = Secret.parse(f"file:{secret_file}")
    for shown in (repr(secret), str(secret), f"{secret}", repr([secret]), "%s" % secret):  # noqa: UP031 (one of the forms)
        assert "***" in shown
        assert CANARY not in shown
        assert str(secret_file) not in shown
