import os

import pytest
from exchange_scene import Scene, contents, quick_folder

from sftpd.errors import RemoteError, RemoteRefusedError


@pytest.fixture
def tmp_path():
    with quick_folder() as folder:
        yield folder


@pytest.fixture(params=["leave", "delete", "move"])
def then(request):
    return request.param


@pytest.fixture
def scene(tmp_path, then):
    with Scene(tmp_path, then=then) as scene:
        yield scene


def offered(scene, name, content=b"a;b\n", mtime=1_700_000_000):
    path = scene.remote.folder / "in" / name
    path.write_bytes(content)
    os.utime(path, (mtime, mtime))
    return path


def at_remote(scene, folder="in"):
    path = scene.remote.folder / folder
    return contents(path) if path.exists() else {}


def test_a_file_is_fetched_once(scene, then):
    content = os.urandom(10_000)
    offered(scene, "report.bin", content)
    assert scene.collector.collect() == 1
    assert scene.collector.collect() == 0
    assert contents(scene.folders.inbound) == {"report.bin": content}
    assert scene.events() == {"transfer.received": 1}
    assert at_remote(scene) == ({"report.bin": content} if then == "leave" else {})
    assert at_remote(scene, "done") == ({"report.bin": content} if then == "move" else {})


def test_a_file_older_than_the_last_one_is_fetched_too(scene):
    offered(scene, "new", mtime=1_700_000_000)
    scene.collector.collect()
    offered(scene, "old", mtime=1_000_000_000)
    assert scene.collector.collect() == 1


def test_a_file_of_the_same_name_and_size_but_a_new_time_is_another(scene):
    offered(scene, "report.csv", b"monday!")
    scene.collector.collect()
    offered(scene, "report.csv", b"tuesday", mtime=1_700_086_400)
    assert scene.collector.collect() == 1
    assert contents(scene.folders.inbound) == {"report.csv": b"tuesday"}


def test_only_what_the_globs_want(scene):
    offered(scene, "a.tmp")
    assert scene.collector.collect() == 0


def test_a_file_that_is_still_being_written_is_left_for_the_next_time(scene):
    path = offered(scene, "report.csv", b"half")
    scene.collector._pause = lambda seconds: offered(scene, "report.csv", b"half and more")
    assert scene.collector.collect() == 0
    scene.collector._pause = lambda seconds: None
    assert path.exists()
    assert scene.collector.collect() == 1
    assert contents(scene.folders.inbound) == {"report.csv": b"half and more"}


def test_a_newer_file_that_comes_while_others_are_fetched_is_not_dismissed_unseen(scene, then):
    offered(scene, "a", b"first")
    offered(scene, "b")

    def replace(name):
        if name == b"b":
            offered(scene, "a", b"second", mtime=1_700_000_100)

    scene.remote.before_download = replace
    scene.collector.collect()
    assert at_remote(scene)["a"] == b"second"
    scene.collector.collect()
    assert contents(scene.folders.inbound)["a"] == b"second"


def test_a_file_that_the_remote_does_not_give_keeps_no_other_waiting(scene):
    offered(scene, "a")
    offered(scene, "b")
    scene.remote.faults["download"] = [RemoteRefusedError("permission denied")]
    assert scene.collector.collect() == 1
    assert contents(scene.folders.inbound).keys() == {"b"}
    assert not list(scene.folders.screening.iterdir())
    assert scene.collector.collect() == 1


def test_a_broken_download_leaves_nothing_and_is_tried_again(scene):
    offered(scene, "a")
    scene.remote.lost_answers["download"] = 1
    with pytest.raises(RemoteError):
        scene.collector.collect()
    assert not list(scene.folders.screening.iterdir())
    assert scene.collector.collect() == 1


def test_a_rejected_file_is_quarantined_once(scene):
    scene.hook("pre-receive", "echo no; exit 20")
    offered(scene, "a")
    scene.collector.collect()
    scene.collector.collect()
    assert contents(scene.folders.inbound) == {}
    assert contents(scene.folders.quarantine).keys() == {"a"}
    assert scene.events() == {"transfer.blocked": 1}


def test_what_could_not_be_dismissed_is_dismissed_later_and_not_fetched_again(scene, then):
    step = {"leave": "size", "delete": "remove", "move": "place"}[then]
    offered(scene, "a")
    scene.remote.faults[step] = [RemoteError("connection lost")]
    if then != "leave":
        with pytest.raises(RemoteError):
            scene.collector.collect()
    scene.collector.collect()
    assert scene.events() == {"transfer.received": 1}
    assert at_remote(scene).keys() == ({"a"} if then == "leave" else set())
