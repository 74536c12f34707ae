//! The binary's own manners: exit codes, and what it says before it serves.

use std::process::{Output, Stdio};

use tokio::process::Command;

use crate::harness::patiently;

async fn kabar(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kabar"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).current_dir(folder.path());
    let ran = command.stdin(Stdio::null()).kill_on_drop(true).output();
    patiently(ran).await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn serve_without_its_settings_says_which_and_exits_with_2() {
    let output = kabar(&["serve"], &[]).await;
    assert_eq!(output.status.code(), Some(2));
    for name in [
        "KABAR_DATABASE_URL",
        "KABAR_OPERATOR_TOKEN",
        "KABAR_WHATSAPP__APP_SECRET",
        "KABAR_WHATSAPP__VERIFY_TOKEN",
    ] {
        assert!(said(&output).contains(name), "{name} is not named:\n{}", said(&output));
    }
    let output =
        kabar(&["serve"], &[("KABAR_LISTNE", "127.0.0.1:1"), ("KABAR_OPERATOR_TOKEN", "hush")]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).to_lowercase().contains("listne"), "a misspelt key is named:\n{}", said(&output));
    assert!(!said(&output).contains("hush"), "no secret is repeated");
}

#[tokio::test]
async fn an_unknown_word_is_refused_and_help_is_given() {
    assert_eq!(kabar(&["fly"], &[]).await.status.code(), Some(2));
    let help = kabar(&["--help"], &[]).await;
    assert!(help.status.success());
    for word in ["dev", "serve", "migrate", "openapi", "simulate", "check-config"] {
        assert!(said(&help).contains(word), "{word} is not in the help");
    }
}

#[tokio::test]
async fn health_tells_by_its_exit_code_whether_the_server_is_ready() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let settings = [("KABAR_LISTEN", &*address.to_string())];
    let away = kabar(&["health"], &settings).await;
    assert_eq!(away.status.code(), Some(1));
    assert!(said(&away).contains("does not answer"), "{}", said(&away));

    let mut server = crate::harness::TestServer::start().await;
    let address = server.address();
    let everywhere = format!("0.0.0.0:{}", address.port());
    for listen in [address.to_string(), everywhere] {
        let ready = kabar(&["health"], &[("KABAR_LISTEN", &listen)]).await;
        assert_eq!(ready.status.code(), Some(0), "{}", said(&ready));
        assert_eq!(said(&ready), "");
    }
    let lock = crate::harness::database::WriteLock::take(&server.database_url()).await;
    server.operator.post("/admin/v1/organizations", &serde_json::json!({"name": "O"})).await.is(503);
    let not_ready = kabar(&["health"], &[("KABAR_LISTEN", &address.to_string())]).await;
    assert_eq!(not_ready.status.code(), Some(1));
    assert!(said(&not_ready).contains("storage_unavailable"), "{}", said(&not_ready));
    lock.release().await;
    server.stop().await;
}

#[tokio::test]
async fn the_document_is_printed_as_it_is_served() {
    let server = crate::harness::TestServer::start().await;
    for (arguments, path, version) in [
        (&["openapi"][..], "/v1/openapi.json", "3.0.3"),
        (&["openapi", "--spec", "3.1"], "/v1/openapi-3.1.json", "3.1.0"),
    ] {
        let printed = kabar(arguments, &[]).await;
        assert!(printed.status.success());
        let printed: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
        assert_eq!(printed["openapi"], version);
        assert_eq!(server.anyone.get(path).await.is(200).json(), printed);
    }
}

#[tokio::test]
async fn a_simulation_ends_with_its_script_and_names_the_mistakes_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script.toml");
    let arguments = ["simulate", "--app-secret", "s", "--listen", "127.0.0.1:0", "--script"];
    let arguments = [&arguments[..], &[path.to_str().unwrap()]].concat();
    std::fs::write(&path, "[[step]]\nafter = \"1ms\"\nend = true\n").unwrap();
    let ended = kabar(&arguments, &[]).await;
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    assert!(said(&ended).contains("what was done"), "{}", said(&ended));

    std::fs::write(&path, "[[step]]\nafter = \"1ms\"\nedn = true\n").unwrap();
    let refused = kabar(&arguments, &[]).await;
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    for word in ["script.toml", "line 3", "edn"] {
        assert!(said(&refused).contains(word), "{word} is not named:\n{}", said(&refused));
    }
}
