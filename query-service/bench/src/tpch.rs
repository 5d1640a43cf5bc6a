//! TPC-H: the tables that the five queries read, and the queries with the validation parameters of
//! the specification (2.4).

/// Tables, and their columns in the order of the generator, with the types of the specification (1.4).
pub const TABLES: [(&str, &[(&str, &str)]); 3] = [
    (
        "customer",
        &[
            ("c_custkey", "int64"),
            ("c_name", "utf8"),
            ("c_address", "utf8"),
            ("c_nationkey", "int64"),
            ("c_phone", "utf8"),
            ("c_acctbal", "decimal(15,2)"),
            ("c_mktsegment", "utf8"),
            ("c_comment", "utf8"),
        ],
    ),
    (
        "orders",
        &[
            ("o_orderkey", "int64"),
            ("o_custkey", "int64"),
            ("o_orderstatus", "utf8"),
            ("o_totalprice", "decimal(15,2)"),
            ("o_orderdate", "date"),
            ("o_orderpriority", "utf8"),
            ("o_clerk", "utf8"),
            ("o_shippriority", "int64"),
            ("o_comment", "utf8"),
        ],
    ),
    (
        "lineitem",
        &[
            ("l_orderkey", "int64"),
            ("l_partkey", "int64"),
            ("l_suppkey", "int64"),
            ("l_linenumber", "int64"),
            ("l_quantity", "decimal(15,2)"),
            ("l_extendedprice", "decimal(15,2)"),
            ("l_discount", "decimal(15,2)"),
            ("l_tax", "decimal(15,2)"),
            ("l_returnflag", "utf8"),
            ("l_linestatus", "utf8"),
            ("l_shipdate", "date"),
            ("l_commitdate", "date"),
            ("l_receiptdate", "date"),
            ("l_shipinstruct", "utf8"),
            ("l_shipmode", "utf8"),
            ("l_comment", "utf8"),
        ],
    ),
];

/// Names and texts.
pub const QUERIES: [(&str, &str); 5] = [
    ("q1", include_str!("queries/q1.sql")),
    ("q3", include_str!("queries/q3.sql")),
    ("q6", include_str!("queries/q6.sql")),
    ("q12", include_str!("queries/q12.sql")),
    ("q18", include_str!("queries/q18.sql")),
];

/// Orders at scale factor 1.
const ORDERS: u64 = 1_500_000;

/// A point query: one order by its key. Of every 32 keys the first eight exist, and `nth` walks over
/// them in large steps, so that no two neighbours lie in one page.
pub fn point(nth: u64) -> String {
    let order = nth * 611_953 % ORDERS + 1;
    let key = order / 8 * 32 + order % 8;
    format!(
        "select o_orderkey, o_custkey, o_totalprice, o_orderdate, o_orderpriority from orders where o_orderkey = {key}"
    )
}
