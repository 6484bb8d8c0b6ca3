"""The end of files on a live daemon: in every folder, and by somebody's decision, which a crash keeps."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import sshd
from daemon import PATIENCE, Daemon, eventually

RULES = """
[[retention]]
name = "everywhere"
period = "PT0S"
mandate = "Agreement"

[[retention]]
name = "looked-at"
folder = "inbound"
period = "PT0S"
action = "review"
mandate = "Agreement"
"""


def made(folder: Path) -> Daemon:
    daemon = Daemon(folder / "instance")
    text = daemon.link_config.read_text()
    head, _, rest = text.partition("[[retention]]")
    assert "[[" not in rest
    daemon.link_config.write_text(head + RULES)
    return daemon


def ask(daemon: Daemon, *words: str) -> Any:
    done = daemon.cli("retention", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run(daemon: Daemon) -> dict[str, str]:
    """Run the plan of now; returns what came of each file."""
    done = ask(daemon, "run", "--plan", ask(daemon, "plan")["plan"])
    return {f"{item['folder']}/{item['path']}": item["result"] for item in done["items"]}


def found(daemon: Daemon, content: bytes) -> list[Path]:
    return [path for path in daemon.link.rglob("*") if path.is_file() and content in path.read_bytes()]


def test_files_that_were_held_back_and_offered_have_an_end_too(tmp_path: Path) -> None:
    daemon = made(tmp_path)
    daemon.add_hook("pre-receive", "10-no", "#!/bin/sh\nexit 20\n")
    daemon.add_hook("pre-send", "10-yes", "#!/bin/sh\n")
    with daemon:
        daemon.file("local", b"person of interest")
        assert daemon.sftp_batch("put local /upload/bad.csv").returncode != 0
        (daemon.outbound / "offer.csv").write_bytes(b"person of interest")
        eventually(lambda: len(ask(daemon, "plan")["items"]) == 2, daemon)
        assert len(found(daemon, b"person of interest")) == 2
        assert run(daemon) == {"quarantine/bad.csv": "disposed", "download/offer.csv": "disposed"}
        assert found(daemon, b"person of interest") == []


def test_decisions_of_the_review_queue_are_carried_out_after_a_crash(tmp_path: Path) -> None:
    daemon = made(tmp_path)
    port = sshd.free_port()
    daemon.configure("metrics", f'listen = "127.0.0.1:{port}"')

    def waiting() -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith("sftpd_retention_reviews{"))

    with daemon:
        daemon.file("local", b"person of interest")
        daemon.sftp_done(*(f"put local /upload/{name}.csv" for name in ("a", "b", "c", "d")))
        eventually(lambda: len(ask(daemon, "review", "list")) == 4, daemon)
        assert waiting() == 0
        assert run(daemon) == {}
        assert waiting() == 4
        queue = {Path(item["path"]).stem: item["id"] for item in ask(daemon, "review", "list")}

        why = ("--reason", "seen", "--by", "Ina")
        assert ask(daemon, "review", "approve", queue["a"], *why)["action"] == "dispose"
        assert ask(daemon, "review", "extend", queue["b"], "--for", "P6M", *why)["action"] == "keep"
        until = ("--until", "2999-01-01T00:00:00+01:00")
        assert ask(daemon, "review", "reject", queue["c"], *until, *why)["action"] == "keep"
        for wrong in ((), ("--for", "P6M", *until), ("--for", "soon"), ("--until", "2000-01-01T00:00:00Z")):
            refused = daemon.cli("retention", "review", "extend", queue["d"], *wrong, *why)
            assert refused.returncode == 2, (wrong, refused)
        daemon.kill()

        daemon.start()
        assert {Path(item["path"]).stem for item in ask(daemon, "review", "list")} == {"d"}
        assert waiting() == 1
        assert run(daemon) == {"inbound/a.csv": "disposed"}
        assert sorted(path.name for path in daemon.inbound.iterdir()) == ["b.csv", "c.csv", "d.csv"]
        refused = daemon.cli("retention", "review", "approve", queue["a"], *why)
        assert (refused.returncode, "is kept" in refused.stderr) == (1, True)
        for type, name in (("approved", "a"), ("extended", "b"), ("rejected", "c")):
            eventually(lambda type=type: daemon.events_of(f"retention.{type}"), daemon)
            (event,) = daemon.events_of(f"retention.{type}")
            assert event["data"]["file"] == queue[name]


def test_a_returned_file_is_fetched_by_the_partner_and_then_gone(tmp_path: Path) -> None:
    daemon = made(tmp_path)
    text = daemon.link_config.read_text()
    daemon.link_config.write_text(text.replace('action = "review"', 'action = "return"'))
    with daemon:
        daemon.file("local", b"person of interest")
        daemon.sftp_done("put local /upload/mine.csv")
        eventually(lambda: [item["action"] for item in ask(daemon, "plan")["items"]] == ["return"], daemon)
        assert run(daemon) == {"inbound/mine.csv": "returned"}
        daemon.kill()

        daemon.start()
        assert [item["action"] for item in ask(daemon, "plan")["items"]] == ["keep"]
        assert found(daemon, b"person of interest") == [daemon.link / ".sftpd/download/returned/mine.csv"]
        daemon.sftp_done("get /download/returned/mine.csv fetched")
        assert (daemon.desk / "fetched").read_bytes() == b"person of interest"
        eventually(lambda: [item["action"] for item in ask(daemon, "plan")["items"]] == ["dispose"], daemon)
        assert ", fetched 20" in ask(daemon, "plan")["items"][0]["reason"]
        assert run(daemon) == {"download/returned/mine.csv": "disposed"}
        assert found(daemon, b"person of interest") == []
        told = [row["result"] for row in ask(daemon, "report")]
        assert told == ["returned", "disposed"]
