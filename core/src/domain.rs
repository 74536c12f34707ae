//! Nouns and rules, pure: no I/O, no serialisation, no async, no clock but the one passed in.
//!
//! Each noun has a file of its own. The same noun has the same file name in every layer above.

pub mod account;
pub mod address;
pub mod allowed_hosts;
pub mod command;
mod command_refusal;
pub mod contact;
pub mod conversation;
pub mod decide;
pub mod delivery;
pub mod draft;
pub mod due_time;
pub mod effect;
pub mod erasure;
pub mod etag;
pub mod event;
pub mod identifier;
pub mod identity;
pub mod inbound;
pub mod item_effects;
pub mod json_members;
pub mod key_values;
pub mod loaded_rows;
pub mod log;
pub mod message;
pub mod message_details;
pub mod monotonic;
pub mod operator_token;
pub mod organisation;
pub mod page;
pub mod parked;
pub mod party;
pub mod phone;
pub mod plugin;
pub mod principal;
pub mod read_receipt;
pub mod row_needs;
pub mod row_version;
pub mod run;
pub mod scopes;
pub mod status;
pub mod stored_item;
pub mod subscriber;
pub mod subscription;
pub mod time;
pub mod wamid;
