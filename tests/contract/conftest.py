"""What contract tests share; those of what stands on the ledger run on each database that it can be in."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import ledgers
import pytest
from folders import quick_folder
from postgresql_server import Server
from postgresql_server import postgresql as postgresql
from stage import Stage

from sftpd.process.pool import Children

_ON_THE_LEDGER = re.compile(
    r"test_(ledger_(leases|schema|statement|writer)|retention_(holds|standing|sweep)|sequencer"
    r"|erasure_(desk|intake|notices|orders|replies)|exchange_(desk|queue|ration))"
)
_BRIEF = re.compile(r"test_ledger")
"""Those that `make test` runs on PostgreSQL as well; the others' turn is `make soak`."""

_IN_MEMORY = re.compile(r"test_(exchange_|retention_return_by)")
"""Those that test the order of steps and not the disk."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    name = metafunc.module.__name__
    if _ON_THE_LEDGER.match(name) and metafunc.definition.get_closest_marker("sqlite") is None:
        marks = () if _BRIEF.match(name) else pytest.mark.soak
        kinds = ("sqlite", pytest.param("postgresql", marks=marks))
        metafunc.parametrize("database", kinds, indirect=True, scope="session")


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    if not _IN_MEMORY.match(request.module.__name__):
        yield tmp_path
        return
    with quick_folder() as folder:
        yield folder


@pytest.fixture
def stage_of() -> Iterator[Callable[[ModuleType], Stage]]:
    """Makes what plays a script in processes that may die."""
    with ExitStack() as stages:
        yield lambda script: stages.enter_context(Stage(script.__file__))


@pytest.fixture(scope="session")
def database(request) -> Server | None:
    """The server that has the ledgers of a test; none: they are SQLite files."""
    kind = getattr(request, "param", "sqlite")
    return request.getfixturevalue("postgresql") if kind == "postgresql" else None


@pytest.fixture(autouse=True)
def _ledgers(database) -> Iterator[None]:
    if database is None:
        yield
        return
    with ledgers.kept_in(database):
        yield


@pytest.fixture(scope="module")
def children(request: pytest.FixtureRequest) -> Iterator[Children]:
    """What starts the children of the kinds that a module names in CHILDREN."""
    with Children.start(request.module.CHILDREN) as started:
        yield started
