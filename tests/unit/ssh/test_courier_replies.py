"""What the answers of a server say of it: that it will not, that it cannot now, or nothing at all."""

import pytest

from sftpd.errors import RemoteError, RemoteFailedError, RemoteRefusedError
from sftpd.sftp.status import Status
from sftpd.ssh.courier_replies import StatusReply, errors_told

KINDS = {
    Status.PERMISSION_DENIED: RemoteRefusedError,
    Status.OP_UNSUPPORTED: RemoteRefusedError,
    Status.FAILURE: RemoteFailedError,
    Status.NO_SUCH_FILE: RemoteFailedError,
    Status.BAD_MESSAGE: RemoteFailedError,
    Status.NO_CONNECTION: RemoteError,
    Status.CONNECTION_LOST: RemoteError,
}


@pytest.mark.parametrize("status", KINDS)
def test_an_answer_says_nothing_of_the_connection_unless_it_is_about_one(status: Status) -> None:
    with pytest.raises(RemoteError) as told, errors_told():
        raise StatusReply(status, "no room")
    assert type(told.value) is KINDS[status]
    assert str(told.value) == f"it answers {status.name}: no room"


@pytest.mark.parametrize("fault", [TimeoutError(), EOFError(), ConnectionResetError()])
def test_what_is_no_answer_is_the_connection_s_fault(fault: Exception) -> None:
    with pytest.raises(RemoteError) as told, errors_told():
        raise fault
    assert type(told.value) is RemoteError
