"""Who may log in: the monitor's decision on keys, certificates, signatures, passwords and codes."""

import functools
import hashlib
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

_HASHER = argon2.PasswordHasher()


@functools.cache
def _hash_of_nobody(time_cost: int, memory_cost: int, parallelism: int, hash_length: int) -> str:
    """A hash with which a password is compared when there is no such account."""
    hasher = argon2.PasswordHasher(time_cost, memory_cost, parallelism, hash_length)
    return hasher.hash("no account has this password")


def nobodys_password(known: str | None = None) -> str:
    """A hash of no account's password, which takes as long to compare as `known`, or else as a new one."""
    costs = _HASHER if known is None else argon2.extract_parameters(known)
    return _hash_of_nobody(costs.time_cost, costs.memory_cost, costs.parallelism, costs.hash_len)


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
        hashes = [account.password_hash for account in self._accounts.values() if account.password_hash]
        self._nobodies = [nobodys_password(known) for known in sorted(hashes)] or [nobodys_password()]

    @property
    def asks_for_codes(self) -> bool:
        """Whether any account has one-time codes: clients are told so, of none in particular."""
        return any(account.totp is not None for account in self._accounts.values())

    def knows(self, account: Account) -> bool:
        """Whether it is one of the accounts, unchanged."""
        known = self._accounts.get(account.name)
        return known is account or known == account

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
        """What the password proves, if anything; takes as long for an unknown user as for some known one."""
        account = self._accounts.get(user)
        known = account.password_hash if account is not None else None
        try:
            _HASHER.verify(known or self._nobody(user), password)
        except (VerificationError, argon2.exceptions.InvalidHashError):
            return None
        if not known or account is None or not self._welcome(account, address):
            return None
        return Proof(account, "password")

    def may_try_code(self, user: str) -> bool:
        """Whether one more code of an account may be tried, by who has proven something else of it."""
        return self._codes.may_try(user)

    def by_code(self, user: str, code: str, address: str) -> Proof | None:
        """What a one-time code proves, if anything."""
        account = self._accounts.get(user)
        right = self._codes.is_right(user, None if account is None else account.totp, code)
        if not right or account is None or not self._welcome(account, address):
            return None
        return Proof(account, "code")

    def _nobody(self, user: str) -> str:
        """What the password of an unknown user is compared with: always the same, as a known one's is.

        The costs are those of some account's hash: one that took its own time would be known by that.
        """
        number = int.from_bytes(hashlib.sha256(user.encode()).digest()[:8], "big")
        return self._nobodies[number % len(self._nobodies)]

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
        if account.has_expired(self._clock.now()):
            return False
        return not account.networks or any(ip_address(address) in net for net in account.networks)
