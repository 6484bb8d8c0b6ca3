import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from waiting import holds

from sftpd.clock import SystemClock
from sftpd.errors import HookError
from sftpd.hooks.commands import SandboxedCommands
from sftpd.hooks.runner import HookRunner
from sftpd.hooks.spec import EVENTS
from sftpd.hooks.verdict import ACCEPTED, HOOK_FAILED, Kind, Verdict
from sftpd.process.sandbox import kernel_support

CHILDREN = ["sftpd.process.command"]

PAYLOAD = {
    "link": "demo",
    "route": "in",
    "direction": "inbound",
    "path": "/upload/report.csv",
    "size": 3,
    "sha256": "00" * 32,
    "transfer": "t1",
    "account": "demo",
}
GATED = {**PAYLOAD, "policy": {}}


@pytest.fixture
def hooks(tmp_path):
    folder = tmp_path / "hooks"
    folder.mkdir()
    return folder


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "staged"
    path.write_bytes(b"a;b")
    return path


def add(hooks, name, body, event="pre-receive", mode=0o755, interpreter="/bin/sh"):
    folder = hooks / f"{event}.d"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!{interpreter}\n{body}\n")
    path.chmod(mode)


class Recorder:
    """Runs commands for real, and keeps how each ended."""

    def __init__(self, children):
        self._commands = SandboxedCommands(children)
        self.ended = []

    def run(self, argv, **options):
        completed = self._commands.run(argv, **options)
        self.ended.append((argv[0].rsplit("/", 1)[-1], completed))
        return completed

    def stays(self, program):
        return self._commands.stays(program)

    def close(self):
        self._commands.close()

    @property
    def names(self):
        return [name for name, _ in self.ended]


@pytest.fixture
def commands(children):
    recorder = Recorder(children)
    yield recorder
    recorder.close()


@pytest.fixture
def screen(hooks, file, commands):
    def screen(payload=GATED, *, event="pre-receive", deadline=20.0):
        return HookRunner(hooks, commands, deadline, SystemClock()).screen(event, payload, file)

    return screen


def test_without_gates_a_file_passes(hooks, screen):
    assert screen() == ACCEPTED


def test_without_the_folder_of_hooks_nothing_passes_and_observers_are_missed_in_the_log(
    hooks, file, commands
):
    runner = HookRunner(hooks, commands, 20, SystemClock())
    assert runner.screen("pre-receive", GATED, file) == ACCEPTED
    hooks.rmdir()
    with capture_logs() as logs:
        assert runner.screen("pre-receive", GATED, file) == HOOK_FAILED
        assert runner.screen_soon("pre-receive", GATED, file, 1) is None
        assert runner.has("pre-receive")
        runner.observe("post-receive", PAYLOAD, file)
    assert [(log["event"], log["hook_event"]) for log in logs] == [
        ("hook_failed", "pre-receive"),
        ("hook_failed", "post-receive"),
    ]


def test_accepting_gates_let_it_pass(hooks, screen):
    add(hooks, "10-a", "exit 0")
    add(hooks, "20-b", "cat >/dev/null; exit 0")
    assert screen() == ACCEPTED


def test_a_rejecting_gate_gives_its_reason_and_ends_the_round(hooks, screen, commands):
    add(hooks, "10-a", "echo 'not this one'; exit 20")
    add(hooks, "20-b", "exit 0")
    assert screen() == Verdict(Kind.REJECT, "not this one")
    assert commands.names == ["10-a"]


def test_a_gate_can_send_to_quarantine(hooks, screen):
    add(hooks, "10-a", "echo suspicious; exit 10")
    assert screen() == Verdict(Kind.QUARANTINE, "suspicious")


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ("exit 3", {}),
        ("kill -SEGV $$", {}),
        ("exit 0", {"mode": 0o644}),
        ("exit 0", {"interpreter": "/no/such/interpreter"}),
        ("exit 0", {"interpreter": "/usr/bin/env no-such-program"}),
    ],
    ids=["crash", "signal", "not executable", "missing interpreter", "missing program"],
)
def test_a_gate_that_gives_no_verdict_lets_nothing_through(hooks, screen, body, how):
    add(hooks, "10-a", body, **how)
    assert screen() == HOOK_FAILED


def test_a_hanging_gate_lets_nothing_through(hooks, screen):
    add(hooks, "10-a", "sleep 600")
    assert screen(deadline=1.0) == HOOK_FAILED


def test_an_acceptance_after_the_deadline_is_none(hooks, screen):
    add(hooks, "10-a", "trap 'exit 0' TERM; sleep 600 & wait")
    assert screen(deadline=0.5) == HOOK_FAILED


def test_the_deadline_is_for_all_gates_together(hooks, screen):
    add(hooks, "10-a", "sleep 0.7")
    add(hooks, "20-b", "sleep 600")
    assert screen(deadline=1.0) == HOOK_FAILED


def test_an_unusable_gate_keeps_those_before_it_from_running(hooks, screen, commands):
    add(hooks, "10-a", "exit 0")
    add(hooks, "20-b", "exit 0", mode=0o644)
    assert screen() == HOOK_FAILED
    assert commands.names == []


def test_huge_output_does_not_stop_a_gate(hooks, screen):
    add(hooks, "10-a", "head -c 5000000 /dev/zero | tr '\\0' x; exit 20")
    verdict = screen()
    assert verdict.kind is Kind.REJECT
    assert set(verdict.reason) == {"x"}


def test_a_payload_with_other_keys_is_not_screened_with(hooks, screen):
    add(hooks, "10-a", "exit 0")
    assert screen(PAYLOAD) == HOOK_FAILED


@pytest.mark.parametrize("event", ["pre-receive", "pre-send"])
def test_a_gate_gets_the_keys_of_the_table_on_one_line(hooks, file, screen, commands, event):
    add(hooks, "10-a", "cat; env >&2; pwd >&2", event=event)
    assert screen(event=event) == ACCEPTED
    ((_, completed),) = commands.ended
    assert completed.stdout.count(b"\n") == 1
    message = json.loads(completed.stdout)
    assert message.keys() == EVENTS[event].keys
    assert message["event"] == event
    assert message["file"] == str(file)
    said = completed.stderr.decode().splitlines()
    assert f"SFTPD_EVENT={event}" in said
    assert said[-1] == "/"


def test_a_hook_can_read_the_file_and_use_its_temporary_directory(hooks, file, screen, commands):
    add(hooks, "10-a", f'cp {file} "$TMPDIR/copy" && cat "$TMPDIR/copy"')
    assert screen() == ACCEPTED
    assert commands.ended[0][1].stdout == file.read_bytes()


@pytest.mark.skipif(kernel_support().landlock_abi is None, reason="this kernel has no Landlock")
def test_a_hook_cannot_change_the_file_or_anything_else(hooks, file, screen, tmp_path):
    add(hooks, "10-a", f"echo x >>{file} || touch {tmp_path}/new || rm {file} || exit 20")
    assert screen().kind is Kind.REJECT
    assert file.read_bytes() == b"a;b"
    assert not (tmp_path / "new").exists()


def test_observers_all_run_and_their_failure_goes_no_further(hooks, file, commands):
    add(hooks, "10-a", "exit 1", event="post-receive")
    add(hooks, "20-b", "exit 0", event="post-receive", mode=0o644)
    add(hooks, "30-c", "cat", event="post-receive")
    HookRunner(hooks, commands, 20.0, SystemClock()).observe("post-receive", PAYLOAD, file)
    assert commands.names == ["10-a", "30-c"]
    assert json.loads(commands.ended[-1][1].stdout).keys() == EVENTS["post-receive"].keys


def test_the_shipped_gate_runs_in_the_sandbox(file, commands):
    shipped = Path(__file__).parents[2] / "hooks"
    runner = HookRunner(shipped, commands, 20.0, SystemClock())
    assert runner.screen("pre-receive", {**GATED, "policy": {"types": ["csv"]}}, file) == ACCEPTED
    rejected = runner.screen("pre-receive", {**GATED, "policy": {"types": ["xlsx"]}}, file)
    assert rejected == Verdict(Kind.REJECT, "file type is not allowed")


PERSISTENT = """# sftpd: persistent
while read -r line; do case $line in
  *slow*) sleep 60;; *ends*) exit 0;; *two*) printf '0\\n0\\n';;
  *odd*) echo fine;; *large*) echo 20 too large;;
  *) echo "10 pid $$";;
esac; done"""


@pytest.mark.parametrize("instead", ["the folder of hooks", "that of the event"])
def test_an_empty_folder_in_the_place_of_one_with_gates_as_without_a_mount_lets_nothing_through(
    hooks, file, commands, instead
):
    add(hooks, "10-a", "exit 0")
    runner = HookRunner(hooks, commands, 20, SystemClock())
    folder = hooks if instead == "the folder of hooks" else hooks / "pre-receive.d"
    mounted = folder.with_name("mounted")
    folder.rename(mounted)
    folder.mkdir()
    with capture_logs() as logs:
        assert runner.screen("pre-receive", GATED, file) == HOOK_FAILED
    assert "not mounted" in logs[0]["error"]
    assert runner.screen("pre-send", GATED, file) == ACCEPTED, "there were none before either"
    assert HookRunner(hooks, commands, 20, SystemClock()).screen("pre-receive", GATED, file) == ACCEPTED
    with pytest.raises(HookError, match="not mounted"):
        runner.require_mounted()
    folder.rmdir()
    mounted.rename(folder)
    assert runner.screen("pre-receive", GATED, file) == ACCEPTED
    (hooks / "pre-receive.d" / "10-a").unlink()
    assert runner.screen("pre-receive", GATED, file) == ACCEPTED, "somebody removed it"
    runner.require_mounted()


def named(name):
    return {**GATED, "path": f"/upload/{name}"}


def test_a_persistent_hook_stays_for_the_next_event(hooks, screen):
    add(hooks, "10-stays", PERSISTENT)
    first, second = screen(named("a")), screen(named("b"))
    assert first.kind is Kind.QUARANTINE
    assert first.reason.startswith("pid ")
    assert second == first
    assert screen(named("large")) == Verdict(Kind.REJECT, "too large")
    assert screen(named("c")) == first


@pytest.mark.parametrize("name", ["slow", "ends", "two", "odd"])
def test_a_persistent_hook_that_gives_no_answer_holds_the_file_and_is_started_anew(hooks, screen, name):
    add(hooks, "10-stays", PERSISTENT)
    first = screen(named("a"))
    assert screen(named(name), deadline=1.0 if name == "slow" else 20.0) == HOOK_FAILED
    after = screen(named("a"))
    assert after.kind is Kind.QUARANTINE
    assert after != first


def test_a_line_that_a_persistent_hook_says_later_is_no_verdict_on_the_next_file(
    hooks, screen, children, tmp_path
):
    told = tmp_path / "told"
    body = f"""# sftpd: persistent
while read -r line; do case $line in
  *good*) echo 0; until [ -e {told} ]; do sleep 0.01; done; echo 0; exit;;
  *) echo 20 virus;;
esac; done"""
    add(hooks, "10-stays", body)
    assert screen(named("good")) == ACCEPTED
    told.touch()
    assert holds(lambda: not children.running())
    assert screen(named("bad")) == HOOK_FAILED
    assert screen(named("bad")) == Verdict(Kind.REJECT, "virus")


def test_a_second_answer_while_the_next_file_is_asked_about_is_none_for_it_where_answers_name_theirs(
    hooks, screen
):
    body = """# sftpd: persistent, answers name the transfer
read -r line; echo t1 0
read -r line; echo t1 0
read -r line"""
    add(hooks, "10-stays", body)
    assert screen(named("a")) == ACCEPTED
    assert screen({**named("b"), "transfer": "t2"}) == HOOK_FAILED
    assert screen(named("a")) == ACCEPTED, "it is started anew"


def test_a_persistent_hook_that_was_changed_is_started_anew(hooks, screen):
    add(hooks, "10-stays", PERSISTENT)
    assert screen(named("a")).reason.startswith("pid")
    add(hooks, "10-stays", PERSISTENT.replace("10 pid $$", "0"))
    assert screen(named("a")) == ACCEPTED
    add(hooks, "10-stays", PERSISTENT, mode=0o644)
    assert screen(named("a")) == HOOK_FAILED


def test_a_persistent_hook_serves_several_at_once(hooks, screen):
    add(hooks, "10-stays", "# sftpd: persistent\nwhile read -r line; do sleep 0.2; echo 10 $$; done")
    with ThreadPoolExecutor(4) as pool:
        reasons = {verdict.reason for verdict in pool.map(screen, [named("a")] * 8)}
    assert 2 <= len(reasons) <= 4


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("while read -r _; do echo 0; done", ACCEPTED),
        ("while read -r _; do echo 20 no; done", Verdict(Kind.REJECT, "no")),
        ("while read -r _; do sleep 5; echo 0; done", None),
        ("while read -r _; do echo nonsense; done", None),
        ("exit 1", None),
    ],
)
def test_persistent_gates_are_asked_soon_and_what_they_do_not_say_is_no_verdict(
    hooks, file, commands, body, expected
):
    add(hooks, "10-a", f"# sftpd: persistent\n{body}")
    runner = HookRunner(hooks, commands, 20.0, SystemClock())
    assert runner.screen_soon("pre-receive", GATED, file, 0.5) == expected


def test_gates_that_are_started_for_each_file_are_not_asked_soon(hooks, file, commands):
    add(hooks, "10-a", "# sftpd: persistent\nwhile read -r _; do echo 0; done")
    add(hooks, "20-b", "exit 0")
    assert HookRunner(hooks, commands, 20.0, SystemClock()).screen_soon("pre-receive", GATED, file, 5) is None
    assert commands.names == []


def test_an_unusable_gate_is_no_verdict_soon(hooks, file, commands):
    add(hooks, "10-a", "# sftpd: persistent\nwhile read -r _; do echo 0; done", mode=0o644)
    assert HookRunner(hooks, commands, 20.0, SystemClock()).screen_soon("pre-receive", GATED, file, 5) is None


def test_a_closed_runner_keeps_nothing(hooks, screen, commands, children):
    add(hooks, "10-stays", PERSISTENT)
    commands.close()
    assert screen(named("a")) != screen(named("a"))
    assert not children.running()
