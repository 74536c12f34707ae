//! A receiver that answers as a script says, and a DNS that changes its mind.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use std::net::Ipv4Addr;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::super::*;
use crate::fair_bound::FairPermit;

pub(super) const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// The answers to a name, in turn; the last one holds.
pub(super) struct Dns {
    names: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    asked: AtomicUsize,
}

impl Dns {
    pub(super) fn says(name: &str, answers: &[&[IpAddr]]) -> Arc<Self> {
        let answers = answers.iter().map(|all| all.to_vec()).collect();
        let names = Mutex::new(HashMap::from([(name.to_owned(), answers)]));
        Arc::new(Self { names, asked: AtomicUsize::new(0) })
    }

    pub(super) fn add(&self, name: &str, address: IpAddr) {
        self.names.lock().unwrap().insert(name.to_owned(), vec![vec![address]]);
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl NameResolver for Dns {
    fn resolve(&self, name: &str, _permit: FairPermit) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut names = self.names.lock().unwrap();
        let found = names
            .get_mut(name)
            .map(|answers| if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() });
        Box::pin(std::future::ready(found.ok_or_else(|| io::ErrorKind::NotFound.into())))
    }
}

#[derive(Clone)]
pub(super) enum Says {
    /// An answer, as often as it is asked.
    Whole(String),
    /// An answer without a word of closing, and then the end.
    Once(String),
    /// A body without an end.
    Forever,
    Nothing,
    HalfAnAnswer,
    Garbage,
    Close,
}

impl Says {
    pub(super) fn text(head: &str, body: &str) -> Self {
        Self::Whole(format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    heard: Mutex<String>,
}

pub(super) struct FarEnd {
    pub(super) port: u16,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

impl FarEnd {
    pub(super) async fn listen(address: IpAddr, says: Says) -> Self {
        Self::listen_at(address, 0, says).await
    }

    pub(super) async fn listen_at(address: IpAddr, port: u16, says: Says) -> Self {
        Self::serve(TcpListener::bind((address, port)).await.unwrap(), says, None)
    }

    /// With a certificate for this name, and the settings of a client that trusts it.
    pub(super) async fn listen_secure(address: IpAddr, name: &str, says: Says) -> (Self, ClientConfig) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        (Self::serve(listener, says, Some(TlsAcceptor::from(Arc::new(server)))), client)
    }

    fn serve(listener: TcpListener, says: Says, tls: Option<TlsAcceptor>) -> Self {
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let mut tasks = JoinSet::new();
        let seeing = seen.clone();
        tasks.spawn(async move {
            let mut talks = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (says, seen, tls) = (says.clone(), seeing.clone(), tls.clone());
                talks.spawn(async move {
                    let Some(tls) = tls else { return talk(stream, says, &seen).await };
                    if let Ok(stream) = tls.accept(stream).await {
                        talk(stream, says, &seen).await;
                    }
                });
            }
        });
        Self { port, seen, _tasks: tasks }
    }

    pub(super) fn url(&self, scheme: &str, host: &str) -> String {
        format!("{scheme}://{host}:{}/hook?a=1", self.port)
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Acquire)
    }

    pub(super) fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::Acquire)
    }

    /// The last request.
    pub(super) fn heard(&self) -> String {
        self.seen.heard.lock().unwrap().clone()
    }
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, says: Says, seen: &Seen) {
    seen.connections.fetch_add(1, Ordering::AcqRel);
    let mut pending = String::new();
    loop {
        // Bodies of these tests are in one piece with their heads, or empty.
        while !pending.contains("\r\n\r\n") {
            let mut bytes = [0; 4096];
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(count) => pending.push_str(&String::from_utf8_lossy(&bytes[..count])),
            }
        }
        seen.requests.fetch_add(1, Ordering::AcqRel);
        *seen.heard.lock().unwrap() = std::mem::take(&mut pending);
        let answer = match &says {
            Says::Whole(answer) => answer.as_bytes(),
            Says::Once(head) => {
                let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n");
                let _gone = stream.write_all(answer.as_bytes()).await;
                return;
            }
            Says::Forever => {
                let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
                return;
            }
            Says::Nothing => std::future::pending().await,
            Says::HalfAnAnswer => {
                let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour").await;
                std::future::pending().await
            }
            Says::Garbage => b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
            Says::Close => return,
        };
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

pub(super) fn get(client: &OutboundClient, url: &str) -> OutboundRequest {
    OutboundRequest {
        tenant: OrganisationId::from_bits(1),
        method: Method::GET,
        target: client.target(url).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: Duration::from_secs(20),
        answer_bytes_max: 64 * 1024,
        repeatable: false,
    }
}
