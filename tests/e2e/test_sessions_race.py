"""Paths that change under a session: a folder and a link to the outside swap, and no request gets out."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from daemon import Daemon
from pipelined_sftp import HANDLE, STATUS, Reply
from race_scene import ACCOUNT, Scene, swapped_by_a_session, swapped_locally

from sftpd.sftp import requests as r
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.requests import OpenFlag, Permission
from sftpd.sftp.status import Status

Swap = Callable[[Daemon], AbstractContextManager[Scene]]
Work = Callable[[Scene], list[Reply]]
"""Some tries: the replies to the requests that name a path in the folder that swaps."""

BATCH = 32
SPARE = 50_000
"""Tries beyond those wanted, after which an attack that never hit has failed."""

NONE = Attributes()
LINK_MET = (
    b"path leaves your folders",
    b"symbolic link not followed",
    b"permission denied",
    b"a file or folder of that name is in the way",
)
"""What is said of a link met: by the session twice, by the monitor, and by it where it was to publish."""
NEW = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("race") / "instance")
    granted = f"permissions = {json.dumps([*Permission])}"
    made.add_account(ACCOUNT, 'keys = ["file:keys/demo_partner_ed25519.pub"]', granted)
    with made as running:
        yield running


def opened(replies: list[Reply]) -> list[bytes]:
    return [reply.text for reply in replies if reply.kind == HANDLE]


def close(scene: Scene, handles: list[bytes]) -> list[Reply]:
    return scene.ask(map(r.Close, handles))


def look_into(scene: Scene, paths: list[bytes]) -> list[Reply]:
    """Open files and read them; the scene sees what comes."""
    replies = scene.ask(r.Open(path, OpenFlag.READ, NONE) for path in paths)
    handles = opened(replies)
    scene.ask(r.Read(handle, 0, 100) for handle in handles)
    close(scene, handles)
    return replies


def reading(scene: Scene) -> list[Reply]:
    return look_into(scene, [scene.at(scene.file)] * BATCH)


def writing(scene: Scene) -> list[Reply]:
    names = [scene.file, *(b"made-%d%s" % (n, scene.file) for n in range(BATCH))]
    replies = scene.ask(r.Open(scene.at(name), NEW, NONE) for name in names)
    handles = opened(replies)
    scene.ask(r.Write(handle, 0, memoryview(b"written")) for handle in handles)
    return replies + close(scene, handles)


def renaming(scene: Scene) -> list[Reply]:
    file, away = scene.at(scene.file), scene.base + b"away-" + scene.file
    return scene.ask([r.Rename(file, away), r.Rename(away, file), r.PosixRename(file, away)] * BATCH)


def linking(scene: Scene) -> list[Reply]:
    into = [scene.at(b"linked-%d-%s" % (n, scene.file)) for n in range(BATCH)]
    away = [b"%slinked-%d.part" % (scene.base, n) for n in range(BATCH)]
    own = scene.base + b"own.part"
    close(scene, opened(scene.ask([r.Open(own, NEW, NONE)])))
    replies = scene.ask(r.Hardlink(scene.at(scene.file), path) for path in away)
    replies += scene.ask(r.Hardlink(own, path) for path in into)
    look_into(scene, away)
    return replies + scene.ask(map(r.Remove, [*away, *into]))[BATCH:]


def copying(scene: Scene) -> list[Reply]:
    replies = scene.ask([r.Open(scene.at(scene.file), OpenFlag.READ, NONE)] * BATCH)
    sources = opened(replies)
    copies = [b"%scopy-%d.part" % (scene.base, n) for n in range(len(sources))]
    copies[1::2] = [scene.at(b"copy-%d-%s" % (n, scene.file)) for n in range(len(copies[1::2]))]
    targets = scene.ask(r.Open(path, NEW, NONE) for path in copies)
    pairs = zip(sources, targets, strict=True)
    scene.ask(r.CopyData(source, 0, 0, to.text, 0) for source, to in pairs if to.kind == HANDLE)
    closed = close(scene, opened(targets))
    close(scene, sources)
    look_into(scene, copies)
    return replies + targets + closed


def asking(scene: Scene) -> list[Reply]:
    return scene.ask([r.Stat(scene.at(scene.file)), r.Lstat(scene.at(scene.file))] * BATCH)


def setting(scene: Scene) -> list[Reply]:
    wanted = [Attributes(permissions=0o666), Attributes(times=(1, 1)), Attributes(size=3)]
    return scene.ask([kind(scene.at(scene.file), w) for kind in (r.Setstat, r.Lsetstat) for w in wanted] * 5)


def listing(scene: Scene) -> list[Reply]:
    replies = scene.ask([r.Opendir(scene.at("folder")), r.Opendir(scene.at("."))] * BATCH)
    handles = opened(replies)
    scene.ask(map(r.Readdir, handles))
    close(scene, handles)
    return replies


def hashing(scene: Scene) -> list[Reply]:
    return scene.ask([r.CheckFileName(scene.at(scene.file), b"sha256", 0, 0, 0)] * BATCH)


def removing(scene: Scene) -> list[Reply]:
    return scene.ask([r.Remove(scene.at(scene.file))] * BATCH)


def making_folders(scene: Scene) -> list[Reply]:
    return scene.ask(
        [r.Mkdir(scene.at("new"), NONE), r.Rmdir(scene.at("new")), r.Rmdir(scene.at("folder"))] * BATCH
    )


def making_links(scene: Scene) -> list[Reply]:
    link = scene.at("link.part")
    return scene.ask([r.Symlink(b"CANARY", link), r.Readlink(scene.at(scene.file)), r.Remove(link)] * BATCH)


COMMON: dict[str, Work] = {
    "open to read": reading,
    "open to write": writing,
    "rename": renaming,
    "hardlink": linking,
    "copy-data": copying,
    "stat": asking,
    "setstat": setting,
    "list": listing,
    "check-file": hashing,
    "remove": removing,
}
STAGED = {**COMMON, "symlink": making_links}
PUBLISHED = {**COMMON, "mkdir": making_folders}
SWAPS = [(swapped_by_a_session, STAGED), (swapped_locally, PUBLISHED)]
ONE_BY_ONE = [
    pytest.param(swap, {name: work}, id=f"{swap.__name__}-{name}")
    for swap, works in SWAPS
    for name, work in works.items()
]


def race(scene: Scene, works: dict[str, Work], tries: int) -> None:
    """Work until there were so many tries, and of each work some were served and some refused."""
    ended = {name: Counter(served=0, refused=0) for name in works}
    total = 0
    while total < tries or not all(count["served"] and count["refused"] for count in ended.values()):
        assert total < tries + SPARE, f"the race was not met: {ended}"
        for name, work in works.items():
            scene.refill()
            replies = work(scene)
            scene.assert_untouched()
            ended[name].update(map(outcome, replies))
            total += len(replies)


def outcome(reply: Reply) -> str:
    if reply.kind != STATUS or reply.status is Status.OK:
        return "served"
    return "refused" if reply.text in LINK_MET else "missed"


@pytest.mark.parametrize(("swap", "works"), ONE_BY_ONE)
def test_a_racing_link_leads_no_request_outside(daemon: Daemon, swap: Swap, works: dict[str, Work]) -> None:
    with swap(daemon) as scene:
        race(scene, works, 1_000)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("swap", "works", "tries"),
    [(swapped_by_a_session, STAGED, 1_000_000), (swapped_locally, PUBLISHED, 100_000)],
    ids=["a session", "a local process"],
)
def test_nor_does_it_in_a_million_tries(
    daemon: Daemon, swap: Swap, works: dict[str, Work], tries: int
) -> None:
    with swap(daemon) as scene:
        race(scene, works, tries)


@pytest.mark.parametrize("swap", [swap for swap, _ in SWAPS])
def test_names_are_told_from_the_path_alone(daemon: Daemon, swap: Swap) -> None:
    with swap(daemon) as scene:
        path = scene.at(scene.file)
        asked = [r.Realpath(path), r.ExpandPath(path), r.ExpandPath(b"~" + path)]
        for _ in range(20):
            assert {reply.text for reply in scene.ask(asked * BATCH)} == {path}
