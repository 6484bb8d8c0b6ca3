"""Trees that are moved in, out and about while their files settle: each comes where it rests."""

import contextlib
import os
import random
import shutil
from pathlib import Path

import pytest
from namespaces import short_queue
from waiting import holds, until
from watch_scene import SELDOM, Taken, watching

from sftpd.watch.settling import Policy

STEPS = 300


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "outbound"
    path.mkdir()
    return path


def test_files_of_a_folder_that_is_renamed_while_they_settle_come_under_its_new_name_alone(root):
    taken = Taken()
    with watching(root, taken, policy=Policy(stable_for=0.5)) as watcher:
        until(lambda: watcher._observation is not None)
        (root / "before/deep").mkdir(parents=True)
        for name in ("a", "deep/b"):
            (root / "before" / name).write_bytes(b"1")
        until(lambda: len(watcher._settling) == 2)
        (root / "before").rename(root / "after")
        until(lambda: taken.holds((b"after", b"a"), (b"after", b"deep", b"b")))
        until(lambda: len(watcher._settling) == 0)
        assert len(taken.paths) == 2


def test_files_of_a_tree_that_is_moved_out_while_they_settle_do_not_come(root, tmp_path):
    taken = Taken()
    with watching(root, taken, policy=Policy(stable_for=0.5)) as watcher:
        until(lambda: watcher._observation is not None)
        (root / "tree").mkdir()
        (root / "tree/a").write_bytes(b"1")
        until(lambda: len(watcher._settling) == 1)
        (root / "tree").rename(tmp_path / "tree")
        (tmp_path / "tree/late").write_bytes(b"1")
        (root / "last").write_bytes(b"1")
        until(lambda: taken.holds((b"last",)))
        until(lambda: len(watcher._settling) == 0)
        assert taken.holds((b"last",))


class Walk:
    """Changes a watched folder at random, and knows of each file there whether it was handed over."""

    def __init__(self, root, aside, seed):
        self.root, self.aside, self.chance = root, aside, random.Random(seed)
        self.seen = set()
        self.number = 0

    def take(self, path):
        with contextlib.suppress(OSError):
            self.seen.add((path, marks(Path(os.fsdecode(b"/".join((os.fsencode(self.root), *path)))))))
        return True

    def folders(self):
        return [self.root, *(path for path in self.root.rglob("*") if path.is_dir())]

    def files(self):
        return [path for path in self.root.rglob("*") if path.is_file()]

    def missed(self):
        paths = ((path.relative_to(self.root), path) for path in self.files() if path.suffix != ".tmp")
        return {
            short
            for short, path in paths
            if (tuple(map(os.fsencode, short.parts)), marks(path)) not in self.seen
        }

    def step(self):
        self.number += 1
        often = [self.make, self.write, self.write_and_rename, self.move, self.move_in]
        seldom = [self.rename, self.move_out, self.remove, self.remove_tree]
        with contextlib.suppress(OSError, IndexError):
            self.chance.choice(often * 3 + seldom)()

    def place(self, kind, among):
        return self.chance.choice(self.folders()) / f"{kind}{self.chance.randrange(among)}"

    def make(self):
        self.place("d", 6).mkdir()

    def write(self):
        self.place("f", 8).write_bytes(os.urandom(self.chance.randrange(1, 20)))

    def write_and_rename(self):
        draft = self.place("x.tmp", 1)
        draft.write_bytes(b"abc")
        draft.rename(draft.with_name(f"f{self.chance.randrange(8)}"))

    def rename(self):
        self.chance.choice(self.files()).rename(self.place("f", 8))

    def move(self):
        self.chance.choice(self.folders()[1:]).rename(self.place("d", 6))

    def move_out(self):
        self.chance.choice(self.folders()[1:]).rename(self.aside / f"{self.number}")

    def move_in(self):
        self.chance.choice([*self.aside.iterdir()]).rename(self.place("d", 6))

    def remove(self):
        self.chance.choice(self.files()).unlink()

    def remove_tree(self):
        shutil.rmtree(self.chance.choice(self.folders()[1:]))


def marks(path):
    status = path.lstat()
    return status.st_ino, status.st_size, status.st_mtime_ns


@pytest.mark.parametrize("queue", [None, 16])
@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(n, marks=pytest.mark.soak) for n in range(3, 40))])
def test_whatever_moves_each_file_comes_where_it_rests_and_each_folder_is_observed(
    root, tmp_path, seed, queue
):
    aside = tmp_path / "aside"
    aside.mkdir()
    walk = Walk(root, aside, seed)
    limited = short_queue(queue) if queue else contextlib.nullcontext()
    with limited, watching(root, walk.take, policy=Policy(stable_for=0.02), pace=SELDOM) as watcher:
        until(lambda: watcher._observation is not None)
        for _ in range(STEPS):
            walk.step()
        assert holds(lambda: not walk.missed()), walk.missed()
        folders = {os.fsencode(path) for path in walk.folders()}
        assert holds(lambda: {*watcher._observation._watches} == folders)
        for folder in walk.folders():
            (folder / "last").write_bytes(b"last")
        assert holds(lambda: not walk.missed()), walk.missed()
