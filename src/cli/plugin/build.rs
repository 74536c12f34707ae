//! `kabar plugin build`: runs the language's own compiler, and makes a component of its output.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use clap::Args;
use kabar_plugins::component::wrap::wrap_module;

/// Arguments of `kabar plugin build`.
#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// Folder of the hook, or a core module to make a component of.
    #[arg(default_value = ".", value_name = "PATH")]
    path: PathBuf,
    /// Path of the component; `hook.wasm` beside the input when absent.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Rust's target; without it, wasm32-wasip2 or wasm32-unknown-unknown, whichever is installed.
    #[arg(long, env = "CARGO_BUILD_TARGET", value_name = "TARGET")]
    target: Option<String>,
    /// Folder with the bindings, for hooks in C.
    #[arg(long, value_name = "DIR")]
    bindings: Option<PathBuf>,
    /// Folder with the WIT, for hooks in Python.
    #[arg(long, value_name = "DIR")]
    wit: Option<PathBuf>,
}

/// Builds the component.
pub(super) fn build_component(args: &BuildArgs) -> anyhow::Result<()> {
    let path = &args.path;
    let folder = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(Path::new(".")) };
    let output = args.output.clone().unwrap_or_else(|| folder.join("hook.wasm"));
    let built = if path.is_file() {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?
    } else if path.join("Cargo.toml").is_file() {
        build_rust(path, args.target.as_deref())?
    } else if path.join("package.json").is_file() {
        build_javascript(path)?
    } else if path.join("app.py").is_file() {
        build_python(path, &find_given(args.wit.as_deref(), "wit")?)?
    } else if path.join("hook.c").is_file() {
        build_c(path, &find_given(args.bindings.as_deref(), "kabar")?)?
    } else {
        bail!("{} holds no Cargo.toml, package.json, app.py or hook.c", path.display());
    };
    let component = wrap_module(&built)?;
    std::fs::write(&output, &component).with_context(|| format!("cannot write {}", output.display()))?;
    let told = format!("{}: {} KB\n", output.display(), component.len().div_ceil(1000));
    std::io::stdout().write_all(told.as_bytes())?;
    Ok(())
}

/// Returns the given folder as an absolute path, for tools that run elsewhere; else one beside the hook.
fn find_given(folder: Option<&Path>, beside: &str) -> std::io::Result<PathBuf> {
    folder.map_or_else(|| Ok(PathBuf::from(beside)), std::path::absolute)
}

/// Returns a command that runs in a folder and shows its output.
fn build_tool(folder: &Path, name: &str) -> Command {
    let mut command = Command::new(name);
    command.current_dir(folder);
    command
}

fn run_command(mut command: Command, missing: &str) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot run {name}: {missing}"))?;
    if status.success() { Ok(()) } else { bail!("{name} failed ({status})") }
}

fn is_installed(target: &str) -> bool {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    asked.is_ok_and(|answer| {
        answer.status.success() && Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_dir()
    })
}

fn build_rust(folder: &Path, target: Option<&str>) -> anyhow::Result<Vec<u8>> {
    const TARGETS: [&str; 2] = ["wasm32-wasip2", "wasm32-unknown-unknown"];
    let target = match target {
        Some(target) => target,
        None => TARGETS
            .into_iter()
            .find(|target| is_installed(target))
            .context("Rust has no target for WebAssembly here: `rustup target add wasm32-wasip2`")?,
    };
    let mut command = build_tool(folder, "cargo");
    command.args(["build", "--release", "--message-format=json-render-diagnostics", "--target", target]);
    let ran = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).output();
    let answer = ran.context("cannot run cargo: install Rust with rustup")?;
    if !answer.status.success() {
        bail!("cargo failed ({})", answer.status);
    }
    let lines = String::from_utf8_lossy(&answer.stdout).into_owned();
    let built = lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let files = built.filter_map(|message| message.get("filenames").and_then(|all| all.as_array().cloned()));
    let mut files = files.flatten().filter_map(|file| file.as_str().map(PathBuf::from));
    let wasm = files.rfind(|file| file.extension() == Some(OsStr::new("wasm")));
    let wasm = wasm.context("cargo built no WebAssembly: set crate-type = [\"cdylib\"] under [lib]")?;
    std::fs::read(&wasm).with_context(|| format!("cannot read {}", wasm.display()))
}

fn build_javascript(folder: &Path) -> anyhow::Result<Vec<u8>> {
    const MISSING: &str = "install Node.js";
    if !folder.join("node_modules").is_dir() {
        let mut install = build_tool(folder, "npm");
        install.args(["install", "--no-audit", "--no-fund"]);
        run_command(install, MISSING)?;
    }
    let mut build = build_tool(folder, "npm");
    build.args(["run", "--silent", "build"]);
    run_command(build, MISSING)?;
    std::fs::read(folder.join("hook.wasm")).context("`npm run build` made no hook.wasm")
}

fn build_python(folder: &Path, wit: &Path) -> anyhow::Result<Vec<u8>> {
    let own = std::fs::canonicalize(folder.join(".venv/bin/componentize-py"));
    let name = own.map_or_else(|_| "componentize-py".to_owned(), |path| path.to_string_lossy().into_owned());
    let mut build = build_tool(folder, &name);
    build.arg("-d").arg(wit).args(["-w", "status-hook", "componentize", "app", "-o", "hook.wasm"]);
    run_command(build, "`pip install -r requirements.txt`")?;
    std::fs::read(folder.join("hook.wasm")).context("componentize-py made no hook.wasm")
}

fn build_c(folder: &Path, bindings: &Path) -> anyhow::Result<Vec<u8>> {
    let core = tempfile::Builder::new().prefix("hook").suffix(".wasm").tempfile()?;
    let mut build = build_tool(folder, "clang");
    build.args([
        "--target=wasm32",
        "-Os",
        "-ffreestanding",
        "-nostdlib",
        "-Wall",
        "-Wl,--no-entry",
        "-Wl,--strip-debug",
    ]);
    build.arg("-I").arg(bindings).arg("-isystem").arg(bindings.join("include")).arg("hook.c");
    build.arg(bindings.join("status_hook.c")).arg(bindings.join("freestanding.c"));
    build.arg("-o").arg(core.path());
    run_command(build, "`apt-get install clang lld`")?;
    std::fs::read(core.path()).context("clang made nothing")
}
