"""Self-contained scripts run in a fork of the zygote, and cannot tell it from an interpreter of their own."""

import pytest

from sftpd.process.command import run_command
from sftpd.process.script import FIRST_LINE, is_self_contained

CHILDREN = ["sftpd.process.command", "sftpd.ledger.ledger"]


@pytest.fixture
def run(children, tmp_path):
    """Run a script twice, with and without the first line that spares it an interpreter; both must agree."""

    def run_both(code, **options):
        done = []
        for name, first in (("forked", FIRST_LINE), ("started", FIRST_LINE.replace(b"-I -S", b"-S -I"))):
            program = tmp_path / name / "script"
            program.parent.mkdir(exist_ok=True)
            program.write_bytes(first + code.encode())
            program.chmod(0o755)
            assert is_self_contained(str(program)) == (name == "forked")
            env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "WORD": "value"}
            done.append(run_command(children, [str(program)], sandbox=None, deadline=30, env=env, **options))
        forked, started = done
        assert forked.stdout == started.stdout
        assert (forked.status, forked.signal, forked.cause) == (started.status, started.signal, "")
        return forked

    return run_both


def test_input_output_environment_and_status_are_those_of_a_program(run):
    code = (
        "import os, sys\nprint(sys.stdin.read(), sorted(os.environ), len(sys.argv), __name__)\nsys.exit(20)"
    )
    done = run(code, stdin=b"said")
    assert done.status == 20
    assert done.stdout.startswith(b"said [")
    assert b"WORD" in done.stdout
    assert done.stdout.endswith(b"] 1 __main__\n")


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("raise ValueError('oops')", 1, b"ValueError: oops"),
        ("import sys; sys.exit('gone wrong')", 1, b"gone wrong"),
        ("1 +", 1, b"SyntaxError"),
        ("import sys; sys.exit()", 0, b""),
        ("pass", 0, b""),
    ],
)
def test_it_ends_as_an_interpreter_ends(run, code, status, said):
    done = run(code)
    assert done.status == status
    assert said in done.stderr


def test_packages_that_are_installed_are_not_found(run):
    done = run("import sys\nprint(sum('-packages' in path for path in sys.path))\nimport pip")
    assert (done.status, done.stdout) == (1, b"0\n")
