"""What clients must be installed or built for: once, beside the environment that runs the tests.

Everything comes from lock files with hashes, or from Debian's packages, and lies in `.venv/clients/`.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
LOCKS, DRIVERS = HERE / "locks", HERE / "drivers"
_BESIDE = Path(sys.prefix) / "clients"


def python_packages(lock: str) -> Path:
    """A folder with the distributions of `locks/LOCK`, for PYTHONPATH."""

    def install(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check", "--no-input", "install"]
        options = ["--no-deps", "--require-hashes", "--target", folder, "--requirement", LOCKS / lock]
        _run([*pip, *options])

    return _made(lock, [LOCKS / lock], install)


def node_modules() -> Path:
    """A folder with what `locks/package-lock.json` names."""
    sources = [LOCKS / "package.json", LOCKS / "package-lock.json"]

    def install(folder: Path) -> None:
        for source in sources:
            shutil.copy(source, folder)
        # Optional parts are compiled ones that only make it faster.
        _run(["npm", "ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"], folder)

    return _made("node", sources, install) / "node_modules"


def c_program(name: str, library: str) -> Path:
    """The driver `drivers/NAME.c`, linked to a library of the system."""
    sources = [DRIVERS / f"{name}.c", DRIVERS / "driver.h"]

    def build(folder: Path) -> None:
        _run(["gcc", "-Wall", "-Werror", "-O1", sources[0], "-o", folder / name, f"-l{library}"])

    return _made(name, sources, build) / name


def go_program(name: str) -> Path:
    """The driver `drivers/NAME.go`, built with Debian's Go packages."""
    source = DRIVERS / f"{name}.go"

    def build(folder: Path) -> None:
        go("build", "-o", folder / name, source)

    return _made(name, [source], build) / name


def go(*words: object, cwd: Path | None = None) -> None:
    """Run Go on Debian's packages of its libraries."""
    settings = {"GOCACHE": str(_BESIDE / "go-cache"), "GO111MODULE": "off", "GOPATH": "/usr/share/gocode"}
    _run(["go", *words], cwd, **settings)


def debian_source(package: str, folder: Path) -> Path:
    """The upstream archive of a Debian package, from where this machine has its packages."""
    signed = "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
    form = f"deb-src [{signed}] $(REPO_URI) $(CODENAME) $(COMPONENT)"
    targets = ["apt-get", "indextargets", "--format", form, "Created-By: Packages", "Origin: Debian"]
    (folder / "sources.list").write_bytes(subprocess.run(targets, capture_output=True, check=True).stdout)
    (folder / "lists/partial").mkdir(parents=True)
    places = {
        "Etc::SourceList": folder / "sources.list",
        "Etc::SourceParts": "/dev/null",
        "State::Lists": folder / "lists",
    }
    apt = [
        "apt-get",
        "-qq",
        *(word for name, value in places.items() for word in ("-o", f"Dir::{name}={value}")),
    ]
    _run([*apt, "update"], folder)
    _run([*apt, "source", "--download-only", package], folder)
    (archive,) = folder.glob("*.orig.tar.*[!c]")
    return archive


def _made(name: str, sources: list[Path], make: Callable[[Path], None]) -> Path:
    """The folder that `make` filled from these very sources, by this process or another."""
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    folder = _BESIDE / f"{name}-{digest[:16]}"
    with _alone(name):
        if not folder.exists():
            for old in _BESIDE.glob(f"{name}-*"):
                shutil.rmtree(old)
            fresh = _BESIDE / f"fresh-{name}"
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            make(fresh)
            fresh.rename(folder)
    return folder


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    _BESIDE.mkdir(exist_ok=True)
    with (_BESIDE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(argv: list[object], cwd: Path | None = None, **variables: str) -> None:
    done = subprocess.run(
        argv, cwd=cwd, env=os.environ | variables, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]} failed:\n{done.stdout}{done.stderr}")
