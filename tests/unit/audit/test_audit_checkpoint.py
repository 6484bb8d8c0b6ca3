import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftpd.audit.checkpoint import (
    Checkpoint,
    SigningKey,
    VerifierKey,
    parse_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
)
from sftpd.errors import AuditError

ORIGIN = "office/demo"
KEY = SigningKey.generate(ORIGIN)
HEAD = Checkpoint(ORIGIN, 300, bytes(range(32)))

names = st.text(
    st.characters(codec="utf-8", exclude_categories=["Z", "C"], exclude_characters="+"), min_size=1
)


def rejected(raw, match, *, keys=(KEY.verifier,), origin=ORIGIN):
    with pytest.raises(AuditError, match=match):
        verify_checkpoint(raw, keys, origin=origin)


@settings(deadline=None)
@given(names, st.integers(0, 10**18), st.binary(min_size=32, max_size=32))
def test_round_trip(origin, size, root):
    head = Checkpoint(origin, size, root)
    raw = sign_checkpoint(head, KEY)
    assert verify_checkpoint(raw, [KEY.verifier], origin=origin) == head == parse_checkpoint(raw)


def test_the_bytes_are_those_of_the_specification():
    lines = sign_checkpoint(HEAD, KEY).decode().split("\n")
    assert lines[:4] == ["office/demo", "300", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", ""]
    dash, name, encoded = lines[4].split(" ")
    assert (dash, name, lines[5:]) == ("\u2014", ORIGIN, [""])
    assert base64.b64decode(encoded)[:4] == KEY.verifier.key_id


def test_a_published_note_verifies():
    """The example of the Go checksum database's note package, which the signed-note format comes from."""
    key = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    question = b"If you think cryptography is the answer to your problem,\n"
    text = question + b"then you don't know what your problem is.\n"
    line = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    signature = base64.b64decode(line)
    assert signature[:4] == key.key_id
    assert key.verifies(signature[4:], text)
    assert not key.verifies(signature[4:], text + b"\n")


@given(names)
def test_verifier_key_round_trip(name):
    key = SigningKey.generate(name).verifier
    assert VerifierKey.parse(str(key)) == key


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("nothing", "not a verifier key"),
        ("name+00000000+AAAA", "not canonical base64"),
        (str(KEY.verifier).replace(KEY.verifier.key_id.hex(), "00000000"), "does not match its key ID"),
        ("a+00000000+" + base64.b64encode(bytes(33)).decode(), "unknown type"),
        (" x" + str(KEY.verifier), "key ID"),
        ("a b+00000000+" + base64.b64encode(b"\1" + bytes(32)).decode(), "cannot name"),
    ],
    ids=["form", "base64", "other-id", "type", "space-before", "space-within"],
)
def test_malformed_verifier_keys_are_refused(text, match):
    with pytest.raises(AuditError, match=match):
        VerifierKey.parse(text)


def test_every_changed_byte_is_noticed():
    raw = sign_checkpoint(HEAD, KEY)
    for at in range(len(raw)):
        for bit in range(8):
            changed = raw[:at] + bytes([raw[at] ^ (1 << bit)]) + raw[at + 1 :]
            rejected(changed, r"^checkpoint( line \d)?: ")
        rejected(raw[:at], r"^checkpoint( line \d)?: ")


def test_signatures_of_strangers_are_ignored_and_do_not_suffice():
    stranger = SigningKey.generate("witness.example")
    ours, theirs = sign_checkpoint(HEAD, KEY), sign_checkpoint(HEAD, stranger)
    both = ours + theirs.split(b"\n\n")[1]
    assert verify_checkpoint(both, [KEY.verifier], origin=ORIGIN) == HEAD
    assert verify_checkpoint(both, [stranger.verifier], origin=ORIGIN) == HEAD
    rejected(theirs, "line 5: no signature by a known key")
    rejected(ours, "no signature", keys=[SigningKey.generate(ORIGIN).verifier])


def test_the_origin_must_be_the_one_asked_for():
    rejected(sign_checkpoint(HEAD, KEY), "line 1: checkpoint of another log", origin="office/other")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("office/demo\n300\n", "2 lines"),
        ("office/demo\n300\nAAAA\n", "line 3: not canonical base64"),
        ("office/demo\n0300\n", "2 lines"),
        (HEAD.text.replace("300", "0300"), "line 2: not a tree size"),
        (HEAD.text.replace("300", "-1"), "line 2: not a tree size"),
        (HEAD.text.replace("300", "٣"), "line 2: not a tree size"),
        (HEAD.text.replace("office", "of fice"), "line 1: not an origin"),
        (HEAD.text + "extension\n", "4 lines"),
    ],
)
def test_signed_text_of_another_form_is_refused(text, match):
    signature = base64.b64encode(KEY.verifier.key_id + KEY.sign(text.encode())).decode()
    rejected(f"{text}\n\u2014 {ORIGIN} {signature}\n".encode(), match)


def test_an_origin_that_could_forge_lines_is_not_signed():
    with pytest.raises(AuditError, match="cannot name"):
        sign_checkpoint(Checkpoint("a\n999", 1, bytes(32)), KEY)


def test_a_huge_note_is_refused_unread():
    rejected(bytes(70_000), "too long")


def test_the_private_key_is_not_in_the_repr():
    assert repr(KEY) == "SigningKey('office/demo', ***)"
