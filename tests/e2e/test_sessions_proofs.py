"""Certificates, one-time codes and chains of methods, with OpenSSH's client and keys."""

import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import argon2
import paramiko
import pytest
import sshd
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from daemon import Daemon, eventually

from sftpd.sftp.wire import string, uint32
from sftpd.ssh.public_keys import SECURITY_KEY

SECRET = b"12345678901234567890"
BASE32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("proofs") / "instance")
    made.configure("server", "penalties = false", "max_sessions_per_account = 50")
    keys = made.root / "keys"
    for name in ("ca", "other_ca", "holder"):
        sshd.make_key(made.desk / name, "ed25519")
    secrets = {"totp": BASE32, "password": argon2.PasswordHasher(time_cost=1, memory_cost=64).hash(PASSWORD)}
    for name, text in secrets.items():
        (keys / name).touch(0o600)
        (keys / name).write_text(text)
    security_key = f"{SECURITY_KEY} {_base64(TOKEN.public)}"
    (keys / "revoked").write_text("serial: 66\nid: stolen\n")
    made.configure_link("link", f'user_ca = ["file:{made.desk}/ca.pub"]', 'revoked = "file:keys/revoked"')
    password, totp = 'password = "file:keys/password"', 'totp = "file:keys/totp"'
    key = f'keys = ["file:{made.key}.pub"]'
    made.add_account("certified")
    made.add_account("ours", 'principals = ["Ina", "Otto"]')
    made.add_account("both", key, password, 'login = ["publickey,password"]')
    made.add_account("coded", key, password, totp)
    made.add_account("touch", f'keys = ["{security_key}"]')
    with made as running:
        yield running


class Token:
    """A security key without hardware: signs as OpenSSH's PROTOCOL.u2f has it, touched or not."""

    def __init__(self) -> None:
        self._private = Ed25519PrivateKey.generate()
        raw = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = string(SECURITY_KEY.encode()) + string(raw) + string(b"ssh:")

    def sign(self, data: bytes, flags: int) -> bytes:
        touched = hashlib.sha256(b"ssh:").digest() + bytes((flags,)) + uint32(7)
        raw = self._private.sign(touched + hashlib.sha256(data).digest())
        return string(SECURITY_KEY.encode()) + string(raw) + bytes((flags,)) + uint32(7)


TOKEN = Token()


def _base64(blob: bytes) -> str:
    import base64

    return base64.b64encode(blob).decode()


def certificate(daemon: Daemon, name: str, *options: str, ca: str = "ca") -> Path:
    """A key with a certificate beside it, where OpenSSH looks for one."""
    sshd.make_key(daemon.desk / name, "ed25519")
    words = ["ssh-keygen", "-q", "-s", daemon.desk / ca, *options, daemon.desk / f"{name}.pub"]
    subprocess.run(words, check=True, capture_output=True)
    return daemon.desk / name


def lets_in(daemon: Daemon, user: str, key: Path) -> bool:
    return daemon.sftp_batch("pwd", user=user, key=key).returncode == 0


def test_a_certificate_logs_in_and_is_recorded_by_id_and_serial(daemon: Daemon) -> None:
    key = certificate(daemon, "good", "-I", "Ina 2026", "-n", "certified", "-z", "5", "-V", "+1h")
    assert lets_in(daemon, "certified", key)
    tail = json.loads(daemon.cli("audit", "tail", "--link", "demo", "--count", "50", "--json").stdout)
    proofs = [event["private"]["proof"] for event in tail if event["type"] == "session.opened"]
    assert any("'Ina 2026' serial 5" in proof for proof in proofs)
    assert all("Ina" not in json.dumps(event["data"]) for event in daemon.events_of("session.opened"))


@pytest.mark.parametrize("key_type", ["ecdsa", "rsa"])
def test_certificates_of_other_key_types_log_in(daemon: Daemon, key_type: str) -> None:
    key = daemon.desk / f"of_{key_type}"
    sshd.make_key(key, key_type)
    words = ["ssh-keygen", "-q", "-s", daemon.desk / "ca", "-I", "x", "-n", "certified", f"{key}.pub"]
    subprocess.run(words, check=True)
    assert lets_in(daemon, "certified", key)


def test_any_of_the_principals_will_do(daemon: Daemon) -> None:
    assert lets_in(daemon, "ours", certificate(daemon, "otto", "-I", "x", "-n", "somebody,Otto"))


@pytest.mark.parametrize(
    ("name", "options", "ca"),
    [
        ("expired", ("-I", "x", "-n", "certified", "-V", "-2h:-1h"), "ca"),
        ("early", ("-I", "x", "-n", "certified", "-V", "+1h:+2h"), "ca"),
        ("anothers", ("-I", "x", "-n", "ours"), "ca"),
        ("nobodys", ("-I", "x"), "ca"),
        ("forged", ("-I", "x", "-n", "certified"), "other_ca"),
        ("host", ("-h", "-I", "x", "-n", "certified"), "ca"),
        ("far", ("-I", "x", "-n", "certified", "-O", "source-address=192.0.2.0/24"), "ca"),
        ("forced", ("-I", "x", "-n", "certified", "-O", "force-command=ls"), "ca"),
        ("taken_back", ("-I", "x", "-n", "certified", "-z", "66"), "ca"),
        ("stolen", ("-I", "stolen", "-n", "certified"), "ca"),
    ],
)
def test_a_certificate_that_does_not_hold_is_refused(
    daemon: Daemon, name: str, options: tuple[str, ...], ca: str
) -> None:
    assert not lets_in(daemon, "certified", certificate(daemon, name, *options, ca=ca))


def test_a_certificate_for_this_address_logs_in(daemon: Daemon) -> None:
    near = ("-I", "x", "-n", "certified", "-O", "source-address=127.0.0.0/8,::1/128")
    assert lets_in(daemon, "certified", certificate(daemon, "near", *near))


def test_the_authority_itself_logs_nobody_in(daemon: Daemon) -> None:
    assert not lets_in(daemon, "certified", daemon.desk / "ca")


def transport(daemon: Daemon) -> paramiko.Transport:
    client = paramiko.Transport((daemon.host, daemon.port))
    client.start_client(timeout=30)
    return client


def own_key(daemon: Daemon) -> paramiko.PKey:
    return paramiko.Ed25519Key.from_private_key_file(str(daemon.key))


def code(moment: float) -> str:
    return TOTP(SECRET, 6, SHA1(), 30).generate(int(moment)).decode()


def test_both_methods_must_be_right_and_in_order(daemon: Daemon) -> None:
    client = transport(daemon)
    try:
        with pytest.raises(paramiko.AuthenticationException):
            client.auth_password("both", PASSWORD, fallback=False)
        assert client.auth_publickey("both", own_key(daemon)) == ["password"]
        assert not client.is_authenticated()
        with pytest.raises(paramiko.AuthenticationException):
            client.auth_password("both", "wrong", fallback=False)
        assert client.auth_password("both", PASSWORD, fallback=False) == []
        assert client.is_authenticated()
    finally:
        client.close()


def test_who_has_one_proof_of_two_and_leaves_is_refused_on_record(daemon: Daemon) -> None:
    def last_refused() -> tuple[str, str]:
        tail = json.loads(daemon.cli("audit", "tail", "--count", "50", "--json").stdout)
        refused = [event["private"] for event in tail if event["type"] == "session.refused"]
        return refused[-1]["user"], refused[-1]["proof"]

    assert not lets_in(daemon, "both", daemon.key)
    eventually(lambda: last_refused() == ("both", own_key(daemon).fingerprint), daemon)


def test_what_one_account_has_proven_does_not_count_for_another(daemon: Daemon) -> None:
    client = transport(daemon)
    try:
        assert client.auth_publickey("both", own_key(daemon)) == ["password"]
        with pytest.raises(paramiko.AuthenticationException):
            client.auth_password("coded", PASSWORD, fallback=False)
        assert not client.is_authenticated()
    finally:
        client.close()


def test_a_code_follows_a_key_or_a_password_and_is_good_once(daemon: Daemon) -> None:
    used = code(time.time())
    for attempt in ("first", "again"):
        client = transport(daemon)
        try:
            following = client.auth_publickey("coded", own_key(daemon))
            assert following == ["keyboard-interactive"]
            answers = lambda title, text, prompts: [used]  # noqa: E731
            if attempt == "first":
                assert client.auth_interactive("coded", answers) == []
                assert client.is_authenticated()
            else:
                with pytest.raises(paramiko.AuthenticationException):
                    client.auth_interactive("coded", answers)
        finally:
            client.close()


@pytest.mark.parametrize("told", ["000000", "", "12345", "9" * 70])
def test_a_wrong_code_is_answered_like_that_of_an_unknown_user(daemon: Daemon, told: str) -> None:
    asked = []
    for user in ("coded", "nobody"):
        client = transport(daemon)
        try:
            if user == "coded":
                client.auth_password(user, PASSWORD, fallback=False)

            def answer(title: str, text: str, prompts: list[tuple[str, bool]]) -> list[str]:
                asked.append((title, text, prompts))
                return [told]

            with pytest.raises(paramiko.AuthenticationException):
                client.auth_interactive(user, answer)
        finally:
            client.close()
    assert asked[0] == asked[1]


class SoftKey(paramiko.PKey):
    """A token's key for paramiko's client."""

    public_blob = None

    def __init__(self, flags: int) -> None:
        self._flags = flags

    def asbytes(self) -> bytes:
        return TOKEN.public

    def get_name(self) -> str:
        return SECURITY_KEY

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> paramiko.Message:
        return paramiko.Message(TOKEN.sign(data, self._flags))


@pytest.mark.parametrize(("flags", "welcome"), [(0x01, True), (0x05, True), (0x00, False), (0x04, False)])
def test_a_security_key_must_have_been_touched(daemon: Daemon, flags: int, welcome: bool) -> None:
    client = transport(daemon)
    client._preferred_pubkeys = (SECURITY_KEY,)
    try:
        if welcome:
            assert client.auth_publickey("touch", SoftKey(flags)) == []
        else:
            with pytest.raises(paramiko.AuthenticationException):
                client.auth_publickey("touch", SoftKey(flags))
    finally:
        client.close()
