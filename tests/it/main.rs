//! The house as its users meet it: the real server, the real database, the repository itself.

#![cfg(test)]

mod api;
mod cli;
mod cluster;
mod delivery;
mod faults;
mod harness;
mod meta;
mod plugins;
mod repo;
mod secrets;
mod sending;
mod simulator;
