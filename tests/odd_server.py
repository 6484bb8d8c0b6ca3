"""An SFTP server over a real folder that misbehaves as it is told to: it refuses, interferes, or lies."""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import paramiko
from paramiko_server import serving
from sshd import Sshd, make_key


class Login(paramiko.ServerInterface):
    """Lets everybody in who has a key, while there are not too many."""

    def __init__(self, is_full):
        self.is_full = is_full

    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_publickey(self, username, key):
        return paramiko.AUTH_FAILED if self.is_full() else paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED


class Oddities:
    """What is odd about the server."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lie: Callable[[int], int] = int
        """The size it tells, given the true one."""
        self.refuses: Callable[[str, str], int | None] = lambda step, path: None
        """The status with which it refuses a step at a path; of a rename, the path before."""
        self.afterwards: Callable[[str, str], object] = lambda step, path: None
        """What else happens once a step is done; of a rename, at the path after."""
        self.steps: Counter[str] = Counter()
        """The requests that came."""
        self.logins = 0
        self.most_sessions = 100

    def files(self) -> type[paramiko.SFTPServerInterface]:
        """The interface that paramiko wants, for one conversation."""
        odd = self

        class Files(paramiko.SFTPServerInterface):
            def list_folder(self, path):
                return [self._told(entry.path, entry.name) for entry in os.scandir(path)]

            def stat(self, path):
                return odd.tried("stat", path, lambda: self._told(path))

            lstat = stat

            def open(self, path, flags, attr):
                def opened():
                    fd = os.open(path, flags, 0o640)
                    mode = "rb" if not flags & (os.O_WRONLY | os.O_RDWR) else "wb"
                    handle = Handle(odd, path, flags)
                    handle.readfile = handle.writefile = os.fdopen(fd, mode)
                    handle.stat = lambda: odd.tried("fstat", path, lambda: self._told(path))
                    return handle

                return odd.tried("open", path, opened)

            def remove(self, path):
                return odd.tried("remove", path, lambda: os.remove(path))

            def mkdir(self, path, attr):
                return odd.tried("mkdir", path, lambda: os.mkdir(path))

            def posix_rename(self, old, new):
                return odd.tried("rename", old, lambda: os.replace(old, new), new)

            rename = posix_rename

            def _told(self, path, name=None):
                told = paramiko.SFTPAttributes.from_stat(os.stat(path), name)
                if os.path.isfile(path):
                    told.st_size = odd.lie(told.st_size)
                return told

        return Files

    def tried(self, step, path, work, target=None):
        """Carry out a step, unless it is refused; what paramiko is to answer."""
        self.steps[step] += 1
        if (refusal := self.refuses(step, path)) is not None:
            return refusal
        try:
            found = work()
        except OSError as fault:
            return paramiko.SFTPServer.convert_errno(fault.errno)
        self.afterwards(step, target or path)
        return paramiko.SFTP_OK if found is None else found


class Handle(paramiko.SFTPHandle):
    """A file that is open there."""

    def __init__(self, odd, path, flags):
        super().__init__(flags)
        self.odd, self.path = odd, path

    def read(self, offset, length):
        return self.odd.tried("read", self.path, partial(super().read, offset, length))

    def write(self, offset, data):
        work = partial(super().write, offset, data)
        if offset + len(data) > os.fstat(self.writefile.fileno()).st_size:
            work = partial(self.odd.tried, "grow", self.path, work)
        return self.odd.tried("write", self.path, work)

    def close(self):
        super().close()
        self.odd.steps["close"] += 1
        self.odd.afterwards("close", self.path)


@contextlib.contextmanager
def odd_server(folder: Path) -> Iterator[tuple[Sshd, Oddities]]:
    """Run it; what it says of itself is what a login needs to know."""
    folder.mkdir(parents=True)
    make_key(folder / "host_key", "ed25519")
    make_key(folder / "user_key", "ed25519")
    (folder / "root").mkdir()
    host_key = paramiko.PKey.from_path(folder / "host_key")
    public = (folder / "host_key.pub").read_text()
    odd = Oddities(folder / "root")

    def login(_, transports):
        odd.logins += 1
        return Login(
            lambda: sum(one.is_active() and one.is_authenticated() for one in transports) >= odd.most_sessions
        )

    with serving(host_key, odd.files(), login) as port:
        yield Sshd(port, public, "me", folder / "user_key", folder / "root", folder / "none"), odd
