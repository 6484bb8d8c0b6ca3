"""Lines of an `allowed_signers` file: each counts as it does for ssh-keygen, or is a fault."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sftpd.audit import sshsig
from sftpd.audit.checkpoint import SigningKey
from sftpd.config.signers import NAMESPACE, ORDER_NAMESPACE, Signer, parse_signers
from sftpd.erasure import order
from sftpd.exchange import receipt

KEY = SigningKey("sftp.partner.example", Ed25519PrivateKey.from_private_bytes(bytes(32)))
LINE = sshsig.allowed_signer(KEY.verifier, receipt.NAMESPACE)
PUBLIC = " ".join(LINE.split()[-2:])
SIGNER = Signer(KEY.name, KEY.verifier.public)


def test_the_namespaces_are_those_of_receipts_and_orders():
    assert NAMESPACE == receipt.NAMESPACE
    assert ORDER_NAMESPACE == order.NAMESPACE


def test_who_may_sign_in_one_namespace_may_not_in_the_other():
    ordering = sshsig.allowed_signer(KEY.verifier, ORDER_NAMESPACE)
    assert parse_signers(ordering, ORDER_NAMESPACE) == (SIGNER,)
    for line, namespace in ((ordering, NAMESPACE), (LINE, ORDER_NAMESPACE)):
        with pytest.raises(ValueError, match="nobody who may sign"):
            parse_signers(line, namespace)


def test_what_sftpd_audit_signer_prints_is_read():
    assert parse_signers(LINE) == (SIGNER,)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (f"# ours\n\n{LINE}\n{LINE}", [KEY.name, KEY.name]),
        (f"a.example,b.example {PUBLIC} a comment", ["a.example", "b.example"]),
        (f'"a.example" namespaces="file,receipt@*" {PUBLIC}', ["a.example"]),
        (f'a.example namespaces="file" {PUBLIC}\nb.example {PUBLIC}', ["b.example"]),
        (f'git@example.org namespaces="git" ssh-rsa AAAA\n  {LINE}', [KEY.name]),
    ],
)
def test_lines_that_count(text, names):
    assert [signer.name for signer in parse_signers(text)] == names


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "nobody who may sign"),
        ("# nobody", "nobody who may sign"),
        (f'a.example namespaces="file" {PUBLIC}', "nobody who may sign"),
        ("a.example", "line 1: not a line of signers"),
        (PUBLIC, "line 1: not a line of signers"),
        (f"{LINE}\na.example ssh-ed25519 AAAA", "line 2: "),
        ("a.example ssh-rsa AAAA", "line 1: a key of type ssh-rsa"),
        (f"a.example cert-authority {PUBLIC}", "line 1: the option cert-authority is not known here"),
        (f'a.example valid-before="20300101",namespaces="file" {PUBLIC}', "option valid-before"),
        (f"*.example {PUBLIC}", "line 1: '\\*.example', which is not the name of an instance"),
        (f"a.example,!b.example {PUBLIC}", "'!b.example'"),
        (f'"a b" {PUBLIC}', "'a b'"),
        (f"a+b {PUBLIC}", "'a\\+b'"),
    ],
)
def test_lines_that_would_let_more_count_than_was_meant_are_faults(text, fault):
    with pytest.raises(ValueError, match=fault):
        parse_signers(text)


@given(st.text() | st.text().map(lambda text: f"{text} {PUBLIC}"))
def test_any_text_is_read_or_a_fault(text):
    try:
        found = parse_signers(text)
    except ValueError:
        return
    assert all(signer.public == KEY.verifier.public for signer in found)
