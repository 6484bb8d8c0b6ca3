"""Certificates: whatever is changed in one it does not hold, and whatever comes is read or refused."""

import base64
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.link.model import Revocations
from sftpd.sftp.wire import ProtocolError
from sftpd.ssh.certificates import Certificate, Terms, objection, parse

NOW = datetime.now(UTC)


def made(folder: Path, key_type: str) -> tuple[bytes, Terms]:
    """A certificate as ssh-keygen makes it, and terms that it meets."""
    for name in ("ca", "user"):
        words = ["ssh-keygen", "-q", "-t", key_type, "-N", "", "-f", folder / name]
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    sign = ["ssh-keygen", "-q", "-s", folder / "ca", "-I", "id", "-n", "a,b", "-z", "9", folder / "user.pub"]
    subprocess.run(sign, check=True, capture_output=True)
    blob, authority = (
        base64.b64decode((folder / name).read_text().split()[1]) for name in ("user-cert.pub", "ca.pub")
    )
    return blob, Terms(frozenset({authority}), frozenset({"b"}), Revocations())


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Terms]:
    return made(tmp_path_factory.mktemp("certificate"), "ed25519")


@pytest.mark.parametrize("key_type", ["ed25519", "ecdsa", "rsa"])
def test_a_certificate_of_each_type_says_what_it_was_given(tmp_path: Path, key_type: str) -> None:
    blob, terms = made(tmp_path, key_type)
    found = parse(blob)
    assert (found.id, found.serial, found.principals) == ("id", 9, ("a", "b"))
    assert found.key == base64.b64decode((tmp_path / "user.pub").read_text().split()[1])
    assert objection(found, terms, "127.0.0.1", NOW) is None


def test_no_byte_can_be_changed(one: tuple[bytes, Terms]) -> None:
    blob, terms = one
    for at in range(len(blob)):
        changed = blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]
        try:
            found = parse(changed)
        except ProtocolError:
            continue
        assert objection(found, terms, "127.0.0.1", NOW) is not None, at


@pytest.mark.parametrize("cut", [lambda blob: blob + b"x", lambda blob: blob[:-1], lambda blob: b""])
def test_no_byte_more_or_less_is_taken(one: tuple[bytes, Terms], cut: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ProtocolError):
        parse(cut(one[0]))


@given(st.binary(max_size=300), st.integers(0, 250))
def test_whatever_comes_is_read_or_refused(one: tuple[bytes, Terms], raw: bytes, kept: int) -> None:
    for blob in (raw, one[0][:kept] + raw):
        try:
            assert isinstance(parse(blob), Certificate)
        except ProtocolError:
            continue


@pytest.mark.parametrize(
    "revoked", [Revocations(serials=((5, 9),)), Revocations(ids=frozenset({"id"}))], ids=["serial", "id"]
)
def test_what_is_revoked_does_not_hold(one: tuple[bytes, Terms], revoked: Revocations) -> None:
    terms = one[1]._replace(revoked=revoked)
    assert objection(parse(one[0]), terms, "127.0.0.1", NOW) == "revoked"
