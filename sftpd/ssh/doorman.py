"""The session's side of logging in: it asks the monitor, and opens SFTP channels for whom that lets in."""

from collections.abc import Callable
from typing import Any

import paramiko
import structlog
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)
from paramiko.message import Message as Packet

from sftpd.errors import ProcessError
from sftpd.process.channel import Channel
from sftpd.ssh.messages import (
    Admitted,
    Allowed,
    CheckPassword,
    CheckPublicKey,
    Decision,
    ProveHostKey,
    Signature,
    VerifySignature,
)
from sftpd.ssh.transport import ClientKey

_CHANNEL_LIMIT = 8
_HOST_KEY_LIMIT = 16
_NAME_LIMIT = 255
_PASSWORD_LIMIT = 1024

_log = structlog.get_logger()


class Doorman(paramiko.ServerInterface):
    """Answers what paramiko asks while a client logs in and opens channels.

    `on_admitted` runs as soon as the client is let in, before it can ask for anything; `on_sftp` when it asks
    for SFTP on a channel, and returns whether it gets that.
    Everything but SFTP is refused: shell, exec, pty, forwarding of ports, agents and X11.
    """

    def __init__(
        self,
        monitor: Channel,
        banner: str,
        on_admitted: Callable[[Admitted], None],
        on_sftp: Callable[[paramiko.Channel, Admitted], bool],
    ) -> None:
        self.admitted: Admitted | None = None
        self.count_channels: Callable[[], int] = lambda: 0
        """Tells how many channels are open."""
        self._monitor = monitor
        self._banner = banner
        self._on_admitted = on_admitted
        self._on_sftp = on_sftp

    def get_banner(self) -> tuple[str | None, str | None]:
        """The text shown before the login."""
        return (self._banner, "en") if self._banner else (None, None)

    def get_allowed_auths(self, username: str) -> str:
        """The same for everybody: who exists is not told."""
        del username
        return "publickey,password"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        """Whether the key may be tried; `verify` decides."""
        assert isinstance(key, ClientKey)
        if self.admitted is not None or not 0 < len(username) <= _NAME_LIMIT:
            return AUTH_FAILED
        key.user = username
        question = CheckPublicKey(username, key.algorithm, key.blob)
        return AUTH_SUCCESSFUL if self._monitor.call(question, Allowed).yes else AUTH_FAILED

    def verify(self, key: ClientKey, signed: bytes, signature: bytes) -> bool:
        """Whether the signature logs the key's user in."""
        return self._enter(VerifySignature(key.user, key.algorithm, key.blob, signed, signature))

    def check_auth_password(self, username: str, password: str) -> int:
        """Whether the password logs the user in."""
        acceptable = isinstance(password, str) and len(password) <= _PASSWORD_LIMIT
        if not acceptable or not 0 < len(username) <= _NAME_LIMIT:
            return AUTH_FAILED
        return AUTH_SUCCESSFUL if self._enter(CheckPassword(username, password)) else AUTH_FAILED

    def check_global_request(self, kind: str, msg: Packet) -> Any:
        """Proof that we hold host keys the client was told of; nothing else."""
        if kind != "hostkeys-prove-00@openssh.com" or self.admitted is None:
            return False
        blobs: list[bytes] = []
        while msg.get_remainder() and len(blobs) <= _HOST_KEY_LIMIT:
            blobs.append(msg.get_binary())
        try:
            return tuple(self._monitor.call(ProveHostKey(blob), Signature).blob for blob in blobs)
        except ProcessError as error:
            _log.warning("host_key_not_proven", error=str(error))
            return False

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """Sessions only, and not too many at once."""
        del chanid
        if kind != "session" or self.admitted is None or self.count_channels() >= _CHANNEL_LIMIT:
            return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        return OPEN_SUCCEEDED

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        """SFTP only, once a channel."""
        return name == "sftp" and self.admitted is not None and self._on_sftp(channel, self.admitted)

    def _enter(self, question: VerifySignature | CheckPassword) -> bool:
        if self.admitted is not None:
            return False
        try:
            answer = self._monitor.call(question, Decision)
        except ProcessError as error:
            _log.warning("login_undecided", error=str(error))
            return False
        if not isinstance(answer, Admitted):
            return False
        self._on_admitted(answer)
        self.admitted = answer
        return True
