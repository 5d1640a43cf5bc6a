//! The functions that a query may call, by name. What is not listed here is neither registered nor
//! accepted in a plan.
//!
//! Left out on purpose: what returns much from little (`repeat`, `lpad`, `range`, `array_resize`),
//! what differs from call to call (`random`, `uuid`), and what tells about the machine or the files
//! (`version`, `input_file_name`, `file_row_index`).

use std::sync::Arc;

use datafusion::{
    execution::SessionStateDefaults,
    logical_expr::{AggregateUDF, ScalarUDF, WindowUDF},
};
use trace_controls::{Protection, stands};

/// Functions of one row.
#[rustfmt::skip]
pub(crate) const SCALAR: &[&str] = &[
    // Numbers.
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "cos", "cosh",
    "cot", "degrees", "exp", "factorial", "floor", "gcd", "isnan", "iszero", "lcm", "ln", "log", "log10",
    "log2", "nanvl", "pi", "power", "radians", "round", "signum", "sin", "sinh", "sqrt", "tan", "tanh",
    "trunc",
    // Texts.
    "ascii", "bit_length", "btrim", "character_length", "chr", "concat", "concat_ws", "contains",
    "ends_with", "find_in_set", "initcap", "left", "levenshtein", "lower", "ltrim", "octet_length",
    "overlay", "replace", "reverse", "right", "rtrim", "split_part", "starts_with", "strpos", "substr",
    "substr_index", "to_hex", "translate", "upper", "regexp_count", "regexp_instr", "regexp_like",
    "regexp_match", "regexp_replace",
    // Dates and times. `now` and its like are fixed for one query.
    "current_date", "current_time", "date_bin", "date_part", "date_trunc", "from_unixtime", "make_date",
    "make_time", "now", "to_char", "to_date", "to_local_time", "to_time", "to_timestamp",
    "to_timestamp_micros", "to_timestamp_millis", "to_timestamp_nanos", "to_timestamp_seconds",
    "to_unixtime",
    // Choices and types.
    "arrow_cast", "arrow_try_cast", "arrow_typeof", "coalesce", "greatest", "least", "nullif", "nvl",
    "nvl2",
    // Digests and encodings.
    "decode", "digest", "encode", "md5", "sha224", "sha256", "sha384", "sha512",
    // Structs, maps and lists.
    "get_field", "named_struct", "struct", "map", "map_entries", "map_extract", "map_keys", "map_values",
    "array_any_value", "array_append", "array_concat", "array_dims", "array_distinct", "array_element",
    "array_except", "array_has", "array_has_all", "array_has_any", "array_intersect", "array_length",
    "array_max", "array_min", "array_ndims", "array_pop_back", "array_pop_front", "array_position",
    "array_positions", "array_prepend", "array_remove", "array_remove_all", "array_remove_n",
    "array_replace", "array_replace_all", "array_replace_n", "array_reverse", "array_slice", "array_sort",
    "array_to_string", "array_union", "cardinality", "empty", "flatten", "make_array", "string_to_array",
];

/// Functions of many rows; also usable with `OVER`.
#[rustfmt::skip]
pub(crate) const AGGREGATE: &[&str] = &[
    "any_value", "approx_distinct", "approx_median", "approx_percentile_cont",
    "approx_percentile_cont_with_weight", "array_agg", "avg", "bit_and", "bit_or", "bit_xor", "bool_and",
    "bool_or", "corr", "count", "covar_pop", "covar_samp", "first_value", "grouping", "last_value", "max",
    "median", "min", "nth_value", "percentile_cont", "regr_avgx", "regr_avgy", "regr_count",
    "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy", "regr_syy", "stddev", "stddev_pop",
    "string_agg", "sum", "var", "var_pop",
];

/// Functions that need `OVER`.
#[rustfmt::skip]
pub(crate) const WINDOW: &[&str] = &[
    "cume_dist", "dense_rank", "first_value", "lag", "last_value", "lead", "nth_value", "ntile",
    "percent_rank", "rank", "row_number",
];

pub(super) fn is_scalar(name: &str) -> bool {
    SCALAR.contains(&name) || !stands(Protection::SqlFunctions)
}

pub(super) fn is_aggregate(name: &str) -> bool {
    AGGREGATE.contains(&name) || !stands(Protection::SqlFunctions)
}

pub(super) fn is_window(name: &str) -> bool {
    WINDOW.contains(&name)
}

/// The allowed functions of one row.
pub(crate) fn scalar() -> Vec<Arc<ScalarUDF>> {
    SessionStateDefaults::default_scalar_functions().into_iter().filter(|f| is_scalar(f.name())).collect()
}

/// The allowed aggregates.
pub(crate) fn aggregate() -> Vec<Arc<AggregateUDF>> {
    SessionStateDefaults::default_aggregate_functions()
        .into_iter()
        .filter(|f| is_aggregate(f.name()))
        .collect()
}

/// The allowed window functions.
pub(crate) fn window() -> Vec<Arc<WindowUDF>> {
    SessionStateDefaults::default_window_functions().into_iter().filter(|f| is_window(f.name())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datafusion::logical_expr::Volatility;

    use super::*;

    #[test]
    fn every_name_on_the_lists_is_a_function() {
        let registered: BTreeSet<String> = scalar().iter().map(|f| f.name().to_owned()).collect();
        assert_eq!(registered, SCALAR.iter().map(|name| (*name).to_owned()).collect());
        let registered: BTreeSet<String> = aggregate().iter().map(|f| f.name().to_owned()).collect();
        assert_eq!(registered, AGGREGATE.iter().map(|name| (*name).to_owned()).collect());
        let registered: BTreeSet<String> = window().iter().map(|f| f.name().to_owned()).collect();
        assert_eq!(registered, WINDOW.iter().map(|name| (*name).to_owned()).collect());
    }

    #[test]
    fn no_allowed_function_is_volatile() {
        let volatile: Vec<_> = scalar()
            .iter()
            .filter(|f| f.signature().volatility == Volatility::Volatile)
            .map(|f| f.name().to_owned())
            .collect();
        assert!(volatile.is_empty(), "{volatile:?}");
    }

    #[test]
    fn every_allowed_function_is_documented() {
        let page = include_str!("../../../docs/sql.md");
        let (_, section) = page.split_once("## Functions").unwrap();
        let (section, _) = section.split_once("Left out on purpose").unwrap();
        let words: BTreeSet<&str> = section.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        let missing: Vec<_> =
            [SCALAR, AGGREGATE, WINDOW].concat().into_iter().filter(|f| !words.contains(f)).collect();
        assert!(missing.is_empty(), "docs/sql.md lacks {missing:?}");
    }
}
