//! A name server as an attacker has one: it says what suits the attack, and lets nobody remember it.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    thread,
};

/// Aliases of one name, one after the other: more than are followed, and fewer than while the bound is wider.
const CHAIN: usize = 12;
/// Types and the class of records.
const A: u16 = 1;
const CNAME: u16 = 5;
const INTERNET: u16 = 1;
/// A message's first twelve bytes.
const HEADER: usize = 12;
/// An answer that is sure of itself; the same of a name that is not there.
const FOUND: [u8; 2] = [0x81, 0x80];
const NOT_FOUND: [u8; 2] = [0x81, 0x83];

/// What is said of a name.
enum Said {
    /// These addresses.
    At(Vec<Ipv4Addr>),
    /// The first and the second, by turns.
    Turning([Ipv4Addr; 2]),
    /// Another name.
    Alias(String),
}

/// Starts it, and says where it is.
pub fn start(outside: Ipv4Addr, private: Ipv4Addr) -> anyhow::Result<SocketAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    let names = names(outside, private);
    thread::spawn(move || {
        let mut asked: HashMap<String, usize> = HashMap::new();
        let mut buffer = [0; 1500];
        while let Ok((read, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = answer(&buffer[..read], &names, &mut asked) {
                // Whoever asked may be gone.
                let _sent = socket.send_to(&answer, from);
            }
        }
    });
    Ok(address)
}

fn names(outside: Ipv4Addr, private: Ipv4Addr) -> HashMap<String, Said> {
    let machine = Ipv4Addr::LOCALHOST;
    let metadata = Ipv4Addr::new(169, 254, 169, 254);
    let at = |name: &str, addresses: &[Ipv4Addr]| (name.to_owned(), Said::At(addresses.to_vec()));
    let mut names: HashMap<String, Said> = HashMap::from([
        at("out.example.com", &[outside]),
        at("other.example.com", &[outside]),
        at("bytes.example.com", &[outside]),
        at("requests.example.com", &[outside]),
        at("metadata.goog", &[outside]),
        at("private.example.com", &[private]),
        at("mixed.example.com", &[private, outside]),
        at("machine.example.com", &[machine]),
        at("meta.example.com", &[metadata]),
        ("alias.example.com".to_owned(), Said::Alias("private.example.com".to_owned())),
        ("rebinds.example.com".to_owned(), Said::Turning([outside, private])),
        ("chain.example.com".to_owned(), Said::Alias("c1.example.com".to_owned())),
        at(&format!("c{CHAIN}.example.com"), &[outside]),
    ]);
    names.extend(
        (1..CHAIN)
            .map(|one| (format!("c{one}.example.com"), Said::Alias(format!("c{}.example.com", one + 1)))),
    );
    names
}

/// The answer to a question; none to what is no question.
fn answer(
    question: &[u8],
    names: &HashMap<String, Said>,
    asked: &mut HashMap<String, usize>,
) -> Option<Vec<u8>> {
    let (mut name, end) = name(question)?;
    let kind = u16::from_be_bytes(question.get(end..end + 2)?.try_into().ok()?);
    let mut records = Vec::new();
    while let Some(Said::Alias(target)) = names.get(&name) {
        records.push(record(&name, CNAME, &encoded(target)));
        name.clone_from(target);
    }
    let addresses = match names.get(&name) {
        Some(Said::At(addresses)) => addresses.clone(),
        Some(Said::Turning(turns)) => vec![turns[turn(asked, &name, kind) % turns.len()]],
        Some(Said::Alias(_)) | None => Vec::new(),
    };
    if kind == A {
        records.extend(addresses.iter().map(|address| record(&name, A, &address.octets())));
    }
    let mut message = question.get(..2)?.to_vec();
    message.extend(if names.contains_key(&name) { FOUND } else { NOT_FOUND });
    message.extend([0, 1]);
    message.extend(u16::try_from(records.len()).ok()?.to_be_bytes());
    message.extend([0; 4]);
    message.extend(question.get(HEADER..end + 4)?);
    message.extend(records.concat());
    Some(message)
}

/// How often the name was asked for before, by whoever wants an address of this kind.
fn turn(asked: &mut HashMap<String, usize>, name: &str, kind: u16) -> usize {
    let times = asked.entry(name.to_owned()).or_default();
    *times += usize::from(kind == A);
    times.saturating_sub(1)
}

/// The name that is asked for, and where it ends.
fn name(question: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*question.get(at)?);
        if length == 0 {
            return Some((labels.join("."), at + 1));
        }
        let label = question.get(at + 1..at + 1 + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += 1 + length;
    }
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// A record that holds for no time.
fn record(owner: &str, kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = encoded(owner);
    bytes.extend(kind.to_be_bytes());
    bytes.extend(INTERNET.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend(data);
    bytes
}
