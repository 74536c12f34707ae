//! Settings of a running server: what SIGHUP puts in force, and what the environment of Kubernetes does not.

use std::path::Path;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::harness::{APP_SECRET, Child, InboundWebhook, OPERATOR_TOKEN, database, patiently, until};

const ORGANISATIONS: &str = "/admin/v1/organizations";

/// A server on a database of its own, with these settings beside the usual ones.
async fn serve(folder: &Path, settings: &[(&str, &str)]) -> Child {
    let url = database::chosen(folder).await;
    let nobody = "http://127.0.0.1:9";
    Child::start_at(Child::lasting_address(), folder, &url, nobody, settings).await
}

/// Whether this token opens the operator's API.
async fn opens(server: &Child, token: &str) -> bool {
    let answer = server.anyone.with_token(token).get(ORGANISATIONS).await;
    assert!([200, 401].contains(&answer.status), "{}", answer.status);
    answer.status == 200
}

/// Whether a webhook with this signer is taken.
async fn is_taken(server: &Child, secret: &str) -> bool {
    let webhook = InboundWebhook::default().messages("100200300400999", &[]);
    webhook.post_signed_by(&server.anyone, secret).await.status == 200
}

/// Whether pages of another origin may call the API.
async fn allows_origin(server: &Child) -> bool {
    let origin = [("Origin", "https://inbox.example.com")];
    let answer = server.anyone.get_with("/v1/health", &origin).await.is(200);
    answer.header("Access-Control-Allow-Origin").is_some()
}

#[tokio::test]
async fn a_hangup_puts_new_secrets_in_force_and_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (token, app_secret) = (folder.path().join("token"), folder.path().join("app_secret"));
    std::fs::write(&token, format!("{OPERATOR_TOKEN}\n")).unwrap();
    std::fs::write(&app_secret, APP_SECRET).unwrap();
    let settings = [
        ("KABAR_OPERATOR_TOKEN", ""),
        ("KABAR_OPERATOR_TOKEN_FILE", token.to_str().unwrap()),
        ("KABAR_WHATSAPP__APP_SECRET", ""),
        ("KABAR_WHATSAPP__APP_SECRET_FILE", app_secret.to_str().unwrap()),
    ];
    let server = serve(folder.path(), &settings).await;
    assert!(opens(&server, OPERATOR_TOKEN).await && is_taken(&server, APP_SECRET).await);

    // A secret that cannot be used changes nothing, not even the others.
    let (new_token, new_secret) = ("kop_the_next_operator", "app_secret_of_tomorrow");
    std::fs::write(&token, "short").unwrap();
    std::fs::write(&app_secret, format!("{new_secret},{APP_SECRET}")).unwrap();
    server.hang_up();
    assert!(opens(&server, OPERATOR_TOKEN).await && !opens(&server, "short").await);
    assert!(is_taken(&server, APP_SECRET).await && !is_taken(&server, new_secret).await);

    std::fs::write(&token, new_token).unwrap();
    server.hang_up();
    until(async || opens(&server, new_token).await).await;
    assert!(!opens(&server, OPERATOR_TOKEN).await);
    assert!(is_taken(&server, APP_SECRET).await && is_taken(&server, new_secret).await, "two at a time");

    std::fs::write(&app_secret, new_secret).unwrap();
    server.hang_up();
    until(async || !is_taken(&server, APP_SECRET).await).await;
    assert!(is_taken(&server, new_secret).await);
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn a_hangup_reads_the_settings_file_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kabar.toml");
    std::fs::write(&file, "").unwrap();
    let server = serve(folder.path(), &[]).await;
    assert!(!allows_origin(&server).await);
    std::fs::write(&file, "[cors]\nallowed_origins = [\"https://inbox.example.com\"]\n").unwrap();
    server.hang_up();
    until(async || allows_origin(&server).await).await;
    // Settings that need a restart wait for one.
    std::fs::write(&file, "[limits]\nbody_bytes = 1024\n").unwrap();
    server.hang_up();
    until(async || !allows_origin(&server).await).await;
    let body = json!({"name": "Warung", "tier": "free", "padding": "x".repeat(2000)});
    server.anyone.with_token(OPERATOR_TOKEN).post(ORGANISATIONS, &body).await.is(201);
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn variables_of_kubernetes_are_one_line_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("KABAR_PORT", "tcp://10.0.0.7:8080"), ("KABAR_SERVICE_HOST", "10.0.0.7")];
    let server = serve(folder.path(), &settings).await;
    let told: Vec<&str> = server.log.lines().filter(|line| line.contains("KABAR_")).collect();
    assert!(told.len() == 1 && told[0].contains("KABAR_PORT, KABAR_SERVICE_HOST"), "{}", server.log);
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn a_closed_terminal_stops_a_development_server_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = tokio::process::Command::new(env!("CARGO_BIN_EXE_kabar"))
        .args(["dev", "--set", "listen=127.0.0.1:0", "--set", "dev.traffic_per_minute=0"])
        .env_clear()
        .current_dir(folder.path())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    patiently(async { while !lines.next_line().await.unwrap().unwrap().contains("Ctrl-C stops") {} }).await;
    let pid = process.id().unwrap();
    assert!(
        std::process::Command::new("sh")
            .arg("-c")
            .arg(format!("kill -HUP {pid}"))
            .status()
            .unwrap()
            .success()
    );
    assert!(patiently(process.wait()).await.unwrap().success());
}
