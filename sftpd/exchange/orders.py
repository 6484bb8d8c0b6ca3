"""Small signed files for the counterparty: pushed into a folder at a remote, or laid out in `/receipts`.

The signature comes before what it is of. All may be repeated after a crash.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256

from sftpd.audit import sshsig
from sftpd.exchange.remote import Remote, Remotes, Upload, in_directory, only
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.link import model


@dataclass(frozen=True, slots=True)
class Signed:
    """A file under a name that only we use, and its detached signature."""

    name: bytes
    content: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def files(self) -> tuple[tuple[bytes, bytes], ...]:
        """Names and contents, in the order in which they are to appear."""
        return (_signature_of(self.name), self.signature), (self.name, self.content)


def push(remotes: Remotes, to: model.Remote, directory: str, signed: Signed) -> None:
    """Bring a file to a directory at a remote, and its signature before it. Raises RemoteError.

    It is written under its own name, for nothing can be renamed in `/requests` of an sftpd, which has files
    whole or not at all. What is cut off at another server does not fit its signature until it is sent again.
    """
    with remotes.borrow(to.name) as remote:
        for name, content in signed.files:
            _upload(remote, in_directory(directory) + name, content)


def lay_out(receipts: Root, folder: bytes, signed: Signed) -> None:
    """Put a file durably in a folder of `/receipts`, and its signature before it. Raises OSError."""
    durable.make_directories(receipts, (folder, signed.name))
    with receipts.sub((folder,)) as into:
        for name, content in signed.files:
            durable.write_atomically(into.fileno(), name, content)


def take_away(receipts: Root, folder: bytes, name: bytes) -> None:
    """Remove what was laid out under that name, durably. Raises OSError."""
    with suppress(FileNotFoundError), receipts.sub((folder,)) as within:
        for each in (name, _signature_of(name)):
            with suppress(FileNotFoundError):
                within.unlink((each,))
        within.sync()


def _signature_of(name: bytes) -> bytes:
    return name + sshsig.SUFFIX.encode()


def _upload(remote: Remote, path: bytes, content: bytes) -> None:
    fd = os.memfd_create("order", os.MFD_CLOEXEC)
    try:
        durable.write_all(fd, content)
        only(remote.upload([Upload(fd, path, len(content), sha256(content).hexdigest())]))
    finally:
        os.close(fd)
