"""Twisted Conch's SFTP server for the user who runs it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.conch import unix
from twisted.conch.checkers import InMemorySSHKeyDB, SSHPublicKeyChecker
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.keys import Key
from twisted.cred.portal import IRealm, Portal
from twisted.internet import reactor
from twisted.python.filepath import FilePath
from zope.interface import implementer


class _User(unix.UnixConchUser):
    """Conch's user without its change of user around each request, which only root may do."""

    def getHomeDir(self) -> FilePath[str]:  # noqa: N802 - Conch's name
        """As its SFTP server wants it; Conch itself returns text, at which REALPATH fails."""
        return FilePath(super().getHomeDir())

    def _runAsUser(self, f: Any, *args: Any, **kw: Any) -> Any:  # noqa: N802 - Conch's name
        calls = [(f, args, kw)] if callable(f) else [(*call, (), {})[:3] for call in f]
        result = None
        for function, positional, named in calls:
            result = function(*positional, **dict(named))
        return result


@implementer(IRealm)
class _Realm:
    def requestAvatar(  # noqa: N802 - Twisted's name
        self, name: bytes, _mind: object, *interfaces: Any
    ) -> tuple[Any, _User, Callable[[], object]]:
        user = _User(name.decode())
        return interfaces[0], user, user.logout


def _serve(port: int, host_key: str, authorized_keys: str, user: str) -> None:
    host = Key.fromFile(host_key)
    factory = SSHFactory()
    factory.publicKeys = {b"ssh-ed25519": host.public()}
    factory.privateKeys = {b"ssh-ed25519": host}
    known = [Key.fromString(line) for line in Path(authorized_keys).read_bytes().splitlines()]
    factory.portal = Portal(_Realm(), [SSHPublicKeyChecker(InMemorySSHKeyDB({user.encode(): known}))])
    reactor.listenTCP(port, factory, interface="127.0.0.1", backlog=128)
    reactor.run()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4])
