"""How a courier gets to its remote: TCP, key exchange, pinned host key, login, SFTP; each step is timed."""

import socket

import paramiko

from sftpd.errors import HostKeyError, ProcessError, RemoteError, RemoteRefusedError
from sftpd.ssh.courier_channel import CourierChannel
from sftpd.ssh.courier_messages import ANNOUNCED_LIMIT, ANNOUNCED_SIZE, Connect, LoggedIn
from sftpd.ssh.courier_replies import errors_told, printable
from sftpd.ssh.courier_sftp import Client
from sftpd.ssh.courier_transport import CourierTransport
from sftpd.ssh.identification import IDENTIFICATION
from sftpd.ssh.signing import Ask, RemoteSigner, algorithms, fingerprint, key_type

_SOCKET_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)


def log_in(connect: Connect, ask: Ask) -> tuple[Client, LoggedIn]:
    """Connect, log in and begin SFTP; `ask` has the login signed. Returns what there is to say of it too.

    Raises RemoteError where trying again may help, RemoteRefusedError where the remote said no, and
    HostKeyError for a host key that is not pinned.
    """
    transport = CourierTransport(_connected(connect), IDENTIFICATION, connect.compat)
    _exchange_keys(transport, connect)
    _check_host_key(transport, connect)
    _authenticate(transport, connect, ask)
    with errors_told():
        channel = _subsystem(transport, connect)
        conversation = CourierChannel(transport, transport.peer_of(channel), connect.answer_timeout)
        transport.wire.attach(channel.get_id(), conversation)
        client = Client(conversation)
    return client, LoggedIn(tuple(transport.legacy_in_use()), tuple(_not_pinned(transport, connect)))


def _not_pinned(transport: CourierTransport, connect: Connect) -> list[bytes]:
    """The host keys that the server announces and that are not pinned, as many as the monitor is told."""
    strange = [blob for blob in transport.announced if blob not in connect.host_keys]
    return [blob for blob in strange if len(blob) <= ANNOUNCED_SIZE][:ANNOUNCED_LIMIT]


def _connected(connect: Connect) -> socket.socket:
    source = None if connect.source_address is None else (connect.source_address, 0)
    try:
        sock = socket.create_connection((connect.host, connect.port), connect.timeout, source)
    except socket.gaierror as fault:
        raise RemoteError(f"host {connect.host!r} has no address: {fault.strerror}") from fault
    except TimeoutError as fault:
        raise RemoteError(f"no connection within {connect.timeout:g} seconds") from fault
    except OSError as fault:
        raise RemoteError(f"cannot be reached{_from(connect)}: {fault.strerror}") from fault
    for option in _SOCKET_OPTIONS:
        sock.setsockopt(*option)
    # A peer that takes nothing is given up by the kernel (milliseconds).
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(connect.answer_timeout * 1000))
    return sock


def _from(connect: Connect) -> str:
    return "" if connect.source_address is None else f" from {connect.source_address}"


def _exchange_keys(transport: CourierTransport, connect: Connect) -> None:
    options = transport.get_security_options()
    options.key_types = _pinned_first(connect.host_keys, tuple(options.key_types))
    try:
        transport.exchange_keys(connect.timeout)
    except (EOFError, OSError, paramiko.SSHException) as fault:
        if not transport.remote_version:
            raise RemoteError(f"sends no SSH identification within {connect.timeout:g} seconds") from fault
        raise RemoteError(f"key exchange fails: {_reason(fault)}") from fault


def _pinned_first(host_keys: tuple[bytes, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """The known host key algorithms in the order in which the server shall show its keys."""
    pinned = {algorithm for blob in host_keys for algorithm in algorithms(key_type(blob))}
    return tuple(sorted(known, key=lambda algorithm: algorithm not in pinned))


def _check_host_key(transport: CourierTransport, connect: Connect) -> None:
    with errors_told():
        seen = transport.get_remote_server_key().asbytes()
    if seen not in connect.host_keys:
        raise HostKeyError(
            f"shows host key {fingerprint(seen)} ({key_type(seen)}), which is not pinned",
            expected=" or ".join(f"{fingerprint(blob)} ({key_type(blob)})" for blob in connect.host_keys),
        )


def _authenticate(transport: CourierTransport, connect: Connect, ask: Ask) -> None:
    """Try the key, then the password; a remote may want either or both."""
    user, timeout = connect.user, connect.timeout
    try:
        if connect.key is not None:
            transport.try_key(user, RemoteSigner(connect.key, ask), timeout)
        if connect.password is not None and not transport.is_authenticated():
            transport.try_password(user, connect.password, timeout)
    except TimeoutError as fault:
        raise RemoteError(f"login is not answered within {timeout:g} seconds") from fault
    except (ProcessError, EOFError, OSError, paramiko.SSHException) as fault:
        raise RemoteError(f"login fails: {_reason(fault)}") from fault
    if not transport.is_authenticated():
        raise RemoteRefusedError(f"refuses the login of {user!r}")


def _subsystem(transport: CourierTransport, connect: Connect) -> paramiko.Channel:
    try:
        return transport.open_sftp(connect.timeout)
    except paramiko.ChannelException as fault:
        raise RemoteRefusedError(f"offers no SFTP to {connect.user!r}: {_reason(fault)}") from fault


def _reason(fault: BaseException) -> str:
    if isinstance(fault, TimeoutError):
        return "the server does not answer"
    return printable(str(fault).encode()) or "connection closed"
