//! The history checker: runs kabar as a black box, injects faults by seed, records what every client saw, and
//! checks each answer against a model.
//!
//! Three layers that know only the one below: [`history`] (what is recorded), [`check`] (pure functions from a
//! history to violations), and the run itself ([`cluster`], [`workload`], [`faults`]). A history that was
//! written to a file is checked by the same code again.
//!
//! The command has three parts, each with `--help`: `run` (options for duration, seed, topology, faults and load),
//! `suite` (the short runs of `./test`) and `check FILE`. `just check-history` builds and calls it. What is
//! promised, attacked and found is in `docs/reliability.md`.
//!
//! A further fault is a variant of [`faults::FaultKind`], admitted by [`faults::Targets::admit`], planned by
//! [`faults::Plan`] and carried out by [`faults::injection::Injector`]. A further check is a file below [`check`] that
//! is listed in [`check::check_history`], with a hand-written history in its tests that it flags.

pub mod check;
pub mod cluster;
pub mod faults;
pub mod graph_stub;
pub mod history;
pub mod http_client;
pub mod http_stub;
pub mod json_rows;
pub mod kabar_server;
pub mod os_process;
pub mod postgres_server;
pub mod recorder;
pub mod redis_server;
pub mod report;
pub mod run;
pub mod tcp_proxy;
pub mod webhook_receiver;
pub mod whatsapp_client;
pub mod workload;
