"""Who may log in: the monitor's decision on keys, signatures and passwords."""

import hmac
from collections.abc import Iterable
from ipaddress import ip_address

import argon2
import paramiko
from argon2.exceptions import VerificationError
from paramiko.message import Message as Packet

from sftpd.clock import Clock
from sftpd.link.model import Account
from sftpd.sftp.wire import string
from sftpd.ssh import messages as m
from sftpd.ssh import signing


class Authenticator:
    """Checks what clients offer against the accounts; knows no reason but "no" for the client."""

    def __init__(self, accounts: Iterable[Account], clock: Clock) -> None:
        self._accounts = {str(account.name): account for account in accounts}
        self._clock = clock
        self._hasher = argon2.PasswordHasher()
        # What a password is compared with when there is no such account: the answer takes as long.
        self._nobody = self._hasher.hash("no account has this password")

    def may_try(self, user: str, algorithm: str, key: bytes, address: str) -> bool:
        """Whether a signature by this key would log the user in."""
        return self._holder(user, algorithm, key, address) is not None

    def by_signature(self, login: m.VerifySignature, session_id: bytes, address: str) -> Account | None:
        """The account that a signed login request (RFC 4252 §7) of this very session logs in, if any."""
        account = self._holder(login.user, login.algorithm, login.key, address)
        request = string(session_id) + signing.login_request(login.key, login.user, login.algorithm)
        if account is None or not hmac.compare_digest(login.signed, request):
            return None
        signature = Packet(login.signature)
        if signature.get_text() != login.algorithm:
            return None
        key = paramiko.PKey.from_type_string(signing.key_type(login.key), login.key)
        return account if key.verify_ssh_sig(login.signed, Packet(login.signature)) else None

    def by_password(self, user: str, password: str, address: str) -> Account | None:
        """The account that the password logs in, if any; takes as long for an unknown user."""
        account = self._accounts.get(user)
        known = account.password_hash if account is not None else None
        try:
            self._hasher.verify(known or self._nobody, password)
        except (VerificationError, argon2.exceptions.InvalidHashError):
            return None
        return account if known and account is not None and self._welcome(account, address) else None

    def _holder(self, user: str, algorithm: str, key: bytes, address: str) -> Account | None:
        account = self._accounts.get(user)
        if account is None or key not in account.keys:
            return None
        fits = algorithm in signing.algorithms(signing.key_type(key))
        return account if fits and self._welcome(account, address) else None

    def _welcome(self, account: Account, address: str) -> bool:
        """Whether the account may be used now and from there."""
        if account.expires is not None and self._clock.now() >= account.expires:
            return False
        return not account.networks or any(ip_address(address) in net for net in account.networks)
