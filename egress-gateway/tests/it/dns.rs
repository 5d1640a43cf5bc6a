//! A DNS server that answers as a test wants it to.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use hickory_resolver::proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata},
};
use tokio::net::UdpSocket;

/// What is said of a name.
#[derive(Clone)]
pub enum Answer {
    /// These addresses, by their kind; the first entry at the first time, and the last one from then on.
    Addresses(Vec<Vec<IpAddr>>),
    /// An alias of this name, and what is said of that in the same message.
    Alias(&'static str),
    /// Nothing at all.
    Silence,
}

/// A running server.
pub struct Dns {
    pub address: SocketAddr,
    /// How often each name was asked for an IPv4 address.
    pub asked: Arc<Mutex<HashMap<String, usize>>>,
}

pub fn addresses(texts: &[&str]) -> Answer {
    Answer::Addresses(vec![texts.iter().map(|text| text.parse().unwrap()).collect()])
}

impl Dns {
    pub async fn start(names: Vec<(&'static str, Answer)>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (socket.local_addr().unwrap(), Arc::new(Mutex::new(HashMap::new())));
        let dns = Self { address, asked: Arc::clone(&asked) };
        let names: HashMap<&str, Answer> = names.into_iter().collect();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((read, from)) = socket.recv_from(&mut buffer).await {
                let question = Message::from_vec(&buffer[..read]).unwrap();
                if let Some(answer) = answer(&question, &names, &asked) {
                    socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
                }
            }
        });
        dns
    }

    pub fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().get(name).copied().unwrap_or_default()
    }
}

fn answer(
    question: &Message,
    names: &HashMap<&str, Answer>,
    asked: &Mutex<HashMap<String, usize>>,
) -> Option<Message> {
    let query = question.queries.first().unwrap();
    let mut message = Message::response(question.metadata.id, question.metadata.op_code);
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    message.metadata.recursion_desired = true;
    message.add_query(query.clone());
    let mut name = query.name().to_ascii().trim_end_matches('.').to_lowercase();
    let time = {
        let mut asked = asked.lock().unwrap();
        let times = asked.entry(name.clone()).or_default();
        if query.query_type() == RecordType::A {
            *times += 1;
        }
        times.saturating_sub(1)
    };
    loop {
        let owner = Name::from_ascii(format!("{name}.")).unwrap();
        match names.get(name.as_str()) {
            Some(Answer::Silence) => return None,
            Some(Answer::Alias(target)) => {
                let alias = RData::CNAME(rdata::CNAME(Name::from_ascii(format!("{target}.")).unwrap()));
                message.add_answer(Record::from_rdata(owner, 0, alias));
                (*target).clone_into(&mut name);
            }
            Some(Answer::Addresses(times)) => {
                for address in &times[time.min(times.len() - 1)] {
                    match (address, query.query_type()) {
                        (IpAddr::V4(v4), RecordType::A) => {
                            message.add_answer(Record::from_rdata(owner.clone(), 0, RData::A(rdata::A(*v4))));
                        }
                        (IpAddr::V6(v6), RecordType::AAAA) => {
                            message.add_answer(Record::from_rdata(
                                owner.clone(),
                                0,
                                RData::AAAA(rdata::AAAA(*v6)),
                            ));
                        }
                        _ => {}
                    }
                }
                return Some(message);
            }
            None => {
                message.metadata.response_code = ResponseCode::NXDomain;
                return Some(message);
            }
        }
    }
}
