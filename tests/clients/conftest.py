"""The servers that clients meet, without gates so that any name may pass, and the clients of each module."""

from collections.abc import Iterator

import pytest
from clients_port import Client
from daemon import Daemon
from sshd import free_port


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what takes a `client` on each of its module's CLIENTS."""
    if "client" in metafunc.fixturenames:
        kinds = metafunc.module.CLIENTS
        names = [kind.name for kind in kinds]
        metafunc.parametrize("client", kinds, ids=names, indirect=True, scope="module")


@pytest.fixture(scope="session", autouse=True)
def _stage(daemon_stage: None) -> None:
    """Daemons start from the stage."""


@pytest.fixture(scope="module")
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    daemon = request.getfixturevalue("lenient_daemon" if request.param.old else "daemon")
    with request.param(daemon) as made:
        yield made


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with _without_gates(tmp_path_factory) as running:
        yield running


@pytest.fixture(scope="module")
def lenient_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One whose address lets in clients from before authenticated encryption."""
    made, port = _without_gates(tmp_path_factory), free_port()
    made.configure("server", f'compat_listen = "127.0.0.1:{port}"', 'compat = ["aes-ctr"]')
    made.known_hosts.write_text(made.known_hosts.read_text().replace(str(made.port), str(port)))
    made.port = port
    with made as running:
        yield running


def _without_gates(tmp_path_factory: pytest.TempPathFactory) -> Daemon:
    made = Daemon(tmp_path_factory.mktemp("clients") / "instance")
    (made.root / "hooks/pre-receive.d").mkdir(parents=True)
    made.configure("instance", 'hooks = "hooks"')
    return made
