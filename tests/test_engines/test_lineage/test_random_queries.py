"""Random queries on DuckDB: what the lineage does not tell of a column may not change it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import duckdb
import pytest

from datanika.contracts.lineage import LineageKind
from datanika.engines.lineage import trace
from tests.support.lineage_tables import COLUMNS, Tables, known_columns

NUMBERS = {
    "orders": ("id", "customer_id", "amount"),
    "customers": ("id",),
    "items": ("order_id", "qty", "price"),
}
SETS = ("union all", "union", "except", "intersect", "union all by name")
QUERIES = 60


@dataclass
class Writer:
    """Writes queries whose columns are all integers, so that everything fits everything."""

    random: random.Random
    ctes: dict[str, list[str]] = field(default_factory=dict)
    names: int = 0

    def name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    def statement(self) -> str:
        """A query, perhaps with common table expressions that hide tables or one another."""
        parts = []
        for _ in range(self.random.choice([0, 0, 1, 2, 3])):
            name = self.random.choice([self.name("c"), "orders", "items", "shared"])
            if name in self.ctes:
                continue
            sql, columns = self.query(2)
            parts.append(f"{name} as ({sql})")
            self.ctes[name] = columns
        body, _ = self.query(3)
        return f"with {', '.join(parts)} {body}" if parts else body

    def query(self, depth: int) -> tuple[str, list[str]]:
        kind = self.random.random()
        if depth > 0 and kind < 0.2:
            return self.set_operation(depth - 1)
        return self.select(depth - 1)

    def set_operation(self, depth: int) -> tuple[str, list[str]]:
        first, columns = self.query(depth)
        word = self.random.choice(
            ["union all", "union", "except", "intersect", "union all by name"]
        )
        second, others = self.query(depth)
        if word == "union all by name":
            merged = [*columns, *(c for c in others if c not in columns)]
            return f"({first}) {word} ({second})", merged
        wide, narrow = (columns, others) if len(columns) > len(others) else (others, columns)
        few = len(narrow)
        left = f"select {', '.join(columns[:few])} from ({first}) {self.name('l')}"
        right = f"select {', '.join(others[:few])} from ({second}) {self.name('r')}"
        assert wide
        return f"{left} {word} {right}", columns[:few]

    def source(self, depth: int) -> tuple[str, list[str]]:
        """(SQL, columns)"""
        choice = self.random.random()
        if self.ctes and choice < 0.35:
            name = self.random.choice(list(self.ctes))
            return name, self.ctes[name]
        if depth > 0 and choice < 0.6:
            sql, columns = self.query(depth - 1)
            return f"({sql})", columns
        table = self.random.choice(list(NUMBERS))
        return f"raw.{table}", list(NUMBERS[table])

    def select(self, depth: int) -> tuple[str, list[str]]:
        r = self.random
        scope: list[str] = []
        text = ""
        sides: list[tuple[str, list[str]]] = []
        for number in range(r.choice([1, 1, 2, 2, 3])):
            sql, columns = self.source(depth)
            alias = r.choice([self.name("t"), self.name("t"), f"orders{self.names}"])
            own = [f"{alias}.{column}" for column in columns]
            if number == 0:
                text = f"{sql} {alias}"
            else:
                join = r.choice(["join", "left join", "full join", "right join", "cross", "semi"])
                if join == "cross":
                    text += f" cross join {sql} {alias}"
                elif join == "semi":
                    text += f" semi join {sql} {alias} on {r.choice(scope)} = {r.choice(own)}"
                    continue
                else:
                    text += f" {join} {sql} {alias} on {r.choice(scope)} = {r.choice(own)}"
            scope += own
            sides.append((alias, columns))
        if r.random() < 0.2:
            alias = self.name("l")
            text += f", lateral (select {r.choice(scope)} + 1 as v, {r.choice(scope)} as w) {alias}"
            scope += [f"{alias}.v", f"{alias}.w"]
        where = f" where {self.condition(scope, depth)}" if r.random() < 0.5 else ""
        return self.shaped(
            r.choice(["plain", "plain", "group", "window", "star"]),
            text,
            where,
            scope,
            sides,
            depth,
        )

    def shaped(
        self,
        shape: str,
        text: str,
        where: str,
        scope: list[str],
        sides: list[tuple[str, list[str]]],
        depth: int,
    ) -> tuple[str, list[str]]:
        r = self.random
        if shape == "star":
            alias, columns = r.choice(sides)
            if len(columns) > 1 and r.random() < 0.5:
                gone = r.choice(columns)
                rest = [column for column in columns if column != gone]
                return f"select {alias}.* exclude ({gone}) from {text}{where}", rest
            changed = r.choice(columns)
            star = f"{alias}.* replace ({self.value(scope, depth)} as {changed})"
            return f"select {star} from {text}{where}", columns
        names = [self.name("k") for _ in range(r.randint(1, 3))]
        if shape == "group":
            keys = [self.value(scope, 0) for _ in names]
            total = self.name("s")
            function = r.choice(["sum", "max", "count", "min", "count(distinct"])
            opened = function if "(" in function else f"{function}("
            aggregate = f"{opened} {self.value(scope, 0)})"
            if function == "sum":
                aggregate += f" filter (where {self.condition(scope, 0)})"
            listed = ", ".join(f"{key} as {name}" for key, name in zip(keys, names, strict=True))
            by = r.choice(
                [
                    ", ".join(str(n + 1) for n in range(len(names))),
                    "all",
                    f"rollup ({', '.join(names)})",
                ]
            )
            having = " having count(*) > 1" if r.random() < 0.3 else ""
            sql = f"select {listed}, coalesce({aggregate}, 0)::int as {total} from {text}{where}"
            return f"{sql} group by {by}{having}", [*names, total]
        values = [self.value(scope, depth) for _ in names]
        if shape == "window":
            order = ", ".join(scope)
            values[0] = (
                f"coalesce(sum({self.value(scope, 0)}) over (partition by {self.value(scope, 0)} "
                f"order by {order}), 0)::int"
            )
        listed = ", ".join(f"{value} as {name}" for value, name in zip(values, names, strict=True))
        distinct = "distinct " if r.random() < 0.2 else ""
        tail = f" qualify {names[0]} > 2" if shape == "window" and r.random() < 0.4 else ""
        if not distinct and not tail and r.random() < 0.2:
            tail = f" order by {', '.join(names)}, {', '.join(scope)} limit 4"
        return f"select {distinct}{listed} from {text}{where}{tail}", names

    def value(self, scope: list[str], depth: int) -> str:
        r = self.random
        one, other = r.choice(scope), r.choice(scope)
        choices = [
            one,
            one,
            f"{one} + {other}",
            f"coalesce({one}, 0)",
            f"case when {one} > 2 then {other} else 7 end",
            str(r.randint(1, 5)),
        ]
        if depth > 0:
            table = r.choice(list(NUMBERS))
            inner, key = r.choice(NUMBERS[table]), r.choice(NUMBERS[table])
            choices += [
                f"(select max(z.{inner}) from raw.{table} z where z.{key} = {one})",
                f"(select count(*) from raw.{table} z where z.{inner} < {one})::int",
                f"(exists (select 1 from raw.{table} z where z.{inner} = {one}))::int",
            ]
        return r.choice(choices)

    def condition(self, scope: list[str], depth: int) -> str:
        r = self.random
        one, other = r.choice(scope), r.choice(scope)
        choices = [f"{one} > 1", f"{one} <> {other}", f"{one} in (1, 2, 3) or {other} > 2"]
        if depth > 0:
            table = r.choice(list(NUMBERS))
            choices.append(f"{one} in (select z.{r.choice(NUMBERS[table])} from raw.{table} z)")
        return r.choice(choices)


@pytest.fixture(scope="module")
def tables() -> Iterator[list[Tables]]:
    with duckdb.connect(config={"threads": 1}) as connection:
        found = []
        for seed in range(2):
            connection.execute(f"attach ':memory:' as d{seed}")
            cursor = connection.cursor()
            cursor.execute(f"use d{seed}")
            found.append(Tables(cursor, "duckdb", seed + 10))
        for one in found:
            one.create()
        yield found


@pytest.mark.parametrize("part", range(3))
def test_a_column_changes_only_with_what_its_lineage_tells(part: int, tables: list[Tables]) -> None:
    told = moved_by_rows = 0
    for number in range(QUERIES // 3):
        seed = part * 100_000 + number
        sql = Writer(random.Random(seed)).statement()
        names, _ = tables[0].result(sql)
        lineage = trace(sql, "duckdb", known_columns("duckdb"), columns=names)
        assert lineage.rows is not None, (seed, sql, lineage.rows_reason)
        rows = {(one.relation, one.column) for one in lineage.rows}
        for one in lineage.columns:
            assert one.kind is not LineageKind.UNKNOWN, (seed, sql, one)
            told += len(one.inputs)
        for one_of in tables:
            before = one_of.result(sql)[1]
            for table, columns in NUMBERS.items():
                for column in columns:
                    origin = (f"raw.{table}", column)
                    after = one_of.changed(sql, table, column)
                    for place, one in enumerate(lineage.columns):
                        sources = {(s.relation, s.column) for s in (*one.inputs, *one.indirect)}
                        if before[place] != after[place]:
                            assert origin in sources | rows, (seed, sql, one, origin)
                            moved_by_rows += origin not in sources
    assert told > 20 and moved_by_rows > 0, "the queries were too plain to test anything"


def test_the_tables_of_the_writer_are_there() -> None:
    for table, columns in NUMBERS.items():
        assert {COLUMNS[table][column][0] for column in columns} == {"integer"}
