//! The house as its users meet it: the real server, the real database, the repository itself.

#![cfg(test)]

mod auth;
mod backup;
mod bad_days;
mod binary;
mod budgets;
mod clocks;
mod cluster;
mod contacts;
mod conventions;
mod conversations;
mod durability;
mod entity_tags;
mod errors;
mod events;
mod full_disk;
mod guests;
mod harness;
mod hook_crashes;
mod hooks;
mod horizon;
mod hostile;
mod house;
mod idempotency;
mod ingress;
mod load;
mod long_polls;
mod messages;
mod meta;
mod operator;
mod packaging;
mod paging;
mod postgres_faults;
mod response_cache;
mod send_crashes;
mod sending;
mod shared_memory;
mod simulator;
mod storage_faults;
mod tenancy;
mod vitals;
mod webhook_crashes;
mod webhooks;
