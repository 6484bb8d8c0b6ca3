"""The command line where no daemon runs: the same verbs, evidence from files alone, and errors."""

import base64
import getpass
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cli_scene import Asked, Scene, here, instance, sftpd

from sftpd.cli import audit, retention
from sftpd.cli.common import brief, pairs
from sftpd.cli.main import COMMANDS

KEY = "demo.local+4b923158+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """An instance in which the terms of the link were accepted."""
    with instance() as made:
        first = made.ask("audit", "tail", "--link", "demo", "--json").json
        assert [event["type"] for event in first] == ["link.registered"]
        accepted = made.ask("link", "accept", "demo")
        assert (accepted.code, accepted.err) == (0, "")
        yield made


def one_line(asked: Asked, code: int, text: str) -> None:
    """An operator's error: its exit code, and one line that says what is wrong."""
    assert (asked.code, asked.out, asked.err.count("\n")) == (code, "", 1), asked
    assert asked.err.startswith("sftpd: ")
    assert text in asked.err


def test_what_an_event_says_is_read_as_names_and_values() -> None:
    people = [{"type": "email", "count": 2}, "x=y", "é\x1b"]
    rule = {"id": "r", "all": True}
    said = {
        "files": 3,
        "reason": "a court's order",
        "fault": None,
        "empty": "",
        "rule": rule,
        "people": people,
    }
    told = pairs(said)
    assert told == (
        'files=3 reason="a court\'s order" empty="" rule={id=r all=true}'
        ' people=[{type=email count=2}, "x=y", "é\\u001b"]'
    )
    assert brief("people", people[:1]) == "type=email count=2"
    assert brief("time", "of no sort") == "of no sort"


def test_what_was_done_without_a_daemon_stands_in_the_log_at_once(scene: Scene) -> None:
    before = scene.ask("audit", "tail", "--link", "demo", "--json").json
    scene.process("link", "suspend", "demo", "--reason", "a test")
    scene.ask("link", "resume", "demo")
    events = scene.ask("audit", "tail", "--link", "demo", "--json").json
    assert [event["public"]["state"] for event in events[len(before) :]] == ["suspended", "active"]
    assert events[-1]["private"] == {"by": getpass.getuser(), "reason": None}


def test_status_says_that_no_daemon_runs_and_leaves_the_instance_closed(scene: Scene) -> None:
    holding = [
        "flock",
        scene.root / "state/lock",
        sys.executable,
        "-m",
        "sftpd",
        "status",
        "--json",
        "--config",
    ]
    asked = subprocess.run([*holding, scene.made["config"]], capture_output=True, text=True)
    assert (asked.returncode, json.loads(asked.stdout)["running"], asked.stderr) == (1, False, "")


@pytest.mark.parametrize("disposed", [0, 1])
def test_a_plan_of_something_ends_with_the_command_that_runs_it(
    scene: Scene, disposed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = scene.ask("retention", "plan", "--json").json
    item = {"link": "demo", "path": "inbound/a", "action": "dispose", "due": None, "reason": "a test"}
    counts = {"dispose": disposed} if disposed else {}
    retention.show_plan(plan | {"items": [item] * disposed, "counts": counts}, Path(scene.made["config"]))
    last = capsys.readouterr().out.splitlines()[-1]
    if disposed:
        command = shlex.split(last)
        assert command[0] == "sftpd"
        assert here(*command[1:]).code == 0
    else:
        assert last == "Nothing is to be disposed of."


def test_instants_are_shown_alike_wherever_they_stand() -> None:
    told = brief("jobs", {"retention": "2026-01-02T03:04:05.678901+00:00"})
    there = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).astimezone()
    assert told == f"retention {there.isoformat(' ')}"


def test_a_run_without_a_plan_says_how_to_get_one(scene: Scene) -> None:
    one_line(scene.ask("retention", "run"), 2, "see `sftpd retention plan`")
    one_line(scene.ask("retention", "run", "--plan", "0" * 64), 1, "plan again")


def test_what_does_not_exist_is_told_in_one_line(scene: Scene) -> None:
    one_line(scene.ask("link", "show", "nobody"), 1, "no link 'nobody'; expected one of demo")
    hold = ["--link", "demo", "--reason", "court", "--folder", "inbond"]
    one_line(scene.ask("hold", "add", *hold), 2, "no folder 'inbond'")
    one_line(scene.ask("hook", "test", "pre-recieve", __file__), 2, "expected one of pre-receive")
    one_line(scene.ask("link", "suspend", "demo", "--reason", "caf\udce9"), 2, "--reason: not UTF-8 text")


def test_output_that_nobody_can_write_is_told_in_one_line(scene: Scene) -> None:
    command = [sys.executable, "-m", "sftpd", "check", "--config", scene.made["config"]]
    with Path("/dev/full").open("wb") as full:
        failed = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    one_line(Asked(failed.returncode, "", failed.stderr), 1, "No space left on device")


def test_an_instance_that_is_open_elsewhere_is_left_alone(scene: Scene) -> None:
    holding = ["flock", scene.root / "state/lock", sys.executable, "-m", "sftpd", "link", "list", "--config"]
    held = subprocess.run([*holding, scene.made["config"]], capture_output=True, text=True)
    one_line(Asked(held.returncode, held.stdout, held.stderr), 1, "another sftpd has this instance open")


@pytest.mark.skipif(os.getuid() != 0, reason="who is not root cannot write for others")
def test_root_leaves_the_files_of_another_user_alone(scene: Scene) -> None:
    os.chown(scene.root / "state", 65534, -1)
    try:
        one_line(scene.ask("link", "list"), 1, "state: it is of user 65534")
    finally:
        os.chown(scene.root / "state", os.getuid(), -1)
    assert scene.ask("link", "list").code == 0


def accept_and_end(listener: socket.socket) -> None:
    """What a daemon does that dies over a request."""
    connection, _ = listener.accept()
    connection.close()


def test_what_a_daemon_may_have_done_is_not_done_again(scene: Scene) -> None:
    path = scene.root / "state/control.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        ending = threading.Thread(target=accept_and_end, args=(listener,))
        ending.start()
        asked = scene.ask("link", "suspend", "demo")
        ending.join()
    path.unlink()
    one_line(asked, 1, "the daemon ended, or failed, before it had answered")
    assert scene.ask("link", "show", "demo", "--json").json["state"] == "active"


def test_a_hook_that_rejects_is_told_with_its_reason(scene: Scene, tmp_path: Path) -> None:
    program = tmp_path / "tool.exe"
    program.write_bytes(b"MZ")
    asked = scene.process("hook", "test", "pre-send", program, "--json")
    assert (asked.code, asked.json["verdict"]) == (1, "reject")
    assert asked.json["reason"]


def test_one_changed_byte_is_found_and_its_place_told(scene: Scene) -> None:
    (entries,) = (scene.root / "state/audit/demo/public/tile/entries/000.p").glob(
        str(scene.ask("audit", "verify", "--link", "demo", "--json").json["logs"][0]["size"])
    )
    whole = entries.read_bytes()
    entries.write_bytes(whole.replace(b"registered", b"registrred", 1))
    try:
        asked, in_json = scene.ask("audit", "verify"), scene.ask("audit", "verify", "--json")
    finally:
        entries.write_bytes(whole)
    one_line(asked, 1, f"{entries}: leaf 0")
    assert (in_json.code, in_json.json["valid"]) == (1, False)
    assert str(entries) in in_json.json["fault"]
    assert scene.ask("audit", "verify").code == 0


def test_a_log_that_is_gone_is_missed(scene: Scene) -> None:
    log = scene.root / "state/audit/system"
    log.rename(scene.root / "aside")
    try:
        one_line(scene.ask("audit", "verify"), 1, "system/public/checkpoint: cannot be read")
    finally:
        (scene.root / "aside").rename(log)


def test_a_counterpart_verifies_its_copy_without_our_configuration(scene: Scene, tmp_path: Path) -> None:
    own = scene.ask("audit", "verify", "--link", "demo", "--json").json
    copy = shutil.copytree(scene.root / "state/audit/demo/public", tmp_path / "audit")
    kept = shutil.copy(copy / "checkpoint", tmp_path / "kept")
    named = ["--folder", copy, "--origin", "demo.local/demo", "--key", own["key"]]
    seen = sftpd("audit", "verify", *named, "--kept", kept, "--json")
    assert (seen.code, seen.json) == (0, own)
    one_line(here("audit", "verify", *named[:4]), 2, "--key")
    named[3] = "demo.local/other"
    one_line(here("audit", "verify", *named), 1, "checkpoint of another log")


def test_a_log_that_did_not_grow_from_the_kept_checkpoint_is_refused(scene: Scene, tmp_path: Path) -> None:
    public = scene.root / "state/audit/demo/public"
    older = shutil.copytree(public, tmp_path / "older")
    key = scene.ask("audit", "verify", "--json").json["key"]
    assert scene.ask("hold", "add", "--link", "demo", "--reason", "court").code == 0
    named = ["--origin", "demo.local/demo", "--key", key, "--kept"]
    assert here("audit", "verify", "--folder", public, *named, older / "checkpoint").code == 0
    one_line(
        here("audit", "verify", "--folder", older, *named, public / "checkpoint"), 1, "expected at least the"
    )


def test_one_event_is_disclosed_and_proven_to_a_third_party(scene: Scene, tmp_path: Path) -> None:
    """By the command with nothing but the key, and by the lines of Python in the documentation."""
    key = scene.ask("audit", "verify", "--json").json["key"]
    (event,) = scene.ask("audit", "search", "link.accepted", "--link", "demo", "--json").json
    index = str(event["index"])
    proof, shown = tmp_path / "event.proof", tmp_path / "event.json"
    proof.write_text(scene.ask("audit", "prove", index, "--link", "demo").out)
    disclosed = scene.ask("audit", "show", index, "--link", "demo", "--json").json
    disclosed["private"] = {"by": event["private"]["by"]}
    shown.write_text(json.dumps(disclosed))
    of = ("audit", "verify-proof", str(proof), "--key", key)
    proven = sftpd(*of, "--event", str(shown), "--json").json
    assert (proven["origin"], proven["event"]["public"]) == ("demo.local/demo", event["public"])
    assert proven["event"]["private"] == {"by": event["private"]["by"]}
    assert "by" in here(*of, "--json").json["event"]["undisclosed"]
    (code,) = re.findall(r"```python\n(.+?)```", (REPOSITORY / "docs/audit.md").read_text(), re.DOTALL)
    by_hand = [sys.executable, "-I", "-c", code, key]
    told = subprocess.run(by_hand, cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert told.stdout.endswith(disclosed["leaf"] + "\n")

    one_line(here(*of, "--origin", "demo.local/system"), 1, "checkpoint of another log")
    disclosed["private"]["by"] = "somebody else"
    shown.write_text(json.dumps(disclosed))
    one_line(here(*of, "--event", str(shown)), 1, "by: value and nonce are not what the leaf commits to")
    assert subprocess.run(by_hand, cwd=tmp_path, capture_output=True).returncode == 1
    del disclosed["nonces"]["by"]
    shown.write_text(json.dumps(disclosed))
    one_line(here(*of, "--event", str(shown)), 1, "no nonce proves by")
    shown.write_text("{}")
    changed = base64.b64encode(disclosed["leaf"].replace("demo", "dome").encode()).decode()
    proof.write_text(re.sub("extra .+", f"extra {changed}", proof.read_text()))
    one_line(here(*of), 1, f"the path does not lead from this leaf at {index} to the root")
    assert subprocess.run(by_hand, cwd=tmp_path, capture_output=True).returncode == 1
    os.truncate(proof, 1 << 40)
    one_line(here(*of), 1, "is too long")


def test_a_search_finds_what_events_say_and_no_more(scene: Scene) -> None:
    """Values in the log and those that it only commits to, as given; not in the commitments."""
    for reason in ('50% of "Zoë"', "50_ OF zoë", "50% of zoë"):
        scene.ask("hold", "add", "--link", "demo", "--reason", reason, "--by", "Searcher")

    def found(*words: str) -> list[str]:
        return [e["private"]["reason"] for e in scene.ask("audit", "search", *words, *of, "--json").json]

    of = ("--link", "demo")
    assert found("50% of ") == ['50% of "Zoë"', "50% of zoë"]
    assert found('"Zoë') == ['50% of "Zoë"']
    assert found("50_") == ["50_ OF zoë"]
    assert found("Searcher", "--limit", "2") == ["50_ OF zoë", "50% of zoë"]
    newest = scene.ask("audit", "tail", *of, "--count", "1", "--json").json[0]
    assert found(newest["id"]) == ["50% of zoë"]
    leaf = json.loads(scene.ask("audit", "show", str(newest["index"]), *of, "--json").json["leaf"])
    assert found(leaf["data"]["commitments"]["reason"]) == []


def test_a_bundle_is_verified_without_sftpd(scene: Scene, tmp_path: Path) -> None:
    """By the script in it, with nothing but Python's own library and openssl, and by the command."""
    key = scene.ask("audit", "verify", "--json").json["key"]
    for reason in ("a", "b"):
        scene.ask("hold", "add", "--link", "demo", "--reason", f"evidence {reason}", "--by", "Ina \x9b[2J")
    file = tmp_path / "evidence.zip"
    of = ("audit", "bundle", "evidence ", "--link", "demo", "--output", str(file))
    made = scene.ask(*of, "--disclose", "--json").json
    assert made == {"file": str(file), "events": 2, "key": key}
    assert file.stat().st_mode & 0o777 == 0o600
    one_line(scene.ask(*of), 1, "expected a new file")

    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(file) as archive:
        archive.extractall(unpacked)
    verify = ["python3", "-I", "-S", unpacked / "verify.py"]

    def told(key: str = key) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*verify, key], capture_output=True, text=True)

    assert told().returncode == 0, told().stderr
    assert told().stdout.endswith(f"2 of 2 events are proven by the key {key}\n")
    assert '  by = "Ina \\u009b[2J"\n' in told().stdout
    proven = here("audit", "verify-bundle", str(file), "--key", key, "--json").json
    assert [one["event"]["private"]["reason"] for one in proven["events"]] == ["evidence a", "evidence b"]
    assert {(one["origin"], one["event"]["type"]) for one in proven["events"]} == {
        ("demo.local/demo", "hold.placed")
    }
    other = f"{key.rpartition('+')[0]}+{base64.b64encode(bytes([1] + [7] * 32)).decode()}"
    assert told(other).returncode == 1
    first, *_ = sorted(unpacked.glob("events/*.json"))
    first.write_text(first.read_text().replace("evidence a", "evidence c"))
    assert "NOT PROVEN: reason is not what the leaf commits to\n" in told().stdout
    assert told().returncode == 1
    first.unlink()
    assert told().returncode == 0
    proof = first.with_suffix(".proof")
    (extra,) = re.findall("extra (.+)", proof.read_text())
    changed = base64.b64encode(base64.b64decode(extra).replace(b"placed", b"lifted")).decode()
    proof.write_text(proof.read_text().replace(extra, changed))
    assert "NOT PROVEN: its path does not lead from the leaf to the root\n" in told().stdout
    for proof in unpacked.glob("events/*.proof"):
        proof.unlink()
    assert told().returncode == 1


@pytest.mark.parametrize("words", [(), ("--disclose",)], ids=["closed", "disclosed"])
def test_a_bundle_takes_one_look_at_each_event(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    asked: list[str] = []
    ask = audit.ask

    def heard(config: Path, verb: str, **arguments: Any) -> Any:
        asked.append(verb)
        return ask(config, verb, **arguments)

    for _ in range(2):
        scene.ask("hold", "add", "--link", "demo", "--reason", "one look", "--by", "Ina")
    monkeypatch.setattr(audit, "ask", heard)
    file = tmp_path / "evidence.zip"
    of = ("--link", "demo", "--output", str(file), "--json", *words)
    made = scene.ask("audit", "bundle", "one look", *of).json
    assert made["events"] > 1
    assert asked == ["audit.search", *["audit.prove"] * made["events"]]
    with zipfile.ZipFile(file) as archive:
        shown = [name for name in archive.namelist() if name.endswith(".json")]
    assert len(shown) == (made["events"] if words else 0)


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({}, "has 0 proofs in it; expected 1 to 100000"),
        ({"events/1.proof": b"x"}, "proof line 1: not an inclusion proof"),
        ({"events/1.proof": b"x" * (1 << 21)}, "1.proof: is too long"),
        (b"PK\3\4", "is no bundle: File is not a zip file"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_what_is_no_bundle_is_told(
    tmp_path: Path, members: dict[str, bytes] | bytes | None, fault: str
) -> None:
    file = tmp_path / "evidence.zip"
    if isinstance(members, bytes):
        file.write_bytes(members)
    elif members is not None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    one_line(here("audit", "verify-bundle", str(file), "--key", KEY), 1, fault)


def test_help_is_shown_without_loading_what_the_commands_need() -> None:
    asking = sorted(COMMANDS.keys() - {"init", "serve", "check"})
    show = f"[run([command, '--help']) for command in {asking}]"
    code = f"import sys; from sftpd.cli.main import run; {show}; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert [line.split()[2] for line in shown.splitlines() if line.startswith("Usage: sftpd ")] == asking
    heavy = {"sqlalchemy", "cryptography", "paramiko", "rich.console", "structlog", "sftpd.config.load"}
    assert not heavy.intersection(shown.splitlines()[-1].split())


def test_names_from_outside_do_not_steer_the_terminal(scene: Scene) -> None:
    scene.ask("hold", "add", "--link", "demo", "--reason", "\x1b[2J", "--by", "a\nb")
    shown = scene.ask("hold", "list").out
    assert "\\x1b[2J" in shown
    assert "a\\nb" in shown
    one_line(here("audit", "verify-proof", "no\x1bfile", "--key", KEY), 1, "no\\x1bfile: cannot read")
