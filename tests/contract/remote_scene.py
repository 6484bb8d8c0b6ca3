"""What the tests of remotes share: logins at a server, files to send, and the one courier at work."""

import hashlib
import os
from datetime import timedelta
from pathlib import Path

import paramiko
from sshd import Sshd

from sftpd.exchange.remote import Download, Look, Publication, RemoteFile, Upload, only
from sftpd.link.model import Backoff, Remote
from sftpd.names import LinkName, RemoteName
from sftpd.process.pool import Children
from sftpd.ssh.courier_connection import RemoteLogin
from sftpd.ssh.remotes import CourierRemotes

NAME = RemoteName("partner")


def login_at(server: Sshd, **changes: object) -> RemoteLogin:
    """A login that works, but for the changes: to a field of Remote, or `key` and `password`."""
    key = changes.pop("key", None) or paramiko.PKey.from_path(server.key_path)
    password = changes.pop("password", None)
    fields = {
        "name": NAME,
        "link": LinkName("demo"),
        "host": "127.0.0.1",
        "port": server.port,
        "user": server.user,
        "host_keys": (server.host_public_key,),
        "connect_timeout": 20.0,
        "backoff": Backoff(timedelta(seconds=1), timedelta(seconds=1)),
    }
    return RemoteLogin(Remote(**(fields | changes)), key, password)


def remotes_for(children: Children, login: RemoteLogin, **options: float) -> CourierRemotes:
    return CourierRemotes(children, {NAME: login}, **options)


def listed(remote, path: bytes) -> list[RemoteFile]:
    """The files in a directory at a remote, by name."""
    return [*remote.look(path, Look()).files]


class LocalFile:
    """A file with content, open for as long as the test's folder is used."""

    def __init__(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        self.path = path
        self.size = len(content)
        self.sha256 = hashlib.sha256(content).hexdigest()

    def upload(self, remote, path: bytes, *, ours: bool = False) -> str:
        fd = os.open(self.path, os.O_RDONLY)
        try:
            return only(remote.upload([Upload(fd, path, self.size, self.sha256, ours=ours)]))
        finally:
            os.close(fd)


def download(remote, path: bytes, target: Path) -> tuple[int, str]:
    fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        return only(remote.download([Download(path, fd)]))
    finally:
        os.close(fd)


def place(remote, old: bytes, new: bytes, **options: bool) -> None:
    only(remote.place([Publication(old, new)], **options))


def remove(remote, path: bytes) -> None:
    only(remote.remove([path]))


def couriers(children: Children) -> list:
    return [child for child in children.running() if child.kind == "courier"]
