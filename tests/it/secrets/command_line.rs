//! The key file and the commands: what they say, and how they end.

use std::process::{Output, Stdio};

use tokio::process::Command;

use super::*;
use crate::harness::{APP_SECRET, OPERATOR_TOKEN, VERIFY_TOKEN, patiently};

async fn kabar(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kabar"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).current_dir(folder);
    let output = patiently(command.stdin(Stdio::null()).kill_on_drop(true).output()).await.unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output, said)
}

fn serve_settings(url: &str) -> Vec<(&str, &str)> {
    vec![
        ("KABAR_LISTEN", "127.0.0.1:0"),
        ("KABAR_DATABASE_URL", url),
        ("KABAR_OPERATOR_TOKEN", OPERATOR_TOKEN),
        ("KABAR_WHATSAPP__APP_SECRET", APP_SECRET),
        ("KABAR_WHATSAPP__VERIFY_TOKEN", VERIFY_TOKEN),
    ]
}

#[tokio::test]
async fn a_start_without_the_key_of_its_database_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let url = database::sqlite(folder.path());
    let (key, kept) = (folder.path().join("kabar.db.key"), folder.path().join("kept"));
    let (output, said) = kabar(folder.path(), &["migrate"], &serve_settings(&url)).await;
    assert!(output.status.success(), "{said}");
    assert_eq!(mode(&key), 0o600);
    let fails = async |wanted: &str| {
        let (output, said) = kabar(folder.path(), &["serve"], &serve_settings(&url)).await;
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(wanted) && said.contains("kabar.db.key") && said.contains("backup"), "{said}");
    };
    std::fs::rename(&key, &kept).unwrap();
    fails("is missing").await;
    std::fs::write(&key, new_key()).unwrap();
    fails("does not have").await;
    std::fs::write(&key, "hunter2").unwrap();
    let (output, said) = kabar(folder.path(), &["serve"], &serve_settings(&url)).await;
    assert!(
        output.status.code() == Some(2) && said.contains("line 1") && !said.contains("hunter2"),
        "{said}"
    );
    // As a systemd credential, and as a named file.
    std::fs::remove_file(&key).unwrap();
    std::fs::rename(&kept, folder.path().join("kabar-key")).unwrap();
    let mut settings = serve_settings(&url);
    settings.push(("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap()));
    assert!(kabar(folder.path(), &["migrate"], &settings).await.0.status.success());
    let named = folder.path().join("kabar-key").display().to_string();
    let mut settings = serve_settings(&url);
    settings.push((database::KEY_FILE, &named));
    assert!(kabar(folder.path(), &["migrate"], &settings).await.0.status.success());
    assert!(!key.exists());
}

#[tokio::test]
async fn postgres_needs_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let settings = serve_settings("postgres://kabar@127.0.0.1:9/kabar");
    let (output, said) = kabar(folder.path(), &["serve"], &settings).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains(database::KEY_FILE) && said.contains("openssl rand -base64 32"), "{said}");
    let (output, said) = kabar(folder.path(), &["migrate"], &settings).await;
    assert!(!output.status.success() && said.contains("secrets.key_file"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_rotates_and_says_what_to_keep() {
    let room = Room::new().await;
    let server = room.server().await;
    let tenant = server.tenant().await;
    let url = format!("http://{}", server.address());
    let words = ["secrets", "rotate", "--url", &url, "--token", OPERATOR_TOKEN];
    let folder = room.folder.path();
    if !room.owns_keys() {
        let (output, said) = kabar(folder, &words, &[]).await;
        assert!(!output.status.success() && said.contains("in force already"), "{said}");
        room.add_key();
    }
    let (output, said) = kabar(folder, &words, &[]).await;
    assert!(output.status.success(), "{said}");
    assert!(said.contains("values were encrypted anew") && said.contains("kabar.db.key"), "{said}");
    assert!(said.contains("older lines (1)") && !said.contains(&room.keys()[0]), "{said}");
    assert!(!room.has_older_values().await);

    // A key of the operator's choice.
    let next = folder.join("next");
    std::fs::write(&next, new_key() + "\n").unwrap();
    let chosen = [&words[..], &["--new-key-file", next.to_str().unwrap()]].concat();
    if !room.owns_keys() {
        let (output, said) = kabar(folder, &chosen, &[]).await;
        assert!(!output.status.success() && said.contains("does not begin with that key"), "{said}");
        let lines = std::fs::read_to_string(&next).unwrap() + &room.keys().join("\n");
        std::fs::write(&room.key_file, lines).unwrap();
    }
    let (output, said) = kabar(folder, &chosen, &[]).await;
    assert!(output.status.success(), "{said}");
    assert_eq!(room.keys()[0], std::fs::read_to_string(&next).unwrap().trim());
    if room.owns_keys() {
        assert_eq!(mode(&room.key_file), 0o600);
    }
    std::fs::write(&next, "hunter2 is no key").unwrap();
    let (output, said) = kabar(folder, &chosen, &[]).await;
    assert!(!output.status.success() && !said.contains("hunter2"), "{said}");
    sends(&tenant).await;
    server.anyone.post("/admin/v1/secrets/rotate", &json!({})).await.refused(401, "missing_api_key");
}
