//! `trace-udf-native FILE`: writes the JSON lines on standard input to a new Parquet file.

use std::{env, io, path::Path, process::ExitCode};

const USAGE: &str = "usage: trace-udf-native FILE < LINES
Writes JSON lines to a new Parquet file. The first line is a header that may name columns and types:
  {\"columns\":[{\"name\":\"day\",\"type\":\"date\"},{\"name\":\"delay\"}]}
  {\"day\":\"2013-01-31\",\"delay\":12.5}
Types: bool, int64, float64, utf8, date, timestamp, timestamptz, decimal(P,S).
Exit codes: 0 written, 1 the rows or the file are at fault, 2 wrong usage.";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [path] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    // A whole pipe's worth at a time.
    let input = io::BufReader::with_capacity(64 * 1024, io::stdin().lock());
    match trace_udf_native::convert(input, Path::new(path)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
