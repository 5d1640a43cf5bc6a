//! A connection that can be cut: whatever goes through it ends, and nothing new gets through.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Forwards to one address until it is cut.
pub struct Cable {
    address: SocketAddr,
    whole: watch::Sender<Whole>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    Cut,
}

impl Cable {
    pub(crate) async fn lay(to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let whole = watch::Sender::new(Whole::Yes);
        tokio::spawn(accept(listener, to, whole.subscribe()));
        Ok(Self { address, whole })
    }

    /// Where it begins.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing gets through.
    pub fn cut(&self) {
        self.whole.send_replace(Whole::Cut);
    }

    /// From now on new connections get through.
    pub fn mend(&self) {
        self.whole.send_replace(Whole::Yes);
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, mut whole: watch::Receiver<Whole>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((mut near, _)) = accepted else { return };
                if *whole.borrow() == Whole::Cut {
                    continue;
                }
                let mut ended = whole.clone();
                tokio::spawn(async move {
                    let forward = async {
                        let mut far = TcpStream::connect(to).await?;
                        far.set_nodelay(true)?;
                        near.set_nodelay(true)?;
                        copy_bidirectional(&mut near, &mut far).await
                    };
                    tokio::select! {
                        _ = forward => {}
                        _ = ended.wait_for(|whole| *whole == Whole::Cut) => {}
                    }
                });
            }
            // The cable goes with its owner.
            changed = whole.changed() => if changed.is_err() { return },
        }
    }
}
