"""The session's side of logging in: it asks the monitor, and opens SFTP channels for whom that lets in."""

from collections.abc import Callable
from typing import Any

import paramiko
import structlog
from paramiko.common import (
    AUTH_FAILED,
    AUTH_PARTIALLY_SUCCESSFUL,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)
from paramiko.message import Message as Packet
from paramiko.server import InteractiveQuery

from sftpd.errors import ProcessError
from sftpd.process.channel import Channel
from sftpd.ssh.messages import (
    Admitted,
    Allowed,
    CheckCode,
    CheckPassword,
    CheckPublicKey,
    Continue,
    Decision,
    ProveHostKey,
    Signature,
    VerifySignature,
)
from sftpd.ssh.transport import ClientKey

_CHANNEL_LIMIT = 8
_HOST_KEY_LIMIT = 16
_KEY_LIMIT = 16 * 1024
_CODE_LIMIT = 64
_METHODS = {"totp": "keyboard-interactive"}
"""What SSH calls a method that has another name here."""

_BEGINNINGS = ("publickey", "password", "totp")
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
        asks_for_codes: bool,
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
        self._asks_for_codes = asks_for_codes
        self._asked = ""
        self._following: tuple[str, ...] = _BEGINNINGS if asks_for_codes else _BEGINNINGS[:2]

    def get_banner(self) -> tuple[str | None, str | None]:
        """The text shown before the login."""
        return (self._banner, "en") if self._banner else (None, None)

    def get_allowed_auths(self, username: str) -> str:
        """The same for everybody, as long as nothing was proven: who exists is not told."""
        del username
        return ",".join(_METHODS.get(method, method) for method in self._following)

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        """Whether the key may be tried; `verify` decides."""
        assert isinstance(key, ClientKey)
        if not self._may_be(username) or len(key.algorithm) > _NAME_LIMIT or len(key.blob) > _KEY_LIMIT:
            return AUTH_FAILED
        key.user = username
        answer = self._monitor.call(CheckPublicKey(username, key.algorithm, key.blob), Allowed)
        if not answer.yes:
            return AUTH_FAILED
        return AUTH_SUCCESSFUL if answer.completes else AUTH_PARTIALLY_SUCCESSFUL

    def verify(self, key: ClientKey, signed: bytes, signature: bytes) -> bool:
        """Whether the signature is the key's, and brings its user as far as was told before."""
        question = VerifySignature(key.user, key.algorithm, key.blob, signed, signature)
        return self._enter(question) != AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        """Whether the password logs the user in."""
        acceptable = isinstance(password, str) and len(password) <= _PASSWORD_LIMIT
        if not acceptable or not self._may_be(username):
            return AUTH_FAILED
        return self._enter(CheckPassword(username, password))

    def check_auth_interactive(self, username: str, submethods: str) -> int | InteractiveQuery:
        """Ask for a one-time code, whoever it is."""
        del submethods
        if not self._may_be(username) or not self._asks_for_codes:
            return AUTH_FAILED
        self._asked = username
        query = InteractiveQuery()
        query.add_prompt("One-time code: ", echo=False)
        return query

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        """Whether the code is the user's."""
        user, self._asked = self._asked, ""
        if not user or len(responses) != 1 or len(responses[0]) > _CODE_LIMIT:
            return AUTH_FAILED
        return self._enter(CheckCode(user, responses[0]))

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

    def _may_be(self, username: str) -> bool:
        return self.admitted is None and 0 < len(username) <= _NAME_LIMIT

    def _enter(self, question: VerifySignature | CheckPassword | CheckCode) -> int:
        if self.admitted is not None:
            return AUTH_FAILED
        try:
            answer = self._monitor.call(question, Decision)
        except ProcessError as error:
            _log.warning("login_undecided", error=str(error))
            return AUTH_FAILED
        if isinstance(answer, Continue):
            self._following = answer.methods
            return AUTH_PARTIALLY_SUCCESSFUL
        if not isinstance(answer, Admitted):
            return AUTH_FAILED
        self._on_admitted(answer)
        self.admitted = answer
        return AUTH_SUCCESSFUL
