//! Which of the installed PostgreSQLs a cluster is run with.

use std::path::Path;

use trace_postgres::{Installation, OLDEST};

use super::Error;

/// The newest installation; with a cluster, the newest one of its version.
pub(super) fn find(wanted: Option<u32>, cluster: &Path) -> Result<Installation, Error> {
    let found = Installation::all();
    let newest = found.first().map(Installation::version);
    let fits = |version: u32| version >= OLDEST && wanted.is_none_or(|wanted| wanted == version);
    match (found.into_iter().find(|installation| fits(installation.version())), wanted) {
        (Some(installation), _) => Ok(installation),
        (None, Some(version)) => Err(Error::OtherVersion { folder: cluster.to_owned(), version }),
        (None, None) => Err(Error::NotInstalled {
            found: newest.map_or_else(String::new, |version| format!(" (only {version} is here)")),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_of_a_version_that_is_not_here_is_told_so() {
        let error = find(Some(9), Path::new("/data/postgres")).unwrap_err();
        assert!(matches!(&error, Error::OtherVersion { version: 9, .. }), "{error}");
        assert!(error.to_string().contains("apt-get install postgresql-9"), "{error}");
    }
}
