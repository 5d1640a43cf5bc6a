//! A platform of one thread, which answers what it is told to and remembers what it was asked.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use trace_udf::Context;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Method and path.
    pub line: String,
    /// Without `Bearer `; empty when there was none.
    pub token: String,
    pub body: String,
}

/// What is answered to a request: status and body.
pub type Answer = (u16, String);

/// Listens until the process ends.
pub struct Platform {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Platform {
    pub fn start(answer: impl Fn(&Asked) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &log, &answer);
            }
        });
        Self { url, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Asked>>, answer: &impl Fn(&Asked) -> Answer) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap() == 0 {
        return;
    }
    let (mut length, mut token) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => token = value.trim_start_matches("Bearer ").to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let asked = Asked {
        line: line.trim_end_matches(" HTTP/1.1\r\n").to_owned(),
        token,
        body: String::from_utf8(body).unwrap(),
    };
    log.lock().unwrap().push(asked.clone());
    let (status, text) = answer(&asked);
    write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
    .unwrap();
}

/// The context of a task of this platform, or of a local test; `writer` stands in for the native one.
pub fn context(platform: Option<&Platform>, folder: &Path, writer: &str) -> Context {
    let program = folder.join("writer");
    fs::write(&program, format!("#!/bin/sh\n{writer}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let url = platform.map(|platform| platform.url.clone());
    let folder = folder.to_str().unwrap().to_owned();
    Context::from_variables(move |name| match name {
        "TRACE_OUTPUT_DIR" | "TMPDIR" | "TRACE_FILES_DIR" => Some(folder.clone()),
        "TRACE_NATIVE_WRITER" => Some(format!("{folder}/writer")),
        "TRACE_DISPATCHER_URL" | "TRACE_QUERY_URL" => url.clone(),
        "TRACE_TASK_CAPABILITY_TOKEN" => Some("first".to_owned()),
        "TRACE_PARTITION" => Some("2013-01".to_owned()),
        _ => None,
    })
    .unwrap()
}
