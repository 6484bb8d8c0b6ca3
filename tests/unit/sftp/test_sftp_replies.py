"""Replies: the bytes of the draft, and listings in packets of a bounded size."""

import os
import struct

from sftpd.sftp import extensions, replies
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.status import Status


def test_the_version_reply_as_the_draft_has_it() -> None:
    assert replies.reply_version([(b"a@b", b"1")]) == bytes.fromhex(
        "00000011" + "02" + "00000003" + "00000003614062" + "0000000131"
    )


def test_a_status_as_the_draft_has_it() -> None:
    assert replies.reply_status(5, Status.NO_SUCH_FILE, "no") == bytes.fromhex(
        "00000015" + "65" + "00000005" + "00000002" + "000000026e6f" + "00000002656e"
    )


def test_handle_data_attrs_and_extended_replies() -> None:
    assert replies.reply_handle(1, b"h") == bytes.fromhex("0000000a" + "66" + "00000001" + "0000000168")
    assert replies.reply_data(1, b"x") == bytes.fromhex("0000000a" + "67" + "00000001" + "0000000178")
    assert replies.reply_attrs(1, Attributes(permissions=1)) == bytes.fromhex(
        "0000000d" + "69" + "00000001" + "00000004" + "00000001"
    )
    assert replies.reply_extended(1, b"z") == bytes.fromhex("00000006" + "c9" + "00000001" + "7a")


def test_limits_are_four_numbers() -> None:
    assert struct.unpack(">4Q", extensions.limits_body(7)) == (262144, 261120, 261120, 7)


def test_statvfs_hides_the_file_system_s_id_and_linux_flags() -> None:
    told = os.statvfs_result((1, 2, 3, 4, 5, 6, 7, 8, 0x1001, 10, 99))
    assert told.f_fsid == 99
    assert struct.unpack(">11Q", extensions.statvfs_body(told)) == (1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 10)


def test_space_is_four_numbers_of_bytes_and_the_size_of_a_unit() -> None:
    told = (4096, 1024, 100, 40, 30, 0, 0, 0, 0, 255)
    assert struct.unpack(">4QI", extensions.space_body(told)) == (102_400, 40_960, 92_160, 30_720, 1024)


def test_a_check_is_the_name_of_the_algorithm_and_bare_hashes() -> None:
    assert extensions.check_file_body("md5", [b"one", b"two"]) == b"\0\0\0\x03md5onetwo"
