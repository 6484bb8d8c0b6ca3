"""A state that is backed up, goes on, and is restored with the erasure ledger of what went on since."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from erasure_scene import Scene

from sftpd.erasure.replay import Replay, Result


@contextmanager
def opened(root: Path, children):
    scene = Scene(root, children, current=False)
    try:
        yield scene
    finally:
        scene.close()


@pytest.fixture
def live(tmp_path, children):
    """A scene that is backed up by `backed_up`, goes on, and is restored by `restored`."""
    (tmp_path / "live").mkdir()
    with opened(tmp_path / "live", children) as scene:
        yield scene


def backed_up(scene: Scene) -> Path:
    """A copy of the state as it is now, as a backup that leaves the erasure ledger out."""
    copy = scene.root.with_name("backup")
    scene.ledger.compact()
    shutil.copytree(scene.root, copy, ignore=shutil.ignore_patterns("erasures"))
    return copy


@contextmanager
def restored(scene: Scene, backup: Path, children):
    """The backup with the erasure ledger of what went on since."""
    scene.erasures.close()
    shutil.copytree(scene.root / "erasures", backup / "erasures")
    with opened(backup, children) as again:
        yield again


def replay(scene: Scene):
    return Replay(scene.ledger, scene.readers, scene.erasures, scene.links).run("operator")


def require_done(outcomes) -> None:
    assert [outcome for outcome in outcomes if outcome.result is Result.LEFT] == []


def texts(scene: Scene) -> dict[str, str]:
    folder = scene.root / "inbound"
    return {path.name: path.read_text() for path in folder.iterdir()}
