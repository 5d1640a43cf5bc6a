//! The environment of a task, built from nothing: nothing of the wrapper's own is passed on.

use std::{ffi::CString, os::unix::ffi::OsStrExt as _};

use super::{
    Error,
    confinement::Route,
    controls::{Protection, stands},
    mounts::c_string,
};

/// Always the same. Sorted.
const FIXED: [(&str, &str); 9] = [
    ("HOME", "/tmp"),
    ("LANG", "C.UTF-8"),
    ("PATH", "/trace/bin"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("PYTHONUNBUFFERED", "1"),
    ("TMPDIR", "/tmp"),
    ("TRACE_FILES_DIR", "/task/files"),
    ("TRACE_OUTPUT_DIR", "/out"),
    ("USER", "task"),
];

/// What the kernel takes of one `NAME=value`, with the NUL (`MAX_ARG_STRLEN`).
const MAX_BYTES: usize = 128 * 1024;
/// More than any task is given.
const MAX_VARIABLES: usize = 256;

/// What an interpreter starts with that waits for its order: nothing of any attempt.
pub(super) fn fixed(python_path: &str) -> Result<Vec<CString>, Error> {
    let path = std::iter::once(("PYTHONPATH", python_path));
    FIXED.into_iter().chain(path).map(|(name, value)| variable(name, value)).collect()
}

/// `NAME=value` for each variable: the fixed ones, where Python finds modules, the addresses, the
/// caller's.
pub(super) fn build(
    given: &[(String, String)],
    routes: &[Route],
    python_path: &str,
) -> Result<Vec<CString>, Error> {
    if given.len() > MAX_VARIABLES {
        let (what, value) = ("environment variables", given.len() as u64);
        return Err(Error::Limit { what, value, reason: "at most 256 are passed" });
    }
    let mut variables: Vec<(&str, String)> =
        FIXED.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    variables.push(("PYTHONPATH", python_path.to_owned()));
    for route in routes {
        variables.push((route.variable, format!("http://127.0.0.1:{}", route.port)));
    }
    for (name, value) in given {
        let refused = |reason| Error::Environment { name: name.clone(), reason };
        if name.is_empty() || name.contains('=') {
            return Err(refused("its name is empty or holds `=`"));
        }
        if variables.iter().any(|(known, _)| known == name) {
            return Err(refused("the sandbox sets it itself, or it is there twice"));
        }
        if name.len() + value.len() + 2 > MAX_BYTES {
            return Err(refused("it is longer than 128 KiB"));
        }
        variables.push((name, value.clone()));
    }
    let built: Result<Vec<CString>, Error> =
        variables.iter().map(|(name, value)| variable(name, value)).collect();
    if stands(Protection::CleanEnvironment) { built } else { Ok([built?, inherited()].concat()) }
}

/// What a program would have without this file. Nothing but a control asks for it.
fn inherited() -> Vec<CString> {
    let pair = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
    };
    std::env::vars_os().filter_map(pair).collect()
}

/// The value stays out of the error: it may be a secret.
fn variable(name: &str, value: &str) -> Result<CString, Error> {
    c_string(&format!("{name}={value}"))
        .map_err(|_| Error::Environment { name: name.to_owned(), reason: "it holds a NUL character" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn nothing_but_the_listed_variables_is_passed() {
        let route = Route {
            variable: "TRACE_QUERY_URL",
            port: 8002,
            upstream: "127.0.0.1:9".parse::<std::net::SocketAddr>().unwrap().into(),
        };
        let built = build(&given("TRACE_TASK", "t1"), &[route], "/trace/python").unwrap();
        insta::assert_debug_snapshot!(built);
    }

    #[test]
    fn what_the_kernel_or_the_sandbox_would_misread_is_refused() {
        for (name, value) in
            [("", "x"), ("A=B", "x"), ("A", "x\0y"), ("PATH", "/bin"), ("A", "x".repeat(MAX_BYTES).as_str())]
        {
            assert!(matches!(build(&given(name, value), &[], ""), Err(Error::Environment { .. })), "{name}");
        }
        let twice = [given("A", "1"), given("A", "2")].concat();
        assert!(build(&twice, &[], "").is_err());
        let many: Vec<_> = (0..=MAX_VARIABLES).map(|n| (format!("A{n}"), String::new())).collect();
        assert!(build(&many, &[], "").is_err());
    }

    #[test]
    fn an_error_does_not_show_a_value() {
        let error = build(&given("TOKEN", "hush\0"), &[], "").unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}
