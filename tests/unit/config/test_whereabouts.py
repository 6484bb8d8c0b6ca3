"""The control socket is found in a configuration that is at fault elsewhere, or is no TOML any more."""

from pathlib import Path

import pytest

from sftpd.config.whereabouts import control_socket

GOOD = '[instance]\nname = "a.example.org"\nstate = "/var/state"\n\n[server]\nlisten = "127.0.0.1:2222"\n'
SOCKET = '[control]\nsocket = "run/own.sock"\n'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (GOOD, "/var/state/control.sock"),
        (GOOD.replace("/var/state", "here"), "here/control.sock"),
        (GOOD.replace("state =", "# state ="), "state/control.sock"),
        (GOOD + SOCKET, "run/own.sock"),
        (GOOD.replace('2222"', "2222"), "/var/state/control.sock"),
        (GOOD.replace("[server]", "[server") + SOCKET, "run/own.sock"),
        (GOOD.replace('name = "', "name = "), "/var/state/control.sock"),
        (GOOD.replace("[instance]", "  [ instance ] # of ours") + "nonsense", "/var/state/control.sock"),
        (GOOD.replace('"/var/state"', "7"), "state/control.sock"),
    ],
)
def test_the_socket_is_where_the_tables_that_can_be_read_say(tmp_path: Path, text: str, found: str) -> None:
    config = tmp_path / "sftpd.toml"
    config.write_text(text)
    assert control_socket(config) == tmp_path / found


def test_of_what_cannot_be_read_nothing_is_known(tmp_path: Path) -> None:
    assert control_socket(tmp_path / "absent.toml") is None
    (tmp_path / "sftpd.toml").write_bytes(b"\xff")
    assert control_socket(tmp_path / "sftpd.toml") is None
