"""Whatever the pieces, what is seen in another thread is all of it, in order, as it was."""

import random
import threading

import pytest

from sftpd.ssh.courier_hashing import FROM, beside


@pytest.mark.parametrize("size", [0, 1, FROM - 1, FROM, FROM + 1, 3 * FROM + 12_345])
def test_what_is_seen_is_all_that_was_given_though_the_buffer_changes(size: int) -> None:
    content = random.Random(size).randbytes(size)
    pieces, seen, buffer = random.Random(1), bytearray(), bytearray(3 << 20)
    threads = set()

    def see(part: memoryview) -> None:
        threads.add(threading.current_thread())
        seen.extend(part)

    with beside(see, size) as given:
        position = 0
        while position < size:
            part = content[position : position + pieces.choice((1, 255, 32 << 10, 3 << 20))]
            buffer[: len(part)] = part
            given(memoryview(buffer)[: len(part)])
            buffer[:] = bytes(len(buffer))
            position += len(part)
    assert seen == content
    assert (threading.current_thread() in threads) == (0 < size < FROM)


def test_what_fails_meanwhile_ends_the_thread() -> None:
    before = threading.active_count()

    def send() -> None:
        with beside(lambda _: None, FROM) as given:
            given(memoryview(b"some"))
            raise ValueError("the remote is gone")

    with pytest.raises(ValueError, match="the remote"):
        send()
    assert threading.active_count() == before
