"""What the native writer writes, read by pyarrow; and data frames in and out.

Not found by discovery, because it needs a built writer and three libraries:

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install pyarrow pandas polars
    TRACE_NATIVE_WRITER=target/debug/trace-udf-native /tmp/venv/bin/python -m unittest tests.interop_pyarrow
"""

import os
import unittest
from datetime import date, datetime, timezone
from decimal import Decimal

import pandas
import polars
import pyarrow
import pyarrow.parquet

from trace_udf import Rows, TraceError
from trace_udf._config import Config
from trace_udf._context import Context

from .platform_thread import Case

NATIVE = os.path.abspath(os.environ["TRACE_NATIVE_WRITER"])
AT = datetime(2013, 1, 31, 10, tzinfo=timezone.utc)
ROW = {
    "text": "é",
    "n": 9007199254740993,
    "x": 1.5,
    "flag": True,
    "day": date(2013, 1, 31),
    "at": AT,
    "local": AT.replace(tzinfo=None),
    "price": Decimal("1.50"),
}


class InteropTest(Case):
    def setUp(self):
        super().setUp()
        self.ctx = Context(Config({**self.env(), "TRACE_NATIVE_WRITER": NATIVE}))

    def read(self, data, **options):
        return pyarrow.parquet.read_table(self.ctx.write(data, **options))

    def test_rows_come_back_as_they_were(self):
        table = self.read([ROW, dict.fromkeys(ROW)])
        self.assertEqual(table.to_pylist(), [ROW, dict.fromkeys(ROW)])
        kinds = [str(kind) for kind in table.schema.types]
        expected = [
            "string",
            "int64",
            "double",
            "bool",
            "date32[day]",
            "timestamp[us, tz=+00:00]",
            "timestamp[us]",
        ]
        self.assertEqual(kinds, [*expected, "decimal128(38, 2)"])

    def test_an_empty_result_keeps_its_types(self):
        table = self.read(Rows([], {"day": "Date32", "n": "Int64", "text": "Utf8View"}))
        self.assertEqual([str(kind) for kind in table.schema.types], ["date32[day]", "int64", "string"])
        self.assertEqual(table.num_rows, 0)

    def test_what_does_not_fit_names_its_row(self):
        with self.assertRaisesRegex(TraceError, "row 2, column `a`"):
            self.ctx.write([{"a": 1}, {"a": "x"}])
        with self.assertRaisesRegex(TraceError, "declare the columns"):
            self.ctx.write([])
        self.assertEqual(os.listdir(self.folder), ["writer.sh"])

    def test_frames_of_each_library(self):
        plain = {"a": [1, 2], "b": ["x", None]}
        frames = [
            pyarrow.table(plain),
            pyarrow.RecordBatch.from_pydict(plain),
            pandas.DataFrame(plain),
            polars.DataFrame(plain),
            polars.LazyFrame(plain),
        ]
        for frame in frames:
            with self.subTest(type(frame)):
                self.assertEqual(self.read(frame).to_pydict(), plain)
                with open(self.ctx.write(frame, name=f"{id(frame)}", format="csv"), encoding="utf-8") as file:
                    self.assertEqual(file.read(), "a,b\n1,x\n2,\n")
                declared = self.read(frame, schema={"a": "float64"})
                self.assertEqual(str(declared.schema.field("a").type), "double")

    def test_results_become_frames(self):
        types = {"n": "Int64", "day": "Date32", "at": 'Timestamp(us, "+00:00")', "price": "Decimal128(10, 2)"}
        rows = Rows([{"n": 1, "day": "2013-01-31", "at": "2013-01-31T10:00:00Z", "price": "1.50"}], types)
        expected = [{"n": 1, "day": date(2013, 1, 31), "at": AT, "price": Decimal("1.50")}]
        self.assertEqual(rows.to_arrow().to_pylist(), expected)
        self.assertEqual(rows.to_pandas()["n"].tolist(), [1])
        self.assertEqual(rows.to_polars().columns, rows.columns)
        self.assertEqual(Rows([], types).to_arrow().num_rows, 0)


if __name__ == "__main__":
    unittest.main()
