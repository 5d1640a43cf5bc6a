//! Code that does what a test says, without a sandbox.

use std::{
    fs::{self, File},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures::FutureExt as _;
use tokio::{
    io::{AsyncWriteExt as _, DuplexStream},
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use trace_worker_wrapper::launcher::{
    Ended, Error, Exit, Launched, Launcher, Order, OutputError, OutputFile, Outputs,
};

/// What the code does.
#[derive(Clone, Default)]
pub struct Script {
    pub stdout: &'static str,
    pub stderr: &'static str,
    /// Files in `/out`.
    pub outputs: Vec<(&'static str, Vec<u8>)>,
    pub ending: Ending,
}

/// How the code ends.
#[derive(Clone, Default)]
pub enum Ending {
    /// With status 0.
    #[default]
    Well,
    /// Like this.
    As(Exit),
    /// When it is killed.
    Never,
    /// It does not even start.
    NotStarted,
}

/// Plays the same script for every order.
pub struct FakeLauncher {
    script: Script,
    folder: tempfile::TempDir,
    /// Orders so far.
    pub orders: Mutex<Vec<Order>>,
    /// Names that the bundle had at each launch.
    pub bundles: Mutex<Vec<Vec<String>>>,
    running: watch::Sender<i64>,
    pub kills: Arc<watch::Sender<usize>>,
}

impl FakeLauncher {
    pub fn playing(script: Script) -> Arc<Self> {
        Arc::new(Self {
            script,
            folder: tempfile::tempdir().unwrap(),
            orders: Mutex::default(),
            bundles: Mutex::default(),
            running: watch::Sender::new(0),
            kills: Arc::new(watch::Sender::new(0)),
        })
    }

    /// Waits until so many run.
    pub async fn until_running(&self, count: i64) {
        let mut running = self.running.subscribe();
        let reached = running.wait_for(|running| *running == count);
        tokio::time::timeout(std::time::Duration::from_secs(20), reached)
            .await
            .unwrap_or_else(|_| panic!("never {count} running"))
            .unwrap();
    }

    pub fn launched(&self) -> usize {
        self.orders.lock().unwrap().len()
    }

    fn outputs(&self) -> PathBuf {
        let folder = self.folder.path().join(self.launched().to_string());
        for (name, content) in &self.script.outputs {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }
}

#[async_trait]
impl Launcher for FakeLauncher {
    async fn launch(&self, order: Order) -> Result<Launched, Error> {
        let names = order.bundle.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        self.bundles.lock().unwrap().push(names);
        self.orders.lock().unwrap().push(order);
        if matches!(self.script.ending, Ending::NotStarted) {
            return Err(Error::Machine("no cgroups at /sys/fs/secret/path".to_owned()));
        }
        let killed = CancellationToken::new();
        let (kills, dying) = (Arc::clone(&self.kills), killed.clone());
        let ending = self.script.ending.clone();
        let outputs = Folder { path: self.outputs(), script: self.script.clone() };
        self.running.send_modify(|running| *running += 1);
        let running = self.running.clone();
        let ended = async move {
            let exit = match ending {
                Ending::Well | Ending::NotStarted => Exit::Success,
                Ending::As(exit) => exit,
                Ending::Never => {
                    dying.cancelled().await;
                    Exit::Killed
                }
            };
            running.send_modify(|running| *running -= 1);
            Ok(Ended { exit, outputs: Box::new(outputs) as Box<dyn Outputs> })
        };
        Ok(Launched {
            stdout: Box::new(printed(self.script.stdout)),
            stderr: Box::new(printed(self.script.stderr)),
            kill: Box::new(move || {
                killed.cancel();
                kills.send_modify(|kills| *kills += 1);
            }),
            ended: ended.boxed(),
        })
    }
}

fn printed(text: &'static str) -> DuplexStream {
    let (mut writer, reader) = tokio::io::duplex(64);
    tokio::spawn(async move { writer.write_all(text.as_bytes()).await });
    reader
}

struct Folder {
    path: PathBuf,
    script: Script,
}

impl Outputs for Folder {
    fn files(&self) -> Result<Vec<OutputFile>, OutputError> {
        let file = |(name, content): &(&str, Vec<u8>)| OutputFile {
            path: (*name).to_owned(),
            size: content.len() as u64,
        };
        Ok(self.script.outputs.iter().map(file).collect())
    }

    fn open(&self, file: &OutputFile) -> Result<File, OutputError> {
        File::open(self.path.join(&file.path)).map_err(|error| OutputError::Unreadable(error.to_string()))
    }
}
