"""The bench measures what it says: one tiny row with OpenSSH and with us, contents compared."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import movers, report
from bench.clients import Failed, Offer
from bench.measure import Outcome, Sample
from bench.meter import metered, tree
from bench.peers import Ground, openssh_internal
from bench.rows import Material, Row, rows
from bench.scale import SCALES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run of the tool; the folder with its results."""
    output = tmp_path_factory.mktemp("bench") / "results"
    tiny = ["--scale", "tiny", "--rows", "up,down", "--peers", "openssh-internal,sftpd", "--no-plot"]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *tiny, "--output", str(output)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return output


def test_a_run_measures_both_servers_in_each_row(run):
    figures = json.loads((run / "figures.json").read_text())["figures"]

    assert [(f["row"], f["peer"], f["failed"], f["rounds"]) for f in figures] == [
        (row, peer, None, 1) for row in ("up", "down") for peer in ("openssh-internal", "sftpd")
    ]
    assert all(f["value"] > 0 and f["processor"] > 0 for f in figures)
    assert [f["ratio"] for f in figures if f["peer"] == "openssh-internal"] == [1, 1]


def test_the_index_is_measured_by_itself():
    done = subprocess.run(
        [sys.executable, "-m", "bench.index", "--scale", "tiny"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["postings"] == 20 * figures["files"] > 0
    assert 16 < figures["bytes_a_posting"] < 40
    assert all(value > 0 for value in figures.values())


def test_what_moves_files_is_measured_beside_its_rivals(tmp_path):
    output = tmp_path / "results"
    tiny = ["--scale", "tiny", "--rounds", "2", "--rows", "push,pull", "--no-plot", "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *tiny], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr

    figures = json.loads((output / "figures.json").read_text())["figures"]
    names = ("sftpd", "rclone move", "lftp mirror")
    assert [(f["row"], f["peer"], f["failed"], f["rounds"]) for f in figures] == [
        (row, mover, None, 2) for row in ("push", "pull") for mover in names
    ]
    assert all(f["processor"] > 0 for f in figures)
    table = (output / "table.md").read_text()
    assert re.search(r"\| 1 × 1 MiB pushed \| MB/s \| .*\(\d+\.\d\d\)", table)


def test_a_mover_that_leaves_files_behind_or_spoils_them_has_failed(tmp_path):
    places = movers.Places.make(tmp_path / "local", tmp_path / "remote")
    task = movers.tasks(tmp_path / "files", SCALES["tiny"])["push"]

    def spoil(places):
        for path in places.source.iterdir():
            content = path.read_bytes()
            path.unlink()
            (places.there / path.name).write_bytes(content[:-1] + b"?")

    for push, told in ((lambda _: None, "1 files are still"), (spoil, "as it was sent")):
        mover = movers.Mover("none", push, push, lambda p: p.here, lambda: 0.0)
        with pytest.raises(Failed, match=told):
            task.do(mover, places)
        for path in places.source.iterdir():
            path.unlink()


def test_a_ratio_is_to_the_best_of_the_others_in_that_round():
    outcomes = {
        ("push", "sftpd"): Outcome([Sample(0, 1.0, 1), Sample(1, 1.0, 1)]),
        ("push", "rclone move"): Outcome([Sample(0, 2.0, 1), Sample(1, 4.0, 1)]),
        ("push", "lftp mirror"): Outcome([Sample(0, 3.0, 1), Sample(1, 3.0, 1)]),
        ("pull", "lftp mirror"): Outcome([Sample(0, 0.5, 1)]),
    }
    assert [sample.value for sample in movers.best_of_others(outcomes, "push").samples] == [2.0, 3.0]


def test_redaction_is_measured_beside_sed():
    done = subprocess.run(
        [sys.executable, "-m", "bench.redaction", "--mib", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| (\w.*), \d MiB \| \d+ \| \d+ \| \d+\.\d\d \| \d+ \|", done.stdout, re.MULTILINE)
    assert rows == ["CSV", "CSV, all quoted", "CSV, Windows-1252", "NDJSON", "JSON", "XML"]


def test_a_retention_run_is_measured_beside_two_bare_loops(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench.retention",
            "--files",
            "20",
            "--rounds",
            "1",
            "--folder",
            str(tmp_path),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| (\w.*?) \| \d+ \| \d+ \| (\d+\.\d\d)? \|", done.stdout, re.MULTILINE)
    names = ["bare loop, a sync a file", "bare loop, a sync for 500", "run", "its events into the audit log"]
    assert [name for name, _ in rows] == names
    assert [bool(ratio) for _, ratio in rows] == [True, True, False, False]


def test_a_folder_to_measure_in_is_made(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "bench.index", "--scale", "tiny", "--folder", str(tmp_path / "a/b")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, (tmp_path / "a/b").is_dir()) == (0, True), done.stderr


@pytest.mark.parametrize("tool", ["index", "retention", "redaction"])
def test_a_folder_to_measure_in_that_cannot_be_made_is_named(tmp_path, tool):
    (tmp_path / "file").write_bytes(b"")
    command = [sys.executable, "-m", f"bench.{tool}", "--folder", str(tmp_path / "file/folder")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.endswith(f"argument --folder: {tmp_path}/file/folder cannot be made: Not a directory")


def test_the_table_names_the_ciphers_that_were_agreed_on(run):
    table = (run / "table.md").read_text()

    assert re.search(r"\| sftpd \| aes\S+.* \| yes \|", table)
    assert re.search(r"\| openssh-internal \| \S+ \| yes \|", table)


def test_what_did_not_arrive_as_sent_fails(tmp_path):
    ground = Ground.make(tmp_path / "ground")
    material = Material.make(tmp_path / "material", SCALES["tiny"])
    up = rows(material, SCALES["tiny"])["up"]
    with openssh_internal(tmp_path / "openssh", ground) as peer:
        result = up.work(peer)
        up.check(peer, result)
        arrived = peer.received / "large.bin"
        content = arrived.read_bytes()
        arrived.write_bytes(bytes([content[0] ^ 1]) + content[1:])

        with pytest.raises(Failed, match="as it was sent"):
            up.check(peer, result)
        arrived.unlink()
        with pytest.raises(Failed, match="0 files"):
            up.check(peer, result)


def test_the_time_of_processes_that_have_ended_counts():
    burn = "import os,time\nwhile sum(os.times()[:2]) < 0.3: pass"
    lines = [
        "import subprocess, sys",
        "sys.stdin.readline()",
        f"subprocess.run([sys.executable, '-c', {burn!r}])",
        "print('done', flush=True)",
        "sys.stdin.readline()",
    ]
    parent = subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    with parent, metered(parent.pid, "test") as meter:
        before = meter.processor_seconds()
        parent.stdin.write("go\n")
        assert parent.stdout.readline() == "done\n"
        spent = meter.processor_seconds() - before
        assert meter.processes() == [parent.pid]
        parent.stdin.write("end\n")

    assert spent >= 0.28


def test_a_process_is_seen_while_its_threads_come_and_go():
    restless = "\n".join(
        [
            "import threading",
            "print('begun', flush=True)",
            "while True: threading.Thread(target=int).start()",
        ]
    )
    with subprocess.Popen([sys.executable, "-c", restless], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            seen = [tree(process.pid) for _ in range(2000)]
        finally:
            process.kill()

    assert seen == [[process.pid]] * 2000


def test_ratios_are_taken_within_a_round_and_failures_are_shown():
    row = Row("upload", "MB/s", 100, work=lambda _peer: None, size=1 << 30)
    outcomes = {
        ("up", "openssh-internal"): Outcome([Sample(0, 1, 2), Sample(1, 10, 2), Sample(2, 4, 2)]),
        ("up", "sftpd"): Outcome([Sample(0, 0.5, 1), Sample(1, 5, 1), Sample(2, 1, 1)]),
        ("up", "conch"): Outcome(failed="no matching cipher"),
    }
    cells = report.figures({"up": row}, outcomes, ["openssh-internal", "sftpd", "conch"])

    table = report.markdown(cells, {"rounds": 3}, {"sftpd": Offer("aes128-gcm@openssh.com", ())})

    assert "| upload | MB/s | 25 (1.00) | 100 (2.00) | not done |" in table
    assert "| upload | 2.00 | 1.00 | – |" in table
    assert "- conch, upload: no matching cipher" in table


def test_the_document_has_a_place_for_the_table(tmp_path):
    document = Path(shutil.copy(ROOT / "docs/performance.md", tmp_path))

    report.fill(document, "| one \\1 |")
    report.fill(document, "| another |")

    assert "| another |" in document.read_text()
    assert "| one" not in document.read_text()


def test_the_document_shows_options_there_are():
    shown = re.findall(r'make bench ARGS="(.*?)"', (ROOT / "docs/performance.md").read_text())

    assert shown
    for options in shown:
        code = f"import sys; sys.argv[1:] = {options.split()!r}; import bench.__main__ as m; m._arguments()"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=os.environ)
