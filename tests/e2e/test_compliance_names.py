"""A deletion request forgets names of files that are here no more, and tells folders of like names apart."""

from pathlib import Path
from typing import Any

from daemon import Daemon, eventually
from test_compliance_erasure import erasure
from test_compliance_vault import ask

JAN = "jan@example.org"


def test_names_of_files_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "instance")
    waiting = [watched(daemon, name) for name in ("eu", "us")]
    with daemon:
        daemon.file("letter", b"something else\n")
        daemon.sftp_done(f"put letter /upload/{JAN}.csv")
        (daemon.inbound / f"{JAN}.csv").unlink()
        daemon.sftp_done(f"put letter /upload/{JAN}.pdf", f"rm /upload/{JAN}.pdf")
        daemon.sftp_done(f"put -p letter /upload/{JAN}.txt", f"get /upload/{JAN}.txt again")
        daemon.sftp_done(f"put letter /upload/x{JAN}.txt")
        daemon.file("report", b"of nobody\n")
        daemon.sftp_done("put report /upload/a.csv", f"rename /upload/a.csv /upload/{JAN}.1.csv")
        daemon.sftp_done(f"rename /upload/{JAN}.1.csv /upload/x{JAN}.csv")
        daemon.sftp_done(f"rename /upload/x{JAN}.csv /upload/b.csv")
        wanted = {"transfer.received", "file.withdrawn", "file.fetched", "file.renamed"}
        eventually(lambda: {event["type"] for event in told(daemon)} == wanted, daemon)
        request = erasure(daemon, "open", "--link", "demo", "--identifier", f"email={JAN}")["id"]
        erasure(daemon, "find", request)
        erasure(daemon, "approve", request, "--by", "Privacy Officer")
        assert erasure(daemon, "run", request)["state"] == "closed"
        assert not any(path.exists() for path in waiting)
        assert named(daemon) == {f"x{JAN}.txt"}
        assert [event["private"]["path"] for event in told(daemon)] == [f"/upload/x{JAN}.csv"]
        assert daemon.cli("audit", "verify").returncode == 0
        daemon.stop()
    files = [path for path in (daemon.root / "state").rglob("*") if path.is_file()]
    left = b"".join(path.read_bytes() for path in files).replace(b"x" + JAN.encode(), b"")
    assert JAN.encode() not in left


def test_a_search_finds_the_receipts_of_what_has_just_come(tmp_path: Path) -> None:
    """They are written a moment later, and nobody would have approved their removal."""
    with Daemon(tmp_path / "instance") as daemon:
        daemon.file("letter", b"something else\n")
        request = erasure(daemon, "open", "--link", "demo", "--identifier", f"email={JAN}")["id"]
        daemon.sftp_done(f"put letter /upload/{JAN}.csv")
        found = {item["folder"] for item in erasure(daemon, "find", request)["items"]}
        assert found == {"inbound", "receipts"}
        erasure(daemon, "approve", request, "--by", "Privacy Officer")
        assert erasure(daemon, "run", request)["state"] == "closed"


def test_all_that_lies_in_the_folder_of_a_link_is_searched(tmp_path: Path) -> None:
    """Also what a route left that is configured no more, and what somebody made a directory for."""
    daemon = Daemon(tmp_path / "instance")
    config = daemon.link_config.read_text()
    gone = watched(daemon, "eu")
    daemon.link_config.write_text(config)
    kept = watched(daemon, "us")
    others = [
        daemon.link / place for place in ("us/old/a.txt", "archive/2025/b.txt", "download/c.txt", "d.txt")
    ]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"Dear {JAN},\n")
    (daemon.link / "elsewhere").symlink_to(tmp_path)
    with daemon:
        request = erasure(daemon, "open", "--link", "demo", "--identifier", f"email={JAN}")["id"]
        found = [(item["folder"], item["path"]) for item in erasure(daemon, "find", request)["items"]]
        assert sorted(found) == [
            (".", "d.txt"),
            ("./download", "c.txt"),
            ("archive", "2025/b.txt"),
            ("eu", "out/letter.tmp"),
            ("us", "old/a.txt"),
            ("us/out", "letter.tmp"),
        ]
        erasure(daemon, "approve", request, "--by", "Privacy Officer")
        assert erasure(daemon, "run", request)["state"] == "closed"
        assert not any(path.exists() for path in (gone, kept, *others))


def watched(daemon: Daemon, name: str) -> Path:
    """A watched folder `NAME/out`, and in it a file that nobody has made whole yet."""
    with daemon.link_config.open("a") as config:
        config.write(f'\n[[route]]\nname = "{name}"\ndirection = "outbound"\nto = "download"\n')
        config.write(f'folder = "{name}/out"\n')
    path = daemon.link / name / "out/letter.tmp"
    path.parent.mkdir(parents=True)
    path.write_text(f"Dear {JAN},\n")
    return path


def told(daemon: Daemon) -> list[dict[str, Any]]:
    """The events that can be opened and tell of the person."""
    found: list[dict[str, Any]] = ask(daemon, "audit", "search", JAN, "--link", "demo")
    return found


def named(daemon: Daemon) -> set[str]:
    return {transfer["path"] for transfer in ask(daemon, "transfer", "list") if JAN in transfer["path"]}
