"""The monitor's side of a session that has been taken over: any message, at any time."""

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import argon2
import paramiko
from exchange_scene import Scene
from fuzz_oracle import INPUT_LIMIT, Source, Target, scratch
from structlog.testing import capture_logs

from sftpd.errors import MessageError, SftpdError
from sftpd.exchange import partner
from sftpd.exchange.ration import Ration
from sftpd.exchange.reads import Reads
from sftpd.ledger.ledger import Ledger
from sftpd.link.model import Account
from sftpd.process.messages import Decoder, Message, Notice, Reply, Request, encode
from sftpd.sftp.wire import string, uint32
from sftpd.ssh import messages as m
from sftpd.ssh import signing
from sftpd.ssh.auth import Authenticator
from sftpd.ssh.codes import Codes
from sftpd.ssh.monitor import Ports, SessionGuard
from sftpd.ssh.pacing import Pacing

_HOST_KEY = paramiko.ECDSAKey.generate()
_HOST_ALGORITHM = "ecdsa-sha2-nistp256"
_CLIENT_KEYS = (paramiko.ECDSAKey.generate(), paramiko.RSAKey.generate(2048))
_SESSION_ID = bytes(32)
_ED25519 = string(b"ssh-ed25519") + string(bytes(32))
_DECODERS = (Decoder(m.ToMonitor), Decoder(m.ToSession))
_HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@contextmanager
def _opened() -> Iterator[Callable[[bytes], None]]:
    """Messages to a guard over a real link: each is answered or refused, or is no message at all."""
    with scratch() as folder, Scene(folder) as scene, capture_logs():
        account = _account()
        authenticator = Authenticator([account], scene.clock, Codes(scene.clock))
        authenticator._nobodies = [_HASHER.hash("nobody")]
        ration = Ration(scene.partner.link, scene.places, scene.ledger, scene.clock)
        ports = partner.Ports(
            scene.ledger,
            lambda: partner.InForce(scene.partner.link, scene.receiver, scene.changes, scene.keeping),
            lambda link: None,
            ration,
            Reads("demo", scene.ledger),
        )

        def enter(account: Account) -> partner.Partner:
            return partner.Partner(account, scene.places, ports)

        keys = {_HOST_ALGORITHM: _HOST_KEY}
        ledger: Ledger = scene.ledger
        held = Ports(
            keys,
            {_HOST_KEY.asbytes(): _HOST_KEY},
            lambda: authenticator,
            enter,
            lambda account: None,
            ledger,
            scene.clock,
            Pacing(scene.clock),
        )

        def run(data: bytes) -> None:
            scene.stage("staged")
            guard = SessionGuard("127.0.0.1", held, lambda: True)
            try:
                _converse(guard, Source(data))
            finally:
                guard.end(None)
                scene.flush()

        yield run


def _converse(guard: SessionGuard, source: Source) -> None:
    while source:
        packet = source.take(source.number(2))
        for decoder in _DECODERS:
            try:
                envelope = decoder.decode(packet)
            except MessageError:
                continue
            if decoder is _DECODERS[0] and isinstance(envelope, Request | Notice):
                _answered(guard, envelope.body)


def _answered(guard: SessionGuard, body: Message) -> None:
    """What is answered fits the channel, and what is refused says why."""
    try:
        answer = guard(None, body, ())  # type: ignore[arg-type]  # the child is not asked for anything
    except (SftpdError, FileNotFoundError):
        return
    encode(Reply(1, answer))


def _account() -> Account:
    keys = frozenset((_ED25519, *(key.asbytes() for key in _CLIENT_KEYS)))
    permissions = frozenset(("list", "read", "write"))
    return Account(
        "alice", "demo", keys, _HASHER.hash("right"), permissions, frozenset(), (), None, totp=bytes(20)
    )


def _logins() -> Iterable[Message]:
    """Logins whose signatures are none, by keys of each type; all but the signature fits."""
    for key in (_ED25519, *(key.asbytes() for key in _CLIENT_KEYS)):
        name = signing.algorithms(signing.key_type(key))[0]
        signed = string(_SESSION_ID) + signing.login_request(key, "alice", name)
        # The last one says that its number has a megabyte: paramiko would fill it up, and take minutes.
        for inner in (b"no signature", uint32((1 << 20) - 1) + b"\x01"):
            yield m.VerifySignature("alice", name, key, signed, string(name.encode()) + string(inner))
        for signature in (b"", string(name.encode())):
            yield m.VerifySignature("alice", name, key, signed, signature)
        yield m.VerifySignature("alice", name, key, signed, string(b"\xff\xfe"))
        yield m.VerifySignature("alice", name, key, signed, b"\xff" * 20)


def _seeds() -> Iterable[bytes]:
    sign, password = m.Sign(_SESSION_ID, _HOST_ALGORITHM), m.CheckPassword("alice", "right")
    for login in _logins():
        yield _packets(sign, login)
    yield _packets(
        sign,
        m.CheckPublicKey("alice", "ssh-ed25519", _ED25519),
        m.CheckPassword("bob", "x"),
        m.CheckCode("alice", "0"),
    )
    yield _packets(m.AskRoom(), password, m.AskRoom())
    yield _packets(m.Begin(b"/upload/a", 1), password, m.Farewell(), m.ProveHostKey(_HOST_KEY.asbytes()))
    yield _packets(sign, password, m.ProveHostKey(_HOST_KEY.asbytes()), m.ProveHostKey(b"other"))
    yield _packets(password, m.Begin(b"/upload/staged", 4), m.Complete("none", b"/upload/staged", 4, None))
    paths = (b"/upload/x", b"/upload", b"/", b"/download/d", b"/audit/x", b"/upload/../../x", b"x", b"/\0")
    for path in paths:
        yield _packets(
            password,
            m.Begin(path, None),
            m.MakeDirectory(path),
            m.SetAttributes(path, 0o777, 2**32 - 1, 0),
            m.Rename(path, b"/upload/y", replace=True),
            m.RemoveDirectory(path),
            m.Remove(path),
        )
        yield _packets(password, m.Fetched(path, 1, ((0, 1),), "1:1:1"), m.Abandoned(path, m.SIZE_MAX))
    yield struct.pack(">H", 500) + b"\x91" * 500


def _packets(*bodies: Message) -> bytes:
    packets = [encode(Request(number, body)) for number, body in enumerate(bodies, 1)]
    packets.append(encode(Notice(bodies[-1])))
    return b"".join(struct.pack(">H", len(packet)) + packet for packet in packets)


TARGETS = (Target("monitor-messages", _opened, _seeds, 64 * INPUT_LIMIT, files=1 << 30),)
