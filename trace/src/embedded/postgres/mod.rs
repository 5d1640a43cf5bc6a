//! A private PostgreSQL for one machine, started from the installed binaries.
//!
//! Its files lie in `<data-dir>/postgres`. It listens on a Unix socket in a private folder and nowhere
//! else, lets in only the platform's own user (peer authentication), as the role `trace`, which is no
//! superuser, and flushes what it commits. It stops with this process, however that ends.
//!
//! | what | where |
//! |---|---|
//! | which binaries | `installation` |
//! | whose user it runs as (never root) | `account` |
//! | the folder of the data, made once | `cluster` |
//! | the socket's folder | `socket` |
//! | the process | `postmaster` |
//! | what an earlier process left running | `leftovers` |

mod account;
mod cluster;
mod installation;
mod leftovers;
mod postmaster;
mod socket;

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::{fs::DirBuilderExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::signal::Signal,
};
use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use account::Account;
use cluster::Cluster;
use postmaster::Postmaster;
use socket::SocketFolder;
use trace_postgres::Installation;

/// The database of the platform's state.
pub const DATABASE: &str = "trace_state";

/// The one role that can connect. It owns [`DATABASE`] and is no superuser.
pub const ROLE: &str = "trace";

/// How long it may take until connections are accepted; recovery after a crash is in it.
const START: Duration = Duration::from_secs(120);
/// The server's program.
const SERVER: &str = "postgres";
/// How long a fast shutdown may take before it becomes an immediate one.
const STOP: Duration = Duration::from_secs(30);
const KILL: Duration = Duration::from_secs(5);

/// Why PostgreSQL does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No suitable binaries.
    #[error(
        "PostgreSQL {} or newer is needed{found}: install it, such as with `apt-get install postgresql` \
         (`initdb` and `postgres` are looked for on the PATH and in /usr/lib/postgresql/*/bin)",
        trace_postgres::OLDEST
    )]
    NotInstalled {
        /// What was found instead, if anything.
        found: String,
    },
    /// The data was written by another major version.
    #[error(
        "the data in {folder} was written by PostgreSQL {version}, which is not installed: install it, such as \
         with `apt-get install postgresql-{version}`, or move the folder away to start empty"
    )]
    OtherVersion {
        /// The cluster's folder.
        folder: PathBuf,
        /// Its major version.
        version: u32,
    },
    /// No user to run as.
    #[error(
        "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it as: \
         install PostgreSQL from a package, which makes one, or start as another user"
    )]
    NoAccount,
    /// The platform's own user has no name, and peer authentication goes by names.
    #[error("the user id {0} has no name in /etc/passwd, which PostgreSQL needs")]
    NoName(u32),
    /// Another process uses the folder.
    #[error("another `trace up` uses {0}: stop it, or choose another --data-dir")]
    InUse(PathBuf),
    /// Processes of an earlier start do not end.
    #[error(
        "PostgreSQL processes of an earlier start still run on {folder}: {processes}. \
         Stop them, such as with `kill -INT {first}`, and start again"
    )]
    StillRunning {
        /// The cluster's folder.
        folder: PathBuf,
        /// Their ids.
        processes: String,
        /// The first of them.
        first: i32,
    },
    /// A step of the first start failed.
    #[error("{step} failed: {output}")]
    Setup {
        /// What was run.
        step: &'static str,
        /// The end of what it said.
        output: String,
    },
    /// It ended before it accepted connections.
    #[error("PostgreSQL ended ({status}) before it was ready; the end of {log}:\n{tail}")]
    Ended {
        /// How.
        status: String,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// It does not accept connections in time.
    #[error("PostgreSQL did not accept connections within {} s ({last}); see {log}", START.as_secs())]
    NotReady {
        /// What the last try said.
        last: String,
        /// Its log.
        log: PathBuf,
    },
    /// Files.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

impl Error {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// A PostgreSQL that runs. Dropping it starts a fast shutdown; [`stop`](Self::stop) waits for it.
pub struct EmbeddedPostgres {
    postmaster: Postmaster,
    socket: SocketFolder,
    log: PathBuf,
    _lock: Flock<File>,
}

impl EmbeddedPostgres {
    /// Starts PostgreSQL with its data in `<data_dir>/postgres`, which is made at the first start, and
    /// waits until it accepts connections.
    ///
    /// # Errors
    /// See [`Error`]; each says what to do.
    pub async fn start(data_dir: &Path) -> Result<Self, Error> {
        let folder = data_dir.join("postgres");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(Error::io(&folder))?;
        let folder = folder.canonicalize().map_err(Error::io(&folder))?;
        let lock = lock(&folder)?;
        let account = Account::choose()?;
        let cluster = Cluster::new(&folder);
        leftovers::wait_until_gone(cluster.path()).await?;
        let installation = installation::find(cluster.version()?, cluster.path())?;
        let cluster = ensure(cluster, &account, &installation).await?;
        let socket = SocketFolder::create(&folder, &account)?;
        cluster.configure(&account, socket.path())?;
        let log = folder.join("log");
        let command = server(&installation, &account, &cluster, &log)?;
        let postmaster =
            Postmaster::spawn(command).await.map_err(Error::io(&installation.program(SERVER)))?;
        let running = Self { postmaster, socket, log, _lock: lock };
        running.ready().await?;
        tracing::info!(version = installation.version(), folder = %folder.display(), "PostgreSQL is ready");
        Ok(running)
    }

    /// How to connect: to [`DATABASE`] as [`ROLE`], through the socket.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.socket.path())
            .port(socket::PORT)
            .username(ROLE)
            .database(DATABASE)
            .ssl_mode(PgSslMode::Disable)
            .application_name("trace")
    }

    /// The process, while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<i32> {
        self.postmaster.process_id()
    }

    /// Waits until the process ends, by itself or otherwise, and says how.
    pub async fn ended(&self) -> String {
        self.postmaster.ended().await
    }

    /// Ends sessions, writes everything out, and stops.
    pub async fn stop(self) {
        for (signal, patience) in [(Signal::SIGINT, STOP), (Signal::SIGQUIT, KILL), (Signal::SIGKILL, KILL)] {
            self.postmaster.signal(signal);
            if timeout(patience, self.postmaster.ended()).await.is_ok() {
                return;
            }
            tracing::warn!(%signal, "PostgreSQL did not stop in time");
        }
    }

    /// Tries until a connection is accepted, or the process ends.
    async fn ready(&self) -> Result<(), Error> {
        let deadline = Instant::now() + START;
        let mut again = interval(Duration::from_millis(20));
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let options = self.connect_options();
        loop {
            tokio::select! {
                status = self.postmaster.ended() => {
                    let tail = tail(&self.log);
                    return Err(Error::Ended { status, log: self.log.clone(), tail });
                }
                _ = again.tick() => {}
            }
            match PgConnection::connect_with(&options).await {
                Ok(connection) => {
                    // The connection was all that was asked for; how it closes does not matter.
                    let _ = connection.close().await;
                    return Ok(());
                }
                Err(error) if Instant::now() >= deadline => {
                    return Err(Error::NotReady { last: error.to_string(), log: self.log.clone() });
                }
                Err(_) => {}
            }
        }
    }
}

/// One process at a time uses the folder; the lock ends with the process.
fn lock(folder: &Path) -> Result<Flock<File>, Error> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(Error::io(&path))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| Error::InUse(folder.to_owned()))
}

/// Making the cluster blocks, for a second or so.
async fn ensure(cluster: Cluster, account: &Account, installation: &Installation) -> Result<Cluster, Error> {
    let (account, installation) = (account.clone(), installation.clone());
    let made = tokio::task::spawn_blocking(move || cluster.ensure(&account, &installation)).await;
    made.map_err(|panic| Error::Setup { step: "the first start", output: panic.to_string() })?
}

/// The server's command; what it says goes to the log.
fn server(
    installation: &Installation,
    account: &Account,
    cluster: &Cluster,
    log: &Path,
) -> Result<Command, Error> {
    const LARGE: u64 = 16 * 1024 * 1024;
    if std::fs::metadata(log).is_ok_and(|metadata| metadata.len() > LARGE) {
        std::fs::rename(log, log.with_extension("old")).map_err(Error::io(log))?;
    }
    let file = File::options().create(true).append(true).open(log).map_err(Error::io(log))?;
    let mut command = account.command(cluster.path(), &installation.program(SERVER));
    // Ctrl-C in a terminal is for `trace up`, which stops PostgreSQL last.
    command.process_group(0);
    command.args(["-D", account::DATA]).stdout(file.try_clone().map_err(Error::io(log))?).stderr(file);
    Ok(command)
}

/// The last lines of the log.
fn tail(log: &Path) -> String {
    const LINES: usize = 10;
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
