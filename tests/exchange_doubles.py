"""What stands in for the world in the tests of the exchange: a death at a chosen step, hooks, a remote."""

import contextlib
import hashlib
import os
import subprocess
from collections import Counter, defaultdict
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from sftpd.errors import ChangedThereError, RemoteError
from sftpd.exchange.remote import Downloaded, Listing, Published, RemoteFile
from sftpd.ledger.ledger import Ledger
from sftpd.process.command import Completed


class Crash(BaseException):
    """The process is killed here; no `except Exception` of the code under test may see it."""


class Fuse:
    """Blows at its `at`-th step, and from then on at every one: a dead process does nothing."""

    def __init__(self, at: int | None = None):
        self.at = at
        self.steps = 0
        self.blown = False

    def step(self) -> None:
        if self.blown or self.steps == self.at:
            self.blown = True
            raise Crash
        self.steps += 1

    def around(self, work):
        """`work` with a step before and after it."""

        def guarded(*args, **options):
            self.step()
            result = work(*args, **options)
            self.step()
            return result

        return guarded


class FusedLedger(Ledger):
    """A ledger whose commits are steps of a fuse."""

    fuse = Fuse()

    def write(self, work):
        return self.fuse.around(super().write)(work)

    def defer(self, work):
        self.fuse.step()
        super().write(work)
        self.fuse.step()
        done = Future()
        done.set_result(None)
        return done

    def follow(self, statement, row):
        self.defer(lambda unit: statement.run(unit.conn, row))


class ShellCommands:
    """Runs hooks as plain child processes."""

    def stays(self, program):
        return False

    def run(self, argv, *, stdin, deadline, env):
        done = subprocess.run(argv, input=stdin, timeout=deadline, env=dict(env), capture_output=True)
        return Completed(
            done.returncode, None, "", done.stdout, done.stderr, truncated=False, timed_out=False
        )


class LocalRemote:
    """A remote that keeps its files in a directory, and fails as it is told to."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.fuse = Fuse()
        self.calls: Counter[str] = Counter()
        self.together: defaultdict[str, list[int]] = defaultdict(list)
        """How many files each call was about."""
        self.faults: dict[str, list[Exception]] = {}
        self.down: Exception | None = None
        """What every connection fails with."""
        self.refused: dict[bytes, Exception] = {}
        """What the upload of a file with that content fails with."""
        self.placed: list[str] = []
        """The names of the files that were placed, one after another."""
        self.lost_answers: Counter[str] = Counter()
        self.during_upload = lambda: None
        self.taken = None
        """What the upload that was begun last would have called once a part of it is written."""
        self.hang_up = lambda: None
        self.before_download = lambda name: None
        self.during_download = lambda name: None

    @contextlib.contextmanager
    def borrow(self, name):
        self._call("borrow")
        if self.down is not None:
            raise self.down
        yield self

    def upload(self, files, share=None, taken=None):
        del share
        self.taken = taken
        self.fuse.step()
        self.together["upload"].append(len(files))
        answers = [self._uploaded(file) for file in files]
        self._answer("upload")
        return answers

    def _uploaded(self, file):
        if file.unless is not None and self._at(file.unless).exists():
            return "taken"
        if (fault := self._noted("upload")) is not None:
            return fault
        content = os.pread(file.fd, 1 << 20, 0)
        if content in self.refused:
            return self.refused[content]
        target = self._at(file.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        self.during_upload()
        return "sha256"

    def place(self, files, *, make_folders=False):
        self.fuse.step()
        self.together["place"].append(len(files))
        answers = [self._noted("place") or self._moved(file, make_folders) for file in files]
        self._answer("place")
        return answers

    def _moved(self, file, make_folders):
        if make_folders:
            self._at(file.final).parent.mkdir(parents=True, exist_ok=True)
        if self._at(file.temporary).exists():
            self._at(file.temporary).replace(self._at(file.final))
            self.placed.append(self._at(file.final).name)
        return None if self._at(file.temporary).parent.exists() else RemoteError("its folder is gone")

    def publish(self, files, *, folder, replace, look):
        self.fuse.step()
        self.together["publish"].append(len(files))
        answers = [self._published(file, folder, replace=replace, look=look) for file in files]
        self._answer("publish")
        return answers

    def _published(self, file, folder, *, replace, look):
        part, target = self._at(file.temporary), self._at(file.final)
        if part == target:
            return Published("renamed", target.stat().st_size if look and target.exists() else None)
        if (fault := self._noted("publish")) is not None:
            return fault
        outcome = "renamed" if part.exists() else "gone"
        if outcome == "gone" and not self._at(folder).exists():
            return RemoteError("the file is gone and so is its folder")
        if outcome == "gone" and part.exists():
            return RemoteError("the folder was away for a moment, and the file with it")
        if outcome == "renamed" and target.exists() and not replace:
            outcome = "taken"
        if outcome == "renamed":
            self.calls["rename"] += 1
            part.replace(target)
            self.placed.append(target.name)
        return Published(outcome, target.stat().st_size if look and target.exists() else None)

    def holds(self, path, *, size, sha256):
        self._call("holds")
        content = self._at(path).read_bytes()
        return len(content) == size and hashlib.sha256(content).hexdigest() == sha256

    def size(self, path):
        self._call("size")
        target = self._at(path)
        return target.stat().st_size if target.exists() else None

    def look(self, path, look):
        self._call("list")
        top = self._at(path)
        if look.folders:
            after = look.after.name if look.after else b""
            names = (os.fsencode(at.name) for at in (top.iterdir() if top.exists() else ()) if at.is_dir())
            return Listing(tuple(RemoteFile(name, 0, 0) for name in sorted(names) if name > after), 0)
        paths = [at for at in (top.rglob("*") if look.recursive else top.iterdir()) if at.is_file()]
        named = [(os.fsencode(at.relative_to(top)), at.stat()) for at in paths]
        files = [RemoteFile(name, stat.st_size, int(stat.st_mtime)) for name, stat in named]
        files.sort(key=partial(self._key, look))
        behind = [
            file
            for file in files
            if look.after is None or self._key(look, file) > self._key(look, look.after)
        ]
        return Listing(tuple(behind[: look.limit]), max(len(behind) - look.limit, 0))

    @staticmethod
    def _key(look, file):
        return (file.mtime if look.oldest_first else 0, file.name)

    def download(self, files, share=None):
        del share
        self.fuse.step()
        self.together["download"].append(len(files))
        answers = []
        for file in files:
            if (fault := self._noted("download")) is not None:
                answers.append(fault)
                continue
            self.before_download(file.path.rsplit(b"/", 1)[-1])
            content, before = self._at(file.path).read_bytes(), self._at(file.path).stat()
            os.pwrite(file.fd, content, 0)
            self.during_download(file.path.rsplit(b"/", 1)[-1])
            if file.steady and self._at(file.path).stat().st_mtime_ns != before.st_mtime_ns:
                answers.append(ChangedThereError("the file changed while it was read"))
                continue
            answers.append(Downloaded(len(content), hashlib.sha256(content).hexdigest()))
        self._answer("download")
        return answers

    def remove(self, paths):
        self.fuse.step()
        self.together["remove"].append(len(paths))
        answers = [self._noted("remove") or self._removed(path) for path in paths]
        self._answer("remove")
        return answers

    def _removed(self, path):
        if not self._at(path).parent.exists():
            return RemoteError("the file is gone and so is its folder")
        self._at(path).unlink(missing_ok=True)
        return None

    def _call(self, name):
        self.fuse.step()
        if (fault := self._noted(name)) is not None:
            raise fault

    def _noted(self, name):
        """Count a step, of one file where it is done with several; returns what it fails with."""
        self.calls[name] += 1
        return self.faults[name].pop(0) if self.faults.get(name) else None

    def _answer(self, name):
        self.fuse.step()
        if self.lost_answers[name]:
            self.lost_answers[name] -= 1
            raise RemoteError("connection lost")

    def _at(self, path: bytes) -> Path:
        return self.folder / os.fsdecode(path).lstrip("/")
