"""How long a daemon takes to start with transfers that wait, and what memory it holds: by hand.

`python -m bench.waiting 1000000` makes an instance in memory, pauses its remote, and puts rows in its ledger.
"""

import json
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_SFTPD = Path(sys.executable).with_name("sftpd")
_MIB = 1024
_PATIENCE = 120.0
_REMOTE = """
[[remote]]
name = "far"
host = "127.0.0.1"
user = "us"
key = "file:keys/demo_partner_ed25519"
host_keys = ["file:keys/demo_partner_ed25519.pub"]
"""
_ROW = """
INSERT INTO transfer (id, link, direction, route, peer, path, source, size, sha256, state, attempts, rank,
                      not_before, began_at, changed_at)
VALUES (?, 'demo', 'outbound', 'out', 'far', ?, ?, 4096, ?, 'sending', 0, 2, ?, ?, ?)
"""


def main(count: int) -> None:
    """Print what an empty daemon needs, and one with `count` transfers."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        config = _instance(Path(folder) / "i")
        _serve("nothing waits", config, ("remote", "pause", "far", "--reason", "measured"))
        with sqlite3.connect(config.parent / "state/ledger.db") as ledger:
            ledger.executemany(_ROW, _rows(count))
        ledger.close()
        _serve(f"{count:,} wait", config)


def _instance(root: Path) -> Path:
    subprocess.run([_SFTPD, "init", root, "--listen", "127.0.0.1:0"], check=True, capture_output=True)
    link = root / "links.d/demo.toml"
    link.write_text(link.read_text().replace('to = "download"', 'to = "remote:far"') + _REMOTE)
    return root / "sftpd.toml"


def _rows(count: int) -> Iterator[tuple[object, ...]]:
    now = int(time.time() * 1_000_000)
    for n in range(count):
        yield f"{n:026}", b"2027/report-%09d.csv" % n, f"{n}:4096:{now}", f"{n:064x}", now + n, now, now


def _serve(what: str, config: Path, *orders: tuple[str, ...]) -> None:
    log = config.parent / "serve.log"
    began = time.monotonic()
    with log.open("wb") as output:
        daemon = subprocess.Popen([_SFTPD, "serve", "--config", config], stdout=output, stderr=output)
    while b" serves " not in log.read_bytes():
        if daemon.poll() is not None or time.monotonic() - began > _PATIENCE:
            daemon.kill()
            raise SystemExit(log.read_text())
        time.sleep(0.02)
    started = time.monotonic() - began
    for order in orders:
        subprocess.run([_SFTPD, *order, "--config", config], check=True, capture_output=True)
    time.sleep(10)
    asked = subprocess.run(
        [_SFTPD, "status", "--json", "--config", config], check=True, capture_output=True
    ).stdout
    memory = (Path("/proc") / str(daemon.pid) / "status").read_text()
    held, most = (int(re.search(rf"{key}:\s+(\d+)", memory)[1]) // _MIB for key in ("VmRSS", "VmHWM"))  # type: ignore[index]
    queue = json.loads(asked)["queue"]
    print(f"{what}: starts in {started:.1f} s, holds {held} MiB, at most {most} MiB; queue {queue:,}")
    daemon.terminate()
    daemon.wait(_PATIENCE)


if __name__ == "__main__":
    main(int(sys.argv[1]))
