"""Outputs. A shell script stands in for the native writer; interop_pyarrow.py uses the real one."""

import csv
import json
import os
import unittest
from datetime import date, datetime, timezone
from decimal import Decimal

from trace_udf import Rows, TraceError

from .platform_thread import Case


class WriteTest(Case):
    def lines(self, data, **options):
        path = self.context().write(data, name="t", **options)
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        os.unlink(path)
        return [(column["name"], column.get("type")) for column in lines[0]["columns"]], lines[1:]

    def test_rows_become_lines(self):
        columns, rows = self.lines([{"a": 1, "b": "é"}, {"c": None, "a": 1.5}])
        self.assertEqual(columns, [("a", None), ("b", None), ("c", None)])
        self.assertEqual(rows, [{"a": 1, "b": "é"}, {"c": None, "a": 1.5}])

    def test_values_that_json_lacks_keep_their_type(self):
        at = datetime(2013, 1, 31, 10, tzinfo=timezone.utc)
        row = {"day": date(2013, 1, 31), "at": at, "local": at.replace(tzinfo=None), "price": Decimal("1.50")}
        columns, rows = self.lines([dict.fromkeys(row), row, {"price": Decimal("1.125")}])
        expected = [
            ("day", "date"),
            ("at", "timestamptz"),
            ("local", "timestamp"),
            ("price", "decimal(38,3)"),
        ]
        self.assertEqual(columns, expected)
        self.assertEqual(rows[1]["at"], "2013-01-31T10:00:00+00:00")
        self.assertEqual(rows[1]["price"], "1.50")

    def test_what_is_not_a_number_is_missing(self):
        self.assertEqual(
            self.lines([{"a": float("nan"), "b": float("inf"), "c": 1.0}])[1],
            [{"a": None, "b": None, "c": 1.0}],
        )

    def test_query_results_keep_their_types(self):
        types = {
            "d": "Date32",
            "at": 'Timestamp(Microsecond, Some("+00:00"))',
            "p": "Decimal128(10, 2)",
            "n": "Int64",
        }
        columns, rows = self.lines(Rows([], types))
        self.assertEqual(
            columns, [("d", "date"), ("at", "timestamptz"), ("p", "decimal(10,2)"), ("n", "int64")]
        )
        self.assertEqual(rows, [])

    def test_a_schema_adds_to_what_the_rows_show(self):
        columns, _ = self.lines(({"a": n} for n in range(3)), schema={"b": "date", "a": "float64"})
        self.assertEqual(columns, [("a", "float64"), ("b", "date")])

    def test_many_rows_pass_through_the_pipe(self):
        _, rows = self.lines({"n": n, "text": "x" * 50} for n in range(20_000))
        self.assertEqual(rows[-1]["n"], 19_999)

    def test_names_are_given_and_checked(self):
        ctx = self.context()
        self.assertEqual(
            [ctx.write([{"a": 1}]) for _ in range(2)], [self.path(f"part-{n}.parquet") for n in range(2)]
        )
        with self.assertRaisesRegex(TraceError, "there already"):
            ctx.write([{"a": 1}], name="part-0")
        for bad in ("", "../x", ".x", "a/b", "x" * 101):
            with self.assertRaisesRegex(TraceError, "name"):
                ctx.write([], name=bad)
        with self.assertRaisesRegex(TraceError, "parquet, csv or json"):
            ctx.write([], format="xlsx")

    def test_what_the_writer_refuses_is_an_error(self):
        ctx = self.context(writer="head -c 10 > /dev/null; echo 'row 1, column `a`: no' >&2; exit 1")
        with self.assertRaisesRegex(TraceError, "part-0.parquet: row 1, column `a`: no"):
            ctx.write({"a": n, "text": "x" * 50} for n in range(50_000))
        os.unlink(self.path("writer.sh"))
        with self.assertRaisesRegex(TraceError, "No such file"):
            ctx.write([{"a": 1}])

    def test_rows_that_break_off_leave_no_file(self):
        def rows():
            yield from ({"n": n, "text": "x" * 50} for n in range(5_000))
            raise ValueError("broken")

        ctx = self.context()
        with self.assertRaisesRegex(ValueError, "broken"):
            ctx.write(rows())
        for wrong in ([1], [{"a": object()}], "text", 7, {"a": 1}):
            with self.assertRaises(TraceError):
                ctx.write(wrong)
        self.assertEqual(os.listdir(self.folder), ["writer.sh"])

    def test_csv_and_json(self):
        ctx = self.context()
        rows = [{"a": 1, "b": 'x,"y"'}, {"a": None, "b": "z"}]
        with open(ctx.write(rows, name="t", format="csv"), encoding="utf-8", newline="") as file:
            self.assertEqual(list(csv.DictReader(file)), [{"a": "1", "b": 'x,"y"'}, {"a": "", "b": "z"}])
        with open(ctx.write(rows, name="t", format="json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file), rows)
        with open(ctx.write([], name="empty", format="json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file), [])


if __name__ == "__main__":
    unittest.main()
