"""Everything crosses where the folders of a link lie on a file system that is not local, here sshfs."""

import shutil

import pytest
from daemon import Daemon, eventually
from mounts import sshfs
from sshd import sshd
from traffic_scene import outbound, states, with_remote

CONTENT = b"a;b\n1;2\n"


@pytest.fixture
def elsewhere(tmp_path):
    daemon, kept = Daemon(tmp_path / "instance"), tmp_path / "kept"
    links = daemon.root / "links"
    shutil.copytree(links, kept)
    with sshfs(kept, links), daemon:
        yield daemon


def test_a_dropped_file_is_delivered_and_archived(elsewhere, tmp_path):
    with sshd(tmp_path / "sshd") as server:
        with_remote(elsewhere, server, outbound(server.root, 'after = "archive"'))
        elsewhere.reload()
        (elsewhere.outbound / "report.csv").write_bytes(CONTENT)
        eventually(lambda: states(elsewhere) == {"done": 1}, elsewhere)
        elsewhere.stop()
        assert (server.root / "report.csv").read_bytes() == CONTENT
    assert (elsewhere.link / "sent/report.csv").read_bytes() == CONTENT
    assert list(elsewhere.outbound.iterdir()) == []


def test_a_partner_uploads_renames_and_downloads(elsewhere):
    (elsewhere.outbound / "offered.csv").write_bytes(CONTENT)
    (elsewhere.desk / "sent.csv").write_bytes(CONTENT)
    elsewhere.sftp_done("put sent.csv /upload/sent.csv", "rename /upload/sent.csv /upload/named.csv")
    eventually((elsewhere.inbound / "named.csv").exists, elsewhere)
    eventually(lambda: elsewhere.sftp_batch("get /download/offered.csv").returncode == 0, elsewhere)
    elsewhere.stop()
    assert (elsewhere.inbound / "named.csv").read_bytes() == CONTENT
    assert (elsewhere.desk / "offered.csv").read_bytes() == CONTENT
    assert not (elsewhere.inbound / "sent.csv").exists()
