"""From a link's configuration to the plain values that the rest of sftpd works with."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from sftpd.audit.checkpoint import VerifierKey
from sftpd.civil import WEEKDAYS, Cron
from sftpd.config.delivery_model import NO_TEMPORARY, HandlingSection
from sftpd.config.keys import totp_secret
from sftpd.config.link_model import (
    AccountSection,
    FilePolicySection,
    InboundSection,
    LinkFile,
    OutboundSection,
)
from sftpd.config.load import Config
from sftpd.config.receipts_model import ReturnReceiptsSection
from sftpd.config.remote_model import BackoffSection
from sftpd.config.rules_model import ExpectSection
from sftpd.config.values import Every
from sftpd.link.folders import Folders
from sftpd.link.model import (
    PARTS,
    Account,
    Backoff,
    Expectation,
    Handling,
    Inbound,
    Limits,
    Link,
    Outbound,
    Readiness,
    Remote,
    Revocations,
    Terms,
    Turns,
)
from sftpd.link.return_receipts import ReturnReceipts
from sftpd.names import AccountName, LinkName, RemoteName, RouteName


def build_link(
    config: Config, file: LinkFile, audit: Path, waits: Callable[[str], bool] = lambda _: False
) -> Link:
    """The link that `file` describes; `audit` is the folder of its audit log.

    `waits`: whether files are on their way by a route: what goes back goes on, whatever the rules say.
    """
    name = LinkName(file.name)
    folders = Folders(config.instance.about.links / name)
    terms = file.about.terms
    outbound = tuple(_outbound(route, config, file, folders) for route in file.outbound)
    going_back = {rule.return_by for rule in file.retention}
    return Link(
        name=name,
        counterparty=file.about.counterparty,
        zone=config.zone(file),
        folders=folders,
        audit=audit / "public",
        terms=None if terms is None else Terms(terms.document, terms.version, terms.sha256, terms.effective),
        accounts=tuple(_account(account, config, file) for account in file.accounts),
        remotes=tuple(
            Remote(
                name=RemoteName(remote.name),
                link=name,
                host=remote.host,
                port=remote.port,
                user=remote.user,
                host_keys=tuple(str(key) for key in remote.host_keys),
                connect_timeout=remote.connect_timeout,
                backoff=_backoff(remote.backoff),
                answer_timeout=remote.answer_timeout,
                source_address=None if remote.source_address is None else str(remote.source_address),
                compat=remote.compat,
                handling=_handling(remote),
                receipts=None if remote.receipts is None else _return_receipts(remote.receipts),
                requests=remote.requests,
            )
            for remote in file.remotes
        ),
        outbound=outbound,
        inbound=tuple(_inbound(route, name) for route in file.inbound),
        upload_policy=_policy(file.policy),
        expectations=tuple(_expectation(one, file, config) for one in file.expectations),
        storage=file.about.storage,
        receipts=file.about.receipts,
        returns=tuple(
            way
            for route in outbound
            if route.remote is not None
            for way in [route.returning(folders.root)]
            if route.name in going_back or waits(way.name)
        ),
    )


def most_handles(config: Config) -> int:
    """The most that any account may have open in a session."""
    own = (account.limits.handles for file in config.links for account in file.accounts)
    return max([config.instance.limits.handles, *(handles for handles in own if handles is not None)])


def _account(account: AccountSection, config: Config, file: LinkFile) -> Account:
    expires = None
    if account.expires is not None and account.expires < date.max:
        # The day named is the last one on which it may log in.
        midnight = datetime.combine(account.expires + timedelta(days=1), time(), config.zone(file))
        expires = midnight.astimezone(UTC)
    return Account(
        name=AccountName(account.name),
        link=LinkName(file.name),
        keys=frozenset(key.blob for key in account.keys),
        password_hash=None if account.password is None else account.password.text(),
        permissions=frozenset(account.permissions),
        denied=frozenset(account.deny),
        networks=account.networks,
        expires=expires,
        chains=_chains(account),
        totp=None if account.totp is None else totp_secret(account.totp.reveal()),
        authorities=frozenset(key.blob for key in file.about.user_ca),
        principals=frozenset(account.principals or (account.name,)),
        revoked=_revoked(file),
        limits=_limits(account, config),
    )


def _chains(account: AccountSection) -> tuple[tuple[str, ...], ...]:
    """What must be proven to log in; a code follows where the account has them, unless it says otherwise."""
    if account.login:
        return tuple(tuple(chain.split(",")) for chain in account.login)
    last = () if account.totp is None else ("totp",)
    return (("publickey", *last), ("password", *last))


def _revoked(file: LinkFile) -> Revocations:
    listed = file.about.revoked
    return Revocations() if listed is None else Revocations(listed.fingerprints, listed.serials, listed.ids)


def _limits(account: AccountSection, config: Config) -> Limits:
    """What the account's own limits say, and else the instance's."""
    instance = config.instance
    usual = {"sessions": instance.server.max_sessions_per_account, **instance.limits.model_dump()}
    return Limits(**usual | account.limits.model_dump(exclude_none=True))


def _backoff(section: BackoffSection, attempts: int | None = None) -> Backoff:
    return Backoff(timedelta(seconds=section.base), timedelta(seconds=section.cap), attempts)


def _handling(remote: HandlingSection) -> Handling:
    values = remote.model_dump(include=set(HandlingSection.model_fields))
    wanted = remote.temporary
    return Handling(**values | {"temporary": None if wanted == NO_TEMPORARY else PARTS.get(wanted, wanted)})


def _return_receipts(section: ReturnReceiptsSection) -> ReturnReceipts:
    return ReturnReceipts(
        folder=section.folder,
        signers=tuple(VerifierKey(signer.name, signer.public) for signer in section.signers),
        within=timedelta(seconds=section.within),
        schedule=_schedule(section.every),
    )


def _schedule(every: Every) -> timedelta | Cron:
    return every.cron or timedelta(seconds=every.seconds or 0)


def _outbound(route: OutboundSection, config: Config, file: LinkFile, folders: Folders) -> Outbound:
    return Outbound(
        name=RouteName(route.name),
        link=LinkName(file.name),
        folder=folders.root / route.folder,
        remote=None if route.remote is None else RemoteName(route.remote),
        remote_path=route.remote_path,
        after=route.after,
        readiness=Readiness(
            settle=route.settle,
            zero_byte=route.zero_byte,
            include=route.include,
            exclude=route.exclude,
            rescan=config.instance.scheduler.rescan_every,
            recursive=route.recursive,
            order=route.order,
            minimum_age=route.minimum_age,
            done_file=route.done_file,
            overdue_after=route.overdue_after,
            temporary=route.temporary,
            wait_for_writers=route.wait_for_writers,
            polled=route.watch == "poll",
            poll=route.poll_every,
        ),
        backoff=_backoff(route.backoff, route.attempts),
        policy=_policy(route.policy),
        layout=route.layout,
        rate=route.rate,
        turns=Turns(
            priority=route.priority,
            first=route.first,
            strict=route.strict,
            concurrency=route.concurrency,
            windows=route.windows,
            zone=config.zone(file),
        ),
        conflict=route.conflict,
    )


def _inbound(route: InboundSection, link: LinkName) -> Inbound:
    return Inbound(
        name=RouteName(route.name),
        link=link,
        remote=RemoteName(route.remote),
        remote_path=route.remote_path,
        schedule=_schedule(route.every),
        then=route.then.action,
        move_to=route.then.folder,
        make_folders=route.then.create,
        settle=timedelta(seconds=route.settle),
        overdue_after=timedelta(seconds=route.overdue_after),
        order=route.order,
        list_limit=route.list_limit,
        batch=route.batch,
        recursive=route.recursive,
        concurrency=route.concurrency,
        read_once=route.read_once,
        rate=route.rate,
        include=route.include,
        exclude=route.exclude,
        policy=_policy(route.policy),
    )


def _expectation(section: ExpectSection, file: LinkFile, config: Config) -> Expectation:
    return Expectation(
        name=section.name,
        link=LinkName(file.name),
        source=section.source,
        glob=section.glob,
        by=section.by,
        zone=config.zone(file),
        weekdays=frozenset(WEEKDAYS.index(day) for day in section.days),
        holidays=frozenset(section.holidays),
        warn=timedelta(seconds=section.warn),
    )


def _policy(policy: FilePolicySection) -> dict[str, object]:
    plain: dict[str, object] = policy.model_dump(mode="json")
    return plain
