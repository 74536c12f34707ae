//! Compiles components apart from the threads that serve requests.
//!
//! The author of a component decides how long its compilation takes, and one that has begun cannot be stopped.
//! So it runs in a process of its own where there is a program for it ([`CompilerMode::Program`]), with low
//! priority, bounded memory and processor time, no file to write to, no system calls but those of computing, and a
//! time after which it is killed. Otherwise it runs on a thread and is given up when its time is over. It keeps its permit until it ends, so that
//! a hostile component delays later uploads, and never takes a second thread.
//!
//! Invariant: of a compiling process no more is read than the compiled form may have.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use kabar_core::fair_bound::FairPermit;

use crate::component::artifact::UnsignedArtifact;
use crate::component::inspect;
use crate::component::invalid_plugin::{CompileError, InvalidPlugin};
use crate::component::syscall_filter::restrict_syscalls;
use crate::runtime::engine;
use crate::runtime::outcome::error_text;

/// Niceness of hooks and compilations: their priority is lower by this much.
pub(crate) const NICENESS: i32 = 10;

/// Memory of a compiling process, whatever the component. The largest function that is taken takes 200 MB.
const BASE_MEMORY_BYTES: u64 = 512 << 20;
/// Further memory for each byte of the component. A Python guest of 18 MB takes a gigabyte.
const MEMORY_BYTES_PER_BYTE: u64 = 160;
/// Most memory of a compiling process.
const MEMORY_BYTES_MAX: u64 = 6 << 30;
/// Variable by which the program's allocator takes less address space at its start: its default, a gigabyte, would
/// count as memory.
const ALLOCATOR_RESERVE: (&str, &str) = ("MIMALLOC_ARENA_RESERVE", "64MiB");

/// Processor time of a compiling process, in seconds. It is as much as the default of
/// [`crate::HostOptions::compile_timeout`], and holds if nobody is left to kill the process.
const CPU_SECONDS_MAX: u64 = 60;
/// Linux's number of the signal that ends a process which used up its processor time.
const SIGXCPU: i32 = 24;
/// Makes the kernel end a compiling process first when memory runs out.
const OOM_SCORE: &str = "1000";

/// Most bytes of a component's compiled form, in any tier.
pub const COMPILED_BYTES_MAX: usize = 128 << 20;
/// A compiled form may have so many times the bytes of its component …
const COMPILED_FACTOR: usize = 8;
/// … and so many in any case.
const COMPILED_BYTES_MIN: usize = 256 << 10;

/// A memory is kept as an image ready to be mapped if the image has at most so many times the bytes of the
/// component's data. Without this bound a few bytes at the two ends of a memory make an image of 16 MiB.
const IMAGE_FACTOR: u64 = 4;
/// Most bytes of an image that is larger than its data: the default of wasmtime.
const SPARSE_IMAGE_BYTES_MAX: u64 = 16 << 20;

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
/// the work of a [`CompilerMode::Program`]: nothing else may be written to that output. Call it in a process that has
/// no other thread: only the calling one is held by the filter of system calls.
///
/// # Errors
/// When reading or writing fails.
pub fn compile_stdin(mut input: impl Read, mut output: impl Write) -> std::io::Result<()> {
    restrict_process();
    let mut wasm = Vec::new();
    input.read_to_end(&mut wasm)?;
    limit_memory(wasm.len());
    // It compiles without the filter as well, where the kernel has none.
    let _unfiltered = restrict_syscalls();
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

/// Limits what a compiling process may use. It compiles without these limits as well, so failures are ignored.
fn restrict_process() {
    let _unchanged = nice(NICENESS);
    let _unchanged = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let cpu = Rlimit { current: Some(CPU_SECONDS_MAX), maximum: Some(CPU_SECONDS_MAX + 1) };
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    for (resource, limit) in [(Resource::Cpu, cpu), (Resource::Fsize, none), (Resource::Core, none)] {
        let _unlimited = setrlimit(resource, limit);
    }
}

/// Limits the memory of a process that compiles a component of this size, as address space beyond what is mapped now.
fn limit_memory(component_bytes: usize) {
    let component_bytes = u64::try_from(component_bytes).unwrap_or(u64::MAX);
    let wanted = component_bytes.saturating_mul(MEMORY_BYTES_PER_BYTE).saturating_add(BASE_MEMORY_BYTES);
    let current = wanted.min(MEMORY_BYTES_MAX).saturating_add(mapped_bytes());
    let maximum = getrlimit(Resource::As).maximum;
    let _unlimited = setrlimit(Resource::As, Rlimit { current: Some(current), maximum });
}

/// Returns the address space of this process. Where the kernel does not tell, it is taken for a gigabyte.
fn mapped_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB"));
    size.and_then(|kib| kib.parse::<u64>().ok()).map_or(1 << 30, |kib| kib << 10)
}

pub(super) fn code_of(wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
    let data_bytes = u64::try_from(inspect::data_bytes(wasm)).unwrap_or(u64::MAX);
    let image_bytes = data_bytes.saturating_mul(IMAGE_FACTOR).min(SPARSE_IMAGE_BYTES_MAX);
    engine::compiling_engine(image_bytes)?.precompile_component(wasm)
}

/// Returns how many bytes the compiled form of a component may have, for a tenant that may have `tenant_max`.
pub(crate) fn compiled_bytes_max(component_bytes: usize, tenant_max: usize) -> usize {
    component_bytes
        .saturating_mul(COMPILED_FACTOR)
        .max(COMPILED_BYTES_MIN)
        .min(tenant_max.min(COMPILED_BYTES_MAX))
}

/// Limits of one compilation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CompileLimits {
    /// Most bytes of the compiled form.
    pub(crate) bytes_max: usize,
    /// Longest time.
    pub(crate) timeout: Duration,
}

/// Compiles a component; the permit is held as long as the compilation takes resources.
pub(crate) async fn compile_component(
    compiler: &CompilerMode,
    wasm: Bytes,
    limits: CompileLimits,
    permit: FairPermit,
) -> Result<UnsignedArtifact, CompileError> {
    match compiler {
        CompilerMode::Here => compile_on_thread(wasm, limits, permit).await,
        CompilerMode::Program { path, arguments } => {
            let mut command = Command::new(path);
            command.args(arguments);
            let compiled = compile_in_process(command, wasm, limits).await;
            drop(permit);
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

fn too_large(bytes_max: usize) -> CompileError {
    InvalidPlugin::CompiledSize { bytes_max }.into()
}

async fn compile_on_thread(
    wasm: Bytes,
    limits: CompileLimits,
    permit: FairPermit,
) -> Result<UnsignedArtifact, CompileError> {
    let (answer, answered) = oneshot::channel();
    let thread = std::thread::Builder::new().name("hook-compiler".to_owned());
    let spawned = thread.spawn(move || {
        let _unchanged = nice(NICENESS);
        let compiled = match code_of(&wasm) {
            Ok(code) if code.len() > limits.bytes_max => Err(too_large(limits.bytes_max)),
            Ok(code) => Ok(UnsignedArtifact::from_code(&code)),
            Err(error) => Err(compile_refused(error_text(&error))),
        };
        // The receiver is gone when the compilation took too long.
        let _unheard = answer.send(compiled);
        drop(permit);
    });
    spawned.map_err(compile_failed)?;
    match tokio::time::timeout(limits.timeout, answered).await {
        Ok(Ok(compiled)) => compiled,
        Ok(Err(_died)) => Err(compile_refused("the compiler broke on it".into())),
        Err(_elapsed) => Err(too_slow(limits.timeout)),
    }
}

/// End of a compiling process.
enum ProcessEnd {
    /// It ended by itself. The kind is the first byte of its answer, the code the others.
    Answered { status: ExitStatus, kind: Option<u8>, code: UnsignedArtifact },
    /// Its answer is too large; it is killed.
    TooLarge,
}

async fn compile_in_process(
    mut command: Command,
    wasm: Bytes,
    limits: CompileLimits,
) -> Result<UnsignedArtifact, CompileError> {
    // It needs no other environment variable, least of all a secret one.
    command.env_clear().env(ALLOCATOR_RESERVE.0, ALLOCATOR_RESERVE.1);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let child = command.spawn().map_err(compile_failed)?;
    let ended = tokio::time::timeout(limits.timeout, read_answer(child, &wasm, limits.bytes_max)).await;
    match ended.map_err(|_elapsed| too_slow(limits.timeout))?.map_err(compile_failed)? {
        ProcessEnd::TooLarge => Err(too_large(limits.bytes_max)),
        ProcessEnd::Answered { status, kind: Some(COMPILED), code } if status.success() => Ok(code),
        ProcessEnd::Answered { status, kind: Some(REFUSED), code } if status.success() => {
            Err(compile_refused(String::from_utf8_lossy(code.code()).into()))
        }
        ProcessEnd::Answered { status, .. } if status.signal() == Some(SIGXCPU) => {
            Err(too_slow(Duration::from_secs(CPU_SECONDS_MAX)))
        }
        // Out of memory, or a bug of the compiler: both are caused by the component.
        ProcessEnd::Answered { .. } => {
            Err(compile_refused("the compiler ran out of memory, or broke on it".into()))
        }
    }
}

/// Gives a compiling process its component, and reads its answer. Dropping the future kills the process.
async fn read_answer(mut child: Child, wasm: &[u8], bytes_max: usize) -> std::io::Result<ProcessEnd> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (Some(mut stdin), Some(mut stdout)) = (stdin, stdout) else {
        return Err(std::io::Error::other("the compiling process has no pipes"));
    };
    stdin.write_all(wasm).await?;
    drop(stdin);
    let mut kind = [0; 1];
    let read = stdout.read(&mut kind).await?;
    let [first] = kind;
    let kind = (read > 0).then_some(first);
    let mut code = UnsignedArtifact::default();
    let most = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    stdout.take(most).read_to_end(code.code_buffer()).await?;
    if code.code().len() > bytes_max {
        return Ok(ProcessEnd::TooLarge);
    }
    Ok(ProcessEnd::Answered { status: child.wait().await?, kind, code })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_forms_are_bounded_by_their_component() {
        let mib = |count: usize| count << 20;
        assert_eq!(compiled_bytes_max(1, mib(32)), 256 << 10);
        assert_eq!(compiled_bytes_max(mib(1), mib(32)), mib(8));
        assert_eq!(compiled_bytes_max(mib(18), mib(32)), mib(32));
        assert_eq!(compiled_bytes_max(mib(18), mib(128)), mib(128));
        assert_eq!(compiled_bytes_max(usize::MAX, usize::MAX), COMPILED_BYTES_MAX);
    }
}
