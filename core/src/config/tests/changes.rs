//! Settings that have changed, and those that a running server puts in force.

use super::*;

#[test]
fn changed_settings_are_told_apart_by_whether_they_can_be_reloaded() {
    let load = |more: &[(&str, &str)]| {
        Settings::load(ServerMode::Serve, &environment(&[&SECRETS[..], more].concat())).unwrap()
    };
    let before = load(&[]);
    assert_eq!(before.changed_keys(&load(&[])), []);
    let after = load(&[
        ("KABAR_OPERATOR_TOKEN", "another-token-0123"),
        ("KABAR_LOG__LEVEL", "debug"),
        ("KABAR_LISTEN", "127.0.0.1:9000"),
        ("KABAR_HOOKS__PRO__CPU_MS", "9"),
    ]);
    let changed: Vec<_> = before.changed_keys(&after).iter().map(|one| (one.key, one.reloads)).collect();
    let expected =
        [("listen", false), ("operator_token", true), ("hooks.pro.cpu_ms", true), ("log.level", true)];
    assert_eq!(changed, expected);
}

#[test]
fn every_setting_that_can_be_reloaded_is_listed() {
    let page = include_str!("../../../../docs/configuration.md");
    let (_, section) = page.split_once("## Reloading\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    for known in SETTINGS.iter().filter(|known| known.file_of.is_none()) {
        // The limits of hooks have one name for all tiers.
        let name = match known.key.strip_prefix("hooks.").and_then(|rest| rest.split_once('.')) {
            Some((_tier, limit)) => format!("hooks.{limit}"),
            None => known.key.to_owned(),
        };
        assert_eq!(section.contains(&format!("`{name}`")), known.reloads, "{name}");
    }
}
