"""What OpenSSH's sftp does besides uploading, on files that are published and on parts."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon import Daemon, eventually


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("operations") / "instance") as running:
        running.file("one", b"1")
        running.file("two", b"22")
        yield running


def refusal(daemon: Daemon, *commands: str) -> str:
    done = daemon.sftp_batch(*commands)
    assert done.returncode == 1
    return done.stderr


def test_listings_tell_names_sizes_and_the_partners_own_words(daemon: Daemon) -> None:
    said = daemon.sftp_done("put one /upload/listed", "ls /", "ls -l /upload", "ls -la /upload", "pwd")
    assert "/upload" in said
    assert "/download" in said
    line = next(line for line in said.splitlines() if line.endswith(" listed"))
    mode, links, user, group, size = line.split()[:5]
    assert (mode[0], links, user, group, size) == ("-", "1", "demo", "demo", "1")
    assert "Remote working directory: /" in said


def test_a_published_file_is_renamed_and_removed(daemon: Daemon) -> None:
    daemon.sftp_done("put one /upload/a", "rename /upload/a /upload/b")
    assert not (daemon.inbound / "a").exists()
    assert (daemon.inbound / "b").read_bytes() == b"1"
    daemon.sftp_done("rm /upload/b")
    assert not (daemon.inbound / "b").exists()
    assert "No such file" in refusal(daemon, "rm /upload/b")


def test_openssh_renames_over_a_file_and_a_plain_rename_does_not(daemon: Daemon) -> None:
    daemon.sftp_done("put one /upload/over1", "put two /upload/over2", "put one /upload/over3")
    with daemon.sftp() as sftp, pytest.raises(OSError, match="file exists"):
        sftp.rename("/upload/over1", "/upload/over2")
    assert (daemon.inbound / "over2").read_bytes() == b"22"
    assert "Failure" in refusal(daemon, "rename -l /upload/over1 /upload/over2")
    daemon.sftp_done("rename /upload/over3 /upload/over2")
    assert (daemon.inbound / "over2").read_bytes() == b"1"
    assert not (daemon.inbound / "over3").exists()


@pytest.mark.parametrize("exists", ["published", "staged"])
def test_a_part_is_renamed_to_its_final_name_over_what_is_there(daemon: Daemon, exists: str) -> None:
    final = f"part-over-{exists}"
    before = final if exists == "published" else f"{final}.tmp"
    daemon.sftp_done(f"put one /upload/{before}", "put two /upload/new.part")
    with daemon.sftp() as sftp:
        if exists == "published":
            with pytest.raises(OSError, match="file exists"):
                sftp.rename("/upload/new.part", f"/upload/{final}")
        sftp.posix_rename("/upload/new.part", f"/upload/{final}")
    assert (daemon.inbound / final).read_bytes() == b"22"


def test_directories_are_made_filled_and_removed(daemon: Daemon) -> None:
    daemon.sftp_done("mkdir /upload/d", "mkdir /upload/d/e", "put one /upload/d/e/f")
    assert (daemon.inbound / "d/e/f").read_bytes() == b"1"
    with daemon.sftp() as sftp:
        for refused in (lambda: sftp.rmdir("/upload/d/e"), lambda: sftp.rename("/upload/d", "/upload/d2")):
            with pytest.raises(OSError, match="not empty"):
                refused()
    daemon.sftp_done(
        "rm /upload/d/e/f", "rmdir /upload/d/e", "rename /upload/d /upload/d2", "rmdir /upload/d2"
    )
    assert not (daemon.inbound / "d").exists()
    assert not (daemon.inbound / "d2").exists()


def test_an_upload_needs_its_directory(daemon: Daemon) -> None:
    assert "No such file" in refusal(daemon, "put one /upload/nowhere/f")
    assert not (daemon.inbound / "nowhere").exists()


def test_mode_and_times_are_set(daemon: Daemon) -> None:
    local = daemon.file("dated", b"dated")
    local.chmod(0o604)
    os.utime(local, (1_500_000_000, 1_400_000_000))
    daemon.sftp_done(
        "put -p dated /upload/dated", "chmod 640 /upload/dated", "get -p /upload/dated dated-back"
    )
    found = (daemon.inbound / "dated").stat()
    assert found.st_mtime == 1_400_000_000
    assert found.st_mode & 0o777 == 0o640
    assert (daemon.desk / "dated-back").stat().st_mtime == 1_400_000_000


def test_the_owner_cannot_be_changed(daemon: Daemon) -> None:
    daemon.sftp_done("put one /upload/owned")
    with daemon.sftp() as sftp, pytest.raises(PermissionError, match="not permitted"):
        sftp.chown("/upload/owned", 0, 0)


def test_reput_and_reget_go_on_where_they_stopped(daemon: Daemon) -> None:
    content = os.urandom(300_000)
    daemon.file("long", content)
    part = daemon.staging / "demo/upload/long"
    part.write_bytes(content[:123_456])
    daemon.file("long-back", content[:50_000])
    daemon.sftp_done("reput long /upload/long", "reget /upload/long long-back")
    assert (daemon.inbound / "long").read_bytes() == content
    assert (daemon.desk / "long-back").read_bytes() == content


def test_reput_goes_on_after_a_shorter_published_file(daemon: Daemon) -> None:
    daemon.file("grown", b"first")
    daemon.sftp_done("put -f grown /upload/grown")
    daemon.file("grown", b"first and second")
    daemon.sftp_done("reput grown /upload/grown")
    assert (daemon.inbound / "grown").read_bytes() == b"first and second"


def test_the_shipped_policy_refuses_by_name_and_says_why(daemon: Daemon) -> None:
    for name in ("virus.EXE", "ends.", "con.txt"):
        done = daemon.sftp_batch(f"put one /upload/{name}")
        assert done.returncode == 1
        assert "sftpd: " in done.stderr
        assert not (daemon.inbound / name).exists()


def test_df_shows_the_space_there_is(daemon: Daemon) -> None:
    said = daemon.sftp_done("df /upload", "df -i /upload")
    figures = said.splitlines()[2].split()
    assert int(figures[0]) > int(figures[2]) > 0


def test_trees_go_up_and_come_back(daemon: Daemon) -> None:
    tree = daemon.desk / "tree"
    for name in ("a", "sub/b", "sub/deeper/c"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(name.encode() * 1000)
    (tree / "hollow").mkdir()
    daemon.sftp_done("put -r tree /upload/", "get -r /upload/tree tree-back")
    assert contents(daemon.inbound / "tree") == contents(tree) == contents(daemon.desk / "tree-back")


def test_what_lies_in_download_can_be_fetched(daemon: Daemon) -> None:
    (daemon.outbound / "for-you").write_bytes(b"for you")
    with daemon.sftp() as sftp:
        eventually(lambda: "for-you" in sftp.listdir("/download"), daemon)
    daemon.sftp_done("get /download/for-you fetched", "rm /download/for-you")
    assert (daemon.desk / "fetched").read_bytes() == b"for you"


def contents(tree: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(tree)): path.read_bytes() if path.is_file() else None for path in tree.rglob("*")
    }
