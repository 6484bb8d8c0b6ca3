"""A PostgreSQL server that is started for tests, to have their ledgers."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sftpd.ledger.database import migrate, open_engine

_PATIENCE = 60.0
_NOBODY = 65534
_TEMPLATE = "template_of_ledgers"
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "50",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    # Where nothing is to survive the machine, nothing need reach its disk.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
}


class Server:
    """A PostgreSQL server in a temporary folder, on a Unix socket; its text sorts as English does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: set[str] = set()
        # It refuses to run as root.
        self._as = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        if self._as:
            os.chown(folder, _NOBODY, _NOBODY)
        data = folder / "data"
        how = ("--username=sftpd", "--auth=trust", "--encoding=UTF8", "--no-sync")
        locale = ("--locale=C", "--locale-provider=icu", "--icu-locale=en")
        argv = [_program("initdb"), "--pgdata", data, *how, *locale]
        subprocess.run(argv, check=True, capture_output=True, cwd=folder, **self._as)
        argv = [_program("postgres"), "-D", data, *(f"--{name}={value}" for name, value in _SETTINGS.items())]
        argv.append(f"--unix_socket_directories={folder}")
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log, **self._as)
        self._await()
        self._run(f"CREATE DATABASE {_TEMPLATE}")
        engine = open_engine(_url(folder, _TEMPLATE))
        migrate(engine)
        engine.dispose()

    def url(self, path: Path, *, empty: bool = False) -> str:
        """The database that stands for the file `path`, with its schema unless it is to be made `empty`."""
        name = _name(path)
        if name not in self._made:
            self._run(f"CREATE DATABASE {name}" + ("" if empty else f" TEMPLATE {_TEMPLATE}"))
            self._made.add(name)
        return _url(self.folder, name)

    def copy(self, path: Path, copy: Path) -> None:
        """Have the database of `copy` be as that of `path`, which nobody uses."""
        self._run(f"CREATE DATABASE {_name(copy)} TEMPLATE {_name(path)}")
        self._made.add(_name(copy))

    def forget(self) -> None:
        """Drop every database that was asked for."""
        for name in self._made:
            self._run(f"DROP DATABASE {name} WITH (FORCE)")
        self._made.clear()

    def restart(self) -> None:
        """Cut every connection, as a server that is started anew does."""
        self._run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'ledger_%'")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _run(self, statement: str) -> None:
        with psycopg.connect(f"host={self.folder} user=sftpd dbname=postgres", autocommit=True) as conn:
            conn.execute(statement)

    def _await(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return self._run("SELECT 1")
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.02)


def url_in(folder: Path, path: Path) -> str:
    """The database that stands for the file `path`, where a server runs in `folder` and has made it."""
    return _url(folder, _name(path))


def _name(path: Path) -> str:
    return "ledger_" + hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def _url(folder: Path, database: str) -> str:
    return f"postgresql+psycopg://sftpd@/{database}?host={folder}"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A server for as long as tests ask for one."""
    with tempfile.TemporaryDirectory(prefix="sftpd-postgresql-", ignore_cleanup_errors=True) as folder:
        server = Server(Path(folder))
        yield server
        server.stop()


def _program(name: str) -> str:
    """A program of PostgreSQL's; Debian keeps them by version, out of the search path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    program = str(found[-1]) if found else shutil.which(name)
    assert program, f"{name} is missing: install the packages of packages.apt"
    return program
