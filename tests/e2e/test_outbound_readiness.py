"""What the keys of an outbound route say of when and how its files are taken, through the daemon."""

import json
import shutil

import pytest
from daemon import Daemon, eventually
from traffic_scene import names
from waiting import holds

ROUTES = {
    "done": ('done_file = ".ok"', "settle = 0"),
    "flat": ('layout = "flatten"', 'exclude = ["drafts/*"]'),
    "top": ("recursive = false", 'temporary = ["*.busy"]'),
    "aged": ("settle = 0", "minimum_age = 3600"),
    "polled": ('watch = "poll"', "poll_every = 0.2", 'order = "time"'),
    "open": ("wait_for_writers = false", "settle = 0.1"),
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    running = Daemon(tmp_path_factory.mktemp("readiness") / "instance")
    text = running.link_config.read_text()
    for name, lines in ROUTES.items():
        usual = (f'name = "{name}"', 'direction = "outbound"', f'folder = "{name}"', 'to = "download"')
        text += "\n".join(("", "[[route]]", *usual, *lines, ""))
    running.link_config.write_text(text)
    with running:
        yield running


@pytest.fixture
def download(daemon):
    return daemon.link / ".sftpd/download"


def drop(daemon, path, content=b"a;b\n"):
    target = daemon.link / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


def test_a_file_goes_with_its_done_file_and_not_before(daemon, download):
    drop(daemon, "done/early.csv")
    drop(daemon, "done/late.csv")
    drop(daemon, "done/late.csv.ok")
    eventually((download / "late.csv").exists, daemon)
    assert names(daemon.link / "done") == ["early.csv"]
    drop(daemon, "done/early.csv.ok")
    eventually((download / "early.csv").exists, daemon)
    assert names(daemon.link / "done") == []
    assert not list(download.glob("*.ok"))


def test_files_of_subfolders_are_flattened_and_a_pattern_with_a_slash_leaves_some(daemon, download):
    drop(daemon, "flat/drafts/not.csv")
    drop(daemon, "flat/2026/march/deep.csv")
    drop(daemon, "flat/2026+march/deep.csv")
    eventually((download / "2026+march+deep.csv").exists, daemon)
    eventually((download / "2026+.march+deep.csv").exists, daemon)
    daemon.sftp_done('get "/download/2026+march+deep.csv"')
    assert (daemon.desk / "2026+march+deep.csv").read_bytes() == b"a;b\n"
    assert (daemon.link / "flat/drafts/not.csv").exists()
    listed = json.loads(daemon.cli("transfer", "list", "--json").stdout)
    placed = {row["path"]: row["placed_as"] for row in listed}
    assert placed["2026/march/deep.csv"] == "2026+march+deep.csv"


def test_unfinished_names_and_subfolders_are_as_configured(daemon, download):
    drop(daemon, "top/a.csv.busy")
    drop(daemon, "top/sub/b.csv")
    drop(daemon, "top/c.csv.part")
    eventually((download / "c.csv.part").exists, daemon)
    assert (daemon.link / "top/a.csv.busy").exists()
    assert (daemon.link / "top/sub/b.csv").exists()


def test_a_polled_folder_is_listed_often(daemon, download):
    drop(daemon, "polled/by-listing.csv")
    eventually((download / "by-listing.csv").exists, daemon)
    assert "it is configured to be polled" in daemon.log


def test_a_file_stays_until_it_is_old_enough_or_closed_unless_told_otherwise(daemon, download):
    drop(daemon, "aged/young.csv")
    with (daemon.outbound / "held-open.csv").open("wb", buffering=0) as held:
        held.write(b"begun")
        with (daemon.link / "open/open.csv").open("wb", buffering=0) as opened:
            opened.write(b"whole, and never closed")
            eventually((download / "open.csv").exists, daemon)
        for number in range(2):
            drop(daemon, f"outbound/quick-{number}.csv")
            eventually((download / f"quick-{number}.csv").exists, daemon)
        assert not (download / "held-open.csv").exists()
    eventually((download / "held-open.csv").exists, daemon)
    assert (daemon.link / "aged/young.csv").exists()


def test_a_watched_folder_that_is_replaced_is_sent_from_at_once(daemon, download):
    drop(daemon, "outbound/before.csv")
    eventually((download / "before.csv").exists, daemon)
    aside = daemon.link / "aside"
    daemon.outbound.rename(aside)
    daemon.outbound.mkdir()
    drop(daemon, "outbound/after.csv")
    eventually((download / "after.csv").exists, daemon)
    shutil.rmtree(aside)
    assert holds(lambda: names(daemon.outbound) == [])
