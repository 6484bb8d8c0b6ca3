"""`make install` and docs/installation.md: what they lead to takes in files. No service manager runs here."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
GUIDE = (REPOSITORY / "docs/installation.md").read_text()
PATIENCE = 60.0


class Machine:
    """What of a machine is installed to, in a folder."""

    def __init__(self, root: Path) -> None:
        self.prefix, self.etc, self.var = root / "usr", root / "etc", root / "var"
        self.sftpd = self.prefix / "bin/sftpd"
        self.config = self.etc / "sftpd"
        self.key = root / "partner"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)

    def make(self, target: str) -> None:
        """Run make as the guide has it."""
        places = [f"PREFIX={self.prefix}", f"SYSCONFDIR={self.etc}"]
        subprocess.run(["make", "-s", target, *places], cwd=REPOSITORY, check=True, capture_output=True)

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of the installed sftpd as its unit does."""
        return subprocess.run([self.sftpd, *words], env=self.environment, capture_output=True, text=True)

    @property
    def environment(self) -> dict[str, str]:
        """What the unit has in its environment."""
        config, keys = str(self.config / "sftpd.toml"), str(self.config / "keys")
        return {"PATH": os.environ["PATH"], "SFTPD_CONFIG": config, "CREDENTIALS_DIRECTORY": keys}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine on which the guide was followed up to the start."""
    made = Machine(tmp_path_factory.mktemp("machine"))
    for older in ("20000101T000000Z", "20010101T000000Z"):
        (made.prefix / "lib/sftpd" / older).mkdir(parents=True)
    made.make("install")
    (line,) = re.findall(r"sudo sftpd (init .*)", GUIDE)
    words = line.replace("/etc/sftpd", str(made.config)).replace("0.0.0.0:2222", "127.0.0.1:0").split()
    done = made.run(*words)
    assert (done.returncode, done.stderr) == (0, "")
    config = made.config / "sftpd.toml"
    config.write_text(config.read_text().replace("/var/lib/sftpd", str(made.var)))
    (link,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    public = made.key.with_suffix(".pub").read_text().strip()
    (made.config / "links.d/partner.toml").write_text(re.sub(r"(?m)^keys = .*", f'keys = ["{public}"]', link))
    return made


def test_the_units_are_those_of_this_machine_and_valid(machine: Machine) -> None:
    unit = machine.etc / "systemd/system/sftpd.service"
    assert f"ExecStart={machine.sftpd} serve --config /etc/sftpd/sftpd.toml" in unit.read_text()
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit, unit.with_name("sftpd.socket")],
        capture_output=True,
        text=True,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    assert (machine.etc / "sysusers.d/sftpd.conf").exists()


def test_the_release_before_stays_and_those_before_go(machine: Machine) -> None:
    releases = sorted(path.name for path in (machine.prefix / "lib/sftpd").iterdir())
    assert releases[:-1] == ["20010101T000000Z"]
    assert machine.sftpd.readlink() == machine.prefix / "lib/sftpd" / releases[-1] / "bin/sftpd"


def test_it_needs_nothing_of_the_folder_that_it_was_installed_from(machine: Machine) -> None:
    python = machine.sftpd.readlink().with_name("python")
    where = "import sftpd.app.work as work; print(work.__file__, work.shipped_hooks())"
    told = subprocess.run([python, "-c", where], cwd="/", capture_output=True, text=True, check=True).stdout
    assert all(path.startswith(str(machine.prefix)) for path in told.split())
    assert Path(told.split()[1], "pre-receive.d/10-file-policy").stat().st_mode & 0o111


def test_keys_are_for_root_alone_and_the_configuration_names_none_of_them(machine: Machine) -> None:
    assert (machine.config / "keys").stat().st_mode & 0o777 == 0o700
    assert {key.stat().st_mode & 0o777 for key in (machine.config / "keys").iterdir()} == {0o600}
    assert "file:" not in (machine.config / "sftpd.toml").read_text()


def test_the_service_takes_in_what_the_policy_of_the_guide_lets_pass(machine: Machine) -> None:
    checked = machine.run("check")
    assert checked.stdout == "config is valid: 1 link, 1 account, 0 remotes, 1 route\n"
    log = machine.var.with_name("log")
    with log.open("wb") as output:
        serving = subprocess.Popen(
            [machine.sftpd, "serve"], env=machine.environment, stderr=output, stdout=output
        )
    try:
        until(lambda: " serves " in log.read_text() or serving.poll() is not None)
        (port,) = re.findall(r'listen = "127\.0\.0\.1:(\d+)"', (machine.config / "sftpd.toml").read_text())
        (machine.var.parent / "orders.csv").write_text("id\n1\n")
        put = ["put orders.csv /upload/", "-put orders.csv /upload/orders.exe", "ls /upload"]
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        done = subprocess.run(
            ["sftp", "-b", "-", "-F", "none", "-P", port, "-i", machine.key, *options, "partner@127.0.0.1"],
            input="\n".join(put),
            cwd=machine.var.parent,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert [path.name for path in (machine.var / "links/partner/inbound").iterdir()] == ["orders.csv"]
        folders = [machine.var / "links/partner" / name for name in ("inbound", "outbound", "failed")]
        assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o770}
        told = machine.run("status").stdout
        assert re.search(r"running +yes", told), told
    finally:
        serving.terminate()
        assert serving.wait(PATIENCE) == 0, log.read_text()


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
