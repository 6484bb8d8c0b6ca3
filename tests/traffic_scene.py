"""What the tests of traffic with a remote share: a link with one, files to drop, and a consumer of them."""

import hashlib
import os
import random
import sqlite3
import threading
from collections import Counter
from pathlib import Path

import leaks
from daemon import Daemon
from sshd import Sshd

_PAUSE = 0.01
_ROUTE = '[[route]]\nname = "out"'


def with_remote(daemon: Daemon, server: Sshd, route: str, *, host_key: str | None = None) -> None:
    """Give the demo link a remote `partner` and, in place of its own route, this one."""
    head, _, tail = daemon.link_config.read_text().partition(_ROUTE)
    retention = tail[tail.index("[[retention]]") :]
    key_type, blob, *_ = (host_key or server.host_public_key).split()
    daemon.link_config.write_text(
        f"""{head}
[[remote]]
name = "partner"
host = "127.0.0.1"
port = {server.port}
user = "{server.user}"
key = "file:{server.key_path}"
host_keys = ["{key_type} {blob}"]
connect_timeout = 10
backoff = {{ base = 0.2, cap = 0.4 }}

[[route]]
{route}

{retention}"""
    )


def with_sftpd(daemon: Daemon, partner: Daemon, *lines: str) -> None:
    """Give the demo link a remote that is another daemon, and a route to what that receives."""
    host_key = partner.known_hosts.read_text().split(maxsplit=1)[1]
    at = Sshd(partner.port, host_key, partner.user, partner.key, partner.root, partner.config)
    with_remote(daemon, at, outbound(Path("/upload"), *lines))


def outbound(remote_path: Path, *lines: str, settle: float = 0.3) -> str:
    """An outbound route to the remote that tries again soon."""
    more = "\n".join(lines)
    return f"""name = "out"
direction = "outbound"
to = "remote:partner"
remote_path = "{remote_path}"
settle = {settle}
{more}
[route.backoff]
base = 0.2
cap = 0.4
"""


def inbound(remote_path: Path, then: str, *lines: str) -> str:
    """An inbound route that looks at the remote each second."""
    more = "\n".join(lines)
    return f"""name = "in"
direction = "inbound"
from = "remote:partner"
remote_path = "{remote_path}"
every = "PT1S"
then = {then}
{more}
"""


def make_files(folder: Path, count: int, *, seed: int, prefix: str = "file") -> dict[str, str]:
    """Put files of 0 B to 1 MiB into a folder, most of them small; returns name → SHA-256."""
    folder.mkdir(exist_ok=True)
    chance = random.Random(seed)
    made = {}
    for number in range(count):
        size = 0 if number % 25 == 0 else round(2 ** chance.uniform(0, 20))
        content = chance.randbytes(size)
        name = f"{prefix}-{number:04}.bin"
        (folder / name).write_bytes(content)
        made[name] = hashlib.sha256(content).hexdigest()
    return made


class Consumer:
    """Takes every finished file out of a folder as soon as it sees it, and keeps count of what it took."""

    def __init__(self, folder: Path, aside: Path) -> None:
        self._folder = folder
        self._aside = aside
        self.taken: Counter[str] = Counter()
        self.hashes: dict[str, str] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Consumer":
        self._aside.mkdir()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_PAUSE):
            for name in os.listdir(self._folder):
                if not name.startswith(".") and (self._folder / name).is_file():
                    self._take(name)

    def _take(self, name: str) -> None:
        taken = self._aside / f"{self.taken.total()}"
        os.rename(self._folder / name, taken)
        self.hashes[name] = hashlib.sha256(taken.read_bytes()).hexdigest()
        self.taken[name] += 1


def couriers(daemon: Daemon) -> list[int]:
    """The process ids of the couriers that run."""
    found = leaks.processes(daemon.pid)
    return [pid for pid, name in found.items() if name.startswith("sftpd-courier") and "(Z)" not in name]


def states(daemon: Daemon) -> Counter[str]:
    """How many transfers the ledger has in each state."""
    with sqlite3.connect(f"file:{daemon.root}/state/ledger.db?mode=ro", uri=True) as ledger:
        found = ledger.execute("SELECT state, count(*) FROM transfer GROUP BY state").fetchall()
    ledger.close()
    return Counter(dict(found))


def names(folder: Path) -> list[str]:
    """What lies in a folder, hidden files too."""
    return sorted(os.listdir(folder))
