//! Destinations.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A destination that writes down what each connection brought.
pub struct Outside {
    pub address: SocketAddr,
    pub heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Outside {
    /// Answers every request (each as it comes in one piece) with these bytes, and keeps the connection.
    pub async fn answering(answer: &'static [u8]) -> Self {
        Self::at("127.0.0.1:0", answer).await
    }

    pub async fn at(address: &str, answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let (address, heard) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let outside = Self { address, heard: Arc::clone(&heard) };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let place = {
                    let mut heard = heard.lock().unwrap();
                    heard.push(Vec::new());
                    heard.len() - 1
                };
                let heard = Arc::clone(&heard);
                tokio::spawn(async move {
                    let mut buffer = vec![0; 64 * 1024];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        heard.lock().unwrap()[place].extend_from_slice(&buffer[..read]);
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        outside
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What all connections brought, as text.
    pub fn heard(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        heard.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}
