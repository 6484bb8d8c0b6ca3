"""What the data path takes for granted of paramiko, and paramiko does not promise.

When a new version fails here, read what has changed in the named functions, see that `transport.py`,
`courier_transport.py` and `packetizer.py` in `sftpd/ssh/` still fit, and only then write the new digest down.
"""

import hashlib
import inspect
import re
from collections.abc import Callable
from typing import Any

import paramiko
import pytest
from paramiko import auth_handler

from sftpd.ssh.courier_transport import CourierTransport
from sftpd.ssh.packetizer import Packetizer
from sftpd.ssh.transport import SessionTransport

Transport, Channel = paramiko.Transport, paramiko.Channel

SURFACE: dict[Callable[..., Any], str] = {
    Transport.__init__: "32526bf5422926b6",
    Transport.run: "d658434778e57b94",
    Transport.start_server: "e7a5309812a6e2e7",
    Transport.close: "122a86eda9458044",
    Transport.stop_thread: "dcaa209f8934dcb8",
    Transport._send_kex_init: "2df1e57bcdb16a04",
    Transport._negotiate_keys: "a300d8c5ab7b2448",
    Transport._parse_kex_init: "bbcf0a37f113a8d7",
    Transport._really_parse_kex_init: "bacd878572172b28",
    Transport._activate_inbound: "8b9b2e254a9fbab2",
    Transport._activate_outbound: "2879dc34cb6ccf31",
    Transport._ensure_authed: "513e037e3f5e6517",
    Transport._parse_ext_info: "17c6f75bfd4b74c1",
    Transport._parse_newkeys: "0510151c03b937fd",
    Transport._parse_channel_open: "af19020b9998981a",
    Transport._parse_global_request: "d25c3e12b50cfd26",
    Transport._queue_incoming_channel: "5f2c087ed5bfa24b",
    Transport._unlink_channel: "e6ace9bbc3c1332f",
    Transport._send_message: "0f365864aee09574",
    Transport._send_user_message: "3faeba789bc6c033",
    Transport._get_engine: "8c64b12052e3302b",
    Transport._check_banner: "b6aebd659ce8ff58",
    Channel._set_remote_channel: "3c90f17d182e854d",
    Channel._handle_request: "4dc690d36d0896f3",
    Channel._handle_eof: "cceabf8e50eeb4e9",
    Channel._handle_close: "88adce72f8046906",
    Channel._close_internal: "39667133e339dcc3",
    auth_handler.AuthHandler._parse_userauth_request: "2456f4a1a0c93970",
    auth_handler.AuthHandler._parse_userauth_info_response: "e8f9e76f1ce9134b",
    Transport.auth_publickey: "4c32f9bd4e88f3d3",
    Transport.auth_password: "e8eb8bb5b3870b4a",
    Transport._next_channel: "67f7b4b616fbed89",
    Transport._parse_channel_open_success: "812dcbef708a29e1",
    Transport._parse_channel_open_failure: "ae1a6d56eac04cb5",
    Transport._enforce_strict_kex: "cb9796fcef6603de",
    Transport._expect_packet: "8ecc1de0b501d7ae",
    Channel._set_transport: "cbd3fdfbe95fd420",
    Channel._set_window: "6401e45cceb7594c",
    Channel._request_success: "4e1a12ff964133ae",
    Channel._request_failed: "af45c50c3d96efb7",
    auth_handler.AuthHandler.auth_publickey: "4f937d958dac0ff2",
    auth_handler.AuthHandler.auth_interactive: "24af45c124022ffd",
    auth_handler.AuthHandler._parse_service_accept: "41fe45a5768f118b",
    auth_handler.AuthHandler._parse_userauth_success: "1ab82ea8f02556f3",
    auth_handler.AuthHandler._parse_userauth_failure: "15d5445373316167",
    auth_handler.AuthHandler._parse_userauth_info_request: "e3024b902dda90cb",
}


def digest(function: Callable[..., Any]) -> str:
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]


@pytest.mark.parametrize("function", SURFACE, ids=lambda function: function.__qualname__)
def test_paramiko_is_as_it_was(function: Callable[..., Any]) -> None:
    assert digest(function) == SURFACE[function]


def test_all_that_paramiko_looks_for_in_its_packetizer_is_in_ours() -> None:
    source = inspect.getsource(paramiko.transport)
    wanted = set(re.findall(r"self\.packetizer\.(\w+)", source))
    assert len(wanted) > 15
    assert {name for name in wanted if not hasattr(Packetizer, name)} == set()


@pytest.mark.parametrize("ours", [SessionTransport, CourierTransport])
def test_what_is_overridden_is_there_to_be(ours: type[paramiko.Transport]) -> None:
    overridden = {name for name in vars(ours) if name.startswith("_") and not name.startswith("__")}
    own = {"_begin_exchange", "_attempt", "_attend_until", "_take", "_within"}
    assert {name for name in overridden - own if not hasattr(Transport, name)} == set()


def test_names_set_on_a_transport_are_paramiko_s_own() -> None:
    source = inspect.getsource(paramiko.transport)
    for name in ("_kex_info", "_key_info", "server_key_dict", "local_version", "remote_cipher", "local_mac"):
        assert re.search(rf"\bself\.{name}\b", source), name
