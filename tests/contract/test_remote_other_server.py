"""Remotes that are not OpenSSH, and couriers that are not ours."""

import contextlib
import os

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from remote_hostile_courier import FORGED
from remote_other_server import CONTENT, MTIME, PASSWORD, other_server
from remote_scene import NAME, couriers, download, listed, login_at, remotes_for
from sshd import make_key
from structlog.testing import capture_logs

from sftpd.errors import NotPlacedError, RemoteError, RemoteRefusedError
from sftpd.exchange.remote import Look, Publication, Published, RemoteFile
from sftpd.process.pool import Children
from sftpd.ssh import courier
from sftpd.ssh.courier_connection import RemoteLogin


@pytest.fixture(scope="module")
def children():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.path.dirname(__file__), prepend=os.pathsep)
        with Children.start(["sftpd.ssh.courier", "remote_hostile_courier"]) as started:
            yield started


@pytest.fixture(scope="module")
def host_key():
    return paramiko.ECDSAKey.generate(ec.SECP256R1())


@pytest.fixture
def borrow(children, tmp_path, host_key):
    """Borrow a connection to such a server, with this password and no key."""

    @contextlib.contextmanager
    def borrowing(password=PASSWORD, **options):
        with other_server(tmp_path, host_key, **options) as server:
            login = RemoteLogin(login_at(server, key="none").remote, None, lambda: password)
            with contextlib.closing(remotes_for(children, login)) as remotes, remotes.borrow(NAME) as remote:
                yield remote

    return borrowing


@pytest.mark.parametrize("interactive", [False, True])
def test_a_password_logs_in(borrow, interactive):
    with borrow(interactive=interactive) as remote:
        assert remote.size(b"/nothing") is None


def test_a_wrong_password_is_refused(borrow):
    with pytest.raises(RemoteRefusedError, match="refuses the login"), borrow("wrong"):
        pass


def test_no_password_is_shown(borrow):
    login = RemoteLogin(None, None, lambda: PASSWORD)
    assert "lambda" not in repr(login)
    with capture_logs() as lines, borrow() as remote:
        listed(remote, b"/")
    assert PASSWORD not in repr(lines)


def test_short_reads_are_put_together(borrow, tmp_path):
    with borrow() as remote:
        assert download(remote, b"/content", tmp_path / "back")[0] == len(CONTENT)
    assert (tmp_path / "back").read_bytes() == CONTENT


def test_a_listing_brings_no_name_that_is_a_path_and_says_how_many(borrow):
    with borrow() as remote:
        listing = remote.look(b"/", Look())
    assert [*listing.files] == [RemoteFile(b"fine.csv", len(CONTENT), MTIME)]
    assert listing.left_out == 4


def published(remote, *files, **options):
    wanted = [Publication(*file) for file in files]
    return remote.publish(wanted, folder=b"/", **{"replace": True, "look": True, **options})


@pytest.mark.parametrize(
    ("temporary", "final", "known"),
    [
        (b"/unknown", b"/nothing", Published("gone", None)),
        (b"/unknown", b"/content", Published("gone", len(CONTENT))),
        (b"/failing", b"/content", Published("gone", len(CONTENT))),
        (b"/failing", b"/nothing", None),
        (b"/denied", b"/content", None),
        (b"/denied", b"/nothing", None),
    ],
)
def test_what_is_gone_was_renamed_before_only_if_the_server_does_not_know_it_or_it_is_seen(
    borrow, temporary, final, known
):
    with borrow() as remote:
        (answer,) = published(remote, (temporary, final))
        assert remote.size(b"/nothing") is None
    if known is None:
        assert isinstance(answer, NotPlacedError)
        assert "its final name" in str(answer)
    else:
        assert answer == known


@pytest.mark.parametrize("final", [b"/nothing", b"/content"])
def test_what_is_gone_and_must_replace_nothing_was_renamed_before_only_if_it_may_be(borrow, final):
    with borrow() as remote:
        failing, unknown = published(remote, (b"/failing", final), (b"/unknown", final), replace=False)
    assert unknown.outcome == "gone"
    assert isinstance(failing, NotPlacedError) if final == b"/nothing" else failing == unknown


def test_where_nobody_may_look_a_failure_does_not_show_a_rename(borrow):
    with borrow() as remote:
        failing, unknown = published(remote, (b"/failing", b"/content"), (b"/unknown", b"/x"), look=False)
    assert isinstance(failing, NotPlacedError)
    assert unknown == Published("gone", None)


def test_a_refusal_is_told_even_if_the_connection_is_lost_with_the_next_answer(borrow):
    with borrow() as remote:
        denied, lost = published(remote, (b"/denied", b"/x"), (b"/cut", b"/y"))
    assert isinstance(denied, NotPlacedError)
    assert "connection is lost" in str(lost)


def test_a_courier_that_asks_for_other_signatures_gets_none(children, tmp_path, host_key, monkeypatch):
    monkeypatch.setattr(courier, "ENTRY", "remote_hostile_courier:main")
    make_key(tmp_path / "key", "ed25519")
    with other_server(tmp_path, host_key) as server:
        login = login_at(server, key=paramiko.PKey.from_path(tmp_path / "key"))
        with (
            capture_logs() as lines,
            contextlib.closing(remotes_for(children, login)) as remotes,
            pytest.raises(RemoteError, match=f"{FORGED} refused"),
            remotes.borrow(NAME),
        ):
            pass
    assert [line["event"] for line in lines] == ["login_signature_refused"] * FORGED
    assert couriers(children) == []
