"""What the configuration may name, and what the SFTP server knows by that name, are the same."""

from typing import get_args

from sftpd.config.link_model import Permission, RequestName
from sftpd.sftp import requests


def test_permissions_are_those_of_the_request_table() -> None:
    assert set(Permission) == set(requests.Permission)


def test_every_request_but_close_can_be_denied() -> None:
    assert set(get_args(RequestName)) == {spec.name for spec in requests.SPECS.values()} - {"close"}
