//! `kabar plugin new`: copies the worked example of a language, with everything that it is built from.
//!
//! The files are those of `plugins/examples`, so the tests build the same files.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use kabar_plugins::component::wrap::WIT;

/// Language of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum HookLanguage {
    /// Small and fast; needs a target for WebAssembly.
    Rust,
    /// On a small engine, 1 MB; needs Node.js.
    #[value(alias = "js")]
    Javascript,
    /// With all of Python, 18 MB; needs componentize-py.
    Python,
    /// Smallest; needs clang and lld.
    C,
}

/// Arguments of `kabar plugin new`.
#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// Name of the hook, and of the new folder.
    name: String,
    /// Language of the hook.
    #[arg(long, default_value = "rust")]
    lang: HookLanguage,
    /// Folder in which the new one is created.
    #[arg(long, default_value = ".", value_name = "DIR")]
    folder: PathBuf,
}

type TemplateFile = (&'static str, &'static str);

macro_rules! example {
    ($folder:literal: $($path:literal),*) => {
        &[$(($path, include_str!(concat!("../../../plugins/examples/", $folder, "/", $path))),)*]
    };
}

const RUST: &[TemplateFile] = example!("rust-fallback": "Cargo.toml", "src/lib.rs", "sample.json");
const JAVASCRIPT: &[TemplateFile] = example!("javascript-alert": "hook.js", "package.json", "sample.json");
const PYTHON: &[TemplateFile] = example!("python-statistics": "app.py", "requirements.txt", "sample.json");
const C: &[TemplateFile] = example!("c-assign": "hook.c", "sample.json");

const RUST_SDK: &[TemplateFile] = &[
    ("kabar-hook/Cargo.toml", include_str!("../../../plugins/sdk/Cargo.toml")),
    ("kabar-hook/src/lib.rs", include_str!("../../../plugins/sdk/src/lib.rs")),
];
const C_SDK: &[TemplateFile] = &[
    ("kabar/status_hook.c", include_str!("../../../plugins/sdk-c/status_hook.c")),
    ("kabar/status_hook.h", include_str!("../../../plugins/sdk-c/status_hook.h")),
    ("kabar/freestanding.c", include_str!("../../../plugins/sdk-c/freestanding.c")),
    ("kabar/include/stdlib.h", include_str!("../../../plugins/sdk-c/include/stdlib.h")),
    ("kabar/include/string.h", include_str!("../../../plugins/sdk-c/include/string.h")),
];

impl HookLanguage {
    const fn example(self) -> (&'static str, &'static [TemplateFile], &'static [TemplateFile]) {
        match self {
            Self::Rust => ("rust-fallback", RUST, RUST_SDK),
            Self::Javascript => ("javascript-alert", JAVASCRIPT, &[]),
            Self::Python => ("python-statistics", PYTHON, &[]),
            Self::C => ("c-assign", C, C_SDK),
        }
    }

    const fn wit_folder(self) -> &'static str {
        match self {
            Self::Rust => "kabar-hook/wit",
            Self::Javascript | Self::Python | Self::C => "wit",
        }
    }

    const fn first_step(self) -> &'static str {
        match self {
            Self::Rust => "rustup target add wasm32-wasip2",
            Self::Javascript => "npm install",
            Self::Python => "pip install -r requirements.txt",
            Self::C => "apt-get install clang lld",
        }
    }
}

/// Returns `true` for a name that is valid as a folder and as a package in every language.
fn is_name(text: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 64 && text.bytes().all(sound) && text.starts_with(|sign: char| sign.is_ascii_lowercase())
}

/// Renames the example, and changes its paths: the repository has its dependencies beside it, the new folder
/// below it.
fn rename_example(text: &str, example: &str, name: &str) -> String {
    text.replace("../../sdk-c", "kabar")
        .replace("../../sdk", "kabar-hook")
        .replace("../../wit", "wit")
        .replace(example, name)
}

/// Creates the folder.
pub(super) fn create_folder(args: &NewArgs) -> anyhow::Result<()> {
    if !is_name(&args.name) {
        bail!("a name has lower-case letters, digits and hyphens, and begins with a letter");
    }
    let folder = args.folder.join(&args.name);
    if folder.exists() {
        bail!("{} is there already", folder.display());
    }
    let (example, own, sdk) = args.lang.example();
    for (path, text) in own {
        write_file(&folder.join(path), &rename_example(text, example, &args.name))?;
    }
    for (path, text) in sdk {
        write_file(&folder.join(path), text)?;
    }
    for (name, text) in WIT {
        write_file(&folder.join(args.lang.wit_folder()).join(name), text)?;
    }
    write_file(&folder.join(".gitignore"), "/target\n/node_modules\n/.venv\n*.wasm\n")?;
    let (place, first) = (folder.display(), args.lang.first_step());
    let told = format!(
        "{place} is ready. Next:\n  cd {place}\n  {first}\n  kabar plugin build\n  kabar plugin test hook.wasm --event sample.json\n"
    );
    std::io::stdout().write_all(told.as_bytes())?;
    Ok(())
}

fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, text)).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_holds_all_that_it_is_built_from() {
        let folder = tempfile::tempdir().unwrap();
        for lang in [HookLanguage::Rust, HookLanguage::Javascript, HookLanguage::Python, HookLanguage::C] {
            let name = format!("my-{lang:?}").to_lowercase();
            let args = NewArgs { name: name.clone(), lang, folder: folder.path().to_owned() };
            create_folder(&args).unwrap();
            assert!(create_folder(&args).is_err(), "nothing is overwritten");
            let made = folder.path().join(&name);
            assert!(made.join(lang.wit_folder()).join("world.wit").is_file());
            assert!(made.join("sample.json").is_file());
            for (path, _) in lang.example().1 {
                let text = std::fs::read_to_string(made.join(path)).unwrap();
                assert!(!text.contains("../.."), "{path} of {name} points out of its folder");
            }
        }
        for name in ["", "A", "a/b", "..", "1a", "a b"] {
            let args =
                NewArgs { name: name.to_owned(), lang: HookLanguage::C, folder: folder.path().to_owned() };
            assert!(create_folder(&args).is_err(), "{name:?}");
        }
    }
}
