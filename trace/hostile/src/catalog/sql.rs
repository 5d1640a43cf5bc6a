//! SQL: statements, functions, bounds, what is hidden, and forged Parquet.

use trace_controls::Protection::*;

use crate::{
    outside,
    vector::{
        Attack::{self, Alone, Reader},
        Control::{self, Layers, Off, Planted, Without},
        Denial, Plane, Task, Vector, Witness, denial, saying,
    },
};

const fn vector(
    name: &'static str,
    tries: &'static str,
    denials: &'static [Denial],
    control: Control,
) -> Vector {
    made(name, tries, Reader, denials, control)
}

const fn made(
    name: &'static str,
    tries: &'static str,
    attack: Attack,
    denials: &'static [Denial],
    control: Control,
) -> Vector {
    Vector { name, plane: Plane::Sql, tries, attack, denials, control }
}

const REFUSED: &[Denial] = &[denial("http 400 sql_refused")];
const NO_FUNCTION: &[Denial] = &[saying("http 400 sql_refused", "is not allowed")];
const NO_TABLE: &[Denial] = &[denial("http 403 forbidden")];
const FAILED: &[Denial] = &[denial("http 422 sql_failed")];
const LIMIT: &[Denial] = &[denial("http 422 limit_exceeded")];
const MEMORY: &[Denial] = &[saying("http 422 limit_exceeded", "more memory")];
/// Says what is wrong with the file, or ends the engine and nothing else.
const CONTAINED: &[Denial] =
    &[denial("http 422 sql_failed"), saying("http 500 internal", "the service goes on")];
const ABSENT: &[Denial] = &[denial("absent")];
/// Behind the gate there is nothing that could do it.
const NOTHING_THERE: Control = Without(
    "an engine has nothing to do it with: no tables that can be written, no files, no settings that last",
);
const READS: Control = Layers(&[SqlStatement, SqlPlan]);
/// A query of nothing but computing runs into the deadline of 30 seconds.
const LONG: Task = Task {
    resources: "{ cpu: 1, memory: 64MiB, disk: 16MiB }",
    timeout: "90s",
    witness: Witness::Look(outside::told),
};

#[rustfmt::skip]
pub const VECTORS: &[Vector] = &[
    vector("define-tables", "`CREATE`, `DROP`, `ALTER`, external tables over files", REFUSED, NOTHING_THERE),
    vector("write-rows", "`INSERT`, `UPDATE`, `DELETE`, `MERGE`, also inside of `WITH`", REFUSED, NOTHING_THERE),
    vector("copy-out", "`COPY` to files, to the object store, to programs", REFUSED, NOTHING_THERE),
    vector("settings", "`SET`, `RESET`, `SHOW`, `USE`", REFUSED, NOTHING_THERE),
    vector("other-statements", "transactions, `PREPARE`, `ANALYZE`, `CALL`, `KILL`", REFUSED, NOTHING_THERE),
    vector("explain", "`EXPLAIN`, whose plan shows the row filter", REFUSED, READS),
    vector("explain-analyze", "`EXPLAIN ANALYZE`, which counts hidden rows", REFUSED, READS),
    vector("describe", "`DESCRIBE`", REFUSED, NOTHING_THERE),
    vector("several-statements", "two statements in one text", REFUSED, Planted),
    vector("select-into", "`SELECT INTO`", REFUSED, NOTHING_THERE),
    vector("recursion", "`WITH RECURSIVE`", REFUSED, READS),
    vector("lock-rows", "`FOR UPDATE`", REFUSED, Off(SqlStatement)),
    vector("variables", "variables and placeholders", REFUSED, NOTHING_THERE),
    vector("catalogs", "`information_schema` and other system catalogs", NO_TABLE, Planted),
    vector("tables-of-others", "a table of the same run that is not granted; other names of granted ones", NO_TABLE, Planted),
    vector("files-as-tables", "files, addresses and objects by their names", NO_TABLE, Planted),
    vector("hidden-tables-in-subqueries", "a table that is not granted, in every place for a subquery", NO_TABLE, Planted),
    vector("table-functions", "functions that read files or make rows", REFUSED, NOTHING_THERE),
    vector("repeat", "`repeat`", NO_FUNCTION, Off(SqlFunctions)),
    vector("pad", "`lpad` and `rpad`", NO_FUNCTION, Off(SqlFunctions)),
    vector("long-lists", "`range`, `generate_series`, `array_repeat`, `array_resize`", NO_FUNCTION, Off(SqlFunctions)),
    vector("functions-that-tell", "`version`, `random`, `uuid`", NO_FUNCTION, Off(SqlFunctions)),
    vector("operating-system-functions", "functions of other databases: files, sleep, settings, libraries", NO_FUNCTION,
        Without("an engine has no such function")),
    vector("concatenation-bomb", "a text of 1.25 GiB, by `concat` of `concat`", MEMORY, Off(EngineMemory)),
    vector("aggregation-bomb", "a text of 1.25 GiB, by `string_agg` over a cross join", MEMORY,
        Without("it grows by doubling, past what an engine has without its limit; `concatenation-bomb` shows that the limit is what denies")),
    vector("regular-expression-bomb", "a regular expression of 10^9 states", FAILED, Planted),
    made("cross-join", "10^11 rows, summed", Alone(LONG), &[denial("http 504 timed_out")], Planted),
    vector("many-rows", "a result of a million rows and one", LIMIT, Off(ResultBounds)),
    vector("many-bytes", "a result of 36 MiB", LIMIT, Off(ResultBounds)),
    vector("long-statement", "a statement of 70,000 characters", REFUSED, Planted),
    vector("huge-list", "an `IN` list of 6,000", REFUSED, Off(SqlBounds)),
    vector("deep-parentheses", "100 parentheses", REFUSED, Off(SqlBounds)),
    vector("deep-expression", "a sum of 400", REFUSED, Off(SqlBounds)),
    vector("many-branches", "a union of 300", REFUSED, Off(SqlBounds)),
    vector("many-tables", "70 tables", REFUSED, Off(SqlBounds)),
    vector("doubling", "common table expressions that read each other twice", REFUSED, Off(SqlBounds)),
    vector("hidden-rows", "ask for hidden rows", ABSENT, Off(RowFilter)),
    vector("hidden-rows-by-or", "`OR 1 = 1`", ABSENT, Off(RowFilter)),
    vector("hidden-rows-by-count", "count hidden rows", ABSENT, Off(RowFilter)),
    vector("hidden-rows-by-statistics", "the extremes, which statistics know", ABSENT, Off(RowFilter)),
    vector("hidden-rows-by-order", "the last row", ABSENT, Off(RowFilter)),
    vector("hidden-rows-by-limit", "the row after the last visible one", ABSENT, Off(RowFilter)),
    vector("hidden-rows-by-join", "partners of rows of another table", ABSENT, Off(RowFilter)),
    vector("hidden-rows-by-window", "numbers of rows", ABSENT, Off(RowFilter)),
    vector("hidden-rows-by-division", "a division that fails on a hidden row", ABSENT, Off(RowFilter)),
    vector("hidden-rows-by-cast", "a conversion that fails on a hidden row", ABSENT, Off(RowFilter)),
    vector("hidden-rows-by-overflow", "an overflow on a hidden row", ABSENT, Off(RowFilter)),
    vector("hidden-columns", "a hidden column, in every clause", FAILED, Off(ColumnList)),
    vector("hidden-columns-by-star", "`SELECT *`", ABSENT, Off(ColumnList)),
    vector("hidden-columns-by-error", "a name that is nearly that of a hidden column, for a proposal", ABSENT, Off(ColumnList)),
    vector("parquet-footer-length", "a footer longer than the file", CONTAINED, Planted),
    vector("parquet-footer-garbage", "a footer of garbage", FAILED, Planted),
    vector("parquet-no-magic", "a file that ends as none does", FAILED, Planted),
    vector("parquet-endless-list", "a list of 2^31 elements in a footer of 20 bytes", FAILED, Planted),
    vector("parquet-offset-outside", "a column that lies behind the end of the file", FAILED, Planted),
    vector("parquet-offset-negative", "a column that lies before its start", CONTAINED, Planted),
    vector("parquet-rows-that-are-not", "2^62 rows in a file of four", CONTAINED, Planted),
    vector("parquet-page-size", "a page of 2 GiB in a file of 200 bytes", FAILED, Planted),
    vector("parquet-compression-bomb", "a page of 40 KiB that unpacks to 1.25 GiB", MEMORY, Off(EngineMemory)),
    vector("parquet-long-text", "a text of 4 GiB in a page of seven bytes", FAILED, Planted),
    vector("parquet-deep-schema", "20,000 groups in each other", &[saying("http 422 limit_exceeded", "nested too deeply")], Planted),
    vector("parquet-wide-schema", "a group of 2^31 columns that are not there", MEMORY, Planted),
    vector("parquet-huge-statistics", "statistics at the ends of what numbers there are", CONTAINED, Planted),
];
