//! A history in the order in which checks need it.

use std::collections::{BTreeMap, HashMap};

use super::Counts;
use crate::history::{
    Body, Delivery, Digest, Entry, Event, Fault, Final, GraphCall, InboundItem, KeyUse, LogPart, Micros,
    Poll, Register, Replica, Row, RunInfo, Write,
};

/// The entries of a history, by kind.
#[derive(Debug, Default)]
pub struct Index<'a> {
    /// What was run.
    pub run: RunInfo,
    /// Rows by digest.
    pub rows: HashMap<Digest, &'a Row>,
    /// Bodies by digest.
    pub bodies: HashMap<Digest, &'a Body>,
    /// GETs.
    pub polls: Vec<&'a Poll>,
    /// Requests that change something.
    pub writes: Vec<&'a Write>,
    /// Versions of events.
    pub events: Vec<&'a Event>,
    /// Parts of logs.
    pub logs: Vec<&'a LogPart>,
    /// Calls at the Graph API, by their beginning.
    pub calls: Vec<&'a GraphCall>,
    /// WhatsApp's webhooks.
    pub inbound: Vec<&'a InboundItem>,
    /// Requests at the receiver, by their beginning.
    pub deliveries: Vec<&'a Delivery>,
    /// Requests with keys that are revoked.
    pub key_uses: Vec<&'a KeyUse>,
    /// Reads of registers.
    pub registers: Vec<&'a Register>,
    /// Replicas in the end.
    pub replicas: Vec<&'a Replica>,
    /// Lists in the end.
    pub finals: Vec<&'a Final>,
    /// Faults.
    pub faults: Vec<&'a Fault>,
    /// When clients stopped writing.
    pub quiet: Option<Micros>,
}

impl<'a> Index<'a> {
    /// Sorts entries by kind.
    pub fn build(entries: &'a [Entry]) -> Self {
        let mut index = Self::default();
        for entry in entries {
            match entry {
                Entry::Run(run) => index.run = run.clone(),
                Entry::Row(row) => _ = index.rows.insert(row.d, row),
                Entry::Body(body) => _ = index.bodies.insert(body.d, body),
                Entry::Poll(poll) => index.polls.push(poll),
                Entry::Write(write) => index.writes.push(write),
                Entry::Event(event) => index.events.push(event),
                Entry::Log(part) => index.logs.push(part),
                Entry::Call(call) => index.calls.push(call),
                Entry::Inbound(item) => index.inbound.push(item),
                Entry::Delivery(delivery) => index.deliveries.push(delivery),
                Entry::KeyUse(key_use) => index.key_uses.push(key_use),
                Entry::Register(register) => index.registers.push(register),
                Entry::Replica(replica) => index.replicas.push(replica),
                Entry::Final(last) => index.finals.push(last),
                Entry::Fault(fault) => index.faults.push(fault),
                Entry::Quiet { at } => index.quiet = Some(*at),
            }
        }
        index.calls.sort_by_key(|call| call.s);
        index.deliveries.sort_by_key(|delivery| delivery.s);
        index
    }

    /// The rows of a body that are known.
    pub fn rows_of(&self, body: Digest) -> impl Iterator<Item = &'a Row> + '_ {
        let rows = self.bodies.get(&body).map_or(&[][..], |body| &body.rows);
        rows.iter().filter_map(|digest| self.rows.get(digest).copied())
    }

    /// Whether a span touches a fault that can delay or refuse requests, or the `grace` after one.
    pub fn is_disturbed(&self, from: Micros, to: Micros, grace: Micros) -> bool {
        self.faults.iter().any(|fault| !is_harmless(&fault.kind) && fault.s <= to && from <= fault.e + grace)
    }

    /// What there is to check.
    pub fn counts(&self) -> Counts {
        let not_modified = self.polls.iter().filter(|poll| poll.st == 304).count();
        [
            ("polls", self.polls.len() + self.logs.len()),
            ("polls answered 304", not_modified),
            ("writes", self.writes.len()),
            ("webhooks from WhatsApp", self.inbound.len()),
            ("sends at the Graph API", self.calls.len()),
            ("deliveries at the receiver", self.deliveries.len()),
            ("events", self.events.len()),
            ("row versions", self.rows.len()),
            ("uses of keys to be revoked", self.key_uses.len()),
        ]
        .into_iter()
        .map(|(name, count)| (name, count as u64))
        .collect::<BTreeMap<_, _>>()
    }
}

/// Faults that excuse no error and no delay: a lost Redis, another clock, a second process under one address, and
/// whatever is wrong with those that kabar calls or that call it from outside.
fn is_harmless(kind: &str) -> bool {
    ["redis", "clock", "twin", "graph"].iter().any(|harmless| kind.starts_with(harmless))
        || ["-redis", "-graph", "-receiver", ":whatsapp-node"].iter().any(|harmless| kind.ends_with(harmless))
}
