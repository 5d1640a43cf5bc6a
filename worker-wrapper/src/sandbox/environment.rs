//! The environment of a task, as the kernel takes it. What is in it is said in [`trace_surface::environment`].

use std::{ffi::CString, os::unix::ffi::OsStrExt as _};

use trace_surface::{
    environment::{self, FIXED},
    routes::Inside,
};

use super::{
    Error,
    confinement::Route,
    controls::{Protection, stands},
    mounts::c_string,
};

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
    let inside: Vec<Inside> = routes.iter().map(|route| route.inside).collect();
    let all = environment::variables(given, &inside, python_path).map_err(refused)?;
    let built: Result<Vec<CString>, Error> = all.iter().map(|(name, value)| variable(name, value)).collect();
    if stands(Protection::CleanEnvironment) { built } else { Ok([built?, inherited()].concat()) }
}

fn refused(error: environment::Error) -> Error {
    match error {
        environment::Error::TooMany(count) => {
            let (what, value) = ("environment variables", count as u64);
            Error::Limit { what, value, reason: "at most 256 are passed" }
        }
        environment::Error::Variable { name, reason } => Error::Environment { name, reason },
    }
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
    use trace_surface::{forwarder::Way, routes::QUERY};

    use super::*;

    #[test]
    fn nothing_but_the_listed_variables_is_passed() {
        let given = [("TRACE_TASK".to_owned(), "t1".to_owned())];
        let to: std::net::SocketAddr = "127.0.0.1:9".parse().unwrap();
        let route = Route { inside: QUERY, way: Way::Bytes(to.into()) };
        let built = build(&given, &[route], "/trace/python").unwrap();
        insta::assert_debug_snapshot!(built);
    }

    #[test]
    fn what_can_not_be_passed_is_refused_without_its_value() {
        let error = build(&[("TOKEN".to_owned(), "hush\0".to_owned())], &[], "").unwrap_err();
        assert!(matches!(error, Error::Environment { .. }) && !error.to_string().contains("hush"), "{error}");
        let many: Vec<_> = (0..=256).map(|n| (format!("A{n}"), String::new())).collect();
        assert!(matches!(build(&many, &[], ""), Err(Error::Limit { .. })));
    }
}
