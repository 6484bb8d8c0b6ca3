"""An instance whose ledger is in PostgreSQL: files, a hold, retention and an erasure, with a kill between."""

import json
from pathlib import Path
from typing import Any

import ledgers
from daemon import Daemon, eventually
from postgresql_server import Server
from postgresql_server import postgresql as postgresql

JAN = "jan@example.org"
TABLE = f"name,email\nJan,{JAN}\nAnna,anna@example.org\n".encode()
WITHOUT = b"name,email\nAnna,anna@example.org\n"


def asked(daemon: Daemon, *words: str) -> Any:
    """What a command that must succeed prints."""
    done = daemon.cli(*words, "--json")
    assert done.returncode == 0, f"{done.stderr}\n{daemon.log}"
    return json.loads(done.stdout)


def test_an_instance_lives_on_postgresql(tmp_path: Path, postgresql: Server) -> None:
    daemon = Daemon(tmp_path / "instance")
    daemon.ledger.unlink()
    with ledgers.kept_in(postgresql):
        daemon.configure("instance", f'ledger = "{ledgers.url(tmp_path / "ledger", empty=True)}"')
        with daemon:
            daemon.file("table.csv", TABLE)
            daemon.sftp_done("put table.csv /upload/", "put table.csv /upload/held.csv")
            scope = ("--link", "demo", "--file", "inbound/held.csv")
            hold = asked(daemon, "hold", "add", *scope, "--reason", "case 7")
            (daemon.outbound / "out.csv").write_bytes(WITHOUT)
            eventually(lambda: "out.csv" in daemon.sftp_done("ls /download"), daemon)
            request = asked(daemon, "erasure", "open", "--link", "demo", "--identifier", f"email={JAN}")["id"]
            asked(daemon, "erasure", "find", request)
            daemon.kill()
            daemon.start()
            asked(daemon, "erasure", "approve", request)
            asked(daemon, "erasure", "run", request)
            assert asked(daemon, "erasure", "show", request)["state"] == "partial"
            asked(daemon, "hold", "release", hold["id"])
            for step in ("find", "approve", "run"):
                asked(daemon, "erasure", step, request)
            assert asked(daemon, "erasure", "show", request)["state"] == "closed"
            assert {path.read_bytes() for path in daemon.inbound.iterdir()} == {WITHOUT}
            plan = asked(daemon, "retention", "plan")
            assert asked(daemon, "retention", "run", "--plan", plan["plan"])["plan"] == plan["plan"]
            assert asked(daemon, "audit", "verify")["valid"] is True
            daemon.stop()
        assert not (daemon.root / "state/ledger.db").exists()
