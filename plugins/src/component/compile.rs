//! Compiles components apart from the threads that serve requests.
//!
//! The author of a component decides how long its compilation takes, and one that has begun cannot be stopped.
//! So it runs in a process of its own where there is a program for it ([`CompilerMode::Program`]), with low
//! priority, bounded memory and a time after which it is killed. Otherwise it runs on a thread and is given up
//! when its time is over. It keeps its permit until it ends, so that a hostile component delays later uploads,
//! and never takes a second thread.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::oneshot;

use crate::component::invalid_plugin::{CompileError, InvalidPlugin};
use crate::runtime::engine;
use crate::runtime::outcome::error_text;
use crate::scheduler::fair_queue::QueuePermit;

/// Niceness of hooks and compilations: their priority is lower by this much.
pub(crate) const NICENESS: i32 = 10;

/// Address space of a compiling process. A Python guest takes one.
const MEMORY_BYTES_MAX: u64 = 6 << 30;

/// First byte of a compiling process's answer.
const COMPILED: u8 = b'+';
const REFUSED: u8 = b'-';

/// Place where compilations run. The compilation of a hostile component can take minutes, and cannot be
/// stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompilerMode {
    /// On a thread of this process. One that takes too long is given up, but goes on, and delays later
    /// compilations until it ends.
    Here,
    /// In a process of its own, which is killed when it takes too long.
    Program {
        /// An executable that answers as [`crate::compile_stdin`] does.
        path: PathBuf,
        /// Arguments that make it do so.
        arguments: Vec<String>,
    },
}

/// Reads a component, and writes a `+` and its machine code, or a `-` and the reason that it has none. This is
/// the work of a [`CompilerMode::Program`]: nothing else may be written to that output.
///
/// # Errors
/// When reading or writing fails.
pub fn compile_stdin(mut input: impl Read, mut output: impl Write) -> std::io::Result<()> {
    // It compiles without these limits as well.
    let _unchanged = nice(NICENESS);
    let limit = Rlimit { current: Some(MEMORY_BYTES_MAX), maximum: getrlimit(Resource::As).maximum };
    let _unlimited = setrlimit(Resource::As, limit);
    let mut wasm = Vec::new();
    input.read_to_end(&mut wasm)?;
    match code_of(&wasm) {
        Ok(code) => {
            output.write_all(&[COMPILED])?;
            output.write_all(&code)?;
        }
        Err(error) => {
            output.write_all(&[REFUSED])?;
            output.write_all(error_text(&error).as_bytes())?;
        }
    }
    output.flush()
}

fn code_of(wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
    engine::compiling_engine()?.precompile_component(wasm)
}

/// Compiles a component; the permit is held as long as the compilation takes resources.
pub(crate) async fn compile_component(
    compiler: &CompilerMode,
    wasm: Bytes,
    timeout: Duration,
    seat: QueuePermit,
) -> Result<Vec<u8>, CompileError> {
    match compiler {
        CompilerMode::Here => compile_on_thread(wasm, timeout, seat).await,
        CompilerMode::Program { path, arguments } => {
            let mut command = Command::new(path);
            command.args(arguments);
            let compiled = compile_in_process(command, wasm, timeout).await;
            drop(seat);
            compiled
        }
    }
}

fn compile_failed(error: impl std::fmt::Display) -> CompileError {
    CompileError::Failed(error.to_string().into())
}

fn compile_refused(words: Arc<str>) -> CompileError {
    InvalidPlugin::DoesNotCompile(words).into()
}

fn too_slow(timeout: Duration) -> CompileError {
    InvalidPlugin::TooSlow { seconds: timeout.as_secs() }.into()
}

async fn compile_on_thread(
    wasm: Bytes,
    timeout: Duration,
    seat: QueuePermit,
) -> Result<Vec<u8>, CompileError> {
    let (answer, answered) = oneshot::channel();
    let thread = std::thread::Builder::new().name("hook-compiler".to_owned());
    let spawned = thread.spawn(move || {
        let _unchanged = nice(NICENESS);
        // The receiver is gone when the compilation took too long.
        let _unheard = answer.send(code_of(&wasm).map_err(|error| error_text(&error)));
        drop(seat);
    });
    spawned.map_err(compile_failed)?;
    match tokio::time::timeout(timeout, answered).await {
        Ok(Ok(compiled)) => compiled.map_err(compile_refused),
        Ok(Err(_died)) => Err(compile_refused("the compiler broke on it".into())),
        Err(_elapsed) => Err(too_slow(timeout)),
    }
}

async fn compile_in_process(
    mut command: Command,
    wasm: Bytes,
    timeout: Duration,
) -> Result<Vec<u8>, CompileError> {
    // It needs no environment variable, least of all a secret one.
    command.env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(compile_failed)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (Some(mut stdin), Some(mut stdout)) = (stdin, stdout) else {
        return Err(compile_failed("the compiling process has no pipes"));
    };
    let work = async {
        stdin.write_all(&wasm).await?;
        drop(stdin);
        let mut answer = Vec::new();
        stdout.read_to_end(&mut answer).await?;
        child.wait().await.map(|status| (status, answer))
    };
    let ended = tokio::time::timeout(timeout, work).await.map_err(|_elapsed| too_slow(timeout))?;
    let (status, mut answer) = ended.map_err(compile_failed)?;
    match answer.first().copied() {
        Some(COMPILED) if status.success() => {
            answer.remove(0);
            Ok(answer)
        }
        Some(REFUSED) if status.success() => {
            let words = answer.get(1..).unwrap_or_default();
            Err(compile_refused(String::from_utf8_lossy(words).into()))
        }
        // Out of memory, or a bug of the compiler: both are caused by the component.
        Some(_) | None => Err(compile_refused("the compiler ran out of memory, or broke on it".into())),
    }
}
