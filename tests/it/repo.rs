//! The house's walls and habits, held on the text of the repository.
//!
//! Invariant: every rule is first tried on samples that break it, so that none can pass by being
//! blind. What a compiler, clippy or `cargo deny` holds is not repeated here.

mod api_compatibility;
mod import_cycles;
mod layers;
mod lints;
mod module_graph;
mod public_surface;
mod source;
mod type_names;

use source::{Source, all, code_of};

/// Where a file breaks a rule.
type Complaints = Vec<String>;

/// Tries a rule on samples that break it, then on the whole repository.
fn hold(rule: fn(&Source) -> Complaints, broken: &[(&str, &str)], sound: &[(&str, &str)]) {
    for (path, text) in broken {
        assert!(!rule(&Source::new(path, text)).is_empty(), "the rule is blind to {path}: {text}");
    }
    for (path, text) in sound {
        let complaints = rule(&Source::new(path, text));
        assert!(complaints.is_empty(), "the rule sees ghosts: {complaints:?}");
    }
    let repository = all();
    assert!(repository.iter().filter(|file| file.is_rust()).count() > 20, "the repository was not found");
    let complaints: Complaints = repository.iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn complain(broken: bool, file: &Source, what: &str) -> Complaints {
    if broken { vec![format!("{}: {what}", file.path)] } else { Vec::new() }
}

/// Complains about each line of code, comments and literals aside, that holds one of the words.
fn words_in_code(file: &Source, words: &[&str]) -> Complaints {
    if !file.is_rust() {
        return Vec::new();
    }
    let code = code_of(&file.text);
    let lines = code.lines().enumerate();
    let found =
        lines.filter_map(|(number, line)| Some((number, words.iter().find(|word| line.contains(**word))?)));
    found.map(|(number, word)| format!("{}:{}: {word}", file.path, number + 1)).collect()
}

#[test]
fn rust_files_have_at_most_400_lines() {
    let rule =
        |file: &Source| complain(file.is_rust() && file.text.lines().count() > 400, file, "over 400 lines");
    hold(rule, &[("src/a.rs", &"//! a\n".repeat(401))], &[("src/a.rs", &"//! a\n".repeat(400))]);
}

#[test]
fn rust_files_say_first_what_they_own() {
    let rule = |file: &Source| {
        complain(file.is_rust() && !file.text.starts_with("//! "), file, "opens without `//! `")
    };
    hold(rule, &[("src/a.rs", "fn a() {}\n"), ("src/b.rs", "\n//! late\n")], &[("src/a.rs", "//! a\n")]);
}

#[test]
fn modules_lie_beside_their_folders() {
    let rule = |file: &Source| {
        complain(file.path.ends_with("/mod.rs"), file, "`foo.rs` beside `foo/`, never mod.rs")
    };
    hold(rule, &[("src/a/mod.rs", "//! a\n")], &[("src/a.rs", "//! a\n")]);
}

#[test]
fn no_test_is_switched_off() {
    let rule = |file: &Source| words_in_code(file, &["#[ignore", ", ignore)]"]);
    hold(
        rule,
        &[
            ("tests/it/a.rs", "#[ignore]\n"),
            ("a.rs", "#[ignore = \"slow\"]"),
            ("a.rs", "#[cfg_attr(ci, ignore)]"),
        ],
        &[("tests/it/a.rs", "// #[ignore]\nlet text = \"#[ignore]\";")],
    );
}

#[test]
fn nothing_is_left_for_later() {
    let rule = |file: &Source| words_in_code(file, &["todo!", "unimplemented!"]);
    hold(
        rule,
        &[("a.rs", "todo!()"), ("a.rs", "unimplemented!(\"x\")")],
        &[("a.rs", "let text = \"todo!\";")],
    );
}

#[test]
fn no_path_of_a_developers_machine() {
    fn rule(file: &Source) -> Complaints {
        let homes =
            [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];
        let lines = file.text.lines().enumerate();
        let found = lines.filter(|(_, line)| homes.iter().any(|home| line.contains(home)));
        found.map(|(number, _)| format!("{}:{}: a machine's path", file.path, number + 1)).collect()
    }
    let sample = format!("see {}kabar", concat!("/ho", "me/"));
    hold(rule, &[("docs/a.md", &sample)], &[("docs/a.md", "see /var/lib/kabar")]);
}

/// What a compiler leaves in a component (the files that panics name) is published with it.
#[test]
fn no_built_component_tells_where_it_was_built() {
    fn tells(component: &[u8]) -> bool {
        let places = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), "/registry/src/"];
        places.iter().any(|place| component.windows(place.len()).any(|part| part == place.as_bytes()))
    }
    assert!(tells(concat!("at /ho", "me/kabar/hook.rs").as_bytes()));
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/examples/built");
    let components: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!components.is_empty());
    for path in components {
        assert!(!tells(&std::fs::read(&path).unwrap()), "{}", path.display());
    }
}

/// Files named after nothing in particular collect everything.
#[test]
fn files_are_named_after_what_they_own() {
    const EMPTY: [&str; 13] = [
        "manager", "service", "services", "helper", "helpers", "util", "utils", "common", "data", "info",
        "misc", "process", "shared",
    ];
    let rule = |file: &Source| {
        complain(file.is_rust() && EMPTY.contains(&file.stem()), file, "a name that says nothing")
    };
    hold(rule, &[("core/src/utils.rs", "//! a\n")], &[("core/src/etag.rs", "//! a\n")]);
}

/// One word for one thing: the same noun has the same file name on every floor.
#[test]
fn nouns_are_spelt_as_in_the_architecture() {
    const OTHER_WORDS: [(&str, &str); 6] = [
        ("org", "organisation"),
        ("organization", "organisation"),
        ("chat", "conversation"),
        ("customer", "contact"),
        ("sms", "message"),
        ("wba", "account"),
    ];
    fn rule(file: &Source) -> Complaints {
        let stem = file.stem();
        let singular = stem.strip_suffix('s').unwrap_or(stem);
        let other = OTHER_WORDS.iter().find(|(word, _)| *word == stem || *word == singular);
        // A harness may hold bundles that the house has no noun for.
        let ours = file.is_rust() && !file.path.starts_with("tests/");
        other.filter(|_| ours).map_or_else(Vec::new, |(word, noun)| {
            vec![format!("{}: our word for {word} is {noun}", file.path)]
        })
    }
    hold(
        rule,
        &[("core/src/store/org.rs", "//! a\n"), ("openapi/src/organizations.rs", "//! a\n")],
        &[("openapi/src/organisations.rs", "//! a\n")],
    );
}

/// Words of an earlier language, which named things by pictures. Code, tests and files are free of them.
#[test]
fn retired_words_stay_out() {
    const RETIRED: [&str; 18] = [
        "courier",
        "courtesy",
        "desk",
        "front_door",
        "ladder",
        "logbook",
        "mischief",
        "parcel",
        "patience",
        "rehearsal",
        "rehearse",
        "roster",
        "scribe",
        "shared_memory",
        "showcase",
        "tidings",
        "utterance",
        "workshop",
    ];
    fn rule(file: &Source) -> Complaints {
        // The checker of histories is a program of its own.
        if !file.is_rust() || file.is_in("tests/checker") {
            return Vec::new();
        }
        let retired = |name: &str| {
            let words = words_of(name);
            RETIRED
                .iter()
                .any(|word| words.contains(&format!("_{word}_")) || words.contains(&format!("_{word}s_")))
        };
        let code = code_of(&file.text);
        let lines = code.lines().enumerate().chain([(0, file.path.as_str())]);
        let found = lines.flat_map(|(number, line)| {
            let names = line.split(|sign: char| !(sign.is_alphanumeric() || sign == '_'));
            names.filter(|name| retired(name)).map(move |name| (number + 1, name.to_owned()))
        });
        found.map(|(number, name)| format!("{}:{number}: {name}", file.path)).collect()
    }
    hold(
        rule,
        &[
            ("actors/src/couriers.rs", "//! a\n"),
            ("a.rs", "struct FrontDoor;"),
            ("a.rs", "let shared_memory_key = 1;"),
            ("a.rs", "const PATIENCE: u8 = 1;"),
        ],
        &[("a.rs", "// courier\nlet text = \"courier\"; fn describe_error() {}")],
    );
}

/// The words of an identifier, in lower case, with `_` around each.
fn words_of(name: &str) -> String {
    let mut words = String::from("_");
    let mut before_is_lower = false;
    for sign in name.chars() {
        if sign.is_uppercase() && before_is_lower {
            words.push('_');
        }
        before_is_lower = !sign.is_uppercase() && sign != '_';
        words.extend(sign.to_lowercase());
    }
    words.push('_');
    words
}

/// Any node may change these rows. A statement that changes one without its version could be undone by a
/// change that was decided on the row before.
#[test]
fn rows_that_any_node_may_change_are_written_with_their_version() {
    const TABLES: [&str; 3] = ["organisations", "webhook_subscriptions", "plugins"];
    fn rule(file: &Source) -> Complaints {
        if !file.is_rust() || !file.is_in("core/src/store") || file.is_in("core/src/store/tests") {
            return Vec::new();
        }
        let starts = TABLES.iter().flat_map(|table| {
            let start = format!("UPDATE {table} SET ");
            file.text.match_indices(&start).map(|(at, _)| at).collect::<Vec<_>>()
        });
        let unversioned = starts.filter_map(|at| {
            let statement = file.text[at..].split('"').next().unwrap_or_default();
            // One that deletes the row, or touches it, changes nothing that a change is decided on.
            let is_sound = statement.contains("row_version") || statement.contains("SET deleted_at");
            (!is_sound).then(|| format!("{}: {statement}", file.path))
        });
        unversioned.collect()
    }
    hold(
        rule,
        &[("core/src/store/a.rs", "\"UPDATE plugins SET name = $2 WHERE id = $1\"")],
        &[
            ("core/src/store/a.rs", "\"UPDATE plugins SET name = $2, row_version = row_version + 1\""),
            ("core/src/store/a.rs", "\"UPDATE plugins SET deleted_at = $2\""),
            ("core/src/store/a.rs", "\"UPDATE plugin_heads SET gate = $2\""),
        ],
    );
}

/// Both dialects move together: a migration exists for each engine under the same name.
#[test]
fn migrations_have_twins() {
    fn twins(repository: &[Source]) -> Complaints {
        let names = |engine: &str| -> Vec<String> {
            let in_engine = repository.iter().filter_map(|file| file.path.strip_prefix(engine));
            in_engine.map(str::to_owned).collect()
        };
        let (sqlite, postgres) = (names("migrations/sqlite/"), names("migrations/postgres/"));
        // PostgreSQL is not there yet; from its first file on, all must be.
        if postgres.is_empty() || sqlite == postgres {
            Vec::new()
        } else {
            vec![format!("{sqlite:?} {postgres:?}")]
        }
    }
    let odd = [Source::new("migrations/sqlite/1.sql", ""), Source::new("migrations/postgres/2.sql", "")];
    assert!(!twins(&odd).is_empty());
    let complaints = twins(&all());
    assert!(complaints.is_empty(), "{complaints:?}");
}
