//! The base images, pinned by `.ci/pin-images` to what a registry has under their tags.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;

use tokio::process::Command;

use crate::harness::patiently;

const DIGEST: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const DOCKERFILE: &str =
    "FROM rust:1.95-slim-bookworm AS build\nFROM gcr.io/distroless/cc-debian12:nonroot\n";
const COMPOSE: &str =
    "services:\n  kabar:\n    image: kabar\n  redis:\n    image: redis:7-bookworm@sha256:0f\n";

/// A registry that gives a digest to each tag but `gone`, to clients that have fetched a token.
fn start_registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let realm = format!("{address}/token");
    // It ends with the process of the test.
    std::thread::spawn(move || listener.incoming().for_each(|stream| answer(stream.unwrap(), &realm)));
    address
}

fn answer(mut stream: TcpStream, realm: &str) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let known = head.iter().any(|line| line == "Authorization: Bearer token-of-the-test");
    let (status, header, body) = if head[0].starts_with("GET /token?service=registry&scope=repository%3") {
        ("200 OK", "X-Test: 1".to_owned(), r#"{"token":"token-of-the-test"}"#)
    } else if !known {
        let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"registry\"");
        ("401 Unauthorized", challenge, "")
    } else if head[0].contains("/gone ") {
        ("404 Not Found", "X-Test: 1".to_owned(), "")
    } else {
        ("200 OK", format!("Docker-Content-Digest: {DIGEST}"), "")
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\n{header}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all((head + body).as_bytes()).unwrap();
}

async fn pin_images(folder: &Path, registry: &str) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/pin-images");
    let mut command = Command::new(script);
    command.current_dir(folder).env("KABAR_REGISTRY", registry).kill_on_drop(true);
    patiently(command.output()).await.unwrap()
}

#[tokio::test]
async fn images_are_pinned_and_pinned_again() {
    let (folder, registry) = (tempfile::tempdir().unwrap(), start_registry());
    let (dockerfile, compose) = (folder.path().join("Dockerfile"), folder.path().join("compose.yaml"));
    std::fs::write(&dockerfile, DOCKERFILE).unwrap();
    std::fs::write(&compose, COMPOSE).unwrap();
    for _ in 0..2 {
        let output = pin_images(folder.path(), &registry).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let pinned = DOCKERFILE.replace("bookworm AS", &format!("bookworm@{DIGEST} AS"));
        let pinned = pinned.replace("nonroot", &format!("nonroot@{DIGEST}"));
        assert_eq!(std::fs::read_to_string(&dockerfile).unwrap(), pinned);
        assert_eq!(std::fs::read_to_string(&compose).unwrap(), COMPOSE.replace("sha256:0f", DIGEST));
    }
}

#[tokio::test]
async fn a_tag_that_is_gone_is_told() {
    let (folder, registry) = (tempfile::tempdir().unwrap(), start_registry());
    std::fs::write(folder.path().join("Dockerfile"), "FROM rust:gone\n").unwrap();
    let output = pin_images(folder.path(), &registry).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "Dockerfile: rust:gone has no digest\n");
}
