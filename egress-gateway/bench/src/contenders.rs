//! Other proxies, where the machine has them. They run without logs and without a cache.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::net::TcpStream;

/// A proxy to send requests to.
pub enum Contender {
    /// It runs there.
    At {
        /// Where.
        address: SocketAddr,
        /// Ended with this.
        _process: Option<Process>,
    },
    /// This machine lacks it.
    Absent,
}

/// A process that is killed when it is dropped.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// squid with one worker, as it comes.
pub async fn squid(folder: &Path) -> anyhow::Result<Contender> {
    let port = trace_ports::reserve();
    let text = format!(
        "http_port 127.0.0.1:{port}\nhttp_access allow all\ncache deny all\naccess_log none\ncache_log /dev/null\n\
         cache_store_log none\npid_filename none\nshutdown_lifetime 0 seconds\npinger_enable off\nvia off\n\
         forwarded_for delete\n"
    );
    run("squid", folder, port, &text, |file| vec!["-N".into(), "-f".into(), file]).await
}

/// tinyproxy.
pub async fn tinyproxy(folder: &Path) -> anyhow::Result<Contender> {
    let port = trace_ports::reserve();
    let text = format!(
        "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 200\nAllow 127.0.0.1\nLogLevel Critical\n"
    );
    run("tinyproxy", folder, port, &text, |file| vec!["-d".into(), "-c".into(), file]).await
}

async fn run(
    name: &str,
    folder: &Path,
    port: u16,
    text: &str,
    arguments: fn(String) -> Vec<String>,
) -> anyhow::Result<Contender> {
    let Some(program) = installed(name) else { return Ok(Contender::Absent) };
    let file = folder.join(format!("{name}.conf"));
    fs::write(&file, text)?;
    let child = Command::new(program)
        .args(arguments(file.display().to_string()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let process = Process(child);
    listening(address, name).await?;
    Ok(Contender::At { address, _process: Some(process) })
}

/// Distributions put daemons where users have no path to.
fn installed(name: &str) -> Option<String> {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|folder| format!("{folder}/{name}"))
        .find(|path| Path::new(path).exists())
}

/// Waits until something listens.
pub async fn listening(address: SocketAddr, name: &str) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..200 {
        ticks.tick().await;
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
    }
    bail!("{name} does not listen on {address}")
}
