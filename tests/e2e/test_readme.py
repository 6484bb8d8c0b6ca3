"""What the README tells people to type does what it says."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import leaks
import pytest
from daemon import PATIENCE, SFTPD
from sshd import free_port
from waiting import holds

ROOT = Path(__file__).parents[2]
START_PATIENCE = 300.0
END_JOBS = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"
"""A tour that ends early must not leave its daemon behind."""


def test_the_tour_does_what_it_says(tmp_path: Path) -> None:
    _, _, tour = (ROOT / "README.md").read_text().partition("\n## Five-minute tour\n")
    tour, _, _ = tour.partition("\n## ")
    blocks = re.findall(r"^```sh\n(.*?)^```$", tour, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 5
    script = "\n".join([END_JOBS, *blocks]).replace("2222", str(free_port()))
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(SFTPD.parent)
    done = run(["bash", "-euo", "pipefail"], tmp_path, script)
    assert done.returncode == 0, done.stdout
    for told in ("jan@example.org", "prices.csv", "valid, signed by", "valid: request", "daemon.started"):
        assert told in done.stdout, told
    inbound = tmp_path / "demo/links/demo/inbound"
    assert (inbound / "customers.csv").read_bytes() == b"name,email\nAnna,anna@example.org\n"
    assert "stopping" in (tmp_path / "demo/serve.log").read_text()


@pytest.mark.slow
def test_make_run_serves_from_a_clean_clone_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    copy_tree(clone)
    made = run([SFTPD, "init", clone / "demo", "--listen", f"127.0.0.1:{free_port()}"], tmp_path, "")
    assert made.returncode == 0, made.stdout
    log = tmp_path / "make.log"
    with log.open("wb") as output:
        make = subprocess.Popen(
            ["make", "run"],
            cwd=clone,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        assert holds(lambda: "Connect:" in log.read_text() or make.poll() is not None, START_PATIENCE)
        command = re.search(r"^Connect: +(sftp .*)$", log.read_text(), re.MULTILINE)
        assert command is not None, log.read_text()
        (tmp_path / "local").write_bytes(b"hello")
        pasted = run(["bash", "-c", command[1]], tmp_path, "put local /upload/hello\nls /upload\n")
        assert pasted.returncode == 0, pasted.stdout
        assert (clone / "demo/links/demo/inbound/hello").read_bytes() == b"hello"
    finally:
        below = leaks.processes(make.pid)
        os.killpg(make.pid, signal.SIGINT)
        make.wait(PATIENCE)
    assert "Traceback" not in log.read_text()
    assert "stopping" in log.read_text()
    # make has become the daemon by exec, or reports how its daemon ended: either way it ended well.
    assert make.returncode in (0, 130, -signal.SIGINT), log.read_text()
    assert not [line for line in log.read_text().splitlines() if re.search(r"Error [1-9]", line)]
    assert holds(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))


def run(command: list[str | Path], folder: Path, text: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with `text` as its input and everything it says in `stdout`."""
    return subprocess.run(
        command,
        cwd=folder,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=4 * PATIENCE,
        check=False,
    )


def copy_tree(target: Path) -> None:
    """Copy what a clone of this tree would hold."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
