//! What is not the attacker's: secrets in a file, in a variable, behind a descriptor, and services of
//! this machine that tell one to whoever asks.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{TcpListener, UdpSocket},
    os::{
        fd::AsFd as _,
        linux::net::SocketAddrExt as _,
        unix::{
            fs::PermissionsExt as _,
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
    thread,
};

use nix::fcntl::{FcntlArg, fcntl};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::internet::Internet;

/// How every secret begins. The UDFs look for this; they don't know the rest.
const SECRET: &str = concat!("hostile-", "secret-");

/// The least number of the descriptor that every platform inherits.
const INHERITED: i32 = 200;

/// What is not the attacker's.
pub struct World {
    folder: TempDir,
    secret: String,
    tcp_port: u16,
    udp_port: u16,
    abstract_name: String,
    internet: Internet,
}

impl World {
    /// Makes it. The services answer as long as this program runs.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("trace-hostile.").tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let nonce = folder.path().extension().map(|end| end.to_string_lossy().into_owned());
        let nonce = nonce.unwrap_or_default();
        let secret = format!("{SECRET}{nonce}");
        let path = folder.path().join("secret.txt");
        fs::write(&path, &secret)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
        let descriptor = File::open(&path)?;
        // As a careless program would have it open: not closed when another one is started, and in no
        // place where a sandbox puts its own. It stays open as long as this program runs.
        let _number = fcntl(descriptor.as_fd(), FcntlArg::F_DUPFD(INHERITED))?;
        let abstract_name = format!("trace-hostile-{nonce}");
        tell_unix(UnixListener::bind_addr(&SocketAddr::from_abstract_name(&abstract_name)?)?, &secret);
        tell_unix(UnixListener::bind(folder.path().join("socket"))?, &secret);
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
        let (tcp_port, udp_port) = (tcp.local_addr()?.port(), udp.local_addr()?.port());
        tell_tcp(tcp, &secret);
        tell_udp(udp, &secret);
        let internet = Internet::new(folder.path(), &secret)?;
        Ok(Self { folder, secret, tcp_port, udp_port, abstract_name, internet })
    }

    /// What stands in for the world outside.
    pub const fn internet(&self) -> &Internet {
        &self.internet
    }

    /// A folder of this machine.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The secret.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// A file with the secret.
    pub fn secret_file(&self) -> PathBuf {
        self.folder.path().join("secret.txt")
    }

    /// The name that a process takes which should not outlive its task.
    pub fn orphan(&self) -> &'static str {
        "hostile-orphan"
    }

    /// What the attacks are told.
    pub fn targets(&self) -> Value {
        json!({
            "pid": std::process::id(),
            "tcp_port": self.tcp_port,
            "udp_port": self.udp_port,
            "abstract_name": self.abstract_name,
            "unix_path": self.folder.path().join("socket"),
            "host_file": self.secret_file(),
            "orphan": self.orphan(),
        })
    }
}

fn tell_unix(listener: UnixListener, secret: &str) {
    let secret = secret.to_owned();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _heard = stream.read(&mut [0; 16]);
            let _told = stream.write_all(secret.as_bytes());
        }
    });
}

fn tell_tcp(listener: TcpListener, secret: &str) {
    let secret = secret.to_owned();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _heard = stream.read(&mut [0; 16]);
            let _told = stream.write_all(secret.as_bytes());
        }
    });
}

fn tell_udp(socket: UdpSocket, secret: &str) {
    let secret = secret.to_owned();
    thread::spawn(move || {
        while let Ok((_, from)) = socket.recv_from(&mut [0; 16]) {
            let _told = socket.send_to(secret.as_bytes(), from);
        }
    });
}
