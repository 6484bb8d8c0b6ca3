"""The systemd unit is valid, tightly sandboxed, and leaves the daemon what it needs."""

import re
import subprocess
import sys
from pathlib import Path

UNIT = Path(__file__).parents[2] / "systemd" / "sftpd.service"
SYSUSERS = UNIT.with_name("sftpd.sysusers.conf")
EXPOSURE_LIMIT = 2.0


def directives() -> list[tuple[str, str]]:
    lines = [line for line in UNIT.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]


def analyze(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *map(str, args)], capture_output=True, text=True, timeout=60)


def test_verify_is_silent(tmp_path: Path) -> None:
    # `verify` wants the executable to exist, and where sftpd is developed it is not installed.
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("ExecStart=/usr/bin/sftpd ", f"ExecStart={sys.executable} "))

    found = analyze("verify", "--man=no", unit)

    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_the_socket_is_valid_too(tmp_path: Path) -> None:
    for name in ("sftpd.service", "sftpd.socket"):
        text = UNIT.with_name(name).read_text()
        (tmp_path / name).write_text(
            text.replace("ExecStart=/usr/bin/sftpd ", f"ExecStart={sys.executable} ")
        )

    found = analyze("verify", "--man=no", tmp_path / "sftpd.socket")

    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_exposure_stays_within_the_limit() -> None:
    found = analyze("security", "--offline=true", UNIT)

    score = re.search(r"Overall exposure level for sftpd\.service: ([0-9.]+)", found.stdout)
    assert score is not None, found.stderr
    assert float(score[1]) <= EXPOSURE_LIMIT


def test_path_containment_keeps_its_system_call() -> None:
    # The filter behind RestrictSUIDSGID= answers ENOSYS to openat2, and DynamicUser= implies it.
    assert not {"RestrictSUIDSGID", "DynamicUser"} & {key for key, _ in directives()}


def test_the_user_is_the_one_that_sysusers_makes() -> None:
    made = {line.split()[1] for line in SYSUSERS.read_text().splitlines() if line.startswith("u ")}

    assert {value for key, value in directives() if key in {"User", "Group"}} == made


def test_no_capability_is_granted() -> None:
    granted = {
        value for key, value in directives() if key in {"CapabilityBoundingSet", "AmbientCapabilities"}
    }

    assert granted == {""}
