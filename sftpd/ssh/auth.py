"""Who may log in: the monitor's decision on keys, certificates, signatures, passwords and codes."""

import functools
import hmac
from collections.abc import Iterable
from ipaddress import ip_address
from typing import NamedTuple

import argon2
from argon2.exceptions import VerificationError

from sftpd.clock import Clock
from sftpd.link.model import Account
from sftpd.sftp.wire import ProtocolError, string
from sftpd.ssh import certificates, signing
from sftpd.ssh import messages as m
from sftpd.ssh.codes import Codes
from sftpd.ssh.public_keys import is_signed

_NOBODYS_SECRET = bytes(20)
_HASHER = argon2.PasswordHasher()


@functools.cache
def nobodys_password() -> str:
    """The hash with which a password is compared when there is no such account: the answer takes as long."""
    return _HASHER.hash("no account has this password")


class Proof(NamedTuple):
    """An account, and by what its holder is known."""

    account: Account
    told: str
    """What the audit log keeps of it."""
    key: bytes = b""
    """The public key that must have signed."""
    algorithm: str = ""


class Authenticator:
    """Checks what clients offer against the accounts; knows no reason but "no" for the client."""

    def __init__(self, accounts: Iterable[Account], clock: Clock, codes: Codes) -> None:
        self._accounts = {str(account.name): account for account in accounts}
        self._clock = clock
        self._codes = codes
        self._nobody = nobodys_password()

    @property
    def asks_for_codes(self) -> bool:
        """Whether any account has one-time codes: clients are told so, of none in particular."""
        return any(account.totp is not None for account in self._accounts.values())

    def holder(self, user: str, algorithm: str, key: bytes, address: str) -> Proof | None:
        """The account that a signature by this key, or this certificate's, would prove."""
        account = self._accounts.get(user)
        if account is None or not self._welcome(account, address):
            return None
        if algorithm.endswith(certificates.SUFFIX):
            return self._certified(account, algorithm.removesuffix(certificates.SUFFIX), key, address)
        fingerprint = signing.fingerprint(key)
        if key not in account.keys or account.revoked.covers(fingerprint, None, None):
            return None
        fits = algorithm in signing.algorithms(signing.key_type(key))
        return Proof(account, fingerprint, key, algorithm) if fits else None

    def by_signature(self, login: m.VerifySignature, session_id: bytes, address: str) -> Proof | None:
        """What a signed login request (RFC 4252 §7) of this very session proves, if anything."""
        proof = self.holder(login.user, login.algorithm, login.key, address)
        request = string(session_id) + signing.login_request(login.key, login.user, login.algorithm)
        if proof is None or not hmac.compare_digest(login.signed, request):
            return None
        return proof if is_signed(proof.key, proof.algorithm, login.signed, login.signature) else None

    def by_password(self, user: str, password: str, address: str) -> Proof | None:
        """What the password proves, if anything; takes as long for an unknown user."""
        account = self._accounts.get(user)
        known = account.password_hash if account is not None else None
        try:
            _HASHER.verify(known or self._nobody, password)
        except (VerificationError, argon2.exceptions.InvalidHashError):
            return None
        if not known or account is None or not self._welcome(account, address):
            return None
        return Proof(account, "password")

    def by_code(self, user: str, code: str, address: str) -> Proof | None:
        """What a one-time code proves, if anything."""
        account = self._accounts.get(user)
        secret = account.totp if account is not None else None
        if not self._codes.is_right(user, secret or _NOBODYS_SECRET, code, self._clock.now().timestamp()):
            return None
        if secret is None or account is None or not self._welcome(account, address):
            return None
        return Proof(account, "code")

    def _certified(self, account: Account, algorithm: str, key: bytes, address: str) -> Proof | None:
        if not account.authorities:
            return None
        try:
            found = certificates.parse(key)
        except ProtocolError:
            return None
        terms = certificates.Terms(account.authorities, account.principals, account.revoked)
        if certificates.objection(found, terms, address, self._clock.now()) is not None:
            return None
        told = (
            f"{signing.fingerprint(found.key)}, certificate {found.id!r} serial {found.serial} "
            f"of {signing.fingerprint(found.authority)}"
        )
        fits = algorithm in signing.algorithms(signing.key_type(found.key))
        return Proof(account, told, found.key, algorithm) if fits else None

    def _welcome(self, account: Account, address: str) -> bool:
        """Whether the account may be used now and from there."""
        if account.expires is not None and self._clock.now() >= account.expires:
            return False
        return not account.networks or any(ip_address(address) in net for net in account.networks)
