"""`sftpd remote probe` at real servers of every kind: what it finds, suggests, and leaves behind."""

import contextlib
import json
import os
import re
import tomllib

import pytest
from cli_scene import instance
from remote_scene import NAME, login_at, remotes_for
from remote_servers import SERVERS, Relay

from sftpd.errors import RemoteError
from sftpd.ssh.courier_messages import Finding, Findings
from sftpd.ssh.suggestions import suggested

CHILDREN = ["sftpd.ssh.courier"]

ALL = {
    "folder", "hidden_names", "write", "size", "read", "list", "check_file", "check_file_offered", "fsync",
    "resume", "preserve_times", "mode", "rename", "rename_replaces", "posix_rename", "remove",
}  # fmt: skip
NO_HASH = {"check_file": None, "check_file_offered": False}
CANNOT = {
    "openssh": {**NO_HASH, "rename_replaces": False},
    "openssh-chrooted": {**NO_HASH, "rename_replaces": False},
    "proftpd": {"check_file_offered": False, "rename_replaces": False},
    "rclone": {**NO_HASH, "fsync": None, "resume": False, "mode": False},
    "asyncssh": {**NO_HASH, "rename_replaces": False},
    "sftpd": {"rename_replaces": False},
}
SETTINGS = {
    "openssh": {},
    "openssh-chrooted": {},
    "proftpd": {"check_file": "always"},
    "rclone": {"resume": False},
    "asyncssh": {},
    "sftpd": {},
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request, tmp_path_factory):
    with SERVERS[request.param](tmp_path_factory.mktemp("servers") / "s") as running:
        for place in running.places:
            place.mkdir(parents=True, exist_ok=True)
        yield running


@pytest.fixture(scope="module")
def scene(server):
    """An instance with that server as its remote `partner`, no daemon running."""
    with instance() as scene:
        key_type, blob, *_ = server.login.host_public_key.split()
        link = scene.root / "links.d/demo.toml"
        with link.open("a") as file:
            file.write(
                f"""
[[remote]]
name = "partner"
host = "127.0.0.1"
port = {server.login.port}
user = "{server.login.user}"
key = "file:{server.login.key_path}"
host_keys = ["{key_type} {blob}"]
"""
            )
        yield scene


def probed(scene, server, *words):
    return scene.ask("remote", "probe", "partner", "--path", os.fsdecode(server.directory), *words)


def test_what_a_server_can_do_is_found_and_nothing_is_left_there(scene, server):
    asked = probed(scene, server, "--json", "--by", "Ina")
    assert (asked.code, asked.err) == (0, "")
    found = asked.json
    works = {step["step"]: step["works"] for step in found["steps"]}
    assert works == dict.fromkeys(ALL, True) | CANNOT[server.name]
    assert found["settings"] == tomllib.loads(found["toml"]) == SETTINGS[server.name]
    assert found["identification"].startswith("SSH-2.0-")
    assert server.names() == []
    assert [
        event["private"]["by"] for event in scene.json("audit", "search", "probed", "--link", "demo")
    ] == ["Ina"]


def test_people_are_shown_the_suggestions(scene, server):
    asked = probed(scene, server)
    assert asked.code == 0, asked
    assert re.search(r"^write +yes +75300 bytes", asked.out, re.MULTILINE)
    lines = [f"{name} = {json.dumps(value)}" for name, value in SETTINGS[server.name].items()] or [
        "The defaults suit this server."
    ]
    assert asked.out.splitlines()[-len(lines) :] == lines


def test_a_folder_that_is_not_there_is_said_to_be_none(scene, server):
    asked = scene.ask("remote", "probe", "partner", "--path", os.fsdecode(server.at("missing")), "--json")
    assert asked.code == 1
    assert [(step["step"], step["works"]) for step in asked.json["steps"]] == [("folder", False)]
    assert asked.json["settings"] == {}


@pytest.mark.parametrize("cut_after", [90_000, 200_000])
def test_a_probe_that_is_cut_off_leaves_nothing_either(children, server, cut_after):
    with Relay(server.login.port) as relay:

        def cut_once():
            if relay.sent > cut_after and not cut:
                cut.append(server.names())
                relay.cut()

        cut = []
        relay.after_each = cut_once
        login = login_at(relay.before(server).login)
        with contextlib.closing(remotes_for(children, login)) as remotes, pytest.raises(RemoteError):
            remotes.examine(NAME, server.directory, "cut")
    assert cut[0] != []
    assert server.names() == []


@pytest.mark.parametrize(
    ("works", "settings"),
    [
        ({}, {}),
        ({"write": False}, {}),
        ({"hidden_names": False}, {"temporary": "suffix"}),
        ({"rename": False}, {}),
        ({"rename": False, "posix_rename": False}, {"temporary": "none", "posix_rename": False}),
        ({"rename": False, "posix_rename": None, "hidden_names": False}, {"temporary": "none"}),
        ({"read": False}, {}),
        ({"read": False, "check_file": None}, {"resume": False, "confirm": "size"}),
        ({"check_file": False}, {"check_file": "never"}),
        ({"check_file_offered": False}, {"check_file": "always"}),
        ({"check_file": None, "check_file_offered": False}, {}),
        ({"fsync": False}, {"fsync": False}),
        ({"fsync": None, "mode": False, "preserve_times": False}, {}),
    ],
)
def test_only_what_must_differ_from_the_defaults_is_suggested(works, settings):
    steps = (Finding(step, done, "") for step, done in (dict.fromkeys(ALL, True) | works).items())
    assert suggested(Findings("SSH-2.0-x", (), None, tuple(steps))) == settings
