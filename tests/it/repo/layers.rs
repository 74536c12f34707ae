//! The walls between rooms: who may name whom, in paths and in dependency lists.
//!
//! The table is that of docs/ARCHITECTURE.md. A room inside a crate cannot be walled off by
//! `cargo deny`, so paths are read; a crate's own list is read for what wrappers cannot say.

use super::source::{Source, code_of, heads_of};
use super::{Complaints, hold};

/// Crates that pure rules never name.
const PURE_CRATES: &[&str] = &[
    "serde",
    "serde_json",
    "sqlx",
    "tokio",
    "tokio_util",
    "poem",
    "redis",
    "reqwest",
    "http",
    "config",
    "tracing",
];
/// Rooms of the core that pure rules never name.
const PURE_ROOMS: &[&str] =
    &["crate::store", "crate::meta", "crate::config", "crate::clock", "crate::metrics", "crate::redis"];

/// What a room never names: crates, and rooms of its own crate.
const NEVER: [(&str, &[&str]); 14] = [
    ("core/src/domain", PURE_CRATES),
    ("core/src/domain", PURE_ROOMS),
    ("core/src/policy", PURE_CRATES),
    ("core/src/policy", PURE_ROOMS),
    ("core/src/store", &["reqwest", "redis", "poem", "http", "crate::meta", "crate::redis"]),
    ("core/src/redis", &["sqlx", "reqwest", "poem", "http", "crate::store", "crate::meta", "crate::config"]),
    ("core/src/meta", &["sqlx", "redis", "crate::store", "crate::cache"]),
    ("core/src/outbound", &["sqlx", "redis", "crate::store", "crate::meta", "crate::config"]),
    ("core/src/webhook", &["sqlx", "redis", "reqwest", "crate::store", "crate::meta", "crate::config"]),
    ("core/src/config", &["sqlx", "redis", "crate::store", "crate::meta"]),
    (
        "actors/src",
        &["kabar_plugins", "kabar_openapi", "poem", "poem_openapi", "sqlx", "redis", "wasmtime", "reqwest"],
    ),
    ("plugins/src", &["kabar_actors", "kabar_openapi", "ractor", "poem", "poem_openapi", "sqlx", "redis"]),
    ("openapi/src", &["ractor", "wasmtime", "sqlx", "redis", "reqwest"]),
    ("src", &["ractor", "sqlx", "poem_openapi", "wasmtime"]),
];

/// What stands under `[dependencies]` of whom. What is not listed here is free to all.
const DEPENDENCIES: [(&str, &[&str]); 5] = [
    ("core/Cargo.toml", &["kabar-", "ractor", "poem", "wasmtime"]),
    (
        "actors/Cargo.toml",
        &["kabar-plugins", "kabar-openapi", "poem", "sqlx", "redis", "wasmtime", "reqwest"],
    ),
    ("plugins/Cargo.toml", &["kabar-actors", "kabar-openapi", "ractor", "poem", "sqlx", "redis"]),
    ("openapi/Cargo.toml", &["ractor", "wasmtime", "sqlx", "redis", "reqwest"]),
    ("Cargo.toml", &["ractor", "poem-openapi", "sqlx", "wasmtime"]),
];

fn names(file: &Source) -> Complaints {
    let walls: Vec<&(&str, &[&str])> = NEVER.iter().filter(|(room, _)| file.is_in(room)).collect();
    if walls.is_empty() || !file.is_rust() {
        return Vec::new();
    }
    let never = |head: &str| walls.iter().any(|(_, names)| names.contains(&head));
    let heads = heads_of(&code_of(&file.text)).into_iter().filter(|(_, head)| never(head));
    heads.map(|(line, head)| format!("{}:{line}: names {head}", file.path)).collect()
}

fn io_in_domain(file: &Source) -> Complaints {
    const IO: [&str; 8] = [
        "async fn",
        "async move",
        ".await",
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "std::process",
    ];
    let is_pure = file.is_in("core/src/domain") || file.is_in("core/src/policy");
    if is_pure { super::words_in_code(file, &IO) } else { Vec::new() }
}

fn dependencies(file: &Source) -> Complaints {
    let Some((_, never)) = DEPENDENCIES.iter().find(|(path, _)| *path == file.path) else {
        return Vec::new();
    };
    let section = file.text.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let own = section.lines().take_while(|line| !line.starts_with('['));
    let found = own.filter_map(|line| Some((line, never.iter().find(|name| line.starts_with(**name))?)));
    found.map(|(line, _)| format!("{}: depends on {line}", file.path)).collect()
}

#[test]
fn rooms_name_only_what_they_may() {
    hold(
        names,
        &[
            ("core/src/domain/page.rs", "use serde::Serialize;"),
            ("core/src/domain/decide/messages.rs", "fn a() { crate::store::x(); }"),
            ("core/src/store.rs", "use crate::{ids::A, meta::B};"),
            ("core/src/store/rows.rs", "use crate::redis::RedisCache;"),
            ("core/src/policy/send_pace.rs", "use crate::clock::Clock;"),
            ("core/src/redis/connection.rs", "use crate::store::Store;"),
            ("core/src/store/rows.rs", "use redis::Client;"),
            ("core/src/meta/graph.rs", "let row = sqlx::query(\"\");"),
            ("core/src/config/values.rs", "use crate::meta::graph;"),
            ("actors/src/view.rs", "use kabar_openapi as x;\nkabar_openapi::y();"),
            ("plugins/src/lib.rs", "pub use kabar_actors::View;"),
            ("openapi/src/v1/messages.rs", "use ractor;"),
            ("src/main.rs", "type A = poem_openapi::Object;"),
        ],
        &[
            ("core/src/domain/page.rs", "// serde::Serialize\nlet text = \"sqlx::x\";\nmy::serde::x();"),
            ("core/src/store/rows.rs", "use sqlx::Row;"),
            ("tests/it/a.rs", "use sqlx::Row;"),
        ],
    );
}

#[test]
fn the_domain_does_no_io() {
    hold(
        io_in_domain,
        &[
            ("core/src/domain/a.rs", "pub async fn a() {}"),
            ("core/src/domain.rs", "std::fs::read(\"\")"),
            ("core/src/policy/a.rs", "wait().await"),
        ],
        &[("core/src/store/a.rs", "async fn a() {}")],
    );
}

#[test]
fn crates_depend_only_on_floors_below() {
    hold(
        dependencies,
        &[
            ("core/Cargo.toml", "[package]\n\n[dependencies]\nkabar-actors.workspace = true\n"),
            ("openapi/Cargo.toml", "[package]\n\n[dependencies]\na = \"1\"\nsqlx = { version = \"1\" }\n"),
        ],
        &[(
            "Cargo.toml",
            "[package]\n\n[dependencies]\nanyhow = \"1\"\n\n[dev-dependencies]\nsqlx = \"1\"\n",
        )],
    );
}
