"""A courier's proof of what a remote has, with our own handler as the remote."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from account_sessions import Session
from courier_scene import NUMBER, PATIENCE, Carrier, served_by
from hypothesis import given
from hypothesis import strategies as st

from sftpd.errors import RemoteError
from sftpd.link.model import Handling
from sftpd.sftp.wire import string, uint32
from sftpd.ssh import checksums
from sftpd.ssh.courier_answers import Answer, Streamed
from sftpd.ssh.courier_channel import CourierChannel
from sftpd.ssh.courier_filling import filling_with
from sftpd.ssh.courier_proof import Ranges, prove
from sftpd.ssh.courier_sftp import Client
from sftpd.ssh.sftp_channel import MAX_DATA, WINDOW, Peer

CONTENT = bytes(range(256)) * 5_000
PATH = b"/upload/.sftpd-1.part"


class Remote:
    """Our own handler as the remote; its hashes may be said otherwise, as other servers do."""

    def __init__(self, session: Session, body: bytes | None = None) -> None:
        self._serve = served_by(session)
        self._body = body
        self.carrier = Carrier(self._reply)
        self.channel = Patient(self.carrier, Peer(NUMBER, WINDOW, MAX_DATA), PATIENCE)
        self.client = Client(self.channel)

    def _reply(self, data: bytes) -> list[bytes]:
        return [self._otherwise(answer) for answer in self._serve(data)]

    def _otherwise(self, answer: bytes) -> bytes:
        hashed = answer[4:5] == b"\xc9" and self.asked(b"check-file-name")
        if self._body is None or not hashed:
            return answer
        head = answer[4:9]
        return uint32(len(head) + len(self._body)) + head + self._body

    def asked(self, name: bytes) -> int:
        return sum(string(name) in packet for packet in self.carrier.sent)

    def write(self, content: bytes) -> None:
        self.client.write_file(PATH, filling_with(content))


class Patient(CourierChannel):
    """Remembers how much more patience was asked of it."""

    longest = 0.0

    def answer(self, number: int, more_patience: float = 0.0) -> Answer | Streamed:
        self.longest = max(self.longest, more_patience)
        return super().answer(number, more_patience)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(tmp_path) as session:
        yield session


def seen(content: bytes, length: int) -> Ranges:
    ranges = Ranges(length)
    ranges.update(content)
    return ranges


@pytest.mark.parametrize(("limit", "asked"), [(64_000, 1), (10_000, 8)], ids=["whole", "by ranges"])
def test_a_remote_hashes_all_at_once_or_range_by_range(
    session: Session, monkeypatch: pytest.MonkeyPatch, limit: int, asked: int
) -> None:
    monkeypatch.setattr(checksums, "WORK_LIMIT", limit)
    remote = Remote(session)
    remote.write(CONTENT[:64_000])
    assert remote.channel.longest == 0
    assert prove(remote.client, PATH, seen(CONTENT[:64_000], 10_000), Handling()) == "sha256"
    assert remote.asked(b"check-file-name") == asked
    assert remote.channel.longest > 0


def test_an_empty_file_is_proven_too(session: Session) -> None:
    remote = Remote(session)
    remote.write(b"")
    assert prove(remote.client, PATH, seen(b"", 10), Handling()) == "sha256"


@pytest.mark.parametrize("limit", [64_000, 10_000], ids=["whole", "by ranges"])
@pytest.mark.parametrize("at", [0, 15_000, 63_999])
def test_other_bytes_are_noticed_wherever_they_are(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, limit: int
) -> None:
    monkeypatch.setattr(checksums, "WORK_LIMIT", limit)
    remote = Remote(session)
    remote.write(CONTENT[:64_000])
    staged = tmp_path / "staging" / PATH.decode()[1:]
    with staged.open("r+b") as file:
        file.seek(at)
        file.write(bytes([CONTENT[at] ^ 1]))
    with pytest.raises(RemoteError, match="other bytes than were sent"):
        prove(remote.client, PATH, seen(CONTENT[:64_000], 10_000), Handling())


def test_servers_that_put_the_extensions_name_first_are_understood(session: Session) -> None:
    body = string(b"check-file") + string(b"sha256") + hashlib.sha256(b"abc").digest()
    remote = Remote(session, body)
    remote.write(b"abc")
    assert prove(remote.client, PATH, seen(b"abc", 10), Handling()) == "sha256"
    assert remote.asked(PATH) == 3  # opened, described and checked once, and not read again


@pytest.mark.parametrize(
    ("size", "proof", "opened"), [(1 << 20, "sha256", 2), ((1 << 20) + 1, "size", 1)], ids=["small", "big"]
)
@pytest.mark.parametrize("why", ["denied", "another algorithm"])
def test_without_a_hash_a_small_file_is_read_again(
    tmp_path: Path, size: int, proof: str, opened: int, why: str
) -> None:
    content = CONTENT[:size]
    denied = ("check-file-name",) if why == "denied" else ()
    with Session(tmp_path, denied_requests=denied) as session:
        remote = Remote(session, None if denied else string(b"md5") + bytes(16))
        remote.write(content)
        assert prove(remote.client, PATH, seen(content, 1 << 30), Handling()) == proof
        assert remote.asked(PATH) - remote.asked(b"check-file-name") == opened + 1  # and described once


@given(st.lists(st.binary(max_size=40)), st.integers(1, 50))
def test_ranges_cover_all_and_each_byte_once(chunks: list[bytes], length: int) -> None:
    ranges = Ranges(length)
    for chunk in chunks:
        ranges.update(chunk)
    content = b"".join(chunks)
    parts = [content[at : at + length] for at in range(0, len(content), length)] or [b""]
    assert (ranges.size, ranges.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    starts = (sum(map(len, parts[:index])) for index in range(len(parts)))
    expected = [
        (start, len(part), hashlib.sha256(part).digest()) for start, part in zip(starts, parts, strict=True)
    ]
    assert list(ranges) == expected
