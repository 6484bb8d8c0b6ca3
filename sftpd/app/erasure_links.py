"""Links as deletion requests see them."""

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sftpd.app.layouts import layouts
from sftpd.config.erasure_model import ErasureSection
from sftpd.erasure.contents import Folder, Searchable, VaultFolder
from sftpd.erasure.index import Index
from sftpd.erasure.layouts import Layout
from sftpd.erasure.notices import FOLDER as NOTICES
from sftpd.exchange import receipts
from sftpd.files.beneath import Parts
from sftpd.link import folders, vaulted
from sftpd.periods import Period

if TYPE_CHECKING:
    from sftpd.app.instance import Instance

_PATIENCE, _PAUSE = 10.0, 0.05
"""Seconds for which receipts are waited for, and between two looks."""
_LEFT = {"receipts": frozenset({(NOTICES,)})}
"""Directories that deletion requests leave: notices, which have a term of their own."""


class ErasureLinks:
    """What deletion requests must know of links."""

    def __init__(self, instance: "Instance", *, restored: bool = False) -> None:
        """`restored`: folders are searched as they are, for files may be missing that the ledger knows."""
        self._instance = instance
        self._restored = restored

    def zone(self, link: str) -> ZoneInfo:
        """The link's time zone."""
        return self._instance.register.get(link).zone

    def decides(self, link: str) -> bool:
        """Whether we are the controller for its personal data."""
        return self._instance.erasure_settings(link).role == "controller"

    def folders(self, link: str) -> Sequence[Searchable]:
        """Every folder with files of the link, and those that its configuration adds.

        What else lies in the folder of the link is searched too, as of a route that is configured no more.
        Raises RefusedError where files in our care are elsewhere: nobody was found would not be true.
        """
        known = self._instance.register.get(link)
        own = known.folders.by_name()
        also = self._instance.erasure_settings(link).also_search
        watched = {route.folder for route in known.outbound}
        if not self._restored:
            beside = self._instance.folders_beside(link)
            self._instance.roots.require_seen([(link, name) for name in (*own, *beside)])
            self._instance.roots.require_mounted([(link, str(folder)) for folder in watched])
        return [
            *(
                Folder(name, path, _LEFT.get(name, frozenset()))
                for name, path in own.items()
                if name != vaulted.FOLDER
            ),
            VaultFolder(link, self._instance.vaults.of(link), self._instance.ledger),
            # By the last name alone two could be taken for one, or one for a folder of sftpd's own.
            *(Folder(str(path.relative_to(known.folders.root)), path) for path in sorted(watched)),
            *_others(known.folders.root, {*own.values(), known.folders.own, *watched, *also}),
            *(Folder(str(path), path) for path in also),
        ]

    def catch_up(self, link: str) -> None:
        """Wait a moment for the receipts of what has come by now.

        One that is written after a search names a person of whom the plan then says nothing.
        """
        instance = self._instance
        instance.sequencer.drain()
        size = instance.sequencer.sizes().get(link, 0)
        patience = instance.clock.monotonic() + _PATIENCE
        while instance.writes_receipts and instance.clock.monotonic() < patience:
            with instance.ledger.read() as conn:
                if receipts.made_of(conn, link) >= size:
                    return
            time.sleep(_PAUSE)

    def needs_second_person(self, link: str) -> bool:
        """What the link's configuration says of approvals."""
        return self._instance.erasure_settings(link).require_second_person

    def layouts(self, link: str) -> Sequence[Layout]:
        """What the link's configuration says of its files."""
        return layouts(self._instance.erasure_settings(link))

    def index(self, link: str) -> Index | None:
        """The index of what was received over the link."""
        return self._instance.indexes.index(link)

    def hold(self, link: str, folder: str, path: Parts) -> str | None:
        """The reason of the legal hold on a file."""
        return self._instance.held(link, folder, b"/".join(path))

    def acknowledged_by(self, link: str, since: datetime) -> datetime:
        """What the link's configuration says of notices."""
        return self._end(link, since, lambda erasure: erasure.acknowledge_within)

    def counterparty(self, link: str) -> str:
        """The counterparty by the link's configuration; the link's name where that is gone."""
        file = self._instance.config.link(link)
        return link if file is None else file.about.counterparty

    def kept_until(self, link: str, since: datetime) -> datetime:
        """What the link's configuration says of certificates."""
        return self._end(link, since, lambda erasure: erasure.keep_certificates)

    def _end(self, link: str, since: datetime, period: Callable[[ErasureSection], Period]) -> datetime:
        """The end of a period of a link, the usual one where the link is not configured any more."""
        file = self._instance.config.link(link)
        if file is None:
            return period(ErasureSection()).due(since, self._instance.config.instance.about.time_zone)
        return period(file.erasure).due(since, self.zone(link))

    def receiptless(self, link: str, transfers: Sequence[str]) -> AbstractContextManager[None]:
        """Remove the receipts of transfers, and let none be written until the context ends."""
        return self._instance.receiptless(link, transfers)

    def alone(self, link: str, folder: str, path: Parts) -> AbstractContextManager[None]:
        """Let nobody else publish, change or remove a file at this path, until the context ends."""
        known = self._instance.register.get(link).folders.by_name()
        # Only sftpd takes these locks: in other folders whoever owns them may change a file at any moment.
        return self._instance.path_locks.lock(known[folder], path) if folder in known else nullcontext()


def _others(root: Path, known: Collection[Path]) -> Iterator[Folder]:
    """The directories in the folder of a link that are not known, and what files lie in it by themselves."""
    inside = {path.relative_to(root).parts for path in known if path.is_relative_to(root)}
    if () in inside:
        return
    with os.scandir(root) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    directories = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    for name in directories:
        if (name,) not in inside:
            without = {tuple(map(os.fsencode, parts[1:])) for parts in inside if parts[0] == name}
            yield Folder(_called(name), root / name, frozenset(without))
    if any(entry.is_file(follow_symlinks=False) for entry in entries):
        yield Folder(".", root, frozenset((os.fsencode(name),) for name in directories))


def _called(name: str) -> str:
    """What a directory is called that is none of those of which sftpd calls one so."""
    told = os.fsencode(name).decode("utf-8", "backslashreplace")
    return f"./{told}" if told in folders.NAMES else told
