"""A new table in the place of an old one, with the old one's grants, owner and indexes."""

from __future__ import annotations

from datanika.engines.dlt_engine.direct.session import Session
from datanika.engines.warehouse.base import Table, qualified

LOCK_SECONDS = 5
"""How long the swap waits for readers; whoever comes after it waits too, so it gives up soon."""

# What a new table would not have, or what would not let the old one go.
_HANGING = """
WITH t AS (SELECT * FROM pg_catalog.pg_class WHERE oid = to_regclass(%s))
SELECT CASE
    WHEN t.relkind <> 'r' OR t.relispartition THEN 'it is not a plain table'
    WHEN NOT pg_catalog.pg_has_role(t.relowner, 'USAGE')
        OR t.relowner <> (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)
        THEN 'another role owns it'
    WHEN t.reltablespace <> 0 OR t.reloptions IS NOT NULL OR t.relpersistence <> 'p'
        OR t.relreplident <> 'd' THEN 'it has options of its own'
    WHEN t.relrowsecurity OR EXISTS (SELECT FROM pg_catalog.pg_policy WHERE polrelid = t.oid)
        THEN 'it has policies'
    WHEN EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = t.oid) THEN 'it has triggers'
    WHEN EXISTS (SELECT FROM pg_catalog.pg_constraint
        WHERE t.oid IN (conrelid, confrelid) AND contype <> 'n') THEN 'it has constraints'
    WHEN EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE t.oid IN (inhrelid, inhparent))
        THEN 'it is part of a hierarchy'
    WHEN EXISTS (SELECT FROM pg_catalog.pg_publication_rel WHERE prrelid = t.oid)
        THEN 'it is published'
    WHEN EXISTS (SELECT FROM pg_catalog.pg_statistic_ext WHERE stxrelid = t.oid)
        THEN 'it has extended statistics'
    WHEN EXISTS (SELECT FROM pg_catalog.pg_description WHERE objoid = t.oid
        AND classoid = 'pg_catalog.pg_class'::regclass) THEN 'it has comments'
    WHEN EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = t.oid AND attnum > 0
        AND (attacl IS NOT NULL OR atthasdef OR attidentity <> '')) THEN 'its columns have rules'
    WHEN EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.refobjid = t.oid
        AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'n'
        AND d.classid IN ('pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_proc'::regclass))
        THEN 'views hang on it'
    END
FROM t
"""
_INDEXES = """
SELECT c.relname, pg_catalog.pg_get_indexdef(i.indexrelid), i.indisunique
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = to_regclass(%s) ORDER BY c.relname
"""
_GRANTS = """
SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(r.rolname) END,
    a.privilege_type, a.is_grantable
FROM pg_catalog.pg_class c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
WHERE c.oid = to_regclass(%s)
"""


class Swap:
    """Of the table ``old``."""

    def __init__(self, session: Session, old: Table) -> None:
        self._session, self._old = session, old

    def refused(self) -> str | None:
        """Why the table has to stay, if it has."""
        [(reason,)] = self._session.run(_HANGING, [qualified(self._old)])
        if reason is None and any(not prefix for *_, prefix in self._indexes()):
            return "it has an index that cannot be made again"
        return None if reason is None else str(reason)

    def take_place(self, new: Table) -> bool:
        """Give ``new`` what the old table has, and drop the old one; ``new`` is yet to be renamed.
        False, and nothing done, when something has come to hang on the old one meanwhile, or its
        readers do not end."""
        import psycopg2.errors

        self._session.run("SAVEPOINT swap")
        try:
            self._move_indexes(new)
            self._move_grants(new)
            self._session.run(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            self._session.run(f"DROP TABLE {qualified(self._old)}")
            self._session.run("SET LOCAL lock_timeout = 0")
        except (psycopg2.errors.DependentObjectsStillExist, psycopg2.errors.LockNotAvailable):
            self._session.run("ROLLBACK TO SAVEPOINT swap")
            self._session.run("RELEASE SAVEPOINT swap")
            return False
        self._session.run("RELEASE SAVEPOINT swap")
        return True

    def _indexes(self) -> list[tuple[str, str, str]]:
        """(name, what follows the table in its definition, how it begins: empty if unusual)"""
        found = []
        for name, definition, unique in self._session.run(_INDEXES, [qualified(self._old)]):
            [(ident, table)] = self._session.run(
                "SELECT quote_ident(%s), quote_ident(%s) || '.' || quote_ident(%s)",
                [name, *self._old],
            )
            begin = f"CREATE {'UNIQUE ' if unique else ''}INDEX {ident} ON "
            usual = definition.startswith(f"{begin}{table} USING ")
            rest = definition[len(begin) + len(table) :] if usual else ""
            found.append((name, rest, begin if usual else ""))
        return found

    def _move_indexes(self, new: Table) -> None:
        for number, (name, rest, begin) in enumerate(self._indexes()):
            old_name = qualified((self._old[0], name))
            # A weak lock: readers go on while the new index is made.
            self._session.run(f"ALTER INDEX {old_name} RENAME TO _datanika_old_index_{number}")
            self._session.run(f"{begin}{qualified(new)}{rest}")

    def _move_grants(self, new: Table) -> None:
        for grantee in {grant[0] for grant in self._session.run(_GRANTS, [qualified(new)])}:
            self._session.run(f"REVOKE ALL ON {qualified(new)} FROM {grantee}")
        for grantee, privilege, grantable in self._session.run(_GRANTS, [qualified(self._old)]):
            option = " WITH GRANT OPTION" if grantable and grantee != "PUBLIC" else ""
            self._session.run(f"GRANT {privilege} ON {qualified(new)} TO {grantee}{option}")
