"""What a schema defines (tables, views, indices, triggers), compared with what this version would make.

Postgres itself says what a definition means: what would be made is made as temporary objects, and both are written out.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from themis_core import Damage
from themis_plugin_postgres.creation import statements
from themis_sql.database import Database
from themis_sql.definitions import added, differing
from themis_sql.layout import PROJECTIONS, TRUTH

__all__ = ["Comparison", "compare", "make_temporary", "restore"]

_KINDS: Final = {"r": "table", "v": "view", "i": "index"}
_DEFINED: Final = """SELECT c.relname, c.relkind::text, coalesce(t.relname, c.relname),
  replace(replace(CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid) WHEN 'i' THEN pg_get_indexdef(c.oid) ELSE
    (SELECT string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, l.collname), ', '
       ORDER BY a.attnum) FROM pg_attribute a LEFT JOIN pg_collation l ON l.oid = a.attcollation
       WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) END, quote_ident(n.nspname) || '.', ''),
    'pg_temp.', '')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = i.indrelid
  WHERE n.oid = {} AND c.relkind IN ('r', 'v', 'i')"""
_CHANGING: Final = """SELECT 'TRIGGER', t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
  WHERE NOT t.tgisinternal AND c.relnamespace = {} UNION ALL
  SELECT 'RULE', r.rulename, c.relname FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
  WHERE r.rulename <> '_RETURN' AND c.relnamespace = {}"""
_TEMPORARY: Final = "pg_my_temp_schema()"
_INDEX: Final = re.compile(r"\s*CREATE (?:UNIQUE )?INDEX (\w+)")


class _Definition(NamedTuple):
    kind: str
    """A table, view or index."""
    table: str
    """Of an index; else the name itself."""
    text: str
    """As Postgres writes it out, without the schema's name."""


def make_temporary(database: Database, table: str) -> None:
    """Make a table, empty and with its indices, for this session only; it hides the stored one."""
    for statement in statements().of_tables((table,)):
        database.run(re.sub(r"^\s*CREATE TABLE", "CREATE TEMPORARY TABLE", statement))


class Comparison(NamedTuple):
    """What a schema should define and what it does, by name; of others' objects only what changes writes to ours."""

    wanted: dict[str, _Definition]
    found: dict[str, _Definition]
    changing: list[tuple[str, str, str]]
    """Triggers and rules: kind, name, table. They are never Themis's."""

    @property
    def damages(self) -> dict[str, Damage]:
        """By name, what is not defined as this version defines it."""
        wanted = {name: each for name, each in self.wanted.items() if not _is_of_the_log(name, each)}
        damages = dict(differing(wanted, self.found, _fits))
        return damages | {name: added(kind.lower(), name, table) for kind, name, table in self.changing}


def compare(scratch: Database, schema: str) -> Comparison:
    """Look at all that a schema defines.

    `scratch` is a session within a transaction, with the tables of `layout.PROJECTIONS` as temporary ones. To look at
    a view locks it until that transaction ends.
    """
    oid = f"'\"{schema}\"'::regnamespace"
    wanted = _expected(scratch)
    changing = [tuple(row) for row in scratch.rows(_CHANGING.format(oid, oid)) if row[2] in wanted]
    return Comparison(wanted, _defined(scratch, oid), changing)


def restore(database: Database, schema: str, seen: Comparison) -> None:
    """Make derived tables, views and indices as they are to be, the tables empty; remove triggers and rules.

    In the caller's transaction. If something that others made needs one of them, Postgres refuses and names it.
    """
    for kind, name, table in seen.changing:
        database.run(f'DROP {kind} "{_quoted(name)}" ON "{schema}"."{table}"')
    for kind in ("view", "table", "index"):  # views first: they need the tables
        for name, each in seen.found.items():
            if each.kind == kind and name in seen.wanted and _is_to_go(name, seen):
                database.run(f'DROP {kind} "{schema}"."{name}"')
    for statement in statements().of_tables(TRUTH):
        index = _INDEX.match(statement)
        if index and seen.found.get(index[1]) != seen.wanted[index[1]]:
            database.run(statement)
    for statement in (*statements().of_tables(PROJECTIONS), *statements().views().values()):
        database.run(statement)


def _is_to_go(name: str, seen: Comparison) -> bool:
    """Whether something that is there is made again; the log and the texts never are."""
    there, wanted = seen.found[name], seen.wanted[name]
    if there.kind == "index":  # the others go with their tables
        return there.table in TRUTH and there != wanted and not _is_of_the_log(name, wanted)
    return wanted.table not in TRUTH


def _is_of_the_log(name: str, each: _Definition) -> bool:
    """Whether it is a key of the log or the texts, which has another name where an earlier version made the table."""
    return each.kind == "index" and each.table in TRUTH and name.endswith("_pkey")


def _fits(found: _Definition, wanted: _Definition) -> bool:
    """Whether something is as it is to be; the log and the texts may have further columns, of a newer version."""
    if wanted.kind == found.kind == "table" and wanted.table in TRUTH:
        return f"{found.text}, ".startswith(f"{wanted.text}, ")
    return found == wanted


def _expected(scratch: Database) -> dict[str, _Definition]:
    scratch.run("SAVEPOINT expected")
    for table in TRUTH:
        make_temporary(scratch, table)
    for statement in statements().views().values():
        scratch.run(statement.replace("CREATE VIEW", "CREATE TEMPORARY VIEW", 1))
    made = _defined(scratch, _TEMPORARY)
    scratch.run("ROLLBACK TO SAVEPOINT expected")
    return made


def _defined(scratch: Database, schema: str) -> dict[str, _Definition]:
    rows = scratch.rows(_DEFINED.format(schema))
    return {name: _Definition(_KINDS[kind], table, text or "") for name, kind, table, text in rows}


def _quoted(name: str) -> str:
    return name.replace('"', '""')
