"""The configuration of a remote, as a link's file has it; the text below a key is its documentation."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Literal

from pydantic import Field, PlainValidator, model_validator

from sftpd.config.delivery_model import HandlingSection
from sftpd.config.model import Section
from sftpd.config.receipts_model import ReturnReceiptsSection
from sftpd.config.refusal import fault, not_allowed
from sftpd.config.values import (
    IN_SAMPLE,
    AnySecret,
    Kind,
    Name,
    NotEmpty,
    Port,
    PrivateKey,
    PublicKey,
    Seconds,
    Text,
    Timeout,
)


def _ip_address(raw: object) -> IPv4Address | IPv6Address:
    if isinstance(raw, IPv4Address | IPv6Address):
        return raw
    try:
        return ip_address(raw if isinstance(raw, str) else "")
    except ValueError:
        raise not_allowed(raw, 'an IP address such as "192.0.2.10" or "2001:db8::10"') from None


SourceAddress = Annotated[
    IPv4Address | IPv6Address, PlainValidator(_ip_address, json_schema_input_type=str), Kind("IP address")
]


class BackoffSection(Section):
    """How long to wait before the next try: `base`, doubled after each failure up to `cap`, with jitter."""

    base: Annotated[Seconds, Field(gt=0)] = 1.0
    """The first wait."""
    cap: Annotated[Seconds, Field(gt=0)] = 600.0
    """The longest wait."""

    @model_validator(mode="after")
    def _ordered(self) -> "BackoffSection":
        if self.base > self.cap:
            raise fault(f"base is {self.base:g}, allowed: at most cap, {self.cap:g}")
        return self


class RemoteSection(HandlingSection):
    """The counterparty's SFTP server, to which we log in; it needs a key or a password."""

    name: Name = Field(examples=["partner"])
    """The name by which routes refer to it."""
    host: Text = Field(examples=["sftp.partner.example"])
    """Its host name or address."""
    port: Port = 22
    """Its TCP port."""
    user: Text = Field(examples=["ourname"])
    """The login name we use there."""
    key: Annotated[PrivateKey | None, IN_SAMPLE] = Field(default=None, examples=["file:keys/partner_ed25519"])
    """The private key we log in with."""
    password: AnySecret | None = Field(default=None, examples=["credential:partner-password"])
    """The password we log in with."""
    host_keys: Annotated[tuple[PublicKey, ...], NotEmpty] = Field(examples=[["file:keys/partner_host.pub"]])
    """The host keys it may show; any other ends the connection."""
    connect_timeout: Timeout = 30.0
    """How long each step of connecting and logging in may take."""
    answer_timeout: Timeout = 60.0
    """How long it may send nothing at all while it owes an answer, and take nothing of what is sent."""
    source_address: SourceAddress | None = Field(default=None, examples=["192.0.2.10"])
    """The local address that connections to it come from; the system's choice if left out."""
    requests: Text | None = Field(default=None, examples=["/requests"])
    """The folder there into which notices of erasures go, `/requests` at an sftpd; they wait if left out."""
    compat: tuple[Literal["aes-cbc", "dh-group-exchange", "hmac-sha1"], ...] = ()
    """What an old server is offered besides, where it has no better; each login that uses it is logged."""
    backoff: BackoffSection = BackoffSection()
    """How long to wait before the next connection while it is down; one is made, however many files wait."""
    receipts: ReturnReceiptsSection | None = None
    """The receipts that the counterparty makes of what we deliver, collected if this table is there."""

    @model_validator(mode="after")
    def _can_log_in(self) -> "RemoteSection":
        if self.key is None and self.password is None:
            raise fault("no way to log in, allowed: key, password or both")
        return self
