//! The file of keys: 32 bytes in standard base64 a line, the newest first.
//!
//! Invariant: a file that the operator names is only read. The server's own file is made once, and a new line
//! comes before the others by the replacement of the whole file, so no crash leaves half a file.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::KeyError;
use super::encryption_key::EncryptionKey;

const FILE_MODE: u32 = 0o600;
/// Most bytes of a file of keys: room for more than a thousand.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Place of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The server's own file: made at the first start, extended by a rotation.
    Own(PathBuf),
    /// A file that the operator keeps.
    Given(PathBuf),
}

impl KeySource {
    /// Returns the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Own(path) | Self::Given(path) => path,
        }
    }

    /// Returns the error of an operation on the file.
    fn unusable(&self, source: std::io::Error) -> KeyError {
        KeyError::Unusable { path: self.path().to_owned(), source }
    }

    /// Reads the keys, the newest first.
    pub(super) fn read_keys(&self) -> Result<Vec<EncryptionKey>, KeyError> {
        let missing = |error: std::io::Error| match (self, error.kind()) {
            (Self::Own(path), std::io::ErrorKind::NotFound) => KeyError::Missing { path: path.clone() },
            _ => self.unusable(error),
        };
        let text =
            read_text(File::open(self.path()).map_err(missing)?).map_err(|error| self.unusable(error))?;
        self.parse_text(&text)
    }

    fn parse_text(&self, text: &str) -> Result<Vec<EncryptionKey>, KeyError> {
        let path = || self.path().to_owned();
        let lines = text.lines().enumerate().map(|(place, line)| (place + 1, line.trim()));
        let keys: Vec<EncryptionKey> = lines
            .filter(|(_, line)| !line.is_empty())
            .map(|(line, text)| {
                EncryptionKey::parse_line(text).ok_or_else(|| KeyError::Malformed { path: path(), line })
            })
            .collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(KeyError::Empty { path: path() }) } else { Ok(keys) }
    }

    /// Makes the server's own file, unless it is there.
    pub(super) fn create_file(&self) -> Result<(), KeyError> {
        let Self::Own(path) = self else { return Ok(()) };
        let create = || -> std::io::Result<Option<File>> {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
            let file = options.open(path)?;
            // Another server may start at the same time: one of them writes, and both read that.
            file.lock()?;
            Ok((file.metadata()?.len() == 0).then_some(file))
        };
        let Some(mut file) = create().map_err(|error| self.unusable(error))? else { return Ok(()) };
        let line = EncryptionKey::generate_line()?;
        let mut write = || -> std::io::Result<()> {
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
            writeln!(file, "{}", line.as_str())?;
            file.sync_all()?;
            sync_folder(path)
        };
        write().map_err(|error| self.unusable(error))?;
        tracing::info!(file = %path.display(), "made the key of the secrets; back it up apart from the database");
        Ok(())
    }

    /// Puts a line before those of the server's own file.
    pub(super) fn prepend_line(&self, line: &str) -> Result<(), KeyError> {
        let Self::Own(path) = self else { return Ok(()) };
        let prepend = || -> std::io::Result<()> {
            let older = read_text(File::open(path)?)?;
            let mut text = Zeroizing::new(format!("{line}\n"));
            for older in older.lines().map(str::trim).filter(|older| !older.is_empty() && *older != line) {
                text.push_str(older);
                text.push('\n');
            }
            let mut part = path.as_os_str().to_owned();
            part.push(".part");
            let part = PathBuf::from(part);
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(FILE_MODE).open(&part)?;
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&part, path)?;
            sync_folder(path)
        };
        prepend().map_err(|error| self.unusable(error))
    }
}

fn read_text(file: File) -> std::io::Result<Zeroizing<String>> {
    // Grown once: a buffer that moves leaves its bytes behind.
    let mut text = Zeroizing::new(String::with_capacity(4096));
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
