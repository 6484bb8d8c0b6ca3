"""The repository keeps its own rules: portable files, small modules, folders that say what they are for."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = [f"requirements{part}.lock" for part in ("", "-dev", "-bench", "-fuzz", "-pkcs11")]
CLIENTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests/clients/locks").iterdir())
MODULE_LINES = 400
FUNCTION_LINES = 60

# Only an absolute path counts: "demo/home/" and "~/home/" are fine. The pattern does not match itself.
BUILD_MACHINE_PATH = re.compile(rb"(?<![\w.~$})/-])/(?:root|work|home)/[\w.]")
REGISTRY = re.compile(rb"https?://|pypi|pythonhosted|find-links", re.IGNORECASE)


def repository_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    return [path for raw in listing.split(b"\0") if raw and (path := ROOT / raw.decode()).is_file()]


def sources() -> list[Path]:
    return [
        path for path in repository_files() if path.suffix == ".py" and path.is_relative_to(ROOT / "sftpd")
    ]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def project_version() -> str:
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return version


def test_no_file_holds_a_path_of_the_machine_it_was_made_on() -> None:
    found = [
        f"{name(path)}:{number}"
        for path in repository_files()
        for number, line in enumerate(path.read_bytes().splitlines(), 1)
        if BUILD_MACHINE_PATH.search(line)
    ]

    assert found == []


@pytest.mark.parametrize("file", ["Makefile", ".ci/run", "packages.apt", *LOCKS, *CLIENTS])
def test_no_registry_is_named(file: str) -> None:
    assert REGISTRY.findall((ROOT / file).read_bytes()) == []


@pytest.mark.parametrize("file", [*LOCKS, *(name for name in CLIENTS if name.endswith(".lock"))])
def test_every_locked_distribution_is_exact_and_hashed(file: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / file).read_text().strip())

    assert entries
    assert [entry for entry in entries if not re.match(r"[\w.-]+==\S+ \\\n +--hash=sha256:", entry)] == []


def test_the_runtime_lock_is_part_of_the_development_lock() -> None:
    runtime, development = (
        set(re.findall(r"^[\w.-]+==\S+", (ROOT / file).read_text(), re.MULTILINE))
        for file in ("requirements.lock", "requirements-dev.lock")
    )

    assert runtime - development == set()


def test_each_debian_package_is_listed_once() -> None:
    """One that is there twice counts as missing (comm(1)), and is installed at each run."""
    listed = [line for line in (ROOT / "packages.apt").read_text().splitlines() if not line.startswith("#")]
    assert listed == sorted(set(listed))


def test_modules_stay_small() -> None:
    lengths = {name(path): len(path.read_text().splitlines()) for path in sources()}

    assert {path: length for path, length in lengths.items() if length >= MODULE_LINES} == {}


def test_functions_stay_small() -> None:
    found = {
        f"{name(path)}:{node.name}": length
        for path in sources()
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) >= FUNCTION_LINES
    }

    assert found == {}


def test_a_folder_says_in_one_sentence_what_it_is_for() -> None:
    faults = []
    for path in sources():
        if path.name != "__init__.py" or path.parent == ROOT / "sftpd":
            continue
        body = ast.parse(path.read_bytes())
        sentence = ast.get_docstring(body) or ""
        if len(body.body) != 1 or "\n" in sentence or not sentence.endswith(".") or ". " in sentence:
            faults.append(name(path))

    assert faults == []


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in sources()}

    assert [name(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_the_changelog_has_an_entry_for_this_version() -> None:
    sections = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    entry = next((section for section in sections if section.startswith(f"[{project_version()}]")), "")

    assert re.search(r"^- \S", entry, re.MULTILINE), f"no changelog entry for {project_version()}"


def test_the_architecture_names_only_what_exists() -> None:
    named = set(
        re.findall(
            r"`((?:sftpd|hooks|etc|systemd|tests|docs)/[\w./-]+)`",
            (ROOT / "docs/architecture.md").read_text(),
        )
    )

    assert named
    assert sorted(path for path in named if not (ROOT / path).exists()) == []
