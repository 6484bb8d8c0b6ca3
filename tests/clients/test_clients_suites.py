"""The libraries' own test suites, against this server: what fails is what policy denies, and nothing else.

They look at the server's files under the very paths that they tell it. So they run in a root directory of
their own, in which `/upload` is what the server has published.
"""

import os
import re
import subprocess
from pathlib import Path

import clients_kit
import pytest
from daemon import Daemon

_ALONE = Path(__file__).with_name("with_upload.sh")
_PKG_SFTP = Path("/usr/share/gocode/src/github.com/pkg/sftp")

PKG_SFTP_DENIED = {
    "TestClientGetwd": "home is /, not the folder that the server was started in",
    "TestClientWalk": "the same",
    "TestGlob": "the same",
    "TestClientStatLink": "links made by local people are not shown",
    "TestClientReadLink": "the same",
    "TestClientSetuid": "permission bits alone can be set",
    "TestClientChmod": "a file stays readable for the group that consumes it",
    "TestClientChown": "the owner of a file cannot be changed",
    "TestClientWrite": "local people do not see a file before it is closed",
    "TestClientReadFrom": "the same",
    "TestClientReadFromSizeMismatch": "the same",
    "TestClientWriteToROFile": "there is no /dev/zero",
}
FOREIGN_DENIED = {
    "check that the file exists": "home is /",
    "mkdir 5": "a new folder has the mode that the server gives it",
    "getc": "a file that is open to be read stays as it was opened, whoever uploads another",
    "readline": "the same",
}


@pytest.fixture(scope="module")
def server(daemon: Daemon) -> Path:
    """A program that speaks SFTP over standard input and output as this server does; `-R` is read-only."""
    daemon.configure_link("[account]", f"permissions = {PERMISSIONS}")
    public = daemon.key.with_suffix(".pub").read_text().strip()
    with daemon.link_config.open("a") as config:
        config.write(f'\n[[account]]\nname = "reader"\nkeys = ["{public}"]\npermissions = ["list", "read"]\n')
    daemon.reload()
    program = daemon.root / "sftp-server"
    ssh = f"ssh {' '.join(daemon.ssh_options())} -p {daemon.port}"
    program.write_text(
        f'#!/bin/sh\ncase " $* " in *" -R "*) user=reader ;; *) user={daemon.user} ;; esac\n'
        f"exec {ssh} $user@{daemon.host} -s sftp\n"
    )
    program.chmod(0o755)
    return program


PERMISSIONS = '["list", "read", "write", "delete", "rename", "mkdir", "setstat", "symlink", "hardlink"]'


def run(daemon: Daemon, cwd: str, *argv: "str | Path", **variables: str) -> str:
    """Run a suite and return what it printed."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a process a root directory of its own")
    done = subprocess.run(
        ["unshare", "--mount", "bash", _ALONE, daemon.root.with_name("new-root"), daemon.inbound, cwd, *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | variables,
        timeout=600,
    )
    return done.stdout


@pytest.mark.soak
def test_go_pkg_sftp(daemon: Daemon, server: Path, tmp_path: Path) -> None:
    suite = tmp_path / "suite"
    clients_kit.go("test", "-c", "-o", suite, ".", cwd=_PKG_SFTP)
    (daemon.inbound / "something").write_bytes(b"to be listed")
    flags = [
        "-test.v",
        "-integration",
        "-sftp",
        server,
        "-test.run",
        "TestClient|TestStatVFS|TestGlob|TestMatch",
    ]
    said = run(daemon, str(_PKG_SFTP), suite, *flags, TMPDIR="/upload")
    assert len(re.findall(r"^--- PASS", said, re.MULTILINE)) > 30
    assert set(re.findall(r"^--- FAIL: (\S+)", said, re.MULTILINE)) == set(PKG_SFTP_DENIED), said


@pytest.mark.soak
def test_perl_net_sftp_foreign(daemon: Daemon, server: Path, tmp_path: Path) -> None:
    source = clients_kit.debian_source("libnet-sftp-foreign-perl", tmp_path)
    subprocess.run(["tar", "--extract", "--file", source, "--directory", tmp_path], check=True)
    (tests,) = tmp_path.glob("*/t")
    tests.rename(daemon.inbound / "t")
    settings = {"NET_SFTP_FOREIGN_TESTING_SFTP_SERVER_PATH": str(server)}
    said = run(daemon, "/upload", "perl", "-I.", "-It", "t/1_run.t", **settings)
    assert "\n1..939\n" in f"\n{said}"
    assert len(re.findall(r"^ok \d+", said, re.MULTILINE)) > 900
    assert set(re.findall(r"^not ok \d+ - (.*)", said, re.MULTILINE)) == set(FOREIGN_DENIED), said
