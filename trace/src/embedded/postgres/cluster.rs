//! The folder of the data: made once, configured anew at every start.

use std::{
    fs::{DirBuilder, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use trace_postgres::Installation;

use super::{
    DATABASE, Error, ROLE,
    account::{self, Account},
    socket,
};

/// Owns everything and can't connect: `pg_hba.conf` has no line for it.
const SUPERUSER: &str = "trace_owner";

/// A cluster, or the place for one.
pub(super) struct Cluster {
    path: PathBuf,
}

impl Cluster {
    /// The cluster below `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self { path: folder.join("data") }
    }

    /// Its folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The major version that wrote it; `None` where there is no cluster yet.
    pub(super) fn version(&self) -> Result<Option<u32>, Error> {
        let file = self.path.join("PG_VERSION");
        match std::fs::read_to_string(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&file)(error)),
            Ok(text) => {
                let damaged = || Error::io(&file)(io::Error::other("this is not a version"));
                text.trim().parse().map(Some).map_err(|_| damaged())
            }
        }
    }

    /// Makes the cluster, with the role and the database, unless it is there. It gets its name only
    /// once it is complete: a first start that was cut off is begun again.
    pub(super) fn ensure(self, account: &Account, installation: &Installation) -> Result<Self, Error> {
        if self.version()?.is_some() {
            return Ok(self);
        }
        let draft = self.path.with_extension("new");
        if draft.exists() {
            std::fs::remove_dir_all(&draft).map_err(Error::io(&draft))?;
        }
        DirBuilder::new().mode(0o700).create(&draft).map_err(Error::io(&draft))?;
        give(&draft, account)?;
        let mut initdb = account.command(&draft, &installation.program("initdb"));
        initdb.args(["-D", account::DATA, "-U", SUPERUSER, "--auth=reject"]);
        initdb.args(["--encoding=UTF8", "--locale=C", "--data-checksums"]);
        run("initdb", initdb, "")?;
        // Without the server running, nobody else can be connected, and no superuser ever has to be.
        let mut single = account.command(&draft, &installation.program("postgres"));
        single.args(["--single", "-D", account::DATA, "-c", "exit_on_error=true", "template1"]);
        run("the set-up of the database", single, &set_up())?;
        std::fs::rename(&draft, &self.path).map_err(Error::io(&self.path))?;
        Ok(self)
    }

    /// Writes the settings: what is not in them is PostgreSQL's default.
    pub(super) fn configure(&self, account: &Account, socket_folder: &Path) -> Result<(), Error> {
        let socket_folder = socket_folder.display();
        let settings = format!(
            "listen_addresses = ''\n\
             unix_socket_directories = '{socket_folder}'\n\
             unix_socket_permissions = 0777\n\
             port = {}\n\
             max_connections = 100\n\
             shared_buffers = '128MB'\n\
             fsync = on\n\
             full_page_writes = on\n\
             synchronous_commit = on\n\
             jit = off\n\
             timezone = 'UTC'\n\
             log_timezone = 'UTC'\n\
             log_line_prefix = '%m [%p] '\n",
            socket::PORT,
        );
        self.write("postgresql.conf", &settings, account)?;
        self.write("pg_hba.conf", &format!("local all {ROLE} peer map=platform\n"), account)?;
        self.write("pg_ident.conf", &format!("platform \"{}\" {ROLE}\n", account.platform), account)
    }

    /// Puts a file in place in one step. The folder is another user's: a link that lies there under the
    /// name is replaced and not followed.
    fn write(&self, name: &str, text: &str, account: &Account) -> Result<(), Error> {
        let path = self.path.join(name);
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
            file.write_all(text.as_bytes())?;
            file.as_file().set_permissions(Permissions::from_mode(0o600))?;
            std::os::unix::fs::fchown(
                file.as_file(),
                Some(account.uid.as_raw()),
                Some(account.gid.as_raw()),
            )?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(Error::io(&path))
    }
}

/// Makes a folder the account's.
pub(super) fn give(path: &Path, account: &Account) -> Result<(), Error> {
    chown(path, Some(account.uid.as_raw()), Some(account.gid.as_raw())).map_err(Error::io(path))
}

/// One statement a line: this is how the single-user mode reads.
fn set_up() -> String {
    format!(
        "CREATE ROLE {ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;\n\
         CREATE DATABASE {DATABASE} OWNER {ROLE};\n"
    )
}

fn run(step: &'static str, mut command: Command, input: &str) -> Result<(), Error> {
    let failed = |output: String| Error::Setup { step, output };
    let ran = (|| -> io::Result<Output> {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        child.wait_with_output()
    })();
    let output = ran.map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let hint =
        if said.contains("setpriv") { " (it needs `setpriv`: `apt-get install util-linux`)" } else { "" };
    Err(failed(format!("{}{hint}: {}", output.status, last(&said, 2000))))
}

fn last(text: &str, chars: usize) -> String {
    let skip = text.chars().count().saturating_sub(chars);
    text.trim().chars().skip(skip).collect()
}
