import os

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from sftpd.ssh import rehearsal


def a_childs_key() -> bytes:
    """The private key that a fork of this process makes first."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, X25519PrivateKey.generate().private_bytes_raw())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with open(reader, "rb") as pipe:
        return pipe.read()


def test_children_of_one_that_has_rehearsed_make_keys_of_their_own():
    rehearsal.rehearse()
    keys = {a_childs_key() for _ in range(4)}
    assert {len(key) for key in keys} == {32}
    assert len(keys) == 4
