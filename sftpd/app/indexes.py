"""The indexes of an instance's links, each opened when it is first used."""

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from sftpd.app.keys import token_key
from sftpd.app.layouts import layouts
from sftpd.audit.checkpoint import SigningKey
from sftpd.config.link_model import LinkFile
from sftpd.erasure.contents import Folder
from sftpd.erasure.index import Index, remove
from sftpd.erasure.layouts import Layout
from sftpd.erasure.search import RECEIVED

_SUFFIX = ".db"


class Indexes:
    """The indexes by link, for any thread; they lie in `folder`.

    `links` are those that are configured now, and `received` says where what came over a link lies.
    """

    def __init__(
        self,
        folder: Path,
        key: SigningKey,
        links: Callable[[], Iterable[LinkFile]],
        received: Callable[[str], Path],
    ) -> None:
        self._links = links
        self._folder = folder
        self._key = key
        self._received = received
        self._lock = threading.Lock()
        self._open: dict[str, Index] = {}

    def names(self) -> Collection[str]:
        """The links that are indexed."""
        return [file.name for file in self._links() if file.erasure.index]

    def received(self, link: str) -> Folder:
        """The folder of received files of a link."""
        return Folder(RECEIVED, self._received(link))

    def layouts(self, link: str) -> Sequence[Layout]:
        """What the link's configuration says of its files."""
        return next((layouts(file.erasure) for file in self._links() if file.name == link), [])

    def index(self, link: str) -> Index | None:
        """The index of a link, None where it has none. Raises OSError and sqlite3.Error."""
        if link not in self.names():
            return None
        with self._lock:
            if link not in self._open:
                self._open[link] = Index(self._path(link), token_key(self._key, f"index/{link}"))
            return self._open[link]

    def discard(self, link: str) -> None:
        """Remove the index of a link, which is begun anew."""
        with self._lock:
            opened = self._open.pop(link, None)
            if opened is not None:
                opened.close()
            remove(self._path(link))

    def discard_others(self) -> None:
        """Remove the indexes of what is not indexed any more. Raises OSError."""
        with suppress(FileNotFoundError):
            for path in list(self._folder.iterdir()):
                if path.suffix == _SUFFIX and path.stem not in self.names():
                    self.discard(path.stem)

    def close(self) -> None:
        """Let all of them go."""
        with self._lock:
            for opened in self._open.values():
                opened.close()
            self._open.clear()

    def _path(self, link: str) -> Path:
        return self._folder / f"{link}{_SUFFIX}"
