"""The directories of folders, each known again: one that is not the same is not swept."""

import re
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import sqlalchemy as sa
import structlog

from sftpd.errors import ContainmentError, RefusedError
from sftpd.files.beneath import Parts, Root
from sftpd.files.fingerprint import snapshot
from sftpd.files.path_locks import PathLocks
from sftpd.files.vault import place as place_in_vault
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.writer import Unit
from sftpd.link import beside, vaulted
from sftpd.retention.freezes import Scope, settle
from sftpd.retention.guards import FOLDER, Reason

FolderOf = Callable[[str, str], Path]
"""The directory of a folder of a link: (link, folder) → absolute path."""

Place = tuple[str, str]
"""A link and a folder of it, or the path of one that is watched or must be searched for its files too."""

_WITNESSES = 100
"""Files that are looked for, the latest first, before a directory is held for the one they were put in."""
_MOUNTED = "mounted "
"""What the mark of a watched folder says before the file system that is mounted there."""
_MOUNT = re.compile(rb"^mnt_id:\s*(\d+)$", re.MULTILINE)
_log = structlog.get_logger()


class Roots:
    """Opens the directories of folders, and remembers which they are."""

    def __init__(self, ledger: Ledger, folder_of: FolderOf, locks: PathLocks) -> None:
        """`locks` are shared with whoever else changes files in these folders."""
        self._ledger = ledger
        self._folder_of = folder_of
        self._locks = locks

    def open(self, places: Collection[Place], opened: ExitStack) -> tuple[dict[Place, Root], list[Reason]]:
        """The directories of `places` that may be swept, and why the others may not, which is told."""
        roots, against = {}, []
        for place in sorted(places):
            root, reason = self._open(place, opened)
            found = [] if reason is None else [reason]
            self._settle(place, found)
            against += found
            if root is not None and reason is None:
                roots[place] = root
        return roots, against

    def folder(self, place: Place) -> Path:
        """The path of a folder's directory, whatever is there. Raises NotFoundError for an unknown link."""
        return Path(place[1]) if beside.is_beside(place[1]) else self._folder_of(*place)

    def same(self, place: Place, opened: ExitStack) -> Root | None:
        """The directory of a folder if it is the one that is known; None where there was never one.

        Raises RefusedError where it is missing or another, NotFoundError for an unknown link.
        """
        root, reason = self._open(place, opened)
        if reason is None:
            return root
        with self._ledger.read() as conn:
            was_there = _known(conn, place) is not None
        if root is None and not was_there:
            return None
        raise RefusedError(reason.text, reason=reason.code, where=f"link {place[0]}")

    def require_seen(self, places: Collection[Place]) -> None:
        """Pass unless files in our care are elsewhere, as where a disk is not mounted.

        Raises RefusedError for a directory that is missing or another, and has none of the latest in it. Of
        a folder beside those of a link no files are known: it must be the one that was seen first.
        """
        for place in sorted(places):
            reason = self._reason_beside(place) if beside.is_beside(place[1]) else self._reason_own(place)
            if reason is None:
                continue
            self._settle(place, [reason])
            raise _refusal(place, reason)

    def require_mounted(self, watched: Collection[Place]) -> None:
        """Pass unless a disk was mounted at one of these watched folders and is not. Raises RefusedError.

        Nobody knows what is dropped there, and whoever empties one may make it anew: it need not be the same.
        """
        for place in sorted(watched):
            reason = self._followed(place)
            self._settle(place, [] if reason is None else [reason])
            if reason is not None:
                raise _refusal(place, reason)

    def follow(self, watched: Collection[Place]) -> None:
        """Remember whether a disk is mounted at each of these folders, but where one is missing."""
        for place in watched:
            self._followed(place)

    def _followed(self, place: Place) -> Reason | None:
        path = self.folder(place)
        try:
            with Root.at(path) as root, Root.at(path.parent) as above:
                system, around = _file_system(root), _file_system(above)
        except OSError:
            return None
        found = "" if system == around else _MOUNTED + system
        with self._ledger.read() as conn:
            known = _known(conn, place)
        if known is not None and known.startswith(_MOUNTED) and not found:
            return Reason("FOLDER_REPLACED", f"no disk is mounted at {path}, as one was before")
        if known != found:

            def work(unit: Unit) -> None:
                _forget(unit, place)
                _remember(unit, place, found)

            self._ledger.write(work)
        return None

    def _reason_own(self, place: Place) -> Reason | None:
        with self._ledger.read() as conn:
            known, latest = _known(conn, place), _latest(conn, place)
        if not latest:
            return None
        with ExitStack() as opened:
            root, reason = self._open(place, opened)
            if root is not None and (known == identity(root) or any(_exists(root, at) for at, _ in latest)):
                return None
        return reason or _replaced(self.folder(place))

    def _reason_beside(self, place: Place) -> Reason | None:
        with self._ledger.read() as conn:
            known = _known(conn, place)
        with ExitStack() as opened:
            _, reason = self._open(place, opened)
        if reason is None or known is None:  # one that never was there is told of as not searched
            self._settle(place, [])
            return None
        if reason.code == "FOLDER_REPLACED":
            return Reason(reason.code, f"{place[1]} is another directory than was found there before")
        return reason

    def alone(self, directory: Path, path: Parts) -> AbstractContextManager[None]:
        """Change a path of a folder, in its directory, while nobody else of sftpd does."""
        return self._locks.lock(directory, path)

    def mark(self, places: Collection[Place]) -> None:
        """Remember which directory each of `places` is, where that is unknown."""
        for place in places:
            with ExitStack() as opened:
                self._open(place, opened)

    def forget_others(self, places: Collection[Place]) -> None:
        """Forget the folders beside those of links that are none of `places`, and what is frozen of them."""
        mark, freeze = tables.folder_mark.c, tables.freeze.c
        with self._ledger.read() as conn:
            marked = {(row.link, row.folder) for row in conn.execute(sa.select(mark.link, mark.folder))}
            frozen = {(row.link, row.folder) for row in conn.execute(sa.select(freeze.link, freeze.folder))}
        others = [place for place in marked | frozen if beside.is_beside(place[1]) and place not in places]

        def work(unit: Unit) -> None:
            for place in sorted(others):
                _forget(unit, place)
                settle(unit, Scope(*place), FOLDER, [])

        if others:
            self._ledger.write(work)

    def confirm(self, unit: Unit, place: Place) -> None:
        """Hold the directory that is there now for the right one. Raises OSError when there is none."""
        with Root.at(self.folder(place)) as root:
            _forget(unit, place)
            _remember(unit, place, identity(root))

    def _open(self, place: Place, opened: ExitStack) -> tuple[Root | None, Reason | None]:
        path = self.folder(place)
        try:
            root = opened.enter_context(Root.at(path))
        except OSError as error:
            return None, Reason("FOLDER_MISSING", f"{path} cannot be opened: {error.strerror}")
        found = identity(root)
        with self._ledger.read() as conn:
            known = _known(conn, place)
            latest = _latest(conn, place) if known is None else []
        if known is None:
            if not latest or any(_is_there(root, place, *file) for file in latest):
                self._ledger.write(lambda unit: _remember(unit, place, found))
            return root, None
        if known == found:
            return root, None
        return root, _replaced(path)

    def _settle(self, place: Place, found: list[Reason]) -> None:
        scope = Scope(*place)
        for reason in found:
            _log.warning("retention_folder_left_out", scope=str(scope), reason=reason.code, text=reason.text)
        freeze = tables.freeze.c
        query = sa.select(freeze.reason).where(
            freeze.link == scope.link, freeze.folder == scope.folder, freeze.reason.in_(FOLDER)
        )
        with self._ledger.read() as conn:
            known = set(conn.scalars(query))
        if known != {reason.code for reason in found}:
            self._ledger.write(lambda unit: settle(unit, scope, FOLDER, found))


def identity(root: Root) -> str:
    """What a directory is known again by: its file system and inode.

    The id of a file system, not its device: that number may be another after each boot or mount.
    Network file systems have none (statfs(2)); of them the inode alone counts.
    """
    return f"{_file_system(root)}:{root.stat(()).st_ino}"


def _file_system(root: Root) -> str:
    return f"{root.statvfs().f_fsid:x}"


def is_covered(root: Root, parts: Parts) -> bool:
    """Whether something is mounted over a directory between `root` and a path, as far as they are there."""
    try:
        mount = _mount(root)
        for depth in range(1, len(parts)):
            with root.sub(parts[:depth]) as directory:
                if _mount(directory) != mount:
                    return True
    except (OSError, ContainmentError):
        return False
    return False


def _mount(root: Root) -> bytes | None:
    """The id of the mount that a directory is reached by (proc(5), fdinfo); bind mounts have their own."""
    found = _MOUNT.search(Path(f"/proc/self/fdinfo/{root.fileno()}").read_bytes())
    return None if found is None else found[1]


def _refusal(place: Place, reason: Reason) -> RefusedError:
    return RefusedError(
        reason.text, reason=reason.code, where=f"link {place[0]}", remedy=_remedy(place, reason)
    )


def _remedy(place: Place, reason: Reason) -> str:
    if reason.code == "FOLDER_REPLACED":
        return "mount its disk, or confirm the directory by `sftpd retention unfreeze`"
    if beside.is_beside(place[1]):
        return "mount its disk, or take it out of the link's configuration, as out of also_search"
    return "mount its disk, or make the directory and confirm it by `sftpd retention unfreeze`"


def _replaced(path: Path) -> Reason:
    return Reason("FOLDER_REPLACED", f"{path} is another directory than files were put in")


def _exists(root: Root, path: bytes) -> bool:
    """Whether there is anything at a path: a copy of the file will do."""
    try:
        root.stat(tuple(path.split(b"/")), follow=False)
    except (OSError, ContainmentError):
        return False
    return True


def _is_there(root: Root, place: Place, path: bytes, source: str) -> bool:
    if place[1] == vaulted.FOLDER:
        return _exists(root, path)
    try:
        return str(snapshot(root.stat(tuple(path.split(b"/")), follow=False))) == source
    except (OSError, ContainmentError):
        return False


def _latest(conn: sa.Connection, place: Place) -> list[tuple[bytes, str]]:
    """Where the files of a folder lie in its directory, and what they are known again by."""
    file = tables.kept_file.c
    query = (
        sa.select(file.path, file.source)
        .where(file.link == place[0], file.folder == place[1], file.state == "present")
        .order_by(file.received_at.desc())
        .limit(_WITNESSES)
    )
    found = [(row.path, row.source) for row in conn.execute(query)]
    if place[1] == vaulted.FOLDER:
        return [(b"/".join(place_in_vault(copy)), copy) for _, copy in found]
    return found


def _known(conn: sa.Connection, place: Place) -> str | None:
    mark = tables.folder_mark.c
    return conn.scalar(sa.select(mark.identity).where(mark.link == place[0], mark.folder == place[1]))


def _forget(unit: Unit, place: Place) -> None:
    mark = tables.folder_mark
    unit.conn.execute(mark.delete().where(mark.c.link == place[0], mark.c.folder == place[1]))


def _remember(unit: Unit, place: Place, found: str) -> None:
    values = {"link": place[0], "folder": place[1], "identity": found, "since": unit.now}
    unit.conn.execute(tables.folder_mark.insert().values(**values))
