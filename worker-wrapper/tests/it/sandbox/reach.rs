//! What can be reached from inside: processes, network, sockets, files.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener},
    os::{linux::net::SocketAddrExt, unix::net as unix},
};

use serde_json::json;

use super::kit::Task;

#[tokio::test]
async fn no_other_process_can_be_seen() {
    let wrapper = std::process::id();
    let report = Task::python(&format!(
        "print(json.dumps({{
            'me': os.getpid(), 'parent': os.getppid(),
            'all': [p for p in os.listdir('/proc') if p.isdigit()],
            'environ': refusal(open, '/proc/{wrapper}/environ'),
            'signal': refusal(os.kill, {wrapper}, 0),
            'files': refusal(os.listdir, '/proc/sys'),
        }}))"
    ))
    .report()
    .await;
    let expected = json!({
        "me": 1, "parent": 0, "all": ["1"], "environ": "ENOENT", "signal": "ESRCH", "files": "ENOENT",
    });
    assert_eq!(report, expected);
}

#[tokio::test]
async fn the_network_is_empty() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let report = Task::python(&format!(
        "def tcp(address):
    with socket.socket() as s:
        s.settimeout(5)
        s.connect(address)
def udp(address):
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.sendto(b'x', address)
def raw():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
print(json.dumps({{
    'machine': refusal(tcp, ('127.0.0.1', {port})),
    'internet': refusal(tcp, ('1.1.1.1', 443)),
    'metadata': refusal(tcp, ('169.254.169.254', 80)),
    'names': refusal(udp, ('8.8.8.8', 53)),
    'raw': refusal(raw),
    'interfaces': sorted(line.split(':')[0].strip() for line in list(open('/proc/self/net/dev'))[2:]),
}}))"
    ))
    .report()
    .await;
    // Landlock refuses the connection (EACCES, from version 4 on) before the network can (ECONNREFUSED).
    for (what, refusals) in [
        ("machine", &["EACCES", "ECONNREFUSED"][..]),
        ("internet", &["EACCES", "ENETUNREACH"]),
        ("metadata", &["EACCES", "ENETUNREACH"]),
        ("names", &["ENETUNREACH"]),
        ("raw", &["EAFNOSUPPORT"]),
    ] {
        assert!(refusals.contains(&report[what].as_str().unwrap()), "{what}: {report}");
    }
    assert_eq!(report["interfaces"], json!(["lo"]));
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn only_unix_and_ipv4_sockets_can_be_made() {
    // NETLINK, PACKET, INET6, ALG, VSOCK, XDP, BLUETOOTH, RDS
    let families = [16, 17, 10, 38, 40, 44, 31, 21];
    let report = Task::python(&format!(
        "print(json.dumps([[refusal(socket.socket, f, t) for t in (1, 2)] for f in {families:?}]
            + [[refusal(socket.socket, 2, 1, p) for p in (132, 262)]]))"
    ))
    .report()
    .await;
    assert_eq!(report, json!([["EAFNOSUPPORT", "EAFNOSUPPORT"]].repeat(families.len() + 1)));
}

#[tokio::test]
async fn unix_sockets_of_the_machine_are_out_of_reach() {
    let name = format!("trace-test-{}", std::process::id());
    let address = unix::SocketAddr::from_abstract_name(&name).unwrap();
    let listener = unix::UnixListener::bind_addr(&address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let folder = super::kit::readable_folder();
    let path = folder.path().join("socket");
    let _by_path = unix::UnixListener::bind(&path).unwrap();
    let report = Task::python(&format!(
        "def connect(address):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(address)
print(json.dumps([refusal(connect, a) for a in
    ['\\0{name}', {path:?}, '/var/run/postgresql/.s.PGSQL.5432', '/run/docker.sock', '/run/dbus/system_bus_socket']]))"
    ))
    .report()
    .await;
    let abstract_one = report[0].as_str().unwrap();
    assert!(["ECONNREFUSED", "EPERM"].contains(&abstract_one), "{abstract_one}");
    assert_eq!(report.as_array().unwrap()[1..], vec![json!("ENOENT"); 4]);
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// Answers one HTTP request and returns what came in.
fn answer_once() -> (SocketAddr, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 4096];
        let bytes = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
        String::from_utf8_lossy(&request[..bytes]).into_owned()
    });
    (address, thread)
}

#[tokio::test]
async fn an_upstream_is_reached_through_its_listener_and_the_request_is_not_changed() {
    let (address, server) = answer_once();
    let report = Task::python(
        "import urllib.request
url = os.environ['TRACE_QUERY_URL']
def connect(port):
    with socket.socket() as s:
        s.connect(('127.0.0.1', port))
print(json.dumps({
    'url': url, 'body': urllib.request.urlopen(url + '/x', timeout=20).read().decode(),
    'dispatcher': 'TRACE_DISPATCHER_URL' in os.environ,
    'others': [refusal(connect, port) for port in (8001, 8003, 22, 5432)],
}))",
    )
    .query(address)
    .report()
    .await;
    assert_eq!(report["url"], "http://127.0.0.1:8002");
    assert_eq!((&report["body"], &report["dispatcher"]), (&json!("hello"), &json!(false)));
    for refusal in report["others"].as_array().unwrap() {
        assert!(["EACCES", "ECONNREFUSED"].contains(&refusal.as_str().unwrap()), "{report}");
    }
    let request = server.join().unwrap();
    assert!(request.contains("Host: 127.0.0.1:8002"), "{request}");
}

#[tokio::test]
async fn the_root_holds_only_what_is_listed() {
    let mut report = Task::python(
        "print(json.dumps({
    'root': [n for n in sorted(os.listdir('/')) if n not in sys.executable],
    'files': os.listdir('/task/files'), 'gone': [p for p in ['/etc/shadow', '/home', '/var', '/sys', '/boot', '/bin', '/usr/bin/env', '/proc/sys',
        '/proc/kcore', '/proc/meminfo', '/dev/kmsg', '/dev/tty', '/dev/fuse', '/run'] if os.path.exists(p)],
    'cwd': os.getcwd(), 'bundle': sorted(os.listdir('.')), 'etc': refusal(open, '/etc/hostname'),
    'host': os.uname().nodename, 'me': os.path.expanduser('~'), 'null': open('/dev/null', 'w').write('x'),
    'random': len(open('/dev/urandom', 'rb').read(4)),
}))",
    )
    .report()
    .await;
    // Besides these, the folders in which the interpreter and its libraries lie.
    let mut root = report["root"].take();
    root.as_array_mut().unwrap().retain(|name| !["lib", "lib64", "usr"].contains(&name.as_str().unwrap()));
    assert_eq!(root, json!(["dev", "etc", "out", "proc", "task", "tmp", "trace"]));
    let expected = json!({
        "root": null, "files": [], "gone": [], "cwd": "/task/bundle", "bundle": ["main.py"], "etc": "ENOENT",
        "host": "trace", "me": "/tmp", "null": 1, "random": 4,
    });
    assert_eq!(report, expected);
}

#[tokio::test]
async fn what_is_shown_can_not_be_written() {
    let files = super::kit::readable_folder();
    fs::write(files.path().join("source"), "as it was").unwrap();
    let mut task = Task::python(
        "import sysconfig
def write(path):
    with open(path, 'w') as f:
        f.write('x')
places = ['/task/bundle/x', '/task/bundle/main.py', '/task/files/x', '/task/files/source', '/task/x', '/x', '/etc/passwd', '/dev/x',
    '/trace/bin/x', '/proc/self/oom_score_adj', '/proc/1/mem', sysconfig.get_path('stdlib') + '/x.py', sys.executable]
print(json.dumps({
    'write': {p: refusal(write, p) for p in places},
    'remove': refusal(os.remove, '/task/bundle/main.py'), 'rename': refusal(os.rename, '/out', '/tmp/out'),
    'mode': refusal(os.chmod, '/task/bundle/main.py', 0o777),
    'device': refusal(os.chmod, '/dev/null', 0o777),
    'owner': refusal(os.chown, '/task/bundle/main.py', 1000, 1000),
}))",
    );
    task.confinement.files = Some(files.path().to_owned());
    let report = task.report().await;
    for group in [&report["write"], &report] {
        for (place, refusal) in group.as_object().unwrap().iter().filter(|(_, value)| value.is_string()) {
            assert!(
                ["EROFS", "EACCES", "EPERM", "EBUSY", "EXDEV", "ETXTBSY"]
                    .contains(&refusal.as_str().unwrap()),
                "{place}: {refusal}"
            );
        }
    }
    assert_eq!(fs::read_to_string(files.path().join("source")).unwrap(), "as it was");
    assert_eq!(fs::read_dir(files.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn nothing_that_was_written_can_be_executed() {
    let report = Task::python(
        "import shutil
def run(path):
    with open(path, 'wb') as f:
        f.write(open(sys.executable, 'rb').read(1 << 20))
    os.chmod(path, 0o755)
    os.execv(path, [path])
print(json.dumps([refusal(run, p) for p in ('/tmp/x', '/out/x')]))",
    )
    .report()
    .await;
    assert_eq!(report, json!(["EACCES", "EACCES"]));
}

#[tokio::test]
async fn nothing_of_the_wrappers_environment_is_passed() {
    assert!(std::env::vars().any(|(name, _)| name == "PATH"), "the test has an environment itself");
    let report = Task::python("print(json.dumps(dict(os.environ)))").env("TRACE_TASK", "t1").report().await;
    let names: Vec<_> = report.as_object().unwrap().keys().cloned().collect();
    insta::assert_snapshot!(names.join(" "));
    assert_eq!(report["TRACE_TASK"], "t1");
    assert_eq!(report["PATH"], "/trace/bin");
}

#[tokio::test]
async fn no_descriptor_is_inherited() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    let open = fs::File::open(secret.path()).unwrap();
    let inherited = nix::fcntl::fcntl(&open, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()));
    inherited.unwrap();
    let report = Task::python(
        "found = {}
for fd in range(2048):
    try:
        found[fd] = os.readlink(f'/proc/self/fd/{fd}').split(':')[0]
    except FileNotFoundError:
        pass
print(json.dumps(found))",
    )
    .report()
    .await;
    assert_eq!(report, json!({"0": "/dev/null", "1": "pipe", "2": "pipe"}));
}

#[tokio::test]
async fn declared_files_are_shown_by_name() {
    let files = super::kit::readable_folder();
    fs::write(files.path().join("source"), "a,b\n").unwrap();
    let mut task = Task::python("print(json.dumps(open('/task/files/source').read()))");
    task.confinement.files = Some(files.path().to_owned());
    assert_eq!(task.report().await, json!("a,b\n"));
}
