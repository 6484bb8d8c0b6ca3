"""The monitor's side of one courier: it logs the courier in and tells it what to do."""

import base64
import binascii
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import msgspec
import paramiko
import structlog

from sftpd.errors import (
    ChangedThereError,
    HostKeyError,
    MessageError,
    NotPlacedError,
    OwnFaultError,
    ProcessError,
    RefusedError,
    RemoteError,
    RemoteFailedError,
    RemoteRefusedError,
)
from sftpd.exchange.remote import (
    DEPTH_LIMIT,
    Arrival,
    Download,
    Downloaded,
    Listing,
    Look,
    Publication,
    Published,
    RemoteFile,
    Share,
    Upload,
)
from sftpd.link import model
from sftpd.names import RemoteName
from sftpd.process.channel import CallFailedError, Delivery
from sftpd.process.child import Child
from sftpd.process.deadline import Deadline
from sftpd.process.descriptors import close_all
from sftpd.process.messages import Done, Failure, Message, Notice, Request
from sftpd.ssh import courier_messages as m
from sftpd.ssh import signing
from sftpd.ssh.messages import Leased

_LOGIN_STEPS = 6
"""Name, connection, identification, key exchange, login, SFTP: each may take `connect_timeout`."""
_STEP_PATIENCE = 300.0
_TRANSFER_PATIENCE = 24 * 3600.0
_PROBE_PATIENCE = 10.0
_TRUSTED_SECONDS = 0.1
"""For which a connection that has answered counts as one that does."""

_log = structlog.get_logger()

M = TypeVar("M", bound=Message)
A = TypeVar("A")

_ERRORS = {
    kind.code: kind
    for kind in (
        RemoteError,
        RemoteRefusedError,
        RemoteFailedError,
        OwnFaultError,
        ChangedThereError,
        HostKeyError,
    )
}


_ANSWERS = (RemoteRefusedError, RemoteFailedError)
"""What says nothing of the connection."""


@dataclass(frozen=True, slots=True)
class RemoteLogin:
    """A remote and how to log in there: a private key, a password, or both; only the monitor has the key."""

    remote: model.Remote
    key: paramiko.PKey | None = field(repr=False)
    password: Callable[[], str] | None = field(repr=False)


class Connection:
    """A Remote: each method is one call to the courier, of no more use once its connection failed."""

    def __init__(self, name: RemoteName, child: Child) -> None:
        self._name = name
        self._child = child
        self._trusted = Deadline(0)
        self.usable = False
        self.fresh = True
        """Whether it failed at nothing lately: some servers do so at everything until one logs in anew."""
        self._hung_up = False

    def log_in(self, login: RemoteLogin, idle_seconds: float) -> None:
        """Have the courier log in, and sign what it may have signed.

        No switchboard attends the channel: while it logs in, and only then, a courier is listened to here.
        """
        remote, channel = login.remote, self._child.channel
        key = None if login.key is None else login.key.asbytes()
        password = None if login.password is None else login.password()
        pinned = tuple(_blob(line, remote.name) for line in remote.host_keys)
        deadline = Deadline(_LOGIN_STEPS * remote.connect_timeout)
        with self._told():
            channel.notify(
                m.Connect(
                    remote.host,
                    remote.port,
                    remote.user,
                    host_keys=pinned,
                    timeout=remote.connect_timeout,
                    answer_timeout=remote.answer_timeout,
                    source_address=remote.source_address,
                    compat=remote.compat,
                    key=key,
                    password=password,
                    idle=idle_seconds,
                    handling=remote.handling,
                )
            )
            while not self.usable:
                envelope, fds = channel.receive(deadline.remaining())
                close_all(fds)
                match envelope:
                    case Request(body=m.SignLogin() as wanted):
                        self._sign(envelope, wanted, login)
                    case Notice(body=m.LoginFailed(code=code, message=message)):
                        raise self._error(code, message)
                    case Notice(body=m.LoggedIn() as entry):
                        self._tell(entry)
                        self.usable = True

    def _tell(self, entry: m.LoggedIn) -> None:
        if entry.legacy:
            _log.warning("legacy_algorithms", remote=self._name, algorithms=list(entry.legacy))
        for blob in entry.announced:
            # Only said: a server has proven that it has the key it showed, and no other.
            _log.info("remote_announces_host_key", remote=self._name, not_pinned=signing.fingerprint(blob))

    def answers(self) -> bool:
        """Whether the remote is still there; it is asked unless it has just answered something else."""
        if not self._trusted.passed():
            return True
        try:
            self._call(m.Probe(), Done, patience=_PROBE_PATIENCE)
        except RemoteError:
            return False
        return True

    def close(self) -> None:
        """End the courier, and the connection with it; whoever uses it gets OwnFaultError."""
        self.hang_up()
        self._child.wait()
        self._child.channel.close()

    def hang_up(self) -> None:
        """As Remote says, with OwnFaultError; whoever has borrowed it closes it."""
        self._hung_up, self.usable = True, False
        self._child.kill()

    def upload(
        self, files: Sequence[Upload], share: Share | None = None, taken: Callable[[], None] | None = None
    ) -> list[Arrival | RemoteError]:
        """As Remote says."""
        wanted = tuple(m.Sending(file.path, file.size, file.sha256, file.unless, file.ours) for file in files)
        order = m.Upload(wanted, share.rate if share else None, taken is not None)
        patience = _patience(sum(file.size for file in files), share)
        fds = [file.fd for file in files]
        told = self._call(order, m.Uploaded, fds, patience=patience, share=share, taken=taken)
        arrived = self._each(files, told.answers)
        return [one if isinstance(one, RemoteError) else one.proof for one in arrived]

    def place(self, files: Sequence[Publication], *, make_folders: bool = False) -> list[RemoteError | None]:
        """As Remote says."""
        wanted = tuple(m.Renaming(file.temporary, file.final) for file in files)
        return self._each(files, self._call(m.Place(wanted, make_folders), m.Dealt).answers)

    def publish(
        self, files: Sequence[Publication], *, folder: bytes, replace: bool, look: bool
    ) -> list[Published | RemoteError]:
        """As Remote says."""
        wanted = tuple(m.Renaming(file.temporary, file.final) for file in files)
        told = self._call(m.Publish(wanted, folder, replace, look), m.Published)
        done = self._each(files, told.answers)
        return [self._published(one) for one in done]

    def _published(self, told: msgspec.Struct | RemoteError) -> Published | RemoteError:
        match told:
            case RemoteError():
                return told
            case m.Refused(said=said):
                what = f"it refuses to give the file its final name: {said}"
                return NotPlacedError(what, where=self._name)
        assert isinstance(told, m.Placed)
        return Published(told.outcome, told.size, told.hidden)

    def holds(self, path: bytes, *, size: int, sha256: str) -> bool | None:
        """As Remote says."""
        order = m.AskContent(path, size, sha256)
        return self._call(order, m.Content, patience=_TRANSFER_PATIENCE).same

    def size(self, path: bytes) -> int | None:
        """As Remote says."""
        return self._call(m.AskSize(path), m.FileSize).size

    def look(self, path: bytes, look: Look) -> Listing:
        """As Remote says."""
        after = None if look.after is None else m.Entry(look.after.name, look.after.size, look.after.mtime)
        order = m.ListDirectory(path, look.recursive, look.oldest_first, look.limit, after, look.folders)
        part = self._call(order, m.Listing)
        files = [*part.files]
        while part.more and len(files) < look.limit:
            part = self._call(m.ListMore(), m.Listing)
            files += part.files
        if not all(_is_path(file.name, look) for file in files):
            self.usable = False
            raise RemoteError("courier lists a name that is none", where=self._name)
        return Listing(tuple(RemoteFile(*msgspec.structs.astuple(file)) for file in files), part.left_out)

    def download(
        self, files: Sequence[Download], share: Share | None = None
    ) -> list[Downloaded | RemoteError]:
        """As Remote says."""
        wanted = tuple(m.Fetching(file.path, file.size, file.steady) for file in files)
        order = m.Download(wanted, share.rate if share else None)
        patience = _patience(sum(file.size or 0 for file in files), share)
        fds = [file.fd for file in files]
        told = self._call(order, m.Downloaded, fds, patience=patience, share=share)
        got = self._each(files, told.answers)
        return [one if isinstance(one, RemoteError) else Downloaded(one.size, one.sha256) for one in got]

    def examine(self, folder: bytes, mark: str) -> m.Findings:
        """As CourierRemotes says, but files are left if it fails."""
        return self._call(m.Examine(folder, mark), m.Findings)

    def remove(self, paths: Sequence[bytes]) -> list[RemoteError | None]:
        """As Remote says."""
        return self._each(paths, self._call(m.Remove(tuple(paths)), m.Dealt).answers)

    def _each(self, files: Sequence[object], answers: Sequence[A | m.Fault]) -> list[A | RemoteError]:
        """What a courier answers for each of some files."""
        if len(answers) != len(files):
            self.usable = False
            raise RemoteError("courier answers for more or fewer files", where=self._name)
        told = [
            self._error(answer.code, answer.message) if isinstance(answer, m.Fault) else answer
            for answer in answers
        ]
        faults = [one for one in told if isinstance(one, RemoteError)]
        self.usable &= all(isinstance(fault, _ANSWERS) for fault in faults)
        self.fresh &= all(isinstance(fault, RemoteRefusedError) for fault in faults)
        return told

    def _call(
        self,
        order: Message,
        expect: type[M],
        fds: Sequence[int] = (),
        patience: float = _STEP_PATIENCE,
        share: Share | None = None,
        taken: Callable[[], None] | None = None,
    ) -> M:
        if not self.usable:
            kind = OwnFaultError if self._hung_up else RemoteError
            raise kind("connection has failed before", where=self._name)
        self.usable = False
        serve = partial(self._serve, share, taken)
        try:
            with self._told():
                answer = self._child.channel.call(order, expect, fds, timeout=patience, serve=serve)
        except _ANSWERS as fault:
            self._is_well()
            self.fresh = isinstance(fault, RemoteRefusedError)
            raise
        self._is_well()
        return answer

    def _is_well(self) -> None:
        self._trusted = Deadline(_TRUSTED_SECONDS)
        self.usable, self.fresh = not self._hung_up, True

    def _serve(self, share: Share | None, taken: Callable[[], None] | None, asked: Delivery) -> None:
        """Let a courier take from a share, and say that files are taken. Raises MessageError for all else."""
        close_all(asked.fds)
        match asked.envelope:
            case Request(body=m.Lease(size=size)) if share is not None:
                self._child.channel.reply(asked.envelope, Leased(share.take(size)))
            case Request(body=m.Taken()) if taken is not None:
                taken()
                self._child.channel.reply(asked.envelope, Done())
            case _:
                raise MessageError("courier asks for what it may not")

    def _sign(self, request: Request[Message], wanted: m.SignLogin, login: RemoteLogin) -> None:
        channel = self._child.channel
        try:
            if login.key is None:
                raise RefusedError("this remote has no key", reason=signing.SIGNATURE_REFUSED)
            blob = signing.sign_login(login.key, login.remote.user, wanted.data, wanted.algorithm)
        except RefusedError as refusal:
            _log.error("login_signature_refused", remote=self._name, fault=str(refusal))
            channel.send(Failure(request.id, refusal.reason, ""))
        else:
            channel.reply(request, m.LoginSignature(blob))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what a channel raises into RemoteError and its kinds."""
        try:
            yield
        except CallFailedError as failure:
            raise self._error(failure.failure_code, failure.message) from failure
        except TimeoutError as fault:
            raise RemoteError("courier did not get done in time", where=self._name) from fault
        except ProcessError as fault:
            kind = OwnFaultError if self._hung_up else RemoteError
            raise kind(f"courier has ended: {fault}", where=self._name) from fault

    def _error(self, code: str, message: str) -> RemoteError:
        return _ERRORS.get(code, RemoteError)(message[: m.TEXT_LIMIT], where=self._name)


def _patience(size: int, share: Share | None) -> float:
    """Seconds that a file of `size` bytes may take; others may take half of its share meanwhile."""
    return _TRANSFER_PATIENCE + (2 * size / share.rate if share else 0.0)


def _blob(line: str, remote: RemoteName) -> bytes:
    """The wire form of a public key in OpenSSH form."""
    try:
        return base64.b64decode(line.split()[1], validate=True)
    except (IndexError, binascii.Error) as fault:
        raise HostKeyError("pinned host key is none", where=remote, expected="TYPE BASE64") from fault


def _is_path(path: bytes, look: Look) -> bool:
    parts = path.split(b"/")
    if len(parts) > (DEPTH_LIMIT if look.recursive else 1) or b"\0" in path:
        return False
    return not any(part in (b"", b".", b"..") or len(part) > m.NAME_LIMIT for part in parts)
