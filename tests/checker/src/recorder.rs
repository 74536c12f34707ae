//! The recorder: takes entries from all clients and writes them to a file beside them.
//!
//! Invariant: an entry is queued before the next request of its client begins, and rows and bodies go before the
//! entries that name them. Writing is done by a thread of its own, so that no client waits for a disk.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::history::{Digest, Entry, Micros};

/// The recorder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    began: Instant,
    queue: Mutex<Option<Sender<Entry>>>,
    known: Vec<Mutex<HashSet<Digest>>>,
    polls: AtomicU64,
    writes: AtomicU64,
    thread: Mutex<Option<JoinHandle<std::io::Result<()>>>>,
}

/// Parts of the set of known digests, so that clients do not wait for each other.
const PARTS: usize = 16;

impl Recorder {
    /// A recorder that writes to this file.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
        let (queue, entries) = channel::<Entry>();
        let thread = std::thread::spawn(move || {
            for entry in entries {
                serde_json::to_writer(&mut file, &entry)?;
                file.write_all(b"\n")?;
            }
            file.flush()
        });
        let shared = Shared {
            began: Instant::now(),
            queue: Mutex::new(Some(queue)),
            known: (0..PARTS).map(|_| Mutex::default()).collect(),
            polls: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            thread: Mutex::new(Some(thread)),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The instant now.
    pub fn now(&self) -> Micros {
        self.shared.began.elapsed().as_micros() as Micros
    }

    /// Adds an entry.
    pub fn record(&self, entry: Entry) {
        match &entry {
            Entry::Poll(_) | Entry::Log(_) => _ = self.shared.polls.fetch_add(1, Ordering::Relaxed),
            Entry::Write(_) | Entry::Inbound(_) => _ = self.shared.writes.fetch_add(1, Ordering::Relaxed),
            _ => {}
        }
        if let Some(queue) = self.shared.queue.lock().unwrap().as_ref() {
            let _closed = queue.send(entry);
        }
    }

    /// Whether a digest is new; it is known from then on.
    pub fn is_new(&self, digest: Digest) -> bool {
        self.shared.known[digest as usize % PARTS].lock().unwrap().insert(digest)
    }

    /// Polls and writes until now.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.polls.load(Ordering::Relaxed), self.shared.writes.load(Ordering::Relaxed))
    }

    /// Writes what is queued and closes the file.
    pub fn close(&self) -> anyhow::Result<()> {
        self.shared.queue.lock().unwrap().take();
        let thread = self.shared.thread.lock().unwrap().take();
        if let Some(thread) = thread {
            thread.join().map_err(|_| anyhow::anyhow!("the history's thread panicked"))??;
        }
        Ok(())
    }
}

/// The digest of bytes, with a name that keeps kinds apart.
pub fn digest(kind: &str, bytes: &[u8]) -> Digest {
    let mut hasher = DefaultHasher::new();
    kind.hash(&mut hasher);
    bytes.hash(&mut hasher);
    // JSON numbers keep 53 bits exactly in every reader.
    hasher.finish() >> 11
}
