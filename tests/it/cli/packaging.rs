//! What is shipped to run kabar with: each file is read as its reader reads it, and compared with what
//! kabar knows. Nothing here needs Docker or systemd.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use clap::Parser as _;
use kabar::cli::CliArgs;
use kabar_core::config::{ServerMode, SettingProblems, SettingSources, Settings};
use serde_norway::Value;

const BINARY: &str = "/usr/local/bin/kabar";

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The assignments of an environment file; a comment is a line of its own.
fn variables(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let assigned = lines.map(|line| line.split_once('=').unwrap_or_else(|| panic!("{line}?")));
    assigned.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn load(environment: impl IntoIterator<Item = (String, String)>) -> Result<Settings, SettingProblems> {
    let environment: HashMap<String, String> = environment.into_iter().collect();
    Settings::load(
        ServerMode::Serve,
        &SettingSources { environment: Some(environment), ..SettingSources::default() },
    )
}

/// A value with `${NAME:?…}` filled in; every name must be known.
fn filled(value: &str, known: &BTreeMap<String, String>) -> String {
    let Some((before, rest)) = value.split_once("${") else { return value.to_owned() };
    let (name, after) = rest.split_once('}').unwrap();
    let (name, _complaint) = name.split_once(":?").unwrap_or_else(|| panic!("${{{name}}} has a default"));
    assert!(known.contains_key(name), "{name} is not in .env.example");
    format!("{before}0123456789abcdef{}", filled(after, known))
}

/// The variables that a service sets.
fn environment(service: &Value, known: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let set = service["environment"].as_mapping().unwrap().iter();
    set.map(|(name, value)| (name.as_str().unwrap().to_owned(), filled(value.as_str().unwrap(), known)))
        .collect()
}

/// The instructions of the Dockerfile, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = file("Dockerfile").replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once(' ').unwrap())
        .map(|(word, rest)| (word.into(), rest.trim().into()))
        .collect()
}

fn instruction(wanted: &str) -> String {
    let found = instructions().into_iter().rev().find(|(word, _)| word == wanted);
    found.unwrap_or_else(|| panic!("no {wanted}")).1
}

/// Whether kabar has this command.
fn understood(words: &[&str]) {
    let parsed = CliArgs::try_parse_from(words);
    assert!(parsed.is_ok_and(|cli| cli.command.is_some()), "{words:?}");
}

#[test]
fn compose_sets_what_kabar_knows_and_no_secret() {
    let secrets = variables(&file(".env.example"));
    assert!(secrets.values().all(String::is_empty), "an example is no secret: {secrets:?}");
    let compose: Value = serde_norway::from_str(&file("compose.yaml")).unwrap();
    let services = compose["services"].as_mapping().unwrap();
    for (name, service) in services {
        assert!(!environment(service, &secrets).is_empty());
        // The image of kabar brings its own.
        assert!(
            name == "kabar" || service["healthcheck"]["test"].is_sequence(),
            "{name:?} has no health check"
        );
    }
    for secret in secrets.keys() {
        assert!(
            file("compose.yaml").contains(&format!("${{{secret}:?")),
            "{secret} is asked for and not used"
        );
    }

    let kabar = &compose["services"]["kabar"];
    let mut settings = environment(kabar, &secrets);
    settings.extend(image_variables());
    let settings = load(settings).unwrap();
    assert_eq!(settings.listen.to_string(), "0.0.0.0:8080");
    for dependency in ["postgres", "redis"] {
        assert_eq!(kabar["depends_on"][dependency]["condition"], "service_healthy");
    }
    assert!(settings.database_url.reveal_url().contains("@postgres:5432/"), "the name of the service");
    let ports = kabar["ports"].as_sequence().unwrap();
    assert!(ports.iter().all(|port| port.as_str().unwrap().starts_with("127.0.0.1:")), "no TLS, no world");
}

/// What the image sets.
fn image_variables() -> BTreeMap<String, String> {
    variables(&instruction("ENV").replace(' ', "\n"))
}

#[test]
fn the_image_runs_a_binary_that_has_its_commands() {
    let words = |json: &str| serde_json::from_str::<Vec<String>>(json).unwrap();
    let (entry, command) = (words(&instruction("ENTRYPOINT")), words(&instruction("CMD")));
    assert_eq!(entry, [BINARY]);
    understood(&["kabar", &command[0]]);
    let health = instruction("HEALTHCHECK");
    let health = words(health.split_once("CMD ").unwrap().1);
    assert_eq!(health[0], BINARY, "there is no shell in the image");
    understood(&["kabar", &health[1]]);
    assert_eq!(instruction("USER"), "nonroot");
    assert!(image_variables().keys().all(|name| name.starts_with("KABAR_")));
    let toolchain = file("rust-toolchain.toml");
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap();
    let build = instructions().into_iter().find(|(word, _)| word == "FROM").unwrap().1;
    let version = build.trim_start_matches("rust:").split('-').next().unwrap().to_owned();
    assert!(channel.trim_matches('"').starts_with(&version), "{channel} and {build}");
    let ignored = file(".dockerignore");
    assert!(ignored.lines().any(|line| line == ".env"), "secrets stay out of the build");
}

#[test]
fn the_unit_starts_kabar_on_settings_that_lack_only_secrets() {
    let text = file("packaging/kabar.service");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let of = |name: &str| {
        let found = lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {name}"))
    };
    let start: Vec<&str> = of("ExecStart").split(' ').collect();
    assert_eq!(start[0], BINARY);
    understood(&start);
    assert!(of("EnvironmentFile").ends_with("/kabar.env"));
    assert_eq!(of("RestartPreventExitStatus"), "2", "what wrong settings end with");
    assert_eq!(of("DynamicUser"), "yes");
    assert!(of("ExecReload").contains("-HUP"), "what reloads the settings");
    // A compilation that is ended for want of memory must not end the server.
    assert_eq!(of("OOMPolicy"), "continue");
    assert!(of("MemoryMax").ends_with('%') && of("TasksMax").parse::<u32>().is_ok());
    let settings = variables(&file("packaging/kabar.env"));
    let Err(SettingProblems(lacking)) = load(settings.clone()) else { panic!("it has secrets") };
    let lacking: BTreeSet<String> =
        lacking.iter().map(kabar_core::config::SettingProblem::variable).collect();
    let secrets = ["KABAR_OPERATOR_TOKEN", "KABAR_WHATSAPP__APP_SECRET", "KABAR_WHATSAPP__VERIFY_TOKEN"];
    assert_eq!(lacking, secrets.map(str::to_owned).into());
    let given = secrets.map(|name| (name.to_owned(), "0123456789abcdef".to_owned()));
    let settings = load(settings.into_iter().chain(given)).unwrap();
    let folder = format!("sqlite:///var/lib/{}/", of("StateDirectory"));
    assert!(settings.database_url.reveal_url().starts_with(&folder), "the unit's own folder");
}

#[tokio::test]
async fn the_alarms_of_the_manual_are_about_metrics_that_there_are() {
    let server = crate::harness::TestServer::start().await;
    let tenant = server.tenant().await;
    // Some metrics have no value before there is something to count.
    let message = crate::harness::text_from("6281200000001", tenant.clock.read_now(), "astray");
    let astray = crate::harness::InboundWebhook::default().messages("999888777666", &[message]);
    astray.post(&server.anyone).await.is(200);
    let metrics = String::from_utf8(server.anyone.get("/metrics").await.is(200).body.to_vec()).unwrap();
    let manual = file("docs/operations.md");
    let named: BTreeSet<&str> = manual
        .split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_')
        .filter(|word| word.starts_with("kabar_"))
        .collect();
    assert!(named.len() > 8, "{named:?}");
    for name in named {
        assert!(
            metrics.contains(&format!("\n{name}{{")) || metrics.contains(&format!("\n{name} ")),
            "{name}"
        );
    }
    let rules = manual.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0;
    let rules: Value = serde_norway::from_str(rules).unwrap();
    let rules = rules["groups"][0]["rules"].as_sequence().unwrap();
    assert!(rules.iter().all(|rule| rule["alert"].is_string() && rule["expr"].is_string()));
}
