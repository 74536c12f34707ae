//! Settings as an operator meets them: precedence, refusals, masking, documentation.

mod bad_values;
mod changes;
mod secret_files;

use std::io::Write as _;

use self::bad_values::BAD_VALUES;
use super::keys::{SETTINGS, variable_name};
use super::*;
use crate::domain::organisation::PriceTier;

const SECRETS: [(&str, &str); 4] = [
    ("KABAR_OPERATOR_TOKEN", "operator-token-0123"),
    ("KABAR_DATABASE_URL", "sqlite:///srv/kabar.db"),
    ("KABAR_WHATSAPP__APP_SECRET", "0123012301230123"),
    ("KABAR_WHATSAPP__VERIFY_TOKEN", "verify-me-really"),
];

fn environment(pairs: &[(&str, &str)]) -> SettingSources {
    let environment = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    SettingSources { environment: Some(environment), ..SettingSources::default() }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn with_file(file: &tempfile::NamedTempFile, pairs: &[(&str, &str)]) -> SettingSources {
    SettingSources { file: Some(file.path().to_owned()), ..environment(pairs) }
}

fn keys_of(problems: &SettingProblems) -> Vec<&str> {
    problems.0.iter().map(|problem| problem.key.as_str()).collect()
}

fn refusal(mode: ServerMode, sources: &SettingSources) -> SettingProblems {
    Settings::load(mode, sources).expect_err("the settings should be refused")
}

#[test]
fn dev_needs_nothing() {
    let settings = Settings::load(ServerMode::Dev, &environment(&[])).unwrap();
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.database_url, DatabaseUrl::Sqlite("data/kabar.db".into()));
    assert_eq!(settings.operator_token, None);
    assert_eq!(settings.whatsapp.base_url, None);
    assert!(settings.outbound.allow_loopback);
    assert_eq!(settings.limits.resident_conversations, 10_000);
    assert_eq!(settings.limits.idle, Duration::from_mins(10));
}

#[test]
fn serve_names_everything_that_is_missing() {
    let problems = refusal(ServerMode::Serve, &environment(&[]));
    let needed = ["database_url", "operator_token", "whatsapp.app_secret", "whatsapp.verify_token"];
    assert_eq!(keys_of(&problems), needed);
    let text = problems.to_string();
    for key in needed {
        assert!(text.contains(key) && text.contains(&variable_name(key)), "{key}: {text}");
    }
}

#[test]
fn serve_starts_with_what_it_needs_and_is_closed_by_default() {
    let settings = Settings::load(ServerMode::Serve, &environment(&SECRETS)).unwrap();
    assert_eq!(settings.whatsapp.base_url.as_deref(), Some("https://graph.facebook.com"));
    assert!(!settings.outbound.allow_loopback);
    assert!(settings.cors.allowed_origins.is_empty());
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = file("[dev]\ntraffic_per_minute = 1\n[limits]\nidle_seconds = 7\nbody_bytes = 2048\n");
    let mut sources = with_file(
        &file,
        &[("KABAR_DEV__TRAFFIC_PER_MINUTE", "2"), ("KABAR_LIMITS__IDLE_SECONDS", "8"), ("PATH", "/bin")],
    );
    sources.flags.insert("dev.traffic_per_minute".to_owned(), "0".to_owned());
    let settings = Settings::load(ServerMode::Dev, &sources).unwrap();
    assert_eq!(settings.dev.traffic_per_minute, 0);
    assert_eq!(settings.limits.idle, Duration::from_secs(8));
    assert_eq!(settings.limits.body_bytes, 2048);
    assert_eq!(settings.limits.waiting_polls, 10_000);
}

#[test]
fn a_secret_keeps_its_leading_zeros_and_must_be_text_in_a_file() {
    let settings = Settings::load(ServerMode::Serve, &environment(&SECRETS)).unwrap();
    assert_eq!(settings.whatsapp.app_secrets, [Secret::new("0123012301230123")]);
    let number = file("[whatsapp]\napp_secret = 123456\n");
    let problems = refusal(ServerMode::Dev, &with_file(&number, &[]));
    assert_eq!(keys_of(&problems), ["whatsapp.app_secret"]);
    assert!(!problems.to_string().contains("123456"));
}

#[test]
fn weak_secrets_are_refused_in_production_only() {
    for name in ["KABAR_OPERATOR_TOKEN", "KABAR_WHATSAPP__APP_SECRET", "KABAR_WHATSAPP__VERIFY_TOKEN"] {
        for (weak, said) in [("0123456789abcde", "too short"), ("xxxxxxxxxxxxxxxxxxxx", "repeats")] {
            let given = SECRETS.map(|(known, value)| (known, if known == name { weak } else { value }));
            let problems = refusal(ServerMode::Serve, &environment(&given)).to_string();
            assert!(problems.contains(name) && problems.contains(said), "{problems}");
            assert!(!problems.contains(weak), "{problems}");
            Settings::load(ServerMode::Dev, &environment(&given)).unwrap();
        }
    }
}

#[test]
fn an_empty_variable_is_an_absent_one() {
    let settings =
        Settings::load(ServerMode::Dev, &environment(&[("KABAR_REDIS_URL", ""), ("KABAR_API_KEY", "kdv_1")]))
            .unwrap();
    assert_eq!(settings.operator_token, None);
}

#[test]
fn unknown_keys_are_named_where_they_stand() {
    let file = file("[whatsapp]\napp_secert = \"x\"\n[limits.idle_seconds]\nmax = 1\n");
    let problems = refusal(
        ServerMode::Dev,
        &with_file(&file, &[("KABAR_LISTEN_ON", "x"), ("KABAR_WHATSAPP", "x"), ("KABAR_9-_", "x")]),
    );
    let mut keys = keys_of(&problems);
    keys.sort_unstable();
    assert_eq!(keys, ["9-_", "limits.idle_seconds.max", "listen_on", "whatsapp", "whatsapp.app_secert"]);
    assert!(problems.to_string().contains("KABAR_LISTEN_ON"), "{problems}");
}

#[test]
fn variables_that_kubernetes_makes_for_a_service_are_passed_over() {
    let made = [
        ("KABAR_SERVICE_HOST", "10.0.0.7"),
        ("KABAR_SERVICE_PORT", "8080"),
        ("KABAR_SERVICE_PORT_HTTP", "8080"),
        ("KABAR_PORT", "tcp://10.0.0.7:8080"),
        ("KABAR_PORT_8080_TCP", "tcp://10.0.0.7:8080"),
        ("KABAR_PORT_8080_TCP_PROTO", "tcp"),
    ];
    let settings = Settings::load(ServerMode::Serve, &environment(&[&SECRETS[..], &made].concat())).unwrap();
    let mut names = made.map(|(name, _)| name);
    names.sort_unstable();
    assert_eq!(settings.passed_over, names);
    // Misspelt settings are none of them, and a file is no environment.
    for wrong in ["KABAR_PORTS", "KABAR_SERVICES", "KABAR_HTTP_SERVICE_HOST"] {
        let problems = refusal(ServerMode::Dev, &environment(&[(wrong, "8080")]));
        assert!(problems.to_string().contains(wrong), "{problems}");
    }
    let in_file = file("port = \"8080\"\n");
    assert_eq!(keys_of(&refusal(ServerMode::Dev, &with_file(&in_file, &[]))), ["port"]);
    assert!(SETTINGS.iter().all(|known| !super::keys::is_service_variable(known.key)), "a setting is read");
}

#[test]
fn what_is_said_of_a_tier_holds_for_it_alone() {
    let given = [
        ("KABAR_HOOKS__CPU_MS", "40"),
        ("KABAR_HOOKS__PRO__CPU_MS", "80"),
        ("KABAR_HOOKS__FREE__LOG_KIB", "8"),
    ];
    let settings = Settings::load(ServerMode::Dev, &environment(&given)).unwrap();
    let of = |tier| {
        let limits = settings.hooks.limits_of(tier);
        (limits.cpu.as_millis(), limits.wall.as_millis(), limits.memory_bytes >> 20, limits.log_bytes >> 10)
    };
    assert_eq!(PriceTier::ALL.map(of), [(40, 2000, 64, 8), (80, 2000, 64, 64), (40, 2000, 64, 64)]);
    let shown = settings.masked();
    assert!(shown.contains("cpu_ms = 80") && shown.contains("log_kib = 8"), "{shown}");
}

#[test]
fn invalid_values_are_all_reported_at_once() {
    // Any text is a folder, or a file of keys.
    assert_eq!(BAD_VALUES.len() + 2, SETTINGS.len(), "a setting without a bad example");
    // A secret and its file are one setting.
    let (files, others): (Vec<_>, Vec<_>) =
        BAD_VALUES.into_iter().partition(|(key, _)| key.ends_with("_file"));
    for cases in [files, others] {
        let flags = cases.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let problems = refusal(ServerMode::Serve, &SettingSources { flags, ..environment(&[]) });
        let mut found = keys_of(&problems);
        let mut wrong: Vec<&str> = cases.iter().map(|(key, _)| *key).collect();
        found.sort_unstable();
        wrong.sort_unstable();
        assert_eq!(found, wrong);
    }
}

#[test]
fn addresses_are_refused_without_quoting_their_password() {
    for (name, value) in [
        ("KABAR_DATABASE_URL", "postgres://kabar:hunter2@db:port/kabar"),
        ("KABAR_WHATSAPP__BASE_URL", "https://kabar:hunter2@graph.example"),
        ("KABAR_REDIS_URL", "redis://:hunter2@cache/zero"),
    ] {
        let problems = refusal(ServerMode::Dev, &environment(&[(name, value)]));
        assert_eq!(problems.0.len(), 1);
        assert!(problems.to_string().contains(name), "{problems}");
        assert!(!problems.to_string().contains("hunter2"), "{problems}");
    }
}

#[test]
fn postgres_addresses_are_shown_without_their_password() {
    for (text, shown) in [
        ("postgres://kabar:hunter2@db/kabar", "postgres://kabar:***@db/kabar"),
        ("postgresql://db:5433/kabar?sslmode=require", "postgresql://db:5433/kabar"),
        ("postgres://u@db/k?password=hunter2", "postgres://u@db/k"),
        ("postgres://u:hunter2@db1,[::1]:5433/k?sslmode=require", "postgres://u:***@db1,[::1]:5433/k"),
    ] {
        let url = DatabaseUrl::parse(text).unwrap();
        assert_eq!((url.to_string().as_str(), url.reveal_url().as_str()), (shown, text));
        assert!(!format!("{url:?}").contains("hunter2"));
    }
    for text in [
        "postgres://kabar:hun#ter2@db/kabar",
        "postgres://kabar:hunter2@db1,db2:port/kabar",
        "postgres://kabar:hunter2@db1,,db2/kabar",
        "postgres://kabar:hunter2@db/kabar?target_session_attrs=any",
    ] {
        let reason = DatabaseUrl::parse(text).unwrap_err();
        assert!(!reason.contains("ter2"), "{reason}");
    }
}

#[test]
fn redis_addresses_are_shown_without_their_password() {
    for (text, shown) in [
        ("redis://cache", "redis://cache"),
        ("redis://cache:6380/", "redis://cache:6380/"),
        ("rediss://kabar:hunter2@cache.internal:6380/3", "rediss://kabar:***@cache.internal:6380/3"),
        ("redis://:hunter2@[::1]:6379/0", "redis://:***@[::1]:6379/0"),
    ] {
        let settings = Settings::load(ServerMode::Dev, &environment(&[("KABAR_REDIS_URL", text)])).unwrap();
        let url = settings.redis_url.clone().unwrap();
        assert_eq!((url.to_string().as_str(), url.reveal_url()), (shown, text));
        assert!(!format!("{settings:?}{}", settings.masked()).contains("hunter2"), "{text}");
        assert!(settings.masked().contains(&format!("redis_url = \"{shown}\"")), "{text}");
    }
    for text in [
        "redis://",
        "http://cache",
        "unix:///run/redis.sock",
        "redis://cache/x",
        "redis://cache/-1",
        "redis://cache/70000",
        "redis://cache?db=1",
        "redis://:hun#ter2@cache",
        "rediss://cache#insecure",
    ] {
        assert_eq!(
            keys_of(&refusal(ServerMode::Dev, &environment(&[("KABAR_REDIS_URL", text)]))),
            ["redis_url"]
        );
    }
}

#[test]
fn sqlite_addresses() {
    for (text, path) in [
        ("sqlite://data/kabar.db", "data/kabar.db"),
        ("sqlite:///srv/a b.db", "/srv/a b.db"),
        ("sqlite:///srv/kabar.db?mode=rwc", "/srv/kabar.db"),
    ] {
        assert_eq!(DatabaseUrl::parse(text).unwrap().file_path(), Some(std::path::Path::new(path)));
    }
    for text in ["sqlite://", "sqlite::memory:", "sqlite://:memory:", "sqlite://x.db?cache=shared", "x.db"] {
        assert!(DatabaseUrl::parse(text).is_err(), "{text}");
    }
}

#[test]
fn lists_come_as_arrays_or_with_commas() {
    let wanted = ["https://a.example", "http://127.0.0.1:3000"];
    let array = file("[cors]\nallowed_origins = [\"https://a.example\", \"http://127.0.0.1:3000\"]\n");
    let commas = ("KABAR_CORS__ALLOWED_ORIGINS", "https://a.example, http://127.0.0.1:3000,");
    for sources in [with_file(&array, &[]), environment(&[commas])] {
        assert_eq!(Settings::load(ServerMode::Dev, &sources).unwrap().cors.allowed_origins, wanted);
    }
    let mixed = file("[cors]\nallowed_origins = [1]\n");
    assert_eq!(keys_of(&refusal(ServerMode::Dev, &with_file(&mixed, &[]))), ["cors.allowed_origins"]);
}

#[test]
fn a_broken_or_absent_file_is_named_without_quoting_it() {
    let broken = file("[whatsapp]\napp_secret = hunter2\n");
    let text = refusal(ServerMode::Dev, &with_file(&broken, &[])).to_string();
    assert!(text.contains(&broken.path().display().to_string()) && text.contains("line 2"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    let absent = SettingSources { file: Some("no/such/kabar.toml".into()), ..environment(&[]) };
    assert!(refusal(ServerMode::Dev, &absent).to_string().contains("no/such/kabar.toml"));
}

#[test]
fn masked_settings_are_a_file_that_names_every_key_and_no_secret() {
    let settings = Settings::load(ServerMode::Serve, &environment(&SECRETS)).unwrap();
    let text = settings.masked();
    for secret in ["operator-token-0123", "0123012301230123", "verify-me-really"] {
        assert!(!text.contains(secret), "{text}");
        assert!(!format!("{settings:?}").contains(secret));
    }
    for known in SETTINGS {
        let name = known.key.rsplit('.').next().unwrap();
        assert!(text.lines().any(|line| line.trim_start_matches("# ").starts_with(name)), "{name}: {text}");
    }
    // Read back, it gives the same settings, but for the masks.
    let again = file(&text);
    let settings = Settings::load(ServerMode::Serve, &with_file(&again, &SECRETS)).unwrap();
    assert_eq!(settings.masked(), text);
}

#[test]
fn texts_are_quoted_as_toml() {
    let odd = [("KABAR_DATABASE_URL", "sqlite://a\"b\\c\td")];
    let settings = Settings::load(ServerMode::Dev, &environment(&odd)).unwrap();
    let again = Settings::load(ServerMode::Dev, &with_file(&file(&settings.masked()), &[])).unwrap();
    assert_eq!(again.database_url, settings.database_url);
}

#[test]
fn every_setting_is_documented() {
    let page = include_str!("../../../docs/configuration.md");
    for known in SETTINGS {
        for name in [known.key.to_owned(), variable_name(known.key)] {
            assert!(page.contains(&format!("`{name}`")), "{name} is missing in docs/configuration.md");
        }
    }
}
