import os
import shlex
import signal
import sys
from pathlib import Path

import pytest
from waiting import holds

from sftpd.process.command import OUTPUT_LIMIT, run_command
from sftpd.process.control import FAILED_STATUS
from sftpd.process.pool import Children
from sftpd.process.sandbox import Sandbox

SYSTEM = tuple(path for path in ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache") if Path(path).exists())
ENV = {"PATH": os.defpath}


@pytest.fixture(scope="module")
def children():
    with Children.start() as started:
        yield started


@pytest.fixture
def shell(children):
    def run(script, **options):
        return run_command(
            children,
            ["/bin/sh", "-c", script],
            **{"sandbox": Sandbox(execute=SYSTEM), "deadline": 30, "env": ENV, **options},
        )

    return run


def test_input_outputs_and_status_pass(shell):
    done = shell("cat; echo oops >&2; exit 3", stdin=b"abc" * 100_000)
    assert (done.status, done.signal, done.cause) == (3, None, "")
    assert done.stdout == (b"abc" * 100_000)[:OUTPUT_LIMIT]
    assert done.stderr == b"oops\n"
    assert done.truncated
    assert not done.timed_out


def test_input_that_nobody_reads_is_no_fault(shell):
    assert shell("exit 0", stdin=b"x" * 1_000_000).status == 0


def test_a_program_that_closes_its_outputs_is_still_waited_for(shell):
    done = shell("exec >&- 2>&-; sleep 0.1; exit 5")
    assert (done.status, done.stdout) == (5, b"")


def test_only_the_given_environment_is_seen(shell):
    env = shell("env", env={**ENV, "FILE": "report.csv"}).stdout.splitlines()
    assert b"FILE=report.csv" in env
    assert {line.partition(b"=")[0] for line in env} <= {b"PATH", b"FILE", b"PWD", b"_", b"OLDPWD", b"SHLVL"}


def test_descriptors_are_numbered_from_three(shell, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    with (tmp_path / "one").open() as one, (tmp_path / "two").open() as two:
        assert shell("cat <&4; cat <&3", fds=[one.fileno(), two.fileno()]).stdout == b"twoone"


def test_a_program_that_does_not_exist_is_told_by_cause(children):
    done = run_command(children, ["/no/such/program"], sandbox=None, deadline=10)
    assert done.status == FAILED_STATUS
    assert done.cause.startswith("FileNotFoundError")


def test_a_command_cannot_read_beyond_its_sandbox(shell, tmp_path):
    (tmp_path / "file").write_text("content")
    script = f"cat {shlex.quote(str(tmp_path / 'file'))}"
    assert shell(script).status != 0
    allowed = Sandbox(execute=SYSTEM, read=(str(tmp_path),))
    assert shell(script, sandbox=allowed).stdout == b"content"


def test_a_program_is_asked_to_end_at_its_deadline(shell):
    done = shell("trap 'echo asked; exit 9' TERM; echo up; while :; do sleep 0.1; done", deadline=0.5)
    assert done.timed_out
    assert (done.status, done.stdout) == (9, b"up\nasked\n")


def test_a_program_that_ignores_sigterm_and_forks_ends_with_all_it_started(shell):
    done = shell("trap '' TERM; (trap '' TERM; sleep 1000) & echo $!; sleep 1000", deadline=0.3)
    assert done.timed_out
    assert done.signal == signal.SIGKILL
    assert holds(lambda: not Path(f"/proc/{int(done.stdout)}").exists())


def test_a_grandchild_that_holds_the_pipes_does_not_hold_us(shell):
    done = shell("sleep 1000 & echo $!; exit 0")
    assert done.status == 0
    assert not done.timed_out
    assert holds(lambda: not Path(f"/proc/{int(done.stdout)}").exists())


def test_a_grandchild_that_left_the_group_does_not_hold_us_and_ends_with_the_zygote():
    with Children.start() as children:
        script = "setsid sleep 1000 & echo $!; exit 0"
        done = run_command(children, ["/bin/sh", "-c", script], sandbox=None, deadline=10, env=ENV)
    assert done.status == 0
    assert holds(lambda: not Path(f"/proc/{int(done.stdout)}").exists())


def test_endless_output_is_cut_and_ends_at_the_deadline(children):
    endless = [sys.executable, "-c", "import os\nwhile True: os.write(1, b'x' * 65536)"]
    done = run_command(children, endless, sandbox=None, deadline=0.5)
    assert done.timed_out
    assert done.truncated
    assert len(done.stdout) == OUTPUT_LIMIT
