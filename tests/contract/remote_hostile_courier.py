"""A courier that was taken over: it asks for signatures it may not have."""

from sftpd.process.channel import CallFailedError, Channel
from sftpd.sftp.wire import string
from sftpd.ssh import courier_messages as m

FORGED = 3


def main(sock, args, fds):
    """Ask for a key exchange, another user's login and another service, and report how many were refused."""
    with Channel(sock, m.ToCourier) as channel:
        connect = channel.receive().envelope.body
        key, user = connect.key, connect.user.encode()
        forged = (
            b"h" * 32,
            _login(b"root-" + user, b"ssh-connection", key),
            _login(user, b"ssh-elsewhere", key),
        )
        refused = 0
        for data in forged:
            try:
                channel.call(m.SignLogin(data, "ssh-ed25519"), m.LoginSignature)
            except CallFailedError:
                refused += 1
        channel.call(m.SignLogin(_login(user, b"ssh-connection", key), "ssh-ed25519"), m.LoginSignature)
        channel.notify(m.LoginFailed("REMOTE", f"{refused} refused"))


def _login(user, service, key):
    request = b"\x32" + string(user) + string(service) + string(b"publickey") + b"\x01"
    return string(b"s" * 32) + request + string(b"ssh-ed25519") + string(key)
