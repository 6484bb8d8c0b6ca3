"""The monitor's side of a session: what a process that nobody trusts may ask, and when."""

import errno
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import paramiko
import structlog

from sftpd.clock import Clock
from sftpd.errors import LimitError, RefusedError
from sftpd.exchange.partner import Partner, Upload
from sftpd.exchange.receive import Answer, Rest, resolved
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.link.model import Account
from sftpd.names import TransferId, VirtualPath, new_id
from sftpd.process.control import Ended
from sftpd.process.handling import Attended
from sftpd.process.messages import Done, Message
from sftpd.sftp.wire import string
from sftpd.ssh import messages as m
from sftpd.ssh import signing
from sftpd.ssh.auth import Authenticator
from sftpd.ssh.login import Login, Outcome, Partly, Proven
from sftpd.ssh.pacing import Pacing
from sftpd.ssh.penalties import Offence

_NO_CRASH = (signal.SIGKILL, signal.SIGALRM)
"""Signals that end a session on purpose: ours, or the time for its login is over."""

_NOT_AUTHENTICATED = "NOT_AUTHENTICATED"

_HASH_LENGTHS = frozenset({32, 48, 64})
"""Lengths of an exchange hash in bytes; nothing that a login signs is that short."""

FOLDER_PERMISSIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "upload": ("list", "read", "write", "delete", "rename", "mkdir", "setstat", "symlink", "hardlink"),
        "download": ("list", "read", "delete"),
        "requests": ("list", "read", "write"),
        "receipts": ("list", "read"),
        "audit": ("list", "read"),
    }
)
"""The most that anybody may do in each folder; an account's own permissions narrow it."""

_CHANGES = (m.Remove, m.Rename, m.MakeDirectory, m.RemoveDirectory, m.SetAttributes)
_NAMED_WRONG = (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)
_PARTNERS_OWN = frozenset({*_NAMED_WRONG, errno.EINVAL, errno.ENAMETOOLONG})
"""What a partner brings about by naming the wrong thing for a change: no fault of ours to be logged."""

_BEGUN_LIMIT = 1024
"""Uploads that may be begun and not completed; the oldest is forgotten then."""

_Handlers = dict[type[Message], Callable[["SessionGuard", Any], Message]]
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ports:
    """What the monitor's side of every session works with."""

    host_keys: Mapping[str, paramiko.PKey]
    """Those in use, by signature algorithm."""
    all_host_keys: Mapping[bytes, paramiko.PKey]
    """Those to come too, by public key as on the wire."""
    authenticator: Callable[[], Authenticator]
    """The one in force: a reload brings another."""
    enter: Callable[[Account], Partner]
    """Let an account in; raises RefusedError when its link may not be used or it has too many sessions."""
    require_welcome: Callable[[Account], None]
    """Pass if there is such an account and its link may be used now. Raises RefusedError."""
    ledger: Ledger
    clock: Clock
    pacing: Pacing


class SessionGuard:
    """Answers one session. Its handler is called for one message at a time."""

    def __init__(self, address: str, ports: Ports, may_log_in: Callable[[], bool]) -> None:
        """`address` is where the client comes from; `may_log_in` is asked when nothing else is in the way."""
        self.address = address
        self.partner: Partner | None = None
        self.offence: Offence | None = Offence.NO_TRY
        """What the client is to blame for if it leaves now; None once it has proven who it is."""
        self.has_left = False
        """Whether the session has said that it ends."""
        self._ports = ports
        self._may_log_in = may_log_in
        self._login = Login(ports.authenticator, address)
        self._begun: dict[str, None] = {}
        self._told: set[str] = set()
        self._has_refused = False

    def __call__(self, child: Attended, message: Message, fds: tuple[int, ...]) -> Message:
        """Answer a message. Raises RefusedError for one that has no place here or is refused."""
        del child, fds
        if isinstance(message, m.Sign):
            return self._sign(message)
        if isinstance(message, m.Farewell):
            self.has_left = True
            return Done()
        handlers = self._BEFORE_LOGIN if self.partner is None else self._AFTER_LOGIN
        handler = handlers.get(type(message))
        if handler is None:
            raise _out_of_turn()
        return self._tried(message, partial(handler, self, message))

    def upload(self, message: m.Complete) -> Upload:
        """What is to be done for a message that may be handled with those of other sessions.

        Raises RefusedError for one that has no place here.
        """
        if self.partner is None:
            raise _out_of_turn()
        assert message.sha256 is not None
        path = VirtualPath.parse(message.path)
        transfer, sha256 = self._transfer(message), message.sha256.hex()
        return Upload(self.partner, transfer, path, message.size, sha256, message.inode)

    def conclude(self, message: m.Complete, answer: Answer | Exception | Rest) -> Message:
        """The answer once that is done; what is left of it is done now. Raises what came of it."""
        return self._tried(message, lambda: self._completed(message, resolved(answer)))

    def _tried(self, message: Message, work: Callable[[], Message]) -> Message:
        try:
            return work()
        except LimitError as refusal:
            self._tell_limit(refusal.reason)
            raise
        except OSError as error:
            if not isinstance(message, _CHANGES) or error.errno not in _PARTNERS_OWN:
                raise
            raise RefusedError("not possible there", reason=errno.errorcode[error.errno]) from error

    def end(self, ended: Ended | None) -> None:
        """The session has ended, and how. Waits for nothing."""
        crashed = ended is not None and not ended.well and ended.signal not in _NO_CRASH
        public = {} if ended is None or ended.well else {"how": str(ended)}
        type_ = "session.crashed" if crashed else "session.closed"
        events: list[Event] = []
        if self.partner is not None:
            events.append(self._event(type_, public, {}))
            for transfer in self._begun:
                self.partner.give_back(TransferId(transfer))
            self.partner.close()
        elif self._login.fell_short and not self._has_refused:
            # Clients offer one key after another: only now is it known that none was the right one.
            events.append(self._refused(None, _NOT_AUTHENTICATED, self._login.fell_short))
        if self.partner is None and crashed:
            events.append(Event(type_, None, public, {"address": self.address}))
        if events:
            self._ports.ledger.defer(lambda unit: unit.record_all(events))

    def _sign(self, message: m.Sign) -> Message:
        key = self._ports.host_keys.get(message.algorithm)
        if key is None or len(message.data) not in _HASH_LENGTHS:
            raise RefusedError("not an exchange hash", reason=signing.SIGNATURE_REFUSED)
        if self._login.session_id is None:
            # RFC 4253 §7.2: the first exchange hash identifies the session for good.
            self._login.session_id = message.data
        return m.Signature(signing.sign(key, message.data, message.algorithm))

    def _prove(self, message: m.ProveHostKey) -> Message:
        """Sign what OpenSSH's PROTOCOL §2.5 says, for this session and nothing else."""
        key = self._ports.all_host_keys.get(message.key)
        session_id = self._login.session_id
        if key is None or session_id is None:
            raise RefusedError("not a host key", reason=signing.SIGNATURE_REFUSED)
        proof = b"".join(map(string, (b"hostkeys-prove-00@openssh.com", session_id, message.key)))
        return m.Signature(signing.sign(key, proof, signing.algorithms(key.get_name())[0]))

    def _check_key(self, message: m.CheckPublicKey) -> Message:
        answer = self._login.offered_key(message)
        if not answer.yes:
            key = signing.fingerprint(message.key)
            _log.info("key_not_accepted", user=message.user, address=self.address, key=key)
            self._has_failed()
        return answer

    def _verify_signature(self, message: m.VerifySignature) -> Message:
        return self._decide(self._login.by_signature(message))

    def _check_password(self, message: m.CheckPassword) -> Message:
        return self._decide(self._login.by_password(message))

    def _check_code(self, message: m.CheckCode) -> Message:
        return self._decide(self._login.by_code(message))

    def _has_failed(self) -> None:
        if self.offence is not None:
            self.offence = Offence.FAILED_LOGIN

    def _decide(self, outcome: Outcome) -> Message:
        if isinstance(outcome, Partly):
            return m.Continue(outcome.methods)
        account = outcome.account if isinstance(outcome, Proven) else None
        try:
            if account is None:
                self._has_failed()
                raise RefusedError("no account with that proof", reason=_NOT_AUTHENTICATED)
            self.offence = None
            partner = self._enter(account)
        except RefusedError as refusal:
            _log.info("login_refused", user=self._login.user, address=self.address, reason=refusal.reason)
            self._has_refused = True
            event = self._refused(account, refusal.reason, outcome.proof)
            self._ports.ledger.write(lambda unit: unit.record(event))
            return m.Denied()
        self._record("session.opened", {}, {"proof": outcome.proof})
        return self._admitted(account, partner)

    def _enter(self, account: Account) -> Partner:
        self.partner = partner = self._ports.enter(account)
        try:
            # What takes the account out ends the sessions that have a partner: from here on this one too.
            self._ports.require_welcome(account)
            if not self._may_log_in():
                raise RefusedError("it had to make room for others", reason="DISPLACED")
        except BaseException:
            self.partner = None
            partner.close()
            raise
        return partner

    def _admitted(self, account: Account, partner: Partner) -> m.Admitted:
        folders = tuple(
            m.Folder(
                name, str(published), None if staging is None else str(staging), FOLDER_PERMISSIONS[name]
            )
            for name, (published, staging) in partner.folders().items()
        )
        return m.Admitted(
            account=account.name,
            link=account.link,
            folders=folders,
            permissions=tuple(sorted(account.permissions)),
            denied_requests=tuple(sorted(account.denied)),
            max_handles=account.limits.handles,
            list_entries=account.limits.list_entries,
            upload_rate=account.limits.upload_rate,
            download_rate=account.limits.download_rate,
            rationed=partner.rationed,
        )

    def _begin(self, message: m.Begin) -> Message:
        path = VirtualPath.parse(message.path)
        self._in.begin(path)
        if len(self._begun) >= _BEGUN_LIMIT:
            oldest = next(iter(self._begun))
            del self._begun[oldest]
            self._in.give_back(TransferId(oldest))
        transfer = self._new_transfer()
        granted = self._in.grant(transfer, path, message.size_hint or 0)
        self._begun[transfer] = None
        return m.Begun(transfer, granted)

    def _extend(self, message: m.Extend) -> Message:
        self._require_begun(message.transfer_id)
        path = VirtualPath.parse(message.path)
        granted = self._in.grant(TransferId(message.transfer_id), path, message.size)
        return m.Begun(message.transfer_id, granted)

    def _complete(self, message: m.Complete) -> Message:
        path = VirtualPath.parse(message.path)
        sha256 = None if message.sha256 is None else message.sha256.hex()
        answer = self._in.complete(self._transfer(message), path, message.size, sha256, message.inode)
        return self._completed(message, answer)

    def _transfer(self, message: m.Complete) -> TransferId:
        if message.transfer_id is None:
            return self._new_transfer()
        self._require_begun(message.transfer_id)
        return TransferId(message.transfer_id)

    def _completed(self, message: m.Complete, answer: Answer) -> m.Completed:
        if message.transfer_id is not None:
            del self._begun[message.transfer_id]
            # Nothing is left where it was rationed to its end; a reload may have ended that on the way.
            self._in.give_back(TransferId(message.transfer_id))
        return m.Completed(answer)

    def _new_transfer(self) -> TransferId:
        return TransferId(new_id(self._ports.clock.now()))

    def _remove(self, message: m.Remove) -> Message:
        self._in.remove(VirtualPath.parse(message.path))
        return Done()

    def _rename(self, message: m.Rename) -> Message:
        old, new = VirtualPath.parse(message.old), VirtualPath.parse(message.new)
        self._in.rename(old, new, replace=message.replace)
        return Done()

    def _make_directory(self, message: m.MakeDirectory) -> Message:
        self._in.make_directory(VirtualPath.parse(message.path))
        return Done()

    def _remove_directory(self, message: m.RemoveDirectory) -> Message:
        self._in.remove_directory(VirtualPath.parse(message.path))
        return Done()

    def _set_attributes(self, message: m.SetAttributes) -> Message:
        path = VirtualPath.parse(message.path)
        self._in.set_attributes(path, mode=message.mode, atime=message.atime, mtime=message.mtime)
        return Done()

    def _fetched(self, message: m.Fetched) -> Message:
        self._in.fetched(VirtualPath.parse(message.path), message.size, message.read, message.version)
        return Done()

    def _abandoned(self, message: m.Abandoned) -> Message:
        self._in.abandoned(VirtualPath.parse(message.path), message.size)
        return Done()

    def _given_up(self, message: m.GivenUp) -> Message:
        if message.transfer_id in self._begun:
            del self._begun[message.transfer_id]
            self._in.give_back(TransferId(message.transfer_id))
        return Done()

    def _lease(self, message: m.Lease) -> Message:
        account = self._in.account
        limits = account.limits
        rate = limits.upload_rate if message.direction == "upload" else limits.download_rate
        if rate is None:
            return m.Leased(0.0)
        return m.Leased(self._ports.pacing.lease((account.name, message.direction), rate, message.size))

    def _limit_reached(self, message: m.LimitReached) -> Message:
        self._tell_limit(message.limit)
        return Done()

    def _tell_limit(self, limit: str) -> None:
        """Record that a limit was reached; once a session, for a client may try again at once."""
        if limit in self._told:
            return
        self._told.add(limit)
        account = self._in.account
        _log.info("limit_reached", account=account.name, limit=limit)
        event = self._event("limit.reached", {"limit": limit}, {})
        self._ports.ledger.defer(lambda unit: unit.record(event))

    def _require_begun(self, transfer: str) -> None:
        if transfer not in self._begun:
            raise RefusedError("no such upload was begun", reason="NOT_BEGUN")

    @property
    def _in(self) -> Partner:
        assert self.partner is not None
        return self.partner

    def _record(self, type: str, public: dict[str, Any], private: dict[str, Any]) -> None:
        event = self._event(type, public, private)
        self._ports.ledger.write(lambda unit: unit.record(event))

    def _refused(self, account: Account | None, reason: str, proof: str) -> Event:
        private = {"user": self._login.user, "address": self.address, "proof": proof}
        link = None if account is None else account.link
        return Event("session.refused", link, {"reason": reason}, private)

    def _event(self, type: str, public: dict[str, Any], private: dict[str, Any]) -> Event:
        account = self._in.account
        who = {"account": account.name, "address": self.address}
        return Event(type, account.link, public, private | who)

    _BEFORE_LOGIN: ClassVar[_Handlers] = {
        m.CheckPublicKey: _check_key,
        m.VerifySignature: _verify_signature,
        m.CheckPassword: _check_password,
        m.CheckCode: _check_code,
    }
    _AFTER_LOGIN: ClassVar[_Handlers] = {
        m.Begin: _begin,
        m.Extend: _extend,
        m.AskRoom: lambda self, _: m.Room(self._in.room()),
        m.Complete: _complete,
        m.Remove: _remove,
        m.Rename: _rename,
        m.MakeDirectory: _make_directory,
        m.RemoveDirectory: _remove_directory,
        m.SetAttributes: _set_attributes,
        m.Fetched: _fetched,
        m.Abandoned: _abandoned,
        m.GivenUp: _given_up,
        m.ProveHostKey: _prove,
        m.Lease: _lease,
        m.LimitReached: _limit_reached,
    }


def _out_of_turn() -> RefusedError:
    return RefusedError("message out of turn", reason="OUT_OF_TURN")
