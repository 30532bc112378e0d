"""Entries of somebody's properties yml as parts of transformations."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from typing import Any

from datanika.compiler.importing.findings import Findings
from datanika.compiler.properties import TEST_SETTINGS

_DOC = re.compile(r"\{\{\s*doc\(\s*(?:['\"]\w+['\"]\s*,\s*)?['\"](\w+)['\"]\s*\)\s*\}\}")
_ONE_CALL = re.compile(r"^\{\{\s*((?:ref|source)\([^{}]*\))\s*\}\}$")
_REF = re.compile(r"""^\s*ref\(\s*(?:['"]\w+['"]\s*,\s*)?['"]([^'"]+)['"]\s*\)\s*$""")
_SOURCE = re.compile(r"""^\s*source\(\s*['"]([^'"]+)['"]\s*,\s*['"]([^'"]+)['"]\s*\)\s*$""")


class Properties:
    """Reads the parts that every kind of entry has. ``docs`` are the docs blocks, by name."""

    def __init__(self, docs: Mapping[str, str], fixtures: Mapping[str, str], found: Findings):
        self._docs, self._fixtures, self._found = docs, fixtures, found

    def description(self, entry: Mapping[str, Any]) -> str:
        return _DOC.sub(
            lambda match: self._docs.get(match[1], match[0]), str(entry.get("description") or "")
        ).strip()

    def config(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """``config`` and what dbt still takes beside it."""
        config = entry.get("config")
        result = dict(config) if isinstance(config, dict) else {}
        for key in ("tags", "meta"):
            if key in entry and key not in result:
                result[key] = entry[key]
        return result

    def columns(self, entry: Mapping[str, Any], path: str, name: str) -> list[dict[str, Any]]:
        columns = []
        for column in mappings(entry.get("columns")):
            config = self.config(column)
            one = {
                "name": str(column.get("name")),
                "description": self.description(column),
                "tests": self.tests(column, path, name),
                "tags": [str(tag) for tag in _list(config.get("tags"))],
                "meta": config.get("meta") or {},
                "constraints": self.constraints(column, path, name),
            }
            for key in ("data_type", "quote"):
                if column.get(key) is not None:
                    one[key] = column[key]
            columns.append(one)
        return columns

    def constraints(self, entry: Mapping[str, Any], path: str, name: str) -> list[dict[str, Any]]:
        found = []
        for one in mappings(entry.get("constraints")):
            keys = ("type", "name", "expression", "columns", "to_columns")
            constraint = {key: one[key] for key in keys if one.get(key) is not None}
            if one.get("to") is not None:
                to = _REF.match(str(one["to"]))
                if to is None:
                    self._found.refused(
                        "constraint_refused", path, f"A constraint of {name} leads to no ref().",
                        getattr(one, "line", None), name,
                    )  # fmt: skip
                    continue
                constraint["to"] = to[1]
            found.append(constraint)
        return found

    def tests(self, entry: Mapping[str, Any], path: str, name: str) -> list[Any]:
        tests: list[Any] = []
        for test in [*_list(entry.get("data_tests")), *_list(entry.get("tests"))]:
            if isinstance(test, str):
                tests.append(test)
            elif isinstance(test, dict):
                tests.append(self._test(test, path, name))
        return tests

    def _test(self, test: Mapping[str, Any], path: str, name: str) -> Any:
        body = dict(test)
        if "test_name" in body:
            test_name = str(body.pop("test_name"))
        else:
            test_name = next(
                (key for key, value in body.items() if isinstance(value, dict) or value is None),
                next(iter(body), ""),
            )
            inner = body.pop(test_name, None)
            body = {**(inner if isinstance(inner, dict) else {}), **body}
        config = body.pop("config", None) or {}
        arguments = body.pop("arguments", None) or {}
        body.pop("description", None)
        result = {key: _call(value) for key, value in {**body, **arguments}.items()}
        for key, value in config.items() if isinstance(config, dict) else ():
            if key in TEST_SETTINGS:
                result[key] = value
            else:
                self._found.changed(
                    "setting_ignored", path, f"{key} of test {test_name} of {name} is left out.",
                    getattr(test, "line", None), name,
                )  # fmt: skip
        if isinstance(result.get("severity"), str):
            result["severity"] = result["severity"].lower()
        return {test_name: result} if result else test_name

    def unit_test(self, entry: Mapping[str, Any], path: str) -> dict[str, Any] | None:
        """None where it is refused."""
        name = str(entry.get("name"))
        given = []
        for one in mappings(entry.get("given")):
            rows = self._rows(one, path, name)
            where = str(one.get("input", ""))
            found: dict[str, Any] = {"rows": rows}
            if ref := _REF.match(where):
                found["ref"] = ref[1]
            elif source := _SOURCE.match(where):
                found["source"] = (source[1], source[2])
            elif where.strip() == "this":
                found["this"] = True
            else:
                rows = None
            if rows is None:
                self._refuse_unit(path, name, entry)
                return None
            given.append(found)
        expect = entry.get("expect")
        rows = self._rows(expect, path, name) if isinstance(expect, dict) else None
        if rows is None:
            self._refuse_unit(path, name, entry)
            return None
        overrides = entry.get("overrides") or {}
        macros = overrides.get("macros") or {}
        if overrides.get("env_vars") or macros.keys() - {"is_incremental"}:
            self._refuse_unit(path, name, entry)
            return None
        return {
            "name": name,
            "description": self.description(entry),
            "given": given,
            "expect": rows,
            "is_incremental": macros.get("is_incremental"),
            "vars": overrides.get("vars") or {},
            "tags": [str(tag) for tag in _list(self.config(entry).get("tags"))],
        }

    def _refuse_unit(self, path: str, name: str, entry: Mapping[str, Any]) -> None:
        self._found.refused(
            "unit_test_refused", path,
            f"Unit test {name}: inputs are ref(), source() or this with rows as dict or csv, and "
            "only is_incremental and vars are overridden.",
            getattr(entry, "line", None), name,
        )  # fmt: skip

    def _rows(self, part: Mapping[str, Any], path: str, name: str) -> list[Any] | None:
        kind = str(part.get("format") or "dict")
        rows = part.get("rows")
        if part.get("fixture") is not None:
            rows = self._fixtures.get(str(part["fixture"]))
        if kind == "csv" and isinstance(rows, str):
            return [
                {key: None if value in ("", None) else value for key, value in row.items() if key}
                for row in csv.DictReader(io.StringIO(rows.strip()), skipinitialspace=True)
            ]
        if kind != "dict" or isinstance(rows, str):
            return None
        return [dict(row) for row in rows or () if isinstance(row, dict)]


def reads(entry: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, str]]]:
    """(refs, sources) of an exposure's ``depends_on``."""
    refs, sources = [], []
    for text in _list(entry.get("depends_on")):
        if ref := _REF.match(str(text)):
            refs.append(ref[1])
        elif source := _SOURCE.match(str(text)):
            sources.append((source[1], source[2]))
    return refs, sources


def mappings(value: Any) -> list[dict[str, Any]]:
    return [item for item in _list(value) if isinstance(item, dict)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _call(value: Any) -> Any:
    """``{{ ref('x') }}`` as dbt also takes it: ``ref('x')``."""
    found = _ONE_CALL.match(value.strip()) if isinstance(value, str) else None
    return found[1] if found else value
