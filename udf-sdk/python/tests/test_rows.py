"""Results as they arrive."""

import unittest

from trace_udf import TraceError
from trace_udf._rows import decode

RESULT = (
    '{"columns":[{"name":"origin","type":"Utf8"},{"name":"n","type":"Int64"}],'
    '"rows":[["JFK",1],["é]\\"",null],[null,"9007199254740993"]],"more":1}'
).encode()
ROWS = [{"origin": "JFK", "n": 1}, {"origin": 'é]"', "n": None}, {"origin": None, "n": 9007199254740993}]


class RowsTest(unittest.TestCase):
    def test_a_result_may_be_cut_anywhere(self):
        for size in (1, 2, 3, 7, len(RESULT)):
            pieces = [RESULT[at : at + size] for at in range(0, len(RESULT), size)]
            (rows,) = decode(pieces, None)
            self.assertEqual(rows, ROWS)
            self.assertEqual((rows.columns, rows.types["n"]), (["origin", "n"], "Int64"))
            self.assertEqual(rows.column("n")[0], 1)

    def test_space_between_tokens_means_nothing(self):
        spaced = RESULT.replace(b",", b" ,\n ").replace(b":", b" : ").replace(b"[", b"[ ").replace(b"]", b" ]")
        (rows,) = decode([spaced], None)
        self.assertEqual([row["n"] for row in rows], [row["n"] for row in ROWS])

    def test_batches_have_the_size_asked_for(self):
        self.assertEqual([len(batch) for batch in decode([RESULT], 2)], [2, 1])
        self.assertEqual([len(batch) for batch in decode([RESULT], 3)], [3])

    def test_an_empty_result_has_its_columns(self):
        (rows,) = decode([b'{"columns":[{"name":"n","type":"Int64"}],"rows":[]}'], 10)
        self.assertEqual((list(rows), rows.columns), ([], ["n"]))

    def test_what_is_no_result_is_an_error(self):
        for wrong in (b"", b"[]", b'{"columns":[]', b'{"columns":[],"rows":[[1', RESULT[:-30], b"\xff\xff"):
            with self.assertRaises((TraceError, UnicodeDecodeError)):
                list(decode([wrong], None))

    def test_two_columns_of_one_name_are_an_error(self):
        with self.assertRaisesRegex(TraceError, "AS"):
            list(decode([b'{"columns":[{"name":"n","type":"a"},{"name":"n","type":"a"}],"rows":[]}'], None))


if __name__ == "__main__":
    unittest.main()
