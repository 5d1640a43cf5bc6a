//! `dispatcher init`.

use std::{io::Write as _, path::PathBuf};

use anyhow::Context as _;
use clap::Args;
use trace_contracts::Name;
use trace_dispatcher::{
    Config,
    bootstrap::first::{self, Admin, Existing, First, Named, Tokens, Wanted},
    identity::Kind,
    open_database,
};

/// Makes the first org, its admin, and the identities of workers and planes
///
/// Run it once, where the state database can be reached; running it again changes nothing. It brings the schema up to
/// date, as the dispatcher does when it starts, and needs `database_url` of the configuration alone.
///
/// The database keeps the hash of an identity's token. Where the token was made elsewhere, give that hash as
/// NAME=SHA256, and no secret passes through this command.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dispatcher init --config dispatcher.yaml --org main --worker worker_1 --plane query --tokens-dir /root/tokens
  dispatcher init --config dispatcher.yaml --org main --plane query=$(printf %s \"$TOKEN\" | sha256sum | cut -c1-64)")]
pub(crate) struct Init {
    /// The dispatcher's configuration, in YAML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The org
    #[arg(long, value_name = "NAME")]
    org: Name,
    /// The `sub` that the issuer of users gives the org's first admin: nobody else's org can have them from now on.
    /// What they may do is still said by the role in their token
    #[arg(long, value_name = "SUBJECT")]
    admin: Option<String>,
    /// A worker; may be repeated
    #[arg(long = "worker", value_name = "NAME[=SHA256]")]
    workers: Vec<Named>,
    /// A plane, such as a query service; may be repeated
    #[arg(long = "plane", value_name = "NAME[=SHA256]")]
    planes: Vec<Named>,
    /// Write tokens that are made here into NAME.token in this folder, mode 0600
    #[arg(long, value_name = "DIR", conflicts_with = "print_tokens")]
    tokens_dir: Option<PathBuf>,
    /// Print tokens that are made here, once
    #[arg(long)]
    print_tokens: bool,
    /// Give identities that are there a new token; their old one is worth nothing from now on
    #[arg(long)]
    replace: bool,
}

impl Init {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = Config::read(&self.config)?;
        let db = open_database(&config).await?;
        let mut conn = db.acquire().await.context("the state database can't be used")?;
        let report = first::make(&mut conn, self.first(&config)).await?;
        let mut out = std::io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out).context("the report can't be written")
    }

    fn first(self, config: &Config) -> First {
        let of = |kind: Kind| move |named: Named| Wanted { named, kind };
        let workers = self.workers.into_iter().map(of(Kind::Worker));
        let identities = workers.chain(self.planes.into_iter().map(of(Kind::Plane))).collect();
        let issuer = config.users.issuer.clone();
        First {
            org: self.org,
            admin: self.admin.map(|subject| Admin { issuer, subject }),
            identities,
            existing: if self.replace { Existing::Replace } else { Existing::Keep },
            tokens: match (self.tokens_dir, self.print_tokens) {
                (Some(folder), _) => Tokens::Folder(folder),
                (None, true) => Tokens::Report,
                (None, false) => Tokens::Nowhere,
            },
        }
    }
}
