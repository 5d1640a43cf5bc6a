//! A whole platform to attack: the ordinary program, or the one inside this program, whose protections
//! can be switched off.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use trace::{
    client::Client,
    connection::{Address, Connection},
};
use trace_contracts::Secret;
use trace_controls::{Protection, VARIABLE};

use crate::world::World;

/// The orgs of a platform: the attacker's, and another one.
const ORGS: [&str; 2] = ["main", "rival"];

/// A platform that runs; it stops when this is dropped.
pub struct Platform {
    data: PathBuf,
    address: Address,
    up: Child,
    switches: Option<Mutex<Switches>>,
}

/// The two ends of the conversation about protections.
struct Switches {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Platform {
    /// The ordinary program, as it was built for everybody.
    pub fn ordinary(program: &Path, world: &World) -> anyhow::Result<Self> {
        Self::start(program, world, "ordinary")
    }

    /// The platform inside this program, with everything standing.
    pub fn switchable(world: &World) -> anyhow::Result<Self> {
        Self::start(&std::env::current_exe()?, world, "switchable")
    }

    fn start(program: &Path, world: &World, name: &str) -> anyhow::Result<Self> {
        let data = world.folder().join(name);
        let log = File::create(world.folder().join(format!("{name}.log")))?;
        let mut up = Command::new(program)
            .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .args(world.internet().arguments())
            .args(ORGS.iter().flat_map(|org| ["--org", org]))
            .env("HOSTILE_SECRET", world.secret())
            .env_remove("TRACE_URL")
            .env_remove("TRACE_TOKEN")
            .env_remove(VARIABLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let (stdin, stdout) = (up.stdin.take(), up.stdout.take());
        let mut stdout = BufReader::new(stdout.context("its output was asked for")?);
        let stdin = stdin.context("its input was asked for")?;
        let mut ready = String::new();
        stdout.read_line(&mut ready)?;
        let address = ready.strip_prefix("ready ").map(str::trim);
        let said = || fs::read_to_string(world.folder().join(format!("{name}.log"))).unwrap_or_default();
        let address = address.with_context(|| format!("the {name} platform does not start: {}", said()))?;
        let address = address.parse()?;
        let switches = (name == "switchable").then(|| Mutex::new(Switches { stdin, stdout }));
        Ok(Self { data, address, up, switches })
    }

    /// Switches these off, and everything else on, from the next task on.
    pub fn switch_to(&self, off: &[Protection]) -> anyhow::Result<()> {
        let switches = self.switches.as_ref().context("an ordinary platform has no switches")?;
        let mut switches = switches.lock().unwrap_or_else(PoisonError::into_inner);
        let names = off.iter().map(|one| one.name()).collect::<Vec<_>>().join(",");
        writeln!(switches.stdin, "{names}")?;
        let mut answer = String::new();
        switches.stdout.read_line(&mut answer)?;
        ensure!(answer.trim_end_matches('\n') == format!("off: {names}"), "the platform answered {answer:?}");
        Ok(())
    }

    /// A client of an org's admin.
    pub fn client(&self, org: &str) -> anyhow::Result<Client> {
        Ok(Client::new(Connection {
            address: self.address.clone(),
            token: self.token(org)?,
            trust: Default::default(),
        })?)
    }

    /// The token of an org's admin.
    pub fn token(&self, org: &str) -> anyhow::Result<Secret<String>> {
        let path = self.data.join(format!("tokens/{org}-admin.jwt"));
        Ok(Secret::new(fs::read_to_string(path)?.trim().to_owned()))
    }

    /// What an attack may be given of this platform: the token of an admin, and the keys that sign
    /// capabilities. No attacker has those; with them, every check but the signature's is shown to hold
    /// by itself.
    pub fn add_targets(&self, targets: &mut Value) -> anyhow::Result<()> {
        let mut keys = Vec::new();
        for entry in fs::read_dir(self.data.join("keys"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "p8") {
                keys.push(URL_SAFE_NO_PAD.encode(fs::read(path)?));
            }
        }
        targets["capability_keys"] = keys.into();
        targets["admin_token"] = self.token("main")?.expose().as_str().into();
        Ok(())
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The process that it is.
    pub fn pid(&self) -> u32 {
        self.up.id()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.up.id()) {
            // Nothing else has this number before it was waited for.
            let _gone_already = kill(Pid::from_raw(pid), Signal::SIGINT);
        }
        let _status = self.up.wait();
    }
}
