"""The messages between processes: their envelopes, their encoding and their limits."""

import functools
from types import UnionType
from typing import Generic, Self, TypeVar

import msgspec

from sftpd.errors import MessageError

MESSAGE_LIMIT = 256 * 1024
"""Bytes a message may have, envelope included."""

DESCRIPTOR_LIMIT = 16
"""Descriptors that may travel with one message."""

B = TypeVar("B")


class Message(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Base of every message body: a subclass is one kind, named after its class."""


Accepts = type[Message] | UnionType
"""The kinds of body that one end takes: a Message class or a union of them."""


class Done(Message, frozen=True):
    """The reply that says nothing but that it is done; every channel takes it."""


class Request(msgspec.Struct, Generic[B], frozen=True, tag="request", array_like=True):
    """A body that waits for a Reply or a Failure with the same id."""

    id: int
    body: B


class Reply(msgspec.Struct, Generic[B], frozen=True, tag="reply", array_like=True):
    """The answer to a request of the receiver."""

    id: int
    body: B


class Failure(msgspec.Struct, frozen=True, tag="failure", array_like=True):
    """The answer to a request that could not be met: a stable code, and a text fit for the receiver."""

    id: int
    code: str
    message: str


class Notice(msgspec.Struct, Generic[B], frozen=True, tag="notice", array_like=True):
    """A body that waits for nothing."""

    body: B


Envelope = Request[Message] | Reply[Message] | Failure | Notice[Message]

_encoder = msgspec.msgpack.Encoder()


def encode(envelope: Envelope) -> bytes:
    """The packet of an envelope. Raises MessageError above MESSAGE_LIMIT bytes."""
    packet = _encoder.encode(envelope)
    if len(packet) > MESSAGE_LIMIT:
        raise MessageError(f"message has {len(packet)} bytes", expected=f"at most {MESSAGE_LIMIT}")
    return packet


class Decoder:
    """Reads packets whose bodies are of the accepted kinds."""

    def __init__(self, accepts: Accepts) -> None:
        body = accepts | Done
        self._decoder: msgspec.msgpack.Decoder[Envelope] = msgspec.msgpack.Decoder(
            Request[body] | Reply[body] | Failure | Notice[body]  # type: ignore[valid-type]  # known at run time
        )

    @classmethod
    @functools.cache
    def of(cls, accepts: Accepts) -> Self:
        """The decoder for these kinds; to make one costs more than to start a child, so each is kept."""
        return cls(accepts)

    def decode(self, packet: bytes) -> Envelope:
        """Read one packet. Raises MessageError for anything malformed or of a kind not accepted."""
        try:
            return self._decoder.decode(packet)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise MessageError("message is malformed or not allowed here") from fault
