"""Checks that need more than one key: names used twice, references to nothing, folders in each other."""

import os
from collections.abc import Iterator, Mapping
from pathlib import PurePath

from sftpd.config.address import Address
from sftpd.config.delivery_model import NO_TEMPORARY
from sftpd.config.faults import Finding, dotted
from sftpd.config.link_model import OWN_FOLDERS, LinkFile
from sftpd.config.model import InstanceFile
from sftpd.config.positions import KeyPath

_LONGEST_SOCKET = 107
"""Bytes of the path of a Unix socket, as the kernel has it (unix(7))."""


def check_instance(instance: InstanceFile) -> Iterator[Finding]:
    """What is wrong with the instance file as a whole."""
    if _overlap(instance.about.state, instance.about.links):
        path: KeyPath = ("instance", "links")
        yield Finding(path, path, "lies in the state folder or around it, allowed: a folder apart from it")
    if instance.about.hooks is not None and _overlap(instance.about.hooks, instance.about.links):
        path = ("instance", "hooks")
        text = "lies in the folder of the links or around it, allowed: a folder to which no partner uploads"
        yield Finding(path, path, text)
    yield from _addresses(instance)
    socket = instance.control_socket
    if len(os.fsencode(socket)) > _LONGEST_SOCKET:
        path = ("instance", "state") if instance.control.socket is None else ("control", "socket")
        text = (
            f"control socket {socket} is longer than a socket's path may be, allowed: {_LONGEST_SOCKET} bytes"
        )
        yield Finding(path, path, text)
    ledger = instance.erasure_ledger
    if any(folder in ledger.parents for folder in (instance.about.state, instance.about.links)):
        path = ("erasure", "ledger")
        text = "lies in the folder of the state or of the links, allowed: a file apart from what is backed up"
        yield Finding(path, path, text)


def _addresses(instance: InstanceFile) -> Iterator[Finding]:
    """Addresses that are given twice: the second could not be listened on."""
    metrics = instance.metrics.listen
    given: list[tuple[KeyPath, Address]] = [
        *((("server", "listen", index), each) for index, each in enumerate(instance.server.listen)),
        *((("server", "compat_listen", at), each) for at, each in enumerate(instance.server.compat_listen)),
        *([] if metrics is None else [(("metrics", "listen"), metrics)]),
    ]
    first: dict[Address, KeyPath] = {}
    for path, address in given:
        other = first.setdefault(address, path)
        if other != path and address.port:
            yield Finding(path, path, f'found "{address}", which is already {dotted(other)}')


def check_link(link: LinkFile, stem: str) -> Iterator[Finding]:
    """What is wrong with the file of one link, `stem` being its name without `.toml`."""
    if link.name != stem:
        path: KeyPath = ("link", "name")
        yield Finding(path, path, f'found "{link.name}", allowed: "{stem}", the name of the file')
    for table, sections in (
        ("remote", link.remotes),
        ("route", link.routes),
        ("class", link.classes),
        ("expect", link.expectations),
    ):
        yield from _unique(table, [section.name for section in sections])
    for index, account in enumerate(link.accounts):
        if not (account.keys or account.password or link.about.user_ca):
            path = ("account", index)
            yield Finding(path, path, "no way to log in, allowed: keys, password, or user_ca of the link")
    known = {remote.name for remote in link.remotes}
    for index, route in enumerate(link.routes):
        if route.remote is not None and route.remote not in known:
            key = "to" if route.direction == "outbound" else "from"
            path = ("route", index, key)
            names = ", ".join(sorted(known)) or "none, for the link has no [[remote]]"
            yield Finding(path, path, f'unknown remote "{route.remote}", allowed: {names}')
    sources = ["upload", *sorted(route.name for route in link.inbound)]
    for index, expected in enumerate(link.expectations):
        if expected.source not in sources:
            path = ("expect", index, "from")
            names = ", ".join(sources)
            yield Finding(path, path, f'unknown inbound route "{expected.source}", allowed: {names}')
    yield from _retention(link)
    yield from _conflicts(link)
    yield from _folders(link)


def check_accounts(links: Mapping[str, LinkFile]) -> Iterator[tuple[str, Finding]]:
    """Accounts that two links or one define twice, by file; `links` is keyed by file."""
    first: dict[str, str] = {}
    for file, link in links.items():
        for index, account in enumerate(link.accounts):
            path: KeyPath = ("account", index, "name")
            place = first.setdefault(account.name, f"{dotted(path[:-1])} in {file}")
            if place != f"{dotted(path[:-1])} in {file}":
                yield file, Finding(path, path, f'found "{account.name}", which is already {place}')


def check_vaults(instance: InstanceFile, links: Mapping[str, LinkFile]) -> Iterator[tuple[str, Finding]]:
    """Keys of vaults that would lie beside what they open, by file."""
    for file, link in links.items():
        if link.vault is not None and link.vault.keys is not None:
            path: KeyPath = ("vault", "keys")
            if _overlap(instance.about.links, link.vault.keys):
                text = "lies in the folder of the links or around it, allowed: a folder apart from the files"
                yield file, Finding(path, path, text)


def _unique(table: str, names: list[str]) -> Iterator[Finding]:
    for index, name in enumerate(names):
        if name in names[:index]:
            path: KeyPath = (table, index, "name")
            yield Finding(path, path, f'found "{name}", which is already {table}[{names.index(name)}]')


def _retention(link: LinkFile) -> Iterator[Finding]:
    """Rules that refer to nothing, and versions of a rule that do not tell when each is in force."""
    peers = sorted({account.name for account in link.accounts} | {remote.name for remote in link.remotes})
    classes = sorted(section.name for section in link.classes)
    for index, rule in enumerate(link.retention):
        for key, word, name, known in (
            ("account", "account or remote", rule.account, peers),
            ("class", "class", rule.file_class, classes),
        ):
            if name is not None and name not in known:
                path: KeyPath = ("retention", index, key)
                names = ", ".join(known) or f"none, for the link has no [[{key}]]"
                yield Finding(path, path, f'unknown {word} "{name}", allowed: {names}')
        if rule.return_by is not None:
            yield from _way_back(link, index, rule.return_by)
        yield from _version(link, index)


def _way_back(link: LinkFile, index: int, name: str) -> Iterator[Finding]:
    """What is wrong with the route by which a rule has files go back."""
    path: KeyPath = ("retention", index, "return_by")
    ways = {route.name: route for route in link.outbound if route.remote is not None}
    route = ways.get(name)
    if route is None:
        kinds = {each.name: f"an {each.direction} route" for each in link.routes if each.remote is not None}
        known = any(each.name == name for each in link.routes)
        other = kinds.get(name, "a route to /download" if known else "no route")
        allowed = ", ".join(f'"route:{way}"' for way in sorted(ways))
        names = allowed or '"download", for no route leads to a remote'
        yield Finding(path, path, f'found "route:{name}", which is {other}, allowed: {names}')
    elif any(each.name == route.remote and each.temporary == NO_TEMPORARY for each in link.remotes):
        found = f'found "route:{name}", whose remote "{route.remote}" has temporary = "none"'
        why = "so that it could replace what was returned before"
        yield Finding(path, path, f"{found}, {why}, allowed: a route to another remote")


def _version(link: LinkFile, index: int) -> Iterator[Finding]:
    """What is wrong with a version of a rule, seen beside the version that stands before it."""
    rule = link.retention[index]
    before = [at for at in range(index) if link.retention[at].name == rule.name]
    if not before:
        return
    last = link.retention[before[-1]]
    path: KeyPath = ("retention", index, "name")
    if rule.version <= last.version:
        found = f'found "{rule.name}", which is already retention[{before[-1]}]'
        yield Finding(path, path, f"{found}, allowed: another name, or a version above {last.version}")
    elif rule.effective is None or (last.effective is not None and rule.effective <= last.effective):
        after = "" if last.effective is None else f" after {last.effective}"
        text = f'version {rule.version} of "{rule.name}" has no day from which it is in force'
        yield Finding(path, path[:-1], f"{text}, allowed: effective = a day{after}")


def _conflicts(link: LinkFile) -> Iterator[Finding]:
    """Routes that could not tell what they had begun to write from a file that is in the way."""
    without = {remote.name for remote in link.remotes if remote.temporary == NO_TEMPORARY}
    for index, route in enumerate(link.routes):
        if route.direction == "outbound" and route.remote in without and route.conflict != "replace":
            path: KeyPath = ("route", index, "conflict")
            allowed = f'"replace", for remote "{route.remote}" has temporary = "none"'
            yield Finding(path, path, f'found "{route.conflict}", allowed: {allowed}')


def _folders(link: LinkFile) -> Iterator[Finding]:
    """Watched folders that overlap each other or a folder that sftpd fills: files would go in circles."""
    taken = [(PurePath(name), f'"{name}", which sftpd fills') for name in OWN_FOLDERS]
    for index, route in enumerate(link.routes):
        if route.direction != "outbound":
            continue
        path: KeyPath = ("route", index, "folder")
        for folder, owner in taken:
            if _overlap(folder, PurePath(route.folder)):
                yield Finding(path, path, f'found "{route.folder}", which overlaps {owner}')
        taken.append((PurePath(route.folder), f'the folder of route "{route.name}"'))


def _overlap(one: PurePath, other: PurePath) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)
