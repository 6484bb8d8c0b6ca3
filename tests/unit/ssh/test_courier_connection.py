"""What the monitor makes of a courier's answers about several files."""

from types import SimpleNamespace

import pytest

from sftpd.errors import ChangedThereError, RemoteError, RemoteFailedError, RemoteRefusedError
from sftpd.exchange.remote import Publication, Published
from sftpd.ssh import courier_messages as m
from sftpd.ssh.courier_connection import Connection

FILES = [Publication(b"/a.part", b"/a"), Publication(b"/b.part", b"/b")]


def publish(*answers):
    """A connection whose courier answers so, and what comes of it."""
    channel = SimpleNamespace(call=lambda *_, **__: m.Published(answers))
    connection = Connection("partner", SimpleNamespace(channel=channel))
    connection.usable = True
    return connection, lambda: connection.publish(FILES, folder=b"/", replace=True, look=True)


def test_each_file_has_its_answer():
    connection, ask = publish(m.Placed("renamed", 1), m.Placed("gone", None))
    assert ask() == [Published("renamed", 1), Published("gone", None)]
    assert connection.usable


@pytest.mark.parametrize(
    "kind",
    [RemoteRefusedError, RemoteFailedError, ChangedThereError, RemoteError],
    ids=lambda kind: kind.code,
)
def test_a_fault_of_one_is_an_error_in_its_place_and_ends_the_connection_if_it_is_about_that(kind):
    connection, ask = publish(m.Placed("renamed", 1), m.Fault(kind.code, "no"))
    done, fault = ask()
    assert done == Published("renamed", 1)
    assert type(fault) is kind
    assert connection.usable is (kind is not RemoteError)
    assert connection.fresh is issubclass(kind, RemoteRefusedError)


@pytest.mark.parametrize("answers", [1, 3])
def test_a_courier_that_answers_for_other_files_is_not_believed(answers):
    connection, ask = publish(*[m.Placed("renamed", 1)] * answers)
    with pytest.raises(RemoteError, match="more or fewer"):
        ask()
    assert not connection.usable
