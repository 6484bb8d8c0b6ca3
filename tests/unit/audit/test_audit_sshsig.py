"""Signatures as ssh-keygen makes and reads them."""

import base64
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from sftpd.audit import sshsig
from sftpd.audit.checkpoint import SigningKey
from sftpd.errors import AuditError

PRIVATE = Ed25519PrivateKey.generate()
KEY = SigningKey("office.example", PRIVATE)
OTHER = SigningKey.generate("office.example")
MESSAGE = b'{"size":5}'


def holds(signature, message=MESSAGE, key=KEY, namespace="receipt@sftpd"):
    sshsig.verify(signature, message, key.verifier, namespace, where="x.sig")


@pytest.fixture
def keygen(tmp_path):
    """ssh-keygen's opinion of a signature."""
    signers = tmp_path / "allowed_signers"
    signers.write_text(sshsig.allowed_signer(KEY.verifier, "receipt@sftpd") + "\n")

    def verify(signature, message=MESSAGE, identity="office.example", namespace="receipt@sftpd"):
        (tmp_path / "x.sig").write_bytes(signature)
        command = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", identity, "-n", namespace]
        done = subprocess.run([*command, "-s", tmp_path / "x.sig"], input=message, capture_output=True)
        return done.returncode == 0

    return verify


def test_ssh_keygen_takes_ours_and_nothing_that_differs(keygen):
    signature = sshsig.sign(MESSAGE, KEY, "receipt@sftpd")
    assert keygen(signature)
    assert not keygen(signature, MESSAGE + b" ")
    assert not keygen(signature, namespace="file")
    assert not keygen(signature, identity="other.example")
    assert not keygen(sshsig.sign(MESSAGE, KEY, "file"))
    assert not keygen(sshsig.sign(MESSAGE, OTHER, "receipt@sftpd"))


@pytest.mark.parametrize("options", [(), ("-O", "hashalg=sha256")])
def test_we_take_what_ssh_keygen_signs(tmp_path, options):
    key, file = tmp_path / "key", tmp_path / "file"
    key.write_bytes(PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    key.chmod(0o600)
    file.write_bytes(MESSAGE)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", "receipt@sftpd", *options, file]
    subprocess.run(command, check=True, capture_output=True)
    holds((tmp_path / "file.sig").read_bytes())


def test_the_bytes_are_those_of_ssh_keygen(tmp_path):
    key = tmp_path / "key"
    key.write_bytes(PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    key.chmod(0o600)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", "receipt@sftpd"]
    signed = subprocess.run(command, input=MESSAGE, check=True, capture_output=True).stdout
    assert sshsig.sign(MESSAGE, KEY, "receipt@sftpd") == signed


@given(st.binary(max_size=300), st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1))
def test_what_was_signed_verifies(message, namespace):
    holds(sshsig.sign(message, KEY, namespace), message, namespace=namespace)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"message": b'{"size":6}'}, "does not hold"),
        ({"namespace": "file"}, "another namespace"),
        ({"key": OTHER}, "another key"),
    ],
)
def test_what_differs_is_told(changes, fault):
    with pytest.raises(AuditError, match=rf"^x\.sig: .*{fault}"):
        holds(sshsig.sign(MESSAGE, KEY, "receipt@sftpd"), **changes)


def armoured(blob):
    text = base64.b64encode(blob)
    return b"-----BEGIN SSH SIGNATURE-----\n" + text + b"\n-----END SSH SIGNATURE-----\n"


def blob():
    return base64.b64decode(b"".join(sshsig.sign(MESSAGE, KEY, "receipt@sftpd").splitlines()[1:-1]))


def test_the_text_may_be_broken_elsewhere():
    holds(armoured(blob()))


def test_no_bit_may_be_another():
    whole = blob()
    for at in range(len(whole) * 8):
        changed = bytearray(whole)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(AuditError):
            holds(armoured(bytes(changed)))


def test_nothing_may_be_cut_off_or_added():
    whole = blob()
    for changed in (*(whole[:end] for end in range(len(whole))), whole + b"\0", whole + bytes(4)):
        with pytest.raises(AuditError):
            holds(armoured(changed))


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused_in_words(data):
    for signature in (data, armoured(data), armoured(blob()[:10] + data)):
        with pytest.raises(AuditError):
            holds(signature)


def test_it_says_which_of_the_known_keys_it_is_by():
    signature = sshsig.sign(MESSAGE, OTHER, "receipt@sftpd")
    assert sshsig.signer(signature, [KEY.verifier, OTHER.verifier], where="x.sig") == OTHER.verifier
    for known in ([], [KEY.verifier]):
        with pytest.raises(AuditError, match=r"x\.sig: signed with a key that is not known"):
            sshsig.signer(signature, known, where="x.sig")


@given(st.binary(max_size=200))
def test_any_bytes_are_by_nobody(data):
    with pytest.raises(AuditError):
        sshsig.signer(data, [KEY.verifier], where="x.sig")
