//! `kabar plugin` without a server, on the worked examples that are kept built.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use kabar_core::domain::allowed_hosts::AllowedHosts;
use kabar_core::domain::event::EventType;
use kabar_core::domain::plugin::Capabilities;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::OrganisationId;
use kabar_openapi::MessageDrafts;
use kabar_plugins::{
    CompileError, CompilerMode, ComponentUpload, HostOptions, InvalidPlugin, NoNetwork, PluginHost,
};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::harness::{patiently, until};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/examples")
}

async fn kabar(folder: &Path, arguments: &[&str]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kabar"));
    command.arg("plugin").args(arguments).current_dir(folder).kill_on_drop(true);
    let output = patiently(command.output()).await.unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output, said)
}

#[tokio::test]
async fn the_rust_example_sends_a_template_instead() {
    let hook = examples().join("built/rust-fallback.wasm");
    let hook = hook.to_str().unwrap();
    let sample = examples().join("rust-fallback/sample.json");
    let event = ["--event", sample.to_str().unwrap()];
    let (output, said) =
        kabar(Path::new("."), &["test", hook, event[0], event[1], "--setting", "template=sorry"]).await;
    assert!(output.status.success(), "{said}");
    assert!(said.contains("outcome  succeeded"), "{said}");
    assert!(said.contains(r#""to":"+6281234567890","type":"template","template":{"name":"sorry""#), "{said}");
    let (output, said) = kabar(Path::new("."), &["test", hook, event[0], event[1]]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("rejected the event: the setting `template` is missing"), "{said}");
    let (output, said) = kabar(Path::new("."), &["test", hook, "--event", "contact.created"]).await;
    assert!(output.status.success() && !said.contains("send "), "other events are let go: {said}");
}

#[tokio::test]
async fn the_c_example_assigns_the_conversation() {
    let hook = examples().join("built/c-assign.wasm");
    let setting = "assignee=usr_01KGV3R8E3V5W1Q2R3S4T5V6W7";
    let (output, said) = kabar(Path::new("."), &["test", hook.to_str().unwrap(), "--setting", setting]).await;
    assert!(output.status.success(), "{said}");
    assert!(said.contains(" status=open assigned_to=usr_01KGV3R8E3V5W1Q2R3S4T5V6W7"), "{said}");
    let (_, said) =
        kabar(Path::new("."), &["test", hook.to_str().unwrap(), "--setting", "assignee=me"]).await;
    assert!(said.contains("rejected the event: must be `usr_` followed by"), "{said}");
}

#[tokio::test]
async fn the_example_of_the_newer_package_opens_the_conversation_of_an_edited_message() {
    let hook = examples().join("built/rust-changes.wasm");
    let sample = examples().join("rust-changes/sample.json");
    let arguments = ["test", hook.to_str().unwrap(), "--event", sample.to_str().unwrap()];
    let (output, said) = kabar(Path::new("."), &arguments).await;
    assert!(output.status.success(), "{said}");
    assert!(said.contains("was edited; before, it said \"Two of the blue ones, please\""), "{said}");
    assert!(said.contains("update   cnv_01KGV3R8E3V5W1Q2R3S4T5V6W7 status=open"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_tried_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.wasm"), "not wasm").unwrap();
    std::fs::write(folder.path().join("event.json"), r#"{"type":"message.lost"}"#).unwrap();
    for (arguments, words) in [
        (["test", "gone.wasm", "--event", "message.sent"], "cannot read gone.wasm"),
        (["test", "notes.wasm", "--event", "message.sent"], "this is not WebAssembly"),
        (["test", "notes.wasm", "--event", "event.json"], "event.json is not an event: type"),
        (["test", "notes.wasm", "--event", "message.lost"], "neither a type of event nor a file"),
        (["build", "notes.wasm", "--output", "hook.wasm"], "it is not WebAssembly"),
        (["build", ".", "--output", "hook.wasm"], "holds no Cargo.toml, package.json, app.py or hook.c"),
    ] {
        let (output, said) = kabar(folder.path(), &arguments).await;
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

/// The server compiles uploads in a process of its own: this program, asked to.
#[tokio::test]
async fn another_process_compiles_uploads() {
    let arguments = kabar::cli::COMPILER_ARGUMENTS.map(str::to_owned).to_vec();
    let compiler = CompilerMode::Program { path: env!("CARGO_BIN_EXE_kabar").into(), arguments };
    let options = HostOptions { compiler, ..HostOptions::new([1; 32]) };
    let host = PluginHost::new(options, Arc::new(NoNetwork), Arc::new(MessageDrafts)).unwrap();
    let upload = |wasm: Bytes| ComponentUpload {
        organisation_id: OrganisationId::from_bits(1),
        wasm,
        compiled_bytes_max: 32 << 20,
        granted: Capabilities::all_granted(),
        config: Arc::new([("template".into(), "sorry".into())].into()),
        secrets: Arc::default(),
        allowed_hosts: AllowedHosts::default(),
        trial: EventType::MessageStatus,
        now: Timestamp::EPOCH,
    };
    let wasm = Bytes::from(std::fs::read(examples().join("built/rust-fallback.wasm")).unwrap());
    let compiled = patiently(host.compile(upload(wasm.clone()))).await.unwrap();
    host.load(OrganisationId::from_bits(1), &compiled.artefact).await.unwrap();
    // The outermost parts are sound, and the code within is cut off.
    let mut broken = wasm.to_vec();
    let code = broken.windows(4).rposition(|bytes| bytes == [0x20, 0, 0x20, 1]).unwrap();
    broken[code] = 0xff;
    let error = patiently(host.compile(upload(broken.into()))).await.unwrap_err();
    assert!(matches!(error, CompileError::Invalid(InvalidPlugin::DoesNotCompile(_))), "{error}");
}

#[tokio::test]
async fn the_process_that_compiles_reaches_nothing_outside() {
    let wasm = std::fs::read(examples().join("built/rust-changes.wasm")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kabar"));
    command.args(kabar::cli::COMPILER_ARGUMENTS).kill_on_drop(true);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&wasm).await.unwrap();
    // Its answer is larger than a pipe, so it waits for its reader.
    let status = format!("/proc/{}/status", child.id().unwrap());
    let holds = |line: &str| std::fs::read_to_string(&status).unwrap().lines().any(|known| known == line);
    until(async || holds("Seccomp:\t2")).await;
    assert!(holds("NoNewPrivs:\t1") && holds("Threads:\t1"), "no thread is left out");
    let output = patiently(child.wait_with_output()).await.unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"+"), "it compiled under the filter");
    assert!(output.stdout.len() > 64 << 10, "it had to wait");
}
