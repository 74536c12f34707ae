//! `kabar plugin new`: copies the worked example of a language, with everything that it is built from.
//!
//! The files are those of `plugins/examples`, so the tests build the same files.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use kabar_plugins::component::wrap::{WIT, WIT_V1_1};

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

/// Version of the package `kabar:hooks` that a hook is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum HookPackage {
    /// For servers that do not have the newer one.
    #[value(name = "1.0")]
    V1_0,
    /// With identifiers, details of messages, and younger types of events.
    #[value(name = "1.1")]
    V1_1,
}

/// Arguments of `kabar plugin new`.
#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// Name of the hook, and of the new folder.
    name: String,
    /// Language of the hook.
    #[arg(long, default_value = "rust")]
    lang: HookLanguage,
    /// Version of `kabar:hooks` that it is written for.
    #[arg(long, default_value = "1.1", value_name = "VERSION")]
    package: HookPackage,
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
    ("kabar/freestanding.c", include_str!("../../../plugins/sdk-c/freestanding.c")),
    ("kabar/include/stdlib.h", include_str!("../../../plugins/sdk-c/include/stdlib.h")),
    ("kabar/include/string.h", include_str!("../../../plugins/sdk-c/include/string.h")),
];
const C_BINDINGS: &[TemplateFile] = &[
    ("kabar/status_hook.c", include_str!("../../../plugins/sdk-c/status_hook.c")),
    ("kabar/status_hook.h", include_str!("../../../plugins/sdk-c/status_hook.h")),
];
const C_BINDINGS_V1_1: &[TemplateFile] = &[
    ("kabar/status_hook.c", include_str!("../../../plugins/sdk-c-1.1/status_hook.c")),
    ("kabar/status_hook.h", include_str!("../../../plugins/sdk-c-1.1/status_hook.h")),
];

impl HookPackage {
    const fn wit_files(self) -> &'static [TemplateFile] {
        match self {
            Self::V1_0 => &WIT,
            Self::V1_1 => &WIT_V1_1,
        }
    }

    const fn c_bindings(self) -> &'static [TemplateFile] {
        match self {
            Self::V1_0 => C_BINDINGS,
            Self::V1_1 => C_BINDINGS_V1_1,
        }
    }
}

impl HookLanguage {
    const fn example(self) -> (&'static str, &'static [TemplateFile]) {
        match self {
            Self::Rust => ("rust-fallback", RUST),
            Self::Javascript => ("javascript-alert", JAVASCRIPT),
            Self::Python => ("python-statistics", PYTHON),
            Self::C => ("c-assign", C),
        }
    }

    /// Returns the files that are the same for every hook. The crate for Rust has both packages, by a feature.
    fn shared_files(self, package: HookPackage) -> Vec<(String, &'static str)> {
        let copied =
            |files: &'static [TemplateFile]| files.iter().map(|(path, text)| ((*path).to_owned(), *text));
        let placed = |folder: &'static str, files: &'static [TemplateFile]| {
            files.iter().map(move |(name, text)| (format!("{folder}/{name}"), *text))
        };
        match self {
            Self::Rust => copied(RUST_SDK)
                .chain(placed("kabar-hook/wit", &WIT))
                .chain(placed("kabar-hook/wit-1.1", &WIT_V1_1))
                .collect(),
            Self::Javascript | Self::Python => placed("wit", package.wit_files()).collect(),
            Self::C => copied(C_SDK)
                .chain(copied(package.c_bindings()))
                .chain(placed("wit", package.wit_files()))
                .collect(),
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

/// Renames the example, changes its paths, and its package if an older one was chosen: the repository has the
/// dependencies beside it, the new folder below it.
fn rewrite_example(text: &str, example: &str, args: &NewArgs) -> String {
    let text = text
        .replace("../../sdk-c-1.1", "kabar")
        .replace("../../sdk", "kabar-hook")
        .replace("../../wit-1.1", "wit")
        .replace(example, &args.name);
    match args.package {
        HookPackage::V1_0 => text.replace(", features = [\"v1_1\"]", "").replace("@1.1.0", "@1.0.0"),
        HookPackage::V1_1 => text,
    }
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
    let (example, own) = args.lang.example();
    for (path, text) in own {
        write_file(&folder.join(path), &rewrite_example(text, example, args))?;
    }
    for (path, text) in args.lang.shared_files(args.package) {
        write_file(&folder.join(path), text)?;
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

    const LANGUAGES: [HookLanguage; 4] =
        [HookLanguage::Rust, HookLanguage::Javascript, HookLanguage::Python, HookLanguage::C];

    fn arguments(name: &str, lang: HookLanguage, package: HookPackage, folder: &Path) -> NewArgs {
        NewArgs { name: name.to_owned(), lang, package, folder: folder.to_owned() }
    }

    #[test]
    fn a_new_folder_holds_all_that_it_is_built_from() {
        let folder = tempfile::tempdir().unwrap();
        for lang in LANGUAGES {
            for package in [HookPackage::V1_0, HookPackage::V1_1] {
                let name = format!("my-{lang:?}-{package:?}").to_lowercase().replace('_', "-");
                let args = arguments(&name, lang, package, folder.path());
                create_folder(&args).unwrap();
                assert!(create_folder(&args).is_err(), "nothing is overwritten");
                let made = folder.path().join(&name);
                let wit =
                    if lang == HookLanguage::Rust { "kabar-hook/wit/world.wit" } else { "wit/world.wit" };
                assert!(made.join(wit).is_file());
                assert!(made.join("sample.json").is_file());
                for (path, _) in lang.example().1 {
                    let text = std::fs::read_to_string(made.join(path)).unwrap();
                    assert!(!text.contains("../.."), "{path} of {name} points out of its folder");
                }
            }
        }
        for name in ["", "A", "a/b", "..", "1a", "a b"] {
            let args = arguments(name, HookLanguage::C, HookPackage::V1_1, folder.path());
            assert!(create_folder(&args).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_new_folder_is_of_one_package() {
        for (package, own, other) in
            [(HookPackage::V1_0, "@1.0.0", "@1.1.0"), (HookPackage::V1_1, "@1.1.0", "@1.0.0")]
        {
            let folder = tempfile::tempdir().unwrap();
            for lang in [HookLanguage::Javascript, HookLanguage::Python, HookLanguage::C] {
                let name = format!("my-{lang:?}").to_lowercase();
                create_folder(&arguments(&name, lang, package, folder.path())).unwrap();
                let made = folder.path().join(name);
                let read = |path: &str| std::fs::read_to_string(made.join(path)).unwrap();
                assert!(read("wit/types.wit").contains(own) && !read("wit/types.wit").contains(other));
                if lang == HookLanguage::Javascript {
                    assert!(read("hook.js").contains(own) && !read("hook.js").contains(other));
                }
                if lang == HookLanguage::C {
                    let bindings = read("kabar/status_hook.c");
                    assert!(bindings.contains(own) && !bindings.contains(other));
                }
            }
            create_folder(&arguments("my-rust", HookLanguage::Rust, package, folder.path())).unwrap();
            let manifest = std::fs::read_to_string(folder.path().join("my-rust/Cargo.toml")).unwrap();
            assert_eq!(manifest.contains("v1_1"), package == HookPackage::V1_1);
        }
    }
}
