//! System calls of a compiling process: those that computing and writing an answer take, and no others.
//!
//! Invariant: once the filter holds, the thread opens no file, makes no connection and starts no process, whatever code
//! it runs. The component was read before, and the answer goes to a pipe that is open already.

use std::collections::BTreeMap;
use std::sync::Arc;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// The calls: memory, the open pipes, locks, signals of a crash, clocks, and the end.
const ALLOWED: [libc::c_long; 30] = [
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_read,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_fstat,
    libc::SYS_write,
    libc::SYS_writev,
];

fn build_filter() -> Result<BpfProgram, Arc<str>> {
    let refused = |error: seccompiler::BackendError| Arc::<str>::from(error.to_string());
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(refused)?;
    let rules: BTreeMap<i64, _> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    // A call that is refused as unknown ends no process: libraries go another way, or report it.
    let otherwise = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let filter = SeccompFilter::new(rules, otherwise, SeccompAction::Allow, arch).map_err(refused)?;
    filter.try_into().map_err(refused)
}

/// Refuses all other system calls to this thread, and to threads that it starts.
///
/// # Errors
/// When the kernel or the processor has no such filters.
pub(crate) fn restrict_syscalls() -> Result<(), Arc<str>> {
    seccompiler::apply_filter(&build_filter()?).map_err(|error| error.to_string().into())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::ErrorKind;
    use std::net::{TcpStream, UdpSocket};
    use std::process::Command;

    use super::*;
    use crate::component::compile::code_of;

    const COMPONENT: &str = r#"(component (core module (func (export "f") (param i32) (result i32)
        (i32.mul (local.get 0) (i32.const 3)))))"#;

    #[test]
    fn a_filtered_thread_compiles_and_reaches_nothing() {
        let wasm = wat::parse_str(COMPONENT).unwrap();
        let thread = std::thread::spawn(move || {
            restrict_syscalls().unwrap();
            let refused = [
                File::open("/proc/self/status").map(drop),
                TcpStream::connect("127.0.0.1:9").map(drop),
                UdpSocket::bind("127.0.0.1:0").map(drop),
                Command::new("/bin/true").spawn().map(drop),
            ];
            (refused.map(|tried| tried.unwrap_err().kind()), code_of(&wasm).map(|code| code.len()))
        });
        let (refused, compiled) = thread.join().unwrap();
        assert_eq!(refused, [ErrorKind::Unsupported; 4]);
        assert!(compiled.unwrap() > 0);
    }
}
