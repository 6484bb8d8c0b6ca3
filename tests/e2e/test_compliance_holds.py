"""A file under a legal hold survives all that could remove or replace it, until the hold is released."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paramiko
import pytest
from daemon import Daemon, eventually

HELD = b"name,email\nJan,jan@example.org\nAnna,anna@example.org\n"


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    """A link on which a second person is needed, and everything is due after a second."""
    daemon = Daemon(tmp_path / "instance")
    daemon.configure_link("[retention]", 'period = "PT1S"')
    daemon.configure_link("holds", "require_second_person = true")
    return daemon


def test_whatever_the_client_does_a_held_file_stays_what_it_is(daemon: Daemon) -> None:
    with daemon:
        upload(daemon, "dir/held.csv", "free.csv")
        held = hold(daemon, "--file", "inbound/dir/held.csv")
        assert (held["files"], held["covers"].endswith("held at inbound/dir/held.csv")) == (1, True)
        daemon.file(
            "other", b"something else that is longer than what is held, so that it can be resumed" * 2
        )
        for command in (
            "rm /upload/dir/held.csv",
            "put other /upload/dir/held.csv",
            "reput other /upload/dir/held.csv",
            "rename /upload/dir/held.csv /upload/dir/away.csv",
            "rename /upload/free.csv /upload/dir/held.csv",
            "put other /upload/dir/x.part\nrename /upload/dir/x.part /upload/dir/held.csv",
            "rmdir /upload/dir",
        ):
            refused = daemon.sftp_batch(command)
            assert refused.returncode != 0, command
            assert "Permission denied" in refused.stderr or "Failure" in refused.stderr, refused.stderr
            assert (daemon.inbound / "dir/held.csv").read_bytes() == HELD, command
        # sftp's cp prints what its CLOSE was told, and then forgets it.
        assert "ermission denied" in daemon.sftp_batch("cp /upload/free.csv /upload/dir/held.csv").stderr
        with daemon.sftp() as client:
            for change in CHANGES:
                with pytest.raises(OSError, match="kept for a legal reason"):
                    change(client)
                assert (daemon.inbound / "dir/held.csv").read_bytes() == HELD
            for mode in ("ab", "r+b", "wb"):
                with client.open("/upload/dir/held.csv", mode) as file:
                    file.write(b"more")  # paramiko forgets what its CLOSE was told
                # What the partner sees there is the held file, and no part of what was refused.
                assert client.stat("/upload/dir/held.csv").st_size == len(HELD)
                assert (daemon.inbound / "dir/held.csv").read_bytes() == HELD
        assert (daemon.inbound / "free.csv").read_bytes() == HELD

        assert released(daemon, held).returncode == 0
        daemon.sftp_done("put other /upload/dir/held.csv", "rm /upload/dir/held.csv")
        assert not (daemon.inbound / "dir/held.csv").exists()


CHANGES: tuple[Callable[[paramiko.SFTPClient], object], ...] = (
    lambda client: client.truncate("/upload/dir/held.csv", 3),
    lambda client: client.posix_rename("/upload/free.csv", "/upload/dir/held.csv"),
    lambda client: client.rename("/upload/dir/held.csv", "/upload/b"),
)


def test_retention_erasure_and_the_end_of_the_link_leave_it_until_a_second_person_releases_it(
    daemon: Daemon,
) -> None:
    with daemon:
        upload(daemon, "held.csv", "free.csv")
        held = hold(daemon, "--account", "demo", "--glob", "held*")
        request = ask(daemon, "erasure", "open", "--link", "demo", "--identifier", "email=jan@example.org")[
            "id"
        ]
        assert erase(daemon, request)["state"] == "partial"
        assert (daemon.inbound / "free.csv").read_bytes() == b"name,email\nAnna,anna@example.org\n"
        eventually(lambda: disposals(daemon) == ["inbound/free.csv"], daemon)
        ask(daemon, "retention", "run", "--plan", ask(daemon, "retention", "plan")["plan"])
        assert names(daemon) == ["held.csv"]

        closed = ask(daemon, "link", "close", "demo", "--by", "me")
        assert (closed["state"], closed["files"]) == ("closing", 1)
        assert [(each["hold"], each["files"], each["reason"]) for each in closed["held"]] == [
            (held["id"], 1, "Court order")
        ]
        assert (daemon.inbound / "held.csv").read_bytes() == HELD
        explained = ask(daemon, "retention", "explain", "inbound/held.csv", "--link", "demo")
        assert explained["action"] == "keep"
        assert "beats all" in explained["chain"][-1]["says"]

        for name in ("me", " ME "):
            refused = released(daemon, held, by=name)
            assert (refused.returncode, "another person" in refused.stderr) == (1, True)
        assert ask(daemon, "hold", "show", held["id"])["stands"] is True
        assert released(daemon, held, by="somebody else").returncode == 0
        assert ask(daemon, "hold", "show", held["id"])["released_by"] == "somebody else"
        assert erase(daemon, request)["state"] == "closed"
        assert disposals(daemon) == ["inbound/held.csv"]
        ask(daemon, "retention", "run", "--plan", ask(daemon, "retention", "plan")["plan"])
        assert names(daemon) == []
        told = [event["type"] for event in daemon.events() if event["type"].startswith("hold.")]
        assert told == ["hold.placed", "hold.release_refused", "hold.release_refused", "hold.released"]


def test_of_several_holds_each_must_be_released(daemon: Daemon) -> None:
    with daemon:
        upload(daemon, "a.csv")
        transfer = ask(daemon, "transfer", "list")[0]["id"]
        placed = [
            hold(daemon, *scope)
            for scope in (("--file", transfer), ("--transfer", transfer), ("--folder", "inbound"), ())
        ]
        assert [each["files"] for each in placed] == [1] * 4
        assert [each["kind"] for each in placed] == ["file", "transfer", "folder", "link"]
        for each in placed:
            assert daemon.sftp_batch("rm /upload/a.csv").returncode != 0
            assert released(daemon, each).returncode == 0
        daemon.sftp_done("rm /upload/a.csv")
        upload(daemon, "b.csv")
        hold(daemon, "--folder", "inbound", "--until", "2999-01-01T00:00:00Z")
        told = daemon.cli("link", "close", "demo", "--by", "me").stdout
        assert re.search(r"^files +1$", told, re.MULTILINE)
        assert re.search(
            r"^Held, .*\n.*\n\w{26} +every file in inbound/ +1 +Court order +2999-", told, re.MULTILINE
        )


def test_under_a_hold_on_everything_new_files_are_taken_and_then_held(daemon: Daemon) -> None:
    with daemon:
        hold(daemon)
        upload(daemon, "a.csv", "dir/b.csv")
        assert daemon.sftp_batch("rm /upload/a.csv").returncode != 0
        daemon.sftp_done(
            "put local /upload/c.part",
            "rename /upload/c.part /upload/c.csv",
            "mkdir /upload/x",
            "rmdir /upload/x",
        )


def test_a_person_is_held_by_tokens_and_later_files_until_they_were_looked_at(daemon: Daemon) -> None:
    with daemon:
        upload(daemon, "hers.csv")
        daemon.file("local", b"name,email\nAnna,anna@example.org\n")
        daemon.sftp_done("put local /upload/others.csv")
        held = hold(daemon, "--identifier", "email=jan@example.org", "--identifier", "name=Jan Jansen")
        assert (held["kind"], held["files"]) == ("subject", 1)
        assert held["covers"].startswith("files of one person (email, name) as of ")
        daemon.sftp_done("rm /upload/others.csv", "put local /upload/later.csv")
        for name in ("hers.csv", "later.csv"):
            assert daemon.sftp_batch(f"rm /upload/{name}").returncode != 0
        other = daemon.cli("hold", "search", held["id"], "--identifier", "email=jan@example.org")
        assert (other.returncode, "not the identifiers" in other.stderr) == (1, True)
        assert "jan@example.org" not in other.stderr
        again = ("--identifier", "name=jan jansen", "--identifier", "email=JAN@example.org")
        assert ask(daemon, "hold", "search", held["id"], *again)["files"] == 1
        daemon.sftp_done("rm /upload/later.csv")
        assert daemon.sftp_batch("rm /upload/hers.csv").returncode != 0
    state = [path for path in daemon.root.rglob("*") if path.is_file() and "state" in path.parts]
    assert state
    assert not [
        path
        for path in state
        for word in (b"jan@example", b"jan jansen")
        if word in path.read_bytes().lower()
    ]


def test_what_the_partner_removes_is_put_aside_until_it_is_released(daemon: Daemon) -> None:
    daemon.configure_link("holds", 'partner_removal = "shadowed"')
    with daemon:
        upload(daemon, "dir/a.csv", "free.csv")
        held = hold(daemon, "--glob", "dir/*", "--folder", "inbound")
        daemon.file("other", b"other")
        daemon.sftp_done("rm /upload/dir/a.csv", "put other /upload/dir/a.csv", "put local /upload/dir/a.csv")
        with daemon.sftp() as client:
            client.posix_rename("/upload/free.csv", "/upload/dir/a.csv")
            client.truncate("/upload/dir/a.csv", 3)
            with client.open("/upload/dir/a.csv", "ab") as file:
                file.write(b"more")
            assert client.listdir("/upload/dir") == ["a.csv"]
            assert client.stat("/upload/dir/a.csv").st_size == len(b"nammore")
        daemon.sftp_done("rm /upload/dir/a.csv", "rmdir /upload/dir")
        assert names(daemon) == []
        aside = daemon.inbound.parent / ".sftpd" / "held"
        contents = [HELD, b"other", HELD, HELD, b"nam", b"nammore"]
        assert sorted(lying(aside)) == sorted(contents)
        shown = ask(daemon, "hold", "show", held["id"])
        assert (shown["files"], shown["stands"]) == (6, True)

        daemon.kill()
        daemon.start()
        eventually(lambda: len(ask(daemon, "retention", "plan")["items"]) == 6, daemon)
        assert {item["action"] for item in ask(daemon, "retention", "plan")["items"]} == {"keep"}
        request = ask(daemon, "erasure", "open", "--link", "demo", "--identifier", "email=jan@example.org")[
            "id"
        ]
        assert erase(daemon, request)["state"] == "partial"
        assert sorted(lying(aside)) == sorted(contents)

        assert released(daemon, held, by="me").returncode == 1
        assert sorted(lying(aside)) == sorted(contents)
        assert released(daemon, held).returncode == 0
        eventually(lambda: lying(aside) == [], daemon)
        eventually(lambda: len(daemon.events_of("file.withdrawn")) == 6, daemon)
        assert ask(daemon, "retention", "plan")["items"] == []
        assert len(daemon.events_of("file.put_aside")) == 6
        assert daemon.cli("audit", "verify").returncode == 0


def lying(folder: Path) -> list[bytes] | None:
    """The contents of all files in a folder; None where it changed while they were read."""
    try:
        return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    except FileNotFoundError:
        return None


def upload(daemon: Daemon, *names: str) -> None:
    daemon.file("local", HELD)
    folders = sorted({f"-mkdir /upload/{name.rpartition('/')[0]}" for name in names if "/" in name})
    daemon.sftp_done(*folders, *(f"put local /upload/{name}" for name in names))


def hold(daemon: Daemon, *scope: str) -> dict[str, Any]:
    placed: dict[str, Any] = ask(
        daemon, "hold", "add", "--link", "demo", *scope, "--reason", "Court order", "--by", "me"
    )
    return placed


def released(daemon: Daemon, held: dict[str, Any], by: str = "you") -> Any:
    return daemon.cli("hold", "release", held["id"], "--by", by)


def erase(daemon: Daemon, request: str) -> dict[str, Any]:
    ask(daemon, "erasure", "find", request)
    ask(daemon, "erasure", "approve", request, "--by", "me")
    run: dict[str, Any] = ask(daemon, "erasure", "run", request)
    return run


def ask(daemon: Daemon, *words: str) -> Any:
    done = daemon.cli(*words, "--json")
    assert done.returncode == 0, f"{words}: {done.stderr}\n{daemon.log}"
    return json.loads(done.stdout)


def disposals(daemon: Daemon) -> list[str]:
    items = ask(daemon, "retention", "plan")["items"]
    return [item["path"] for item in items if item["action"] == "dispose"]


def names(daemon: Daemon) -> list[str]:
    return sorted(path.name for path in daemon.inbound.iterdir())
