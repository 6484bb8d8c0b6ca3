"""The bodies between session and monitor: bounded, round-tripping, with secrets masked."""

import errno
import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.errors import ContainmentError, LedgerError, LimitError, MessageError, NotFoundError, RefusedError
from sftpd.process.channel import CallFailedError
from sftpd.process.messages import Decoder, Failure, Message, Request, encode
from sftpd.ssh import messages
from sftpd.ssh.asking import error_for, failure_for

KINDS = [*typing.get_args(messages.ToMonitor), *typing.get_args(messages.ToSession)]

bodies = st.one_of(
    st.builds(messages.Sign, data=st.binary(max_size=64), algorithm=st.text(max_size=20)),
    st.builds(messages.CheckPassword, user=st.text(max_size=20), password=st.text(max_size=20)),
    st.builds(
        messages.Complete,
        transfer_id=st.text(max_size=26),
        path=st.binary(min_size=1, max_size=100),
        size=st.integers(0, 2**63 - 1),
        sha256=st.none() | st.binary(min_size=32, max_size=32),
    ),
    st.builds(
        messages.Rename,
        old=st.binary(min_size=1, max_size=100),
        new=st.binary(min_size=1, max_size=100),
        replace=st.booleans(),
    ),
)


@given(bodies)
def test_bodies_survive_the_channel(body: Message) -> None:
    assert Decoder(messages.ToMonitor).decode(encode(Request(1, body))) == Request(1, body)


@pytest.mark.parametrize(
    "body",
    [
        messages.Sign(b"x" * 65, "ssh-ed25519"),
        messages.CheckPassword("u" * 1025, "p"),
        messages.Begin(b"p" * 5000, None),
        messages.Begin(b"/upload/a", -1),
        messages.Complete("t", b"/upload/a", 1, b"short"),
        messages.SetAttributes(b"/upload/a", 0o4755, None, None),
    ],
)
def test_bodies_out_of_bounds_are_refused(body: Message) -> None:
    with pytest.raises(MessageError):
        Decoder(messages.ToMonitor).decode(encode(Request(1, body)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_variable_length_has_a_bound(kind: type[Message]) -> None:
    schema = msgspec.json.schema(kind)["$defs"]
    for field in schema[kind.__name__]["properties"].values():
        for case in field.get("anyOf", [field]):
            if case.get("type") == "array":
                assert "maxItems" in case
            if case.get("type") == "string" and "enum" not in case:
                assert "maxLength" in case or case.get("contentEncoding") == "base64"


def test_a_password_is_not_shown() -> None:
    assert "hunter2" not in repr(messages.CheckPassword("alice", "hunter2"))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOTEMPTY, "inside", "/srv"), OSError(errno.ENOTEMPTY, "")),
        (NotFoundError("x"), OSError(errno.ENOENT, "")),
        (ContainmentError("/srv"), OSError(errno.EACCES, "")),
        (LedgerError("/srv"), OSError(errno.EIO, "")),
    ],
)
def test_errors_cross_without_their_inside(error: OSError, told: OSError) -> None:
    failed = CallFailedError(Failure(1, *failure_for(error)))
    crossed = error_for(failed)
    assert isinstance(crossed, OSError)
    assert (crossed.errno, crossed.args) == (told.errno, told.args)


@pytest.mark.parametrize("kind", [RefusedError, LimitError])
def test_a_refusal_crosses_with_its_words_and_its_reason(kind: type[RefusedError]) -> None:
    refusal = kind("not today", reason="EXPIRED_TERMS", where="/srv")
    crossed = error_for(CallFailedError(Failure(1, *failure_for(refusal))))
    assert type(crossed) is kind
    assert (crossed.what, crossed.reason, crossed.where) == ("not today", "EXPIRED_TERMS", None)
