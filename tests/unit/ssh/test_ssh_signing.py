"""What the monitor signs for a child, and what it does not."""

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from sftpd.errors import RefusedError
from sftpd.sftp.wire import ProtocolError, string
from sftpd.ssh.signing import RemoteSigner, algorithms, fingerprint, key_type, sign, sign_login


@pytest.fixture(scope="module")
def ed25519(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "ed25519"
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    path.write_bytes(pem)
    return paramiko.Ed25519Key.from_private_key_file(str(path))


@pytest.fixture(scope="module")
def rsa():
    return paramiko.RSAKey.generate(2048)


@pytest.fixture(scope="module")
def ecdsa():
    return paramiko.ECDSAKey.generate(ec.SECP384R1())


def login(
    key, algorithm, *, session=b"s" * 32, user=b"me", service=b"ssh-connection", method=b"publickey", **odd
):
    return b"".join(
        (
            string(session),
            bytes((odd.get("number", 50),)),
            string(user),
            string(service),
            string(method),
            odd.get("flag", b"\x01"),
            string(algorithm.encode()),
            string(odd.get("blob", key.asbytes())),
            odd.get("tail", b""),
        )
    )


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_login_signed_through_the_signer_verifies(kind, request):
    key = request.getfixturevalue(kind)
    signer = RemoteSigner(key.asbytes(), lambda data, algorithm: sign_login(key, "me", data, algorithm))

    for algorithm in algorithms(signer.get_name()):
        data = login(signer, algorithm)
        signature = signer.sign_ssh_data(data, algorithm)
        assert paramiko.Message(signature.asbytes()).get_text() == algorithm
        assert type(key)(data=key.asbytes()).verify_ssh_sig(data, paramiko.Message(signature.asbytes()))


def test_the_signer_looks_like_its_key(ed25519):
    signer = RemoteSigner(ed25519.asbytes(), lambda data, algorithm: b"")

    assert signer.asbytes() == ed25519.asbytes()
    assert signer.get_name() == "ssh-ed25519"
    assert signer.can_sign()
    assert signer.fingerprint == fingerprint(ed25519.asbytes()) == ed25519.fingerprint
    assert signer == RemoteSigner(ed25519.asbytes(), lambda data, algorithm: b"")
    assert hash(signer) == hash(RemoteSigner(ed25519.asbytes(), lambda data, algorithm: b""))


@pytest.mark.parametrize(
    "changes",
    [
        {"user": b"root"},
        {"user": b"m"},
        {"service": b"ssh-userauth"},
        {"method": b"hostbased"},
        {"flag": b"\x00"},
        {"number": 51},
        {"blob": b"\0\0\0\x0bssh-ed25519another key"},
        {"session": b""},
        {"session": b"s" * 65},
        {"tail": b"\0"},
    ],
)
def test_what_is_not_this_login_is_not_signed(ed25519, changes):
    with pytest.raises(RefusedError, match="not a login"):
        sign_login(ed25519, "me", login(ed25519, "ssh-ed25519", **changes), "ssh-ed25519")


def test_an_algorithm_that_differs_from_the_signed_one_is_refused(rsa):
    with pytest.raises(RefusedError, match="not a login"):
        sign_login(rsa, "me", login(rsa, "rsa-sha2-512"), "rsa-sha2-256")


@pytest.mark.parametrize("algorithm", ["ssh-rsa", "ssh-ed25519", "", "rsa-sha2-512-cert-v01@openssh.com"])
def test_an_algorithm_that_is_not_the_keys_is_refused(rsa, algorithm):
    with pytest.raises(RefusedError, match="no algorithm"):
        sign_login(rsa, "me", login(rsa, algorithm), algorithm)
    with pytest.raises(RefusedError, match="no algorithm"):
        sign(rsa, b"h" * 32, algorithm)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_never_signed(data):
    key = paramiko.Ed25519Key(data=string(b"ssh-ed25519") + string(b"k" * 32))
    with pytest.raises(RefusedError):
        sign_login(key, "me", data, "ssh-ed25519")


@given(session=st.binary(min_size=20, max_size=64), user=st.text(st.characters(codec="utf-8")))
def test_any_user_and_session_make_a_login(session, user):
    key = paramiko.Ed25519Key(data=string(b"ssh-ed25519") + string(b"k" * 32))
    key.sign_ssh_data = lambda data, algorithm: paramiko.Message(b"signed")
    data = login(key, "ssh-ed25519", session=session, user=user.encode())

    assert sign_login(key, user, data, "ssh-ed25519") == b"signed"


@pytest.mark.parametrize("blob", [b"", b"\0\0\0\xffshort", string(b"\xff")])
def test_a_key_without_a_type_is_no_key(blob):
    with pytest.raises(ProtocolError):
        key_type(blob)
