//! The real server in this process, with a simulated WhatsApp, one tenant and one number.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use kabar::server::{RunningServer, ServingSecrets};
use kabar::simulator::{SimulatorOptions, WhatsAppSimulator};
use kabar_core::clock::Clock;
use kabar_core::config::{ServerMode, SettingSources, Settings};
use kabar_core::domain::account::Secret;
use kabar_core::meta::signature::sign_body;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::runtime::wait_for;

const OPERATOR_TOKEN: &str = "kop_operator_of_the_fuzzer";
const APP_SECRET: &str = "app_secret_of_the_fuzzer";
const VERIFY_TOKEN: &str = "verify_token_of_the_fuzzer";
/// Variable with the URL of an empty PostgreSQL database to use instead of SQLite.
const DATABASE: &str = "KABAR_FUZZ_DATABASE_URL";
/// File with the key of the secrets, that of the tests.
const TEST_KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../test.key");
/// Meta's id of the number.
const NUMBER: &str = "106540352242922";
/// Time without a byte after which an answer is taken for complete, or for one that will not come.
const QUIET: Duration = Duration::from_millis(40);

/// See the module.
pub(crate) struct FuzzServer {
    address: SocketAddr,
    key: String,
    // The server ends with the process.
    _running: RunningServer,
    _folder: TempDir,
}

static SERVER: LazyLock<FuzzServer> = LazyLock::new(|| wait_for(FuzzServer::start()));

/// Returns the server of this process, and starts it first.
pub(crate) fn server() -> &'static FuzzServer {
    &SERVER
}

/// The first answer on a connection, as far as it was understood.
#[derive(Debug)]
pub(crate) struct FirstAnswer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Head, in lower case.
    head: String,
    /// All bytes after the head.
    pub(crate) body: Vec<u8>,
}

impl FirstAnswer {
    /// Reads the bytes of a connection; `None` when they begin with no HTTP/1.1 answer.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?.to_ascii_lowercase();
        let status = head.strip_prefix("http/1.1 ").or_else(|| head.strip_prefix("http/1.0 "))?;
        let status = status.get(..3)?.parse().ok()?;
        Some(Self { status, head, body: bytes[end + 4..].to_vec() })
    }

    /// Returns the value of a header, named in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

impl FuzzServer {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let embedded = format!("sqlite://{}", folder.path().join("kabar.db").display());
        let database = std::env::var(DATABASE).unwrap_or(embedded);
        let values = [
            ("KABAR_DATABASE_URL", database.as_str()),
            ("KABAR_SECRETS__KEY_FILE", TEST_KEY),
            ("KABAR_OPERATOR_TOKEN", OPERATOR_TOKEN),
            ("KABAR_WHATSAPP__APP_SECRET", APP_SECRET),
            ("KABAR_WHATSAPP__VERIFY_TOKEN", VERIFY_TOKEN),
        ];
        let environment: HashMap<_, _> =
            values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let sources = SettingSources { environment: Some(environment), ..SettingSources::default() };
        let settings = Settings::load(ServerMode::Serve, &sources).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let secrets = ServingSecrets {
            operator_token: Secret::new(OPERATOR_TOKEN),
            app_secrets: vec![Secret::new(APP_SECRET)],
            verify_token: Secret::new(VERIFY_TOKEN),
            sandbox_keys: None,
        };
        let graph = start_simulator(address).await;
        let clock = Arc::new(Clock::system_clock());
        let running =
            Box::pin(RunningServer::start(&settings, secrets, &graph, listener, clock)).await.unwrap();
        let mut server = Self { address, key: String::new(), _running: running, _folder: folder };
        server.make_tenant().await;
        server
    }

    async fn make_tenant(&mut self) {
        let budgets = json!({"name": "Warung", "tier": "enterprise",
            "write_per_minute": 1_000_000, "read_per_minute": 1_000_000});
        let organisation = self.create("organizations", &budgets).await;
        let under = |tail: &str| format!("organizations/{}/{tail}", organisation["id"].as_str().unwrap());
        let number = json!({"phone_number_id": NUMBER, "phone_number": "+15550100922", "name": "Shop",
            "access_token": "EAAGfuzz"});
        self.create(&under("accounts"), &number).await;
        let key = self.create(&under("api_keys"), &json!({"label": "fuzz"})).await;
        key["key"].as_str().unwrap().clone_into(&mut self.key);
    }

    async fn create(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let head = format!("POST /admin/v1/{path}");
        let headers = format!("authorization: Bearer {OPERATOR_TOKEN}\r\ncontent-type: application/json\r\n");
        let answer = self.exchange(&head, &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["data"].clone()
    }

    /// Puts what only this server knows into an input: `{key}` and `{number}`; and the `{length}` of its body.
    pub(crate) fn fill_places(&self, input: &[u8]) -> Vec<u8> {
        let filled = replace(&replace(input, b"{key}", self.key.as_bytes()), b"{number}", NUMBER.as_bytes());
        fill_length(&filled)
    }

    /// Sends bytes on a new connection, and returns what came back until it was quiet or the server hung up.
    pub(crate) async fn send_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let (mut reading, mut writing) = stream.split();
        let mut answer = Vec::new();
        // A server that has answered may hang up before it has read everything.
        let write = async {
            let _unread = writing.write_all(bytes).await;
        };
        let read = async {
            // A connection that was reset ends the answer as well.
            while let Ok(Ok(read)) = tokio::time::timeout(QUIET, reading.read_buf(&mut answer)).await {
                if read == 0 {
                    return;
                }
            }
        };
        tokio::join!(write, read);
        // What is still under way is cut off; the rest is read so that nothing of it is lost.
        let _gone = stream.shutdown().await;
        let _reset = stream.read_to_end(&mut answer).await;
        answer
    }

    /// Sends a request that ends its connection, and returns the answer.
    pub(crate) async fn request(&self, request: &[u8]) -> FirstAnswer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut answer = Vec::new();
        // The answer tells what became of it.
        let _unread = stream.write_all(request).await;
        let _reset = stream.read_to_end(&mut answer).await;
        FirstAnswer::parse(&answer).unwrap_or_else(|| panic!("no answer: {}", answer.escape_ascii()))
    }

    /// Makes one request. The head is a method and a path, each header ends its line.
    pub(crate) async fn exchange(&self, head: &str, headers: &str, body: &[u8]) -> FirstAnswer {
        let length = body.len();
        let head = format!(
            "{head} HTTP/1.1\r\nhost: kabar\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n"
        );
        self.request(&[head.as_bytes(), body].concat()).await
    }

    /// Reads something of the tenant's number.
    pub(crate) async fn read(&self, tail: &str, headers: &str) -> FirstAnswer {
        let headers = format!("authorization: Bearer {}\r\n{headers}", self.key);
        self.exchange(&format!("GET /v1/{NUMBER}/{tail}"), &headers, b"").await
    }

    /// Posts a webhook of WhatsApp's, signed.
    pub(crate) async fn post_webhook(&self, body: &[u8]) -> FirstAnswer {
        let signature = sign_body(&Secret::new(APP_SECRET), body);
        let headers = format!("x-hub-signature-256: {signature}\r\ncontent-type: application/json\r\n");
        self.exchange("POST /webhooks/whatsapp", &headers, body).await
    }
}

/// Starts a WhatsApp that accepts everything and reports nothing by itself; returns its address.
async fn start_simulator(server: SocketAddr) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{server}/webhooks/whatsapp");
    let options = SimulatorOptions { seed: 1, ..SimulatorOptions::new(&url, Secret::new(APP_SECRET)) };
    let tasks = TaskTracker::new();
    WhatsAppSimulator::start(listener, options, &tasks, CancellationToken::new()).unwrap().base_url()
}

/// Puts the number of bytes after the first empty line in the place of `{length}`.
pub(crate) fn fill_length(input: &[u8]) -> Vec<u8> {
    let end = input.windows(4).position(|part| part == b"\r\n\r\n");
    let length = end.map_or(0, |end| input.len() - end - 4);
    replace(input, b"{length}", length.to_string().as_bytes())
}

fn replace(text: &[u8], place: &[u8], with: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(place.len()).position(|part| part == place) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(with);
        rest = &rest[at + place.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}
