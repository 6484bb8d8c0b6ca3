"""The power goes while files cross: what anybody was told of is there after the restart, once and whole."""

import io

import pytest
from daemon import Daemon
from faults_crossing import CROSSINGS
from faults_outage import Outage
from faults_power import Case, Disk, mounted

MANY = 150
"""Cases of a flow in `make soak`, besides those in which somebody was just told something."""


@pytest.mark.slow
@pytest.mark.parametrize("flow", CROSSINGS)
def test_files_cross_once_though_the_power_went(flow, tmp_path, tally):
    with Outage(flow, tmp_path) as outage:
        moments = outage.moments()
        told = Case(moments[len(moments) // 2], "nothing")
        later = next(case for case in outage.cases(MANY) if case.at > told.at and case.kept == "some")
        for case in (told, later):
            struck(outage, case, tally)


@pytest.mark.soak
@pytest.mark.parametrize("flow", CROSSINGS)
def test_files_cross_once_wherever_the_power_went(flow, tmp_path, tally, subtests):
    with Outage(flow, tmp_path) as outage:
        for case in outage.cases(MANY):
            with subtests.test(case=str(case)):
                struck(outage, case, tally)


def struck(outage, case, tally):
    reckoning = outage.strike(case)
    tally.add(reckoning)
    assert reckoning.faults == [], f"{case}\n{outage.log[-10000:]}"


def test_what_a_partner_was_told_of_its_changes_stays(tmp_path):
    root, told = tmp_path / "instance", []
    disk = Disk(tmp_path)
    with disk.recorded(root), Daemon(root) as daemon:
        with daemon.sftp() as client:

            def act(lasting, request, *arguments):
                request(*arguments)
                told.append((disk.clock, request.__name__, lasting))

            for name in ("moved", "removed", "dated"):
                client.putfo(io.BytesIO(b"x"), f"/upload/{name}")
            client.mkdir("/upload/emptied")
            act((daemon.inbound / "made").is_dir, client.mkdir, "/upload/made")
            act(lambda: not (daemon.inbound / "emptied").exists(), client.rmdir, "/upload/emptied")
            act((daemon.inbound / "kept").exists, client.rename, "/upload/moved", "/upload/kept")
            act(lambda: not (daemon.inbound / "removed").exists(), client.remove, "/upload/removed")
            act(
                lambda: (daemon.inbound / "dated").stat().st_mtime == 1, client.utime, "/upload/dated", (1, 1)
            )
        daemon.stop()
    for moment, name, lasting in told:
        with mounted(disk.after(Case(moment, "nothing")), root):
            assert lasting(), name
    with mounted(disk.after(Case(told[-1][0], "nothing")), root), daemon:
        assert all(lasting() for _, _, lasting in told)
