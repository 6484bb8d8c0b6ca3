"""Statements that run for every file: compiled once, then run on the driver's own cursor.

To build a statement, find it in SQLAlchemy's cache and wrap its result takes ten times as long as SQLite
takes to run it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import PoolProxiedConnection

_Clause: TypeAlias = "sa.Select[Any] | sa.UpdateBase | sa.TextClause"
_Connection: TypeAlias = DBAPIConnection | PoolProxiedConnection
_Convert = Callable[[Any], Any]
_AT_ONCE = 256
"""Rows that are taken from the driver together."""


class _Compiled(NamedTuple):
    """A statement in one database's SQL."""

    sql: str
    order: Sequence[tuple[str, _Convert | None]] | None
    """The parameters in the order they stand in; None where the driver takes them by name."""
    fixed: Mapping[str, Any]
    conversions: Mapping[str, _Convert]

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """What the driver is given for `values`."""
        named = {**self.fixed, **values} if self.fixed else values
        if self.order is not None:
            return [named[name] if convert is None else convert(named[name]) for name, convert in self.order]
        return {**named, **{name: convert(named[name]) for name, convert in self.conversions.items()}}


class Statement:
    """A statement whose parameters are given by name; rows come as the driver gives them.

    Methods raise as SQLAlchemy's do.
    """

    def __init__(self, clause: _Clause) -> None:
        self._clause = clause
        self._compiled: dict[str, _Compiled] = {}

    def run(self, conn: sa.Connection, *rows: Mapping[str, Any]) -> None:
        """Run the statement once for each of `rows`, which hold the parameters."""
        self._execute(conn.connection, conn.dialect, rows, fetch=False)

    def fetch(self, conn: sa.Connection, **values: Any) -> list[tuple[Any, ...]]:
        """Run a query and return its rows."""
        return self._execute(conn.connection, conn.dialect, (values,), fetch=True)

    def fetch_on(
        self, connection: PoolProxiedConnection, dialect: sa.Dialect, **values: Any
    ) -> list[tuple[Any, ...]]:
        """`fetch` on the driver's own connection, in whatever transaction that is."""
        return self._execute(connection, dialect, (values,), fetch=True)

    def batches(self, conn: sa.Connection, **values: Any) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Run a query and return its rows some at a time, without having them all at once."""
        dialect = conn.dialect
        compiled = self._compiled.get(dialect.name) or self._compile(dialect)
        cursor = conn.connection.cursor()
        try:
            cursor.execute(compiled.sql, compiled.parameters(values))
            while rows := cursor.fetchmany(_AT_ONCE):
                yield rows
        except dialect.loaded_dbapi.Error as error:
            raise _told(error, compiled.sql, dialect) from error
        finally:
            cursor.close()

    def _execute(
        self,
        connection: _Connection,
        dialect: sa.Dialect,
        rows: Sequence[Mapping[str, Any]],
        *,
        fetch: bool,
    ) -> list[tuple[Any, ...]]:
        if not rows:
            return []
        compiled = self._compiled.get(dialect.name) or self._compile(dialect)
        parameters = [compiled.parameters(row) for row in rows]
        cursor = connection.cursor()
        try:
            if len(parameters) == 1:
                cursor.execute(compiled.sql, parameters[0])
            else:
                cursor.executemany(compiled.sql, parameters)
            return list(cursor.fetchall()) if fetch else []
        except dialect.loaded_dbapi.Error as error:
            raise _told(error, compiled.sql, dialect) from error
        finally:
            cursor.close()

    def _compile(self, dialect: sa.Dialect) -> _Compiled:
        compiled = self._clause.compile(dialect=dialect)
        assert isinstance(compiled, sa.sql.compiler.SQLCompiler)
        conversions = {
            name: convert
            for name, bind in compiled.binds.items()
            if (convert := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        }
        fixed = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        names = compiled.positiontup if compiled.positional else None
        order = None if names is None else [(name, conversions.get(name)) for name in names]
        self._compiled[dialect.name] = made = _Compiled(str(compiled), order, fixed, conversions)
        return made


def _told(error: Exception, sql: str, dialect: sa.Dialect) -> Exception:
    """An error of the driver's as SQLAlchemy tells of it."""
    return sa.exc.DBAPIError.instance(sql, None, error, dialect.loaded_dbapi.Error, dialect=dialect)


def inserting(table: sa.Table, *without: str, **computed: Any) -> Statement:
    """The statement that inserts a row, with a parameter for each column but those in `without`.

    `computed`: expressions for columns whose values the database finds out.
    """
    names = [column.name for column in table.columns if column.name not in without]
    return Statement(table.insert().values({name: sa.bindparam(name) for name in names} | computed))
