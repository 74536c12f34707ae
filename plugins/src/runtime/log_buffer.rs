//! Log of a run, up to its limit. Lines of the interface `log`, of standard output and of standard error are
//! kept in one order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kabar_core::domain::run::{LogLevel, LogLine};
use kabar_core::domain::time::Timestamp;

/// Cost of a line besides its text, so that empty lines are bounded too.
const LINE_BYTES: usize = 32;

/// The log of one run; clones write to the same log.
#[derive(Clone)]
pub(crate) struct LogBuffer(Arc<Mutex<LogLines>>);

struct LogLines {
    lines: Vec<LogLine>,
    bytes_left: usize,
    cut: bool,
    now: Timestamp,
    started: Instant,
}

impl LogBuffer {
    pub(crate) fn new(bytes_max: usize, now: Timestamp, started: Instant) -> Self {
        let pages = LogLines { lines: Vec::new(), bytes_left: bytes_max, cut: false, now, started };
        Self(Arc::new(Mutex::new(pages)))
    }

    fn lock_lines(&self) -> MutexGuard<'_, LogLines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a line, or as much of it as there is room for.
    pub(crate) fn write_line(&self, level: LogLevel, text: &str) {
        let mut pages = self.lock_lines();
        if pages.cut {
            return;
        }
        let Some(room) = pages.bytes_left.checked_sub(LINE_BYTES) else {
            pages.cut = true;
            return;
        };
        let end = text.floor_char_boundary(room);
        let kept = text.get(..end).unwrap_or_default();
        pages.cut = end < text.len();
        pages.bytes_left = room.saturating_sub(end);
        let at = pages.now.plus_duration(pages.started.elapsed());
        pages.lines.push(LogLine { at, level, text: kept.into() });
    }

    /// Takes the lines out, with a flag that is `true` when lines were cut.
    pub(crate) fn take_lines(&self) -> (Vec<LogLine>, bool) {
        let mut pages = self.lock_lines();
        (std::mem::take(&mut pages.lines), pages.cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_ends_at_the_limit() {
        let log = LogBuffer::new(100, Timestamp::EPOCH, Instant::now());
        log.write_line(LogLevel::Info, "first");
        log.write_line(LogLevel::Warn, &"ä".repeat(100));
        (0..1000).for_each(|_| log.write_line(LogLevel::Error, ""));
        let (lines, cut) = log.take_lines();
        assert!(cut);
        let texts: Vec<usize> = lines.iter().map(|line| line.text.len()).collect();
        assert_eq!(texts, [5, 30], "cut between characters");
        let log = LogBuffer::new(100, Timestamp::EPOCH, Instant::now());
        (0..1000).for_each(|_| log.write_line(LogLevel::Error, ""));
        assert_eq!(log.take_lines().0.len(), 3);
    }
}
