//! Secrets in files of their own: those of Docker and Kubernetes, and systemd credentials.
//!
//! Invariant: a refusal names the file and never quotes it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Most bytes of a file with a secret.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Reads a secret without the end of its line.
///
/// # Errors
/// In words for the operator, when the file cannot be read, is too long, or is not text.
pub(super) fn read_secret_file(path: &Path) -> Result<String, String> {
    let unread = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unread)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unread)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(format!("{} is too long: {FILE_BYTES_MAX} bytes at most", path.display()));
    }
    let text = String::from_utf8(bytes).map_err(|_quotes_it| format!("{} is not text", path.display()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}
