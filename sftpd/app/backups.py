"""What of an instance goes into a backup, and in which order."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sftpd import __version__
from sftpd.app.instance import Instance
from sftpd.audit.canonical import instant
from sftpd.backup.manifest import BackupError, Summary, seal
from sftpd.backup.writer import Writer
from sftpd.config.load import LINKS_FOLDER
from sftpd.errors import RefusedError
from sftpd.files.beneath import Parts, Root
from sftpd.ledger.database import NEWEST

_VAULT_KEYS = "vault-keys"
_DRAFT = ".backup.db"
_OWN: Parts = (b".sftpd",)
_FIRST = ((b".sftpd", b"staging"), (b".sftpd", b"requests"), (b".sftpd", b"screening"))
_LAST = (
    (b"inbound",),
    (b"quarantine",),
    (b".sftpd", b"download"),
    (b"failed",),
    (b"sent",),
    (b".sftpd", b"held"),
    (b".sftpd", b"receipts"),
    (b".sftpd", b"return_receipts"),
    (b".sftpd", b"vault"),
)
"""The folders of a link as files move through them: who goes after them misses none that moves meanwhile."""


def create(instance: Instance, output: int, *, with_keys: bool) -> Summary:
    """Write a backup to an open file, durably, while the instance works on.

    The ledger comes first, together with the logs, and then the files. So whatever was acknowledged by the
    moment of the ledger is in the backup, at its place or, if it was moved meanwhile, further on its way;
    what the ledger does not know is newer, and told of at a restore. The other way round the ledger would
    speak of files that came after the files were copied, which nobody could have back.

    Raises BackupError where the disk fails, LedgerError, AuditError, and RefusedError while another is made.
    """
    if not instance.backing_up.acquire(blocking=False):
        raise RefusedError("another backup is being made", reason="BACKUP_RUNNING")
    try:
        with tempfile.TemporaryFile(dir=instance.config.instance.about.state) as lines:
            writer = Writer(output, lines)
            epoch = _state(instance, writer)
            _configuration(instance, writer)
            _links(instance.config.instance.about.links, writer)
            if with_keys:
                _keys(instance, writer)
            summary = _summary(instance, writer, epoch, with_keys)
            writer.close(*seal(summary, instance.key))
        return summary
    except OSError as error:
        where = None if error.filename is None else str(error.filename)
        raise BackupError(f"it could not be made: {error.strerror}", where=where) from error
    finally:
        instance.backing_up.release()


def _summary(instance: Instance, writer: Writer, epoch: int, with_keys: bool) -> Summary:
    tally = writer.tally
    return Summary(
        instance=instance.name,
        made=instant(instance.clock.now()),
        version=__version__,
        schema=NEWEST,
        epoch=epoch,
        keys=with_keys,
        files=tally.files,
        bytes=tally.bytes,
        changed=writer.changed,
        manifest=tally.manifest,
    )


def _state(instance: Instance, writer: Writer) -> int:
    """The ledger and the logs as they are at one moment; returns how far the erasure ledger reached then."""
    draft = instance.config.instance.about.state / _DRAFT
    draft.unlink(missing_ok=True)  # a crash left it
    try:
        with instance.sequencer.still():
            # Before the copy, so that the copy knows as much at least.
            epoch = instance.erasures.compare().after
            draft.touch(mode=0o600)
            instance.ledger.copy_to(draft)
            writer.folder(b"state", 0o700)
            _one(writer, b"state/ledger.db", draft)
            _tree(writer, b"state/audit", instance.audit_folder)
    finally:
        draft.unlink(missing_ok=True)
    return epoch


def _configuration(instance: Instance, writer: Writer) -> None:
    root = instance.config.root
    _one(writer, b"sftpd.toml", root / "sftpd.toml")
    folder = root / LINKS_FOLDER
    writer.folder(LINKS_FOLDER.encode(), folder.stat().st_mode & 0o777)
    for file in sorted(folder.glob("*.toml")):  # followed, should one be a link: they are our own
        _one(writer, os.fsencode(f"{LINKS_FOLDER}/{file.name}"), file)
    hooks = instance.config.instance.about.hooks
    if hooks is not None:
        _tree(writer, b"hooks", hooks)


def _links(folder: Path, writer: Writer) -> None:
    with Root.at(folder) as root:
        writer.folder(b"links", root.stat(()).st_mode & 0o777)
        with root.scan() as listing:
            links = sorted(name for name, status in listing if stat.S_ISDIR(status.st_mode))
        for link in links:
            with suppress(FileNotFoundError), root.sub((link,)) as one:
                name = b"links/" + link
                writer.folder(name, one.stat(()).st_mode & 0o777)
                if one.exists(_OWN):
                    writer.folder(b"/".join((name, *_OWN)), one.stat(_OWN).st_mode & 0o777)
                for parts in _in_order(one):
                    writer.tree(b"/".join((name, *parts)), one, parts)


def _in_order(link: Root) -> Iterator[Parts]:
    """The folders of a link in the order in which files move through them, each once."""
    there = set(_beneath(link, ()))
    known = (there - {_OWN}) | set(_beneath(link, _OWN) if _OWN in there else ())
    rest = sorted(known - {*_FIRST, *_LAST})
    yield from (parts for parts in (*_FIRST, *rest, *_LAST) if parts in known)


def _beneath(root: Root, folder: Parts) -> Iterator[Parts]:
    """What is in a folder and may be in a backup: folders and files."""
    with root.scan(folder) as listing:
        for name, status in listing:
            if stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode):
                yield (*folder, name)


def _keys(instance: Instance, writer: Writer) -> None:
    """The keys beside the configuration, and the wrapped keys of vaults."""
    keys = instance.config.root / "keys"
    if keys.is_dir():
        _tree(writer, b"keys", keys)
    folder = instance.config.instance.about.state / _VAULT_KEYS
    if folder.is_dir():
        _tree(writer, f"state/{_VAULT_KEYS}".encode(), folder)


def _tree(writer: Writer, name: bytes, folder: Path) -> None:
    with Root.at(folder) as root:
        writer.tree(name, root)


def _one(writer: Writer, name: bytes, file: Path) -> None:
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        writer.file(name, fd)
    finally:
        os.close(fd)
