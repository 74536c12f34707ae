//! The simulator's page: it names what there is, and its examples can be played.

use std::collections::BTreeSet;
use std::path::Path;

use kabar::simulator::SimulatorScript;
use tokio::process::Command;

use crate::harness::patiently;

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/simulator.md")).unwrap()
}

/// Whether the page has this word as code, alone or among others.
fn names(page: &str, word: &str) -> bool {
    page.split('`').skip(1).step_by(2).any(|code| code == word)
}

#[tokio::test]
async fn every_switch_is_on_the_page() {
    let help = Command::new(env!("CARGO_BIN_EXE_kabar")).args(["simulate", "--help"]).output();
    let help = String::from_utf8(patiently(help).await.unwrap().stdout).unwrap();
    let words = help.lines().filter_map(|line| line.trim().strip_prefix("--"));
    let switches: BTreeSet<String> =
        words.map(|line| format!("--{}", line.split(' ').next().unwrap())).collect();
    assert!(switches.len() > 15, "{switches:?}");
    // Those of every command.
    let shared = ["--config", "--set"];
    let page = page();
    for switch in switches.iter().filter(|switch| !shared.contains(&switch.as_str())) {
        assert!(names(&page, switch), "{switch} is not on the page");
    }
    for code in page.split('`').skip(1).step_by(2).filter(|code| code.starts_with("--")) {
        assert!(switches.contains(code), "the page has {code}, which is no switch");
    }
}

/// The keys that may stand where `text` has one that is unknown.
fn keys_where(text: &str) -> BTreeSet<String> {
    let told = SimulatorScript::parse_text(text, Path::new(".")).unwrap_err().to_string();
    let (_, expected) = told.split_once("expected ").unwrap_or_else(|| panic!("{told}"));
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_key_of_a_script_is_on_the_page() {
    let page = page();
    for (place, count) in [
        ("nonsense = 1", 2),
        ("[[step]]\nnonsense = 1", 15),
        ("[[step]]\nmischief = { nonsense = 1 }", 7),
        ("[[step]]\nstatus_delay = { nonsense = 1 }", 3),
        ("[[step]]\nrules = [{ nonsense = 1 }]", 12),
        ("[[step]]\nwrite = [{ nonsense = 1 }]", 6),
        ("[[step]]\nprofile = { nonsense = 1 }", 5),
        ("[[step]]\nchange = [{ nonsense = 1 }]", 3),
    ] {
        let keys = keys_where(place);
        assert_eq!(keys.len(), count, "{place}: {keys:?}");
        for key in keys.iter().filter(|key| !["seed", "step"].contains(&key.as_str())) {
            assert!(names(&page, key), "{key} is not on the page");
        }
    }
}

#[test]
fn every_script_on_the_page_can_be_read() {
    let page = page();
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 3);
    for block in blocks {
        SimulatorScript::parse_text(block, Path::new(".")).unwrap_or_else(|error| panic!("{error}\n{block}"));
    }
}

#[test]
fn every_example_is_on_the_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = page();
    for file in std::fs::read_dir(root.join("docs/examples/simulator")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(page.contains(&format!("(examples/simulator/{name})")), "{name} is not on the page");
        }
    }
}
