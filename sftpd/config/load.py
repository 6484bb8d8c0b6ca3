"""Loading a configuration: every fault of every file at once, or a Config."""

import hashlib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from sftpd.config import checks
from sftpd.config.faults import Fault, Finding, dotted, translate
from sftpd.config.link_model import LinkFile
from sftpd.config.model import InstanceFile, Section
from sftpd.config.positions import KeyPath, line_of, locate
from sftpd.errors import ConfigError

LINKS_FOLDER = "links.d"
_SYNTAX = re.compile(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", re.DOTALL)

S = TypeVar("S", bound=Section)


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration without faults; `root` is the folder of `sftpd.toml`, `digest` one hash of all."""

    instance: InstanceFile
    links: tuple[LinkFile, ...]
    root: Path
    digest: str

    def link(self, name: str) -> LinkFile | None:
        """The link of that name; None where there is none."""
        return next((file for file in self.links if file.name == name), None)

    def zone(self, link: LinkFile) -> ZoneInfo:
        """The time zone in which the periods of `link` end."""
        return link.about.time_zone or self.instance.about.time_zone


@dataclass(frozen=True, slots=True)
class _Source:
    """A file that was read: its name from the root on, its tables, and where they stand."""

    name: str
    content: bytes
    tables: dict[str, Any]
    lines: dict[KeyPath, int]

    def fault(self, finding: Finding) -> Fault:
        return Fault(self.name, line_of(self.lines, finding.at), dotted(finding.path), finding.text)


def load(path: Path) -> Config:
    """Read `path` and the files of `links.d` beside it.

    Raises ConfigError with one line for each fault, in the order of files and lines.
    """
    return _Loader(path).config()


def load_instance(path: Path) -> InstanceFile:
    """Read `path` alone, as to reach the daemon takes. Raises ConfigError as `load` does."""
    return _Loader(path).instance()


_NAME_ONE = "; name the instance by --config or $SFTPD_CONFIG, or make one with sftpd init"


class _Loader:
    """One reading of the configuration; gathers the faults on its way."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._root = self._path.parent
        self._faults: list[Fault] = []
        self._sources: list[_Source] = []

    def instance(self) -> InstanceFile:
        instance = self._instance()
        if self._faults or instance is None:
            raise self._error()
        return instance

    def config(self) -> Config:
        instance = self._instance()
        if not self._path.exists():  # then there is no place at which links are looked for
            raise self._error()
        links = self._links(instance)
        if self._faults or instance is None:
            raise self._error()
        return Config(instance, tuple(sorted(links, key=lambda link: link.name)), self._root, self._digest())

    def _error(self) -> ConfigError:
        return ConfigError([str(fault) for fault in sorted(self._faults)])

    def _instance(self) -> InstanceFile | None:
        source = self._read(self._path)
        instance = self._validated(source, InstanceFile) if source else None
        if source and instance:
            self._report(source, checks.check_instance(instance))
        return instance

    def _links(self, instance: InstanceFile | None) -> list[LinkFile]:
        links: dict[str, LinkFile] = {}
        sources: dict[str, _Source] = {}
        for path in self._link_paths():
            source = self._read(path)
            link = self._validated(source, LinkFile) if source else None
            if source and link:
                self._report(source, checks.check_link(link, path.stem))
                links[source.name], sources[source.name] = link, source
        found = [*checks.check_accounts(links)]
        found += [] if instance is None else checks.check_vaults(instance, links)
        for name, finding in found:
            self._report(sources[name], [finding])
        return list(links.values())

    def _link_paths(self) -> list[Path]:
        folder = self._root / LINKS_FOLDER
        try:
            paths = sorted(
                path for path in folder.iterdir() if path.suffix.lower() == ".toml" and path.name[0] != "."
            )
        except OSError as error:
            self._faults.append(Fault(LINKS_FOLDER, 0, "", f"cannot read the folder: {error.strerror}"))
            return []
        if not paths:
            self._faults.append(Fault(LINKS_FOLDER, 0, "", "no link, allowed: one file NAME.toml for each"))
        return paths

    def _read(self, path: Path) -> _Source | None:
        name = str(path.relative_to(self._root))
        try:
            content = path.read_bytes()
            text = content.decode()
            source = _Source(name, content, tomllib.loads(text), locate(text))
        except OSError as error:
            remedy = _NAME_ONE if path == self._path and isinstance(error, FileNotFoundError) else ""
            self._faults.append(Fault(str(path), 0, "", f"cannot read the file: {error.strerror}{remedy}"))
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            self._faults.append(Fault(name, line, "", "not UTF-8 text"))
        except tomllib.TOMLDecodeError as error:
            self._faults.append(_syntax_fault(name, text, str(error)))
        else:
            self._sources.append(source)
            return source
        return None

    def _validated(self, source: _Source, model: type[S]) -> S | None:
        try:
            return model.model_validate(source.tables, context={"root": self._root})
        except ValidationError as error:
            self._report(source, translate(error, model))
            return None

    def _report(self, source: _Source, findings: Iterable[Finding]) -> None:
        self._faults.extend(source.fault(finding) for finding in findings)

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for source in self._sources:
            digest.update(f"{source.name}\0{len(source.content)}\0".encode() + source.content)
        return digest.hexdigest()


def _syntax_fault(name: str, text: str, message: str) -> Fault:
    """What tomllib says of a document that is not TOML; it names the line in its message alone."""
    match = _SYNTAX.fullmatch(message)
    line = int(match[2]) if match and match[2] else text.count("\n") + 1
    reason = match[1] if match else message
    return Fault(name, line, "", f"not TOML: {reason[:1].lower()}{reason[1:]}")
