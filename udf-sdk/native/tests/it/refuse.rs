//! What does not fit is refused with the row and column that are at fault.

use crate::support::refused;

#[test]
fn errors_name_the_row_and_say_what_to_do() {
    let cases = [
        "",
        "{\"origin\":\"JFK\"}",
        "{\"columns\":[]}",
        "{\"columns\":[{\"name\":\"a\",\"type\":\"int\"}]}",
        "{\"columns\":[{\"name\":\"a\"},{\"name\":\"a\"}]}",
        "{\"columns\":[{\"name\":\"\"}]}",
        "{\"columns\":[]}\n{\"a\":1}\n{\"a\":\"x\"}",
        "{\"columns\":[]}\n{\"a\":1}\n{\"a\":1,\"a\":2}",
        "{\"columns\":[]}\n{\"a\":1}\n[1]",
        "{\"columns\":[]}\n{\"a\":[1]}",
        "{\"columns\":[]}\n{\"a\":99999999999999999999}\n{\"a\":18446744073709551615}",
        "{\"columns\":[{\"name\":\"a\",\"type\":\"int64\"}]}\n{\"a\":1}\n{\"a\":\"7\"}",
        "{\"columns\":[{\"name\":\"a\",\"type\":\"date\"}]}\n{\"a\":\"31/01/2013\"}",
    ];
    let said: Vec<_> = cases.iter().map(|lines| refused(lines).to_string()).collect();
    insta::assert_snapshot!(said.join("\n\n"));
}

#[test]
fn rows_after_the_settled_ones_must_fit_them() {
    let settling: String = (0..65_536).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let late = |row: &str| refused(&format!("{{\"columns\":[]}}\n{settling}{row}")).to_string();
    insta::assert_snapshot!(late("{\"n\":1.5}"));
    insta::assert_snapshot!(late("{\"n\":1,\"m\":2}"));
}

#[test]
fn a_line_without_end_is_refused_in_time() {
    let endless = format!("{{\"columns\":[]}}\n{{\"a\":\"{}", "x".repeat(17 * 1024 * 1024));
    assert!(refused(&endless).to_string().starts_with("row 1 is longer than 16777216 bytes"));
}
