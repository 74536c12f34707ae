//! Settings: a file, then a line `--- environment`, then a line for each variable.

use std::collections::HashMap;
use std::sync::LazyLock;

use kabar_core::config::{ServerMode, SettingSources, Settings};
use tempfile::TempDir;

use super::FuzzTarget;

pub(super) const TARGET: FuzzTarget = FuzzTarget {
    name: "configuration",
    run,
    words: &[
        "[limits]\n",
        "[whatsapp]\n",
        "[hooks.free]\n",
        "[[hooks]]\n",
        "operator_token = ",
        "app_secret = ",
        "= \"\"\n",
        "= 0\n",
        "= true\n",
        "= [1, 2]\n",
        "= { a = 1 }\n",
        "\n--- environment\n",
        "KABAR_",
        "KABAR_OPERATOR_TOKEN=",
        "KABAR_LISTEN=",
        "KABAR_PORT=",
        "KABAR_SERVICE_HOST=",
        "KABAR_HOOKS__FREE__CPU_MS=",
        "KABAR_LIMITS__",
        "key_file = ",
        "CREDENTIALS_DIRECTORY=",
        "_file",
        "_FILE=",
        "__",
        "0.0.0.0:0",
        "sqlite://",
        "postgres://u:p@h/d",
        "https://",
        "\"\"\"",
        "'''",
        "#",
        "\\u0000",
        "info,kabar=debug",
        "1979-05-27",
        "inf",
        "nan",
        "0x10",
    ],
    input_bytes_max: 16 << 10,
    mutations: 4000,
};

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

/// Settings are taken or refused with reasons; what is shown of them is a file, and none of the secrets.
fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (file, environment) = text.split_once("--- environment").unwrap_or((&text, ""));
    let path = FOLDER.path().join("kabar.toml");
    std::fs::write(&path, file).unwrap();
    let pairs = environment.lines().filter_map(|line| line.split_once('='));
    let environment: HashMap<_, _> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let sources =
        SettingSources { file: Some(path), environment: Some(environment), ..SettingSources::default() };
    for mode in [ServerMode::Dev, ServerMode::Serve] {
        match Settings::load(mode, &sources) {
            Ok(settings) => check_shown(&settings, &text),
            Err(problems) => assert!(!problems.to_string().is_empty()),
        }
    }
}

fn check_shown(settings: &Settings, input: &str) {
    let shown = settings.masked();
    let Ok(table) = toml::from_str::<toml::Table>(&shown) else { panic!("not a file: {shown}") };
    let secrets = [&settings.operator_token, &settings.whatsapp.verify_token].into_iter().flatten();
    for secret in secrets.chain(&settings.whatsapp.app_secrets) {
        let secret = secret.reveal();
        // What another setting has as well is shown there.
        if secret.len() >= 8 && input.matches(secret).count() == 1 {
            assert!(!holds_text(&table, secret), "a secret in {shown}");
        }
    }
    assert!(settings.changed_keys(settings).is_empty(), "equal to itself");
}

/// Returns `true` when a value holds the text.
fn holds_text(table: &toml::Table, text: &str) -> bool {
    table.values().any(|value| match value {
        toml::Value::Table(inner) => holds_text(inner, text),
        toml::Value::String(value) => value.contains(text),
        toml::Value::Array(values) => {
            values.iter().any(|value| value.as_str().is_some_and(|value| value.contains(text)))
        }
        _ => false,
    })
}
