//! SQL: statements, functions, bounds, what is hidden, and forged Parquet.

use trace_controls::Protection::*;

use crate::{
    crowding, outside,
    vector::{
        Attack::{Alone, Outside, Reader},
        Control::{self, Layers, Off, Planted, Without},
        Denial, Plane, Task, Vector, Witness, denial, saying,
    },
};

const SQL: Plane = Plane::Sql;
const REFUSED: &[Denial] = &[denial("http 400 sql_refused")];
const NO_FUNCTION: &[Denial] = &[saying("http 400 sql_refused", "is not allowed")];
const NO_TABLE: &[Denial] = &[denial("http 403 forbidden")];
const FAILED: &[Denial] = &[denial("http 422 sql_failed")];
const LIMIT: &[Denial] = &[denial("http 422 limit_exceeded")];
const MEMORY: &[Denial] = &[saying("http 422 limit_exceeded", "more memory")];
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
    SQL.vector("define-tables", "`CREATE`, `DROP`, `ALTER`, external tables over files", Reader, REFUSED, NOTHING_THERE),
    SQL.vector("write-rows", "`INSERT`, `UPDATE`, `DELETE`, `MERGE`, also inside of `WITH`", Reader, REFUSED, NOTHING_THERE),
    SQL.vector("copy-out", "`COPY` to files, to the object store, to programs", Reader, REFUSED, NOTHING_THERE),
    SQL.vector("settings", "`SET`, `RESET`, `SHOW`, `USE`", Reader, REFUSED, NOTHING_THERE),
    SQL.vector("other-statements", "transactions, `PREPARE`, `ANALYZE`, `CALL`, `KILL`", Reader, REFUSED, NOTHING_THERE),
    SQL.vector("explain", "`EXPLAIN`, whose plan shows the row filter", Reader, REFUSED, READS),
    SQL.vector("explain-analyze", "`EXPLAIN ANALYZE`, which counts hidden rows", Reader, REFUSED, READS),
    SQL.vector("describe", "`DESCRIBE`", Reader, REFUSED, NOTHING_THERE),
    SQL.vector("several-statements", "two statements in one text", Reader, REFUSED, Planted),
    SQL.vector("select-into", "`SELECT INTO`", Reader, REFUSED, NOTHING_THERE),
    SQL.vector("recursion", "`WITH RECURSIVE`", Reader, REFUSED, READS),
    SQL.vector("lock-rows", "`FOR UPDATE`", Reader, REFUSED, Off(SqlStatement)),
    SQL.vector("variables", "variables and placeholders", Reader, REFUSED, NOTHING_THERE),
    SQL.vector("catalogs", "`information_schema` and other system catalogs", Reader, NO_TABLE, Planted),
    SQL.vector("tables-of-others", "a table of the same run that is not granted; other names of granted ones", Reader, NO_TABLE, Planted),
    SQL.vector("files-as-tables", "files, addresses and objects by their names", Reader, NO_TABLE, Planted),
    SQL.vector("hidden-tables-in-subqueries", "a table that is not granted, in every place for a subquery", Reader, NO_TABLE, Planted),
    SQL.vector("table-functions", "functions that read files or make rows", Reader, REFUSED, NOTHING_THERE),
    SQL.vector("repeat", "`repeat`", Reader, NO_FUNCTION, Off(SqlFunctions)),
    SQL.vector("pad", "`lpad` and `rpad`", Reader, NO_FUNCTION, Off(SqlFunctions)),
    SQL.vector("long-lists", "`range`, `generate_series`, `array_repeat`, `array_resize`", Reader, NO_FUNCTION, Off(SqlFunctions)),
    SQL.vector("functions-that-tell", "`version`, `random`, `uuid`", Reader, NO_FUNCTION, Off(SqlFunctions)),
    SQL.vector("operating-system-functions", "functions of other databases: files, sleep, settings, libraries", Reader, NO_FUNCTION,
        Without("an engine has no such function")),
    SQL.vector("concatenation-bomb", "a text of 1.25 GiB, by `concat` of `concat`", Reader, MEMORY, Off(EngineMemory)),
    SQL.vector("aggregation-bomb", "a text of 1.25 GiB, by `string_agg` over a cross join", Reader, MEMORY,
        Without("it grows by doubling, past what an engine has without its limit; `concatenation-bomb` shows that the limit is what denies")),
    SQL.vector("regular-expression-bomb", "a regular expression of 10^9 states", Reader, FAILED, Planted),
    SQL.vector("cross-join", "10^11 rows, summed", Alone(LONG), &[denial("http 504 timed_out")], Planted),
    SQL.vector("many-rows", "a result of a million rows and one", Reader, LIMIT, Off(ResultBounds)),
    SQL.vector("many-bytes", "a result of 36 MiB", Reader, LIMIT, Off(ResultBounds)),
    SQL.vector("many-bytes-as-csv", "the same as CSV", Reader, LIMIT, Off(ResultBounds)),
    SQL.vector("all-engines", "16 queries without an end, so that another org gets no engine", Outside(crowding::engines),
        &[denial("others answered")], Off(FairTurns)),
    SQL.vector("long-statement", "a statement of 70,000 characters", Reader, REFUSED, Planted),
    SQL.vector("huge-list", "an `IN` list of 6,000", Reader, REFUSED, Off(SqlBounds)),
    SQL.vector("deep-parentheses", "100 parentheses", Reader, REFUSED, Off(SqlBounds)),
    SQL.vector("deep-expression", "a sum of 400", Reader, REFUSED, Off(SqlBounds)),
    SQL.vector("many-branches", "a union of 300", Reader, REFUSED, Off(SqlBounds)),
    SQL.vector("many-tables", "70 tables", Reader, REFUSED, Off(SqlBounds)),
    SQL.vector("doubling", "common table expressions that read each other twice", Reader, REFUSED, Off(SqlBounds)),
    SQL.vector("hidden-rows", "ask for hidden rows", Reader, ABSENT, Off(RowFilter)),
    SQL.vector("hidden-rows-by-or", "`OR 1 = 1`", Reader, ABSENT, Off(RowFilter)),
    SQL.vector("hidden-rows-by-count", "count hidden rows", Reader, ABSENT, Off(RowFilter)),
    SQL.vector("hidden-rows-by-statistics", "the extremes, which statistics know", Reader, ABSENT, Off(RowFilter)),
    SQL.vector("hidden-rows-by-order", "the last row", Reader, ABSENT, Off(RowFilter)),
    SQL.vector("hidden-rows-by-limit", "the row after the last visible one", Reader, ABSENT, Off(RowFilter)),
    SQL.vector("hidden-rows-by-join", "partners of rows of another table", Reader, ABSENT, Off(RowFilter)),
    SQL.vector("hidden-rows-by-window", "numbers of rows", Reader, ABSENT, Off(RowFilter)),
    SQL.vector("hidden-rows-by-division", "a division that fails on a hidden row", Reader, ABSENT, Off(RowFilter)),
    SQL.vector("hidden-rows-by-cast", "a conversion that fails on a hidden row", Reader, ABSENT, Off(RowFilter)),
    SQL.vector("hidden-rows-by-overflow", "an overflow on a hidden row", Reader, ABSENT, Off(RowFilter)),
    SQL.vector("hidden-columns", "a hidden column, in every clause", Reader, FAILED, Off(ColumnList)),
    SQL.vector("hidden-columns-by-star", "`SELECT *`", Reader, ABSENT, Off(ColumnList)),
    SQL.vector("hidden-columns-by-error", "a name that is nearly that of a hidden column, for a proposal", Reader, ABSENT, Off(ColumnList)),
    SQL.vector("parquet-footer-length", "a footer longer than the file", Reader, FAILED, Planted),
    SQL.vector("parquet-footer-garbage", "a footer of garbage", Reader, FAILED, Planted),
    SQL.vector("parquet-no-magic", "a file that ends as none does", Reader, FAILED, Planted),
    SQL.vector("parquet-endless-list", "a list of 2^31 elements in a footer of 20 bytes", Reader, FAILED, Planted),
    SQL.vector("parquet-offset-outside", "a column that lies behind the end of the file", Reader, FAILED, Planted),
    SQL.vector("parquet-offset-negative", "a column that lies before its start", Reader, FAILED, Planted),
    SQL.vector("parquet-rows-that-are-not", "2^62 rows in a file of four", Reader, FAILED, Planted),
    SQL.vector("parquet-page-size", "a page of 2 GiB in a file of 200 bytes", Reader, FAILED, Planted),
    SQL.vector("parquet-compression-bomb", "a page of 40 KiB that unpacks to 1.25 GiB", Reader, MEMORY, Off(EngineMemory)),
    SQL.vector("parquet-long-text", "a text of 4 GiB in a page of seven bytes", Reader, FAILED, Planted),
    SQL.vector("parquet-deep-schema", "20,000 groups in each other", Reader, &[saying("http 422 limit_exceeded", "nested too deeply")], Planted),
    SQL.vector("parquet-wide-schema", "a group of 2^31 columns that are not there", Reader, MEMORY, Planted),
    SQL.vector("parquet-huge-statistics", "statistics at the ends of what numbers there are", Reader, FAILED, Planted),
];
