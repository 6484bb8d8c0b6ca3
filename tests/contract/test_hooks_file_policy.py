import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from sftpd.hooks.listing import faults, list_all

HOOKS = Path(__file__).parents[2] / "hooks"
GATES = ["pre-receive.d", "pre-send.d"]


def ask(message, gate=GATES[0]):
    stdin = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
    return subprocess.run([HOOKS / gate / "10-file-policy"], input=stdin, capture_output=True, timeout=30)


def screen(tmp_path, name, content, policy, gate=GATES[0]):
    file = tmp_path / "staged"
    file.write_bytes(content)
    return ask({"path": f"/upload/{name}", "size": len(content), "file": str(file), "policy": policy}, gate)


def test_the_shipped_hooks_are_usable():
    assert faults(HOOKS) == []
    assert {hook.event for hook in list_all(HOOKS)} == {"pre-receive", "pre-send"}


@pytest.mark.parametrize("gate", GATES)
def test_a_file_within_its_policy_passes(tmp_path, gate):
    policy = {"allow": ["*.csv"], "deny": ["secret*"], "max_size": 100, "types": ["csv"]}
    assert screen(tmp_path, "report.CSV", b"a;b\n1;2\n", policy, gate).returncode == 0


def test_the_defaults_of_the_configuration_let_any_file_pass(tmp_path):
    policy = {"allow": ["*"], "deny": [], "max_size": None, "types": []}
    assert screen(tmp_path, "any.bin", os.urandom(64), policy).returncode == 0


@pytest.mark.parametrize(
    ("name", "content", "policy", "reason"),
    [
        ("a.exe", b"", {"allow": ["*.csv"]}, "not on the allow list"),
        ("A.EXE", b"", {"deny": ["*.exe"]}, "on the deny list"),
        ("a", b"12345", {"max_size": 4}, "larger than 4 bytes"),
        ("a.exe", b"", {"types": ["csv"]}, "type is not allowed"),
        ("a", b"", {"types": ["csv"]}, "type is not allowed"),
        ("a\x07.csv", b"", {}, "control characters"),
        ("fdp\u202e.csv", b"", {}, "control characters"),
        ("nul.txt", b"", {}, "reserved"),
        ("a.csv.", b"", {}, "reserved"),
    ],
)
def test_a_file_outside_its_policy_is_rejected(tmp_path, name, content, policy, reason):
    done = screen(tmp_path, name, content, policy)
    assert done.returncode == 20
    assert reason in done.stdout.decode()


def workbook(tmp_path, *names):
    path = tmp_path / "book"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "<x/>")
    return path.read_bytes()


def test_content_must_be_what_the_extension_says(tmp_path):
    book = workbook(tmp_path, "[Content_Types].xml", "xl/workbook.xml")
    contents = {
        "pdf": b"%PDF-1.7\n",
        "png": b"\x89PNG\r\n\x1a\n\x00",
        "jpg": b"\xff\xd8\xff\xe0",
        "zip": workbook(tmp_path, "a.txt"),
        "xlsx": book,
        "csv": "naam;plaats\r\nJosé;Zoë\r\n".encode("cp1252"),
        "txt": "één\n".encode("utf-16"),
    }
    for extension, content in contents.items():
        policy = {"types": [extension]}
        assert screen(tmp_path, f"a.{extension}", content, policy).returncode == 0, extension
        other = contents["zip"] if extension != "zip" else contents["pdf"]
        assert screen(tmp_path, f"a.{extension}", other, policy).returncode == 20, extension


def test_a_type_without_a_signature_goes_by_its_extension(tmp_path):
    assert screen(tmp_path, "a.edi", b"\0\1", {"types": ["edi"]}).returncode == 0


@pytest.mark.parametrize(
    "policy",
    [None, [], "x", {"alow": ["*"]}, {"allow": "*"}, {"max_size": "1"}, {"max_size": -1}, {"types": [1]}],
)
def test_a_malformed_policy_lets_nothing_through(tmp_path, policy):
    done = screen(tmp_path, "a.csv", b"", policy)
    assert done.returncode == 1
    assert done.stderr


@pytest.mark.parametrize("message", [b"", b"{", b"[]\n", b"{}\n", b'{"policy": {}}\n', b"\xff\n"])
def test_a_malformed_event_lets_nothing_through(message):
    assert ask(message).returncode == 1
