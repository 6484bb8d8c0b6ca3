"""The vault of a link: sealed copies in one folder, and their keys in another, which go before the bytes do.

    VAULT/<first two of the id>/<id>   a sealed file, `.draft` behind its name until it is whole
    KEYS/<link>.keys                   the wrapped data keys

A key is durable before what it seals has a name: a copy without a key is one whose end has begun.
"""

import fcntl
import os
import secrets
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog

from sftpd.errors import SftpdError
from sftpd.files import durable
from sftpd.files.beneath import Parts, Root
from sftpd.files.data_keys import DataKeys, Wrapping
from sftpd.files.sealed import Opened, seal

_DRAFT = b".draft"
_MODE = 0o600
_MOST_LEFT = 1000
"""Copies that a crash may leave unrecorded: more than can be under way at once. Other causes are likelier."""

_log = structlog.get_logger()


class VaultError(SftpdError):
    """A copy could not be sealed: the disk, or what holds the keys, failed."""

    code = "VAULT"


class Vault:
    """The vault of one link, for any thread; opened when it is first used. No other process may have it open.

    Methods raise OSError, and KeyFileError where the keys cannot be read.
    """

    def __init__(self, folder: Path, keys: Path, wrapping: Wrapping, name: str) -> None:
        """`folder` is there; `keys` is a file, made with its folder when it is missing."""
        self._folder = folder
        self._path = keys
        self._wrapping = wrapping
        self._name = name
        self._lock = threading.Lock()
        self._undo = ExitStack()
        self._parts: tuple[Root, DataKeys] | None = None

    def close(self) -> None:
        """Let folder and keys go; harmless when repeated."""
        with self._lock, self._undo:
            self._parts = None

    def require_key(self) -> None:
        """Pass if the keys there are can be unwrapped. Raises KeyFileError, SecretError."""
        _, keys = self._opened()
        if keys.damaged:
            _log.warning("vault_keys_damaged", link=self._name, slots=keys.damaged)
        keys.require_readable()

    def put(self, source: int) -> str:
        """Seal the content open at `source` under an id of its own, durably, and return the id.

        Raises VaultError; what there is by then is removed, or left for `destroy_others`.
        """
        identifier = secrets.token_hex(16)
        try:
            self._seal(source, identifier)
        except (OSError, SftpdError) as error:
            # Whoever uploads learns no more than that it failed.
            _log.error("vault_seal_failed", link=self._name, copy=identifier, error=str(error))
            try:
                self.destroy(identifier)
            except (OSError, SftpdError) as left:
                _log.error("vault_draft_left", link=self._name, copy=identifier, error=str(left))
            raise VaultError(f"a file could not be sealed: {error}", where=str(self._folder)) from error
        return identifier

    @contextmanager
    def open(self, identifier: str) -> Iterator[Opened]:
        """A copy, to be read. Raises NotFoundError where its key was destroyed, SealError."""
        root, keys = self._opened()
        key = keys.get(identifier)
        fd = root.open(place(identifier), os.O_RDONLY | os.O_NOFOLLOW)
        try:
            yield Opened(fd, key, where=f"vault of {self._name}, {identifier}")
        finally:
            os.close(fd)

    def opens(self, identifier: str) -> bool:
        """Whether the key of a copy is there."""
        return identifier in self._opened()[1]

    def holds(self, identifier: str) -> bool:
        """Whether a key or a byte of a copy is there."""
        root, keys = self._opened()
        return identifier in keys or any(root.exists(place) for place in _places(identifier))

    def destroy(self, identifier: str) -> bool:
        """Destroy the key of a copy and then its bytes, each durably; says whether there was any of them."""
        root, keys = self._opened()
        found = keys.destroy(identifier)
        for place in _places(identifier):
            try:
                root.unlink(place)
            except (FileNotFoundError, NotADirectoryError):
                continue
            found = True
            durable.sync_parent(root, place)
        return found

    def destroy_others(self, known: Collection[str]) -> int:
        """Destroy all copies but those `known`, which a crash left unrecorded; returns how many there were.

        Nothing may be put meanwhile. Where there are more than a crash leaves, none is destroyed and it is
        told: the ledger may be older than the vault.
        """
        root, keys = self._opened()
        there = {parts[-1].removesuffix(_DRAFT).decode("ascii", "replace") for parts, _ in root.walk()}
        others = (there | keys.identifiers()) - set(known)
        if len(others) > _MOST_LEFT:
            remedy = "was the ledger restored from an older backup? they stay until it knows them"
            _log.error("vault_copies_unknown", link=self._name, copies=len(others), remedy=remedy)
            return 0
        for identifier in others:
            self.destroy(identifier)
        return len(others)

    def _seal(self, source: int, identifier: str) -> None:
        root, keys = self._opened()
        final, draft = _places(identifier)
        durable.make_directories(root, final)
        key = keys.make(identifier)
        fd = root.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, _MODE)
        try:
            seal(source, fd, key)
            os.fsync(fd)
        finally:
            os.close(fd)
        root.rename(draft, root, final, replace=False)
        durable.sync_parent(root, final)

    def _opened(self) -> tuple[Root, DataKeys]:
        with self._lock:
            if self._parts is None:
                with ExitStack() as undo:
                    root = undo.enter_context(Root.at(self._folder))
                    keys = DataKeys(
                        _key_file(self._path), self._wrapping, name=self._name, where=str(self._path)
                    )
                    undo.callback(keys.close)
                    self._undo = undo.pop_all()
                self._parts = root, keys
            return self._parts


def _key_file(path: Path) -> int:
    """The file of keys, open; made with its folder where it is missing. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with Root.at(path.parent) as folder:
        fd = folder.open((os.fsencode(path.name),), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, _MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder.sync()
        except BaseException:
            os.close(fd)
            raise
    return fd


def place(identifier: str) -> Parts:
    """Where a copy lies in the folder of its vault."""
    return identifier[:2].encode(), identifier.encode()


def _places(identifier: str) -> tuple[Parts, Parts]:
    """Where a copy lies, and where it does until it is whole."""
    folder, name = place(identifier)
    return (folder, name), (folder, name + _DRAFT)
