"""What a partner is told of an error: a code, and nothing of our inside."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.errors import (
    ContainmentError,
    InvalidNameError,
    LedgerError,
    LimitError,
    NotFoundError,
    RefusedError,
)
from sftpd.sftp.status import Status, StatusError, status_for
from sftpd.sftp.wire import ProtocolError

INSIDE = "/srv/links/secret"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StatusError(Status.EOF, "end of file"), (Status.EOF, "end of file")),
        (
            RefusedError("a rule forbids it", reason="R", where=INSIDE),
            (Status.PERMISSION_DENIED, "a rule forbids it"),
        ),
        (LimitError("so many, no more", reason="R", where=INSIDE), (Status.FAILURE, "so many, no more")),
        (ContainmentError("x", where=INSIDE), (Status.PERMISSION_DENIED, "path leaves your folders")),
        (InvalidNameError(INSIDE), (Status.BAD_MESSAGE, "bad path")),
        (NotFoundError(INSIDE), (Status.NO_SUCH_FILE, "no such file or directory")),
        (ProtocolError(INSIDE), (Status.BAD_MESSAGE, "bad message")),
        (FileNotFoundError(errno.ENOENT, INSIDE, INSIDE), (Status.NO_SUCH_FILE, "no such file or directory")),
        (OSError(errno.ENOSPC, INSIDE), (Status.FAILURE, "no space left")),
        (OSError(INSIDE), (Status.FAILURE, "failure")),
        (LedgerError(INSIDE), (Status.FAILURE, "internal error")),
        (OverflowError(INSIDE), (Status.FAILURE, "file too large")),
        (KeyError(INSIDE), (Status.FAILURE, "internal error")),
    ],
)
def test_each_error_is_told_in_its_own_words(error: BaseException, told: tuple[Status, str]) -> None:
    assert status_for(error) == told


@given(st.sampled_from(sorted(errno.errorcode)))
def test_no_errno_tells_of_the_host(number: int) -> None:
    code, message = status_for(OSError(number, "text", INSIDE))
    assert code is not Status.OK
    assert INSIDE not in message
