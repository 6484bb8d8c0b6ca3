"""How far one session's client has come in proving who it is: one method, or several one after another."""

from collections.abc import Callable
from dataclasses import dataclass

from sftpd.link.model import Account
from sftpd.ssh import messages as m
from sftpd.ssh.auth import Authenticator, Proof
from sftpd.ssh.signing import fingerprint

_TRIES = 6

_TOLD = 10
"""Proofs of one session that are told of."""


@dataclass(frozen=True, slots=True)
class Proven:
    """The client is `account`, by all the methods in `proof`."""

    account: Account
    proof: str


@dataclass(frozen=True, slots=True)
class Partly:
    """A method was right, and one of these must follow (RFC 4252 §5.1)."""

    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A method was wrong, or not one to begin with."""

    proof: str


Outcome = Proven | Partly | Failed


class Login:
    """One session's tries. What it answers says nothing of why."""

    def __init__(self, authenticator: Callable[[], Authenticator], address: str) -> None:
        """`authenticator` is asked anew at each try."""
        self.session_id: bytes | None = None
        """Set once the keys were exchanged; before that no signature counts."""
        self.user = ""
        """Who the client last said it is."""
        self._authenticator = authenticator
        self._address = address
        self._tries = 0
        self._account: Account | None = None
        self._done: tuple[str, ...] = ()
        self._proofs: tuple[str, ...] = ()
        self._short: dict[str, None] = {}

    @property
    def fell_short(self) -> str:
        """The keys offered that nobody has, and the proofs after which another was asked for."""
        return ", ".join(self._short)

    def offered_key(self, offer: m.CheckPublicKey) -> m.Allowed:
        """Whether a signature by this key would bring the client on, and whether all the way."""
        self.user = offer.user
        proof = self._authenticator().holder(offer.user, offer.algorithm, offer.key, self._address)
        following = [] if proof is None else self._following(proof.account, "publickey")
        if not following:
            self._add_short(fingerprint(offer.key))
        return m.Allowed(bool(following), completes=() in following)

    def by_signature(self, login: m.VerifySignature) -> Outcome:
        """The client has signed."""
        if not self._may_try(login.user) or self.session_id is None:
            return Failed("publickey")
        proof = self._authenticator().by_signature(login, self.session_id, self._address)
        return self._step("publickey", proof, fingerprint(login.key))

    def by_password(self, login: m.CheckPassword) -> Outcome:
        """The client has told a password."""
        if not self._may_try(login.user):
            return Failed("password")
        proof = self._authenticator().by_password(login.user, login.password, self._address)
        return self._step("password", proof, "password")

    def by_code(self, login: m.CheckCode) -> Outcome:
        """The client has told a one-time code."""
        if not self._may_try(login.user):
            return Failed("code")
        is_known = self._account is not None and self._account.name == login.user
        if is_known and not self._authenticator().may_try_code(login.user):
            return Failed("code, after too many wrong ones")
        proof = self._authenticator().by_code(login.user, login.code, self._address)
        return self._step("totp", proof, "code")

    def _may_try(self, user: str) -> bool:
        self.user = user
        self._tries += 1
        return self._tries <= _TRIES

    def _step(self, method: str, proof: Proof | None, tried: str) -> Outcome:
        following = [] if proof is None else self._following(proof.account, method)
        if proof is None or not following:
            return Failed(tried)
        if proof.account != self._account:
            self._account, self._done, self._proofs = proof.account, (), ()
        self._done, self._proofs = (*self._done, method), (*self._proofs, proof.told)
        if () in following:
            return Proven(proof.account, ", ".join(self._proofs))
        self._add_short(proof.told)
        return Partly(tuple(sorted({chain[0] for chain in following})))

    def _add_short(self, proof: str) -> None:
        if len(self._short) < _TOLD:
            self._short[proof] = None

    def _following(self, account: Account, method: str) -> list[tuple[str, ...]]:
        """What of each of the account's chains is left after this method, where it is the next."""
        done = (*self._done, method) if account == self._account else (method,)
        return [chain[len(done) :] for chain in account.chains if chain[: len(done)] == done]
