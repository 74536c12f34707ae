//! Merges the sources and reads single settings from them, collecting the mistakes.
//!
//! Invariants: text stays text. Values of the environment and of flags are never guessed to be numbers, so the
//! secret `0123` keeps its zero. `values` interprets the text. A secret and the file that holds it are one
//! setting: a source that gives the one replaces the other of the sources before it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use config::{ConfigError, Environment, File, FileFormat, Source, Value, ValueKind};

use super::keys::{SETTINGS, define_key, is_service_variable, variable_name};
use super::secret_file::read_secret_file;
use super::values::DatabaseUrl;
use super::{ServerMode, SettingProblem, SettingSources};
use crate::domain::account::Secret;
use crate::encryption::KeySource;
#[cfg(debug_assertions)]
use crate::surroundings::SeededDelays;

/// Read when no flag names another file.
const DEFAULT_FILE: &str = "kabar.toml";

/// The merged settings, and the problems found so far.
pub(super) struct SettingsReader {
    mode: ServerMode,
    values: BTreeMap<String, Value>,
    /// Keys as each source spells them, with the source's name.
    given: Vec<(String, String)>,
    problems: Vec<SettingProblem>,
    /// Files that secrets were read from, by the key of the secret.
    secret_files: BTreeMap<&'static str, PathBuf>,
    /// Secrets with a file that cannot be read; that is reported already.
    unread: BTreeSet<&'static str>,
    passed_over: Vec<String>,
    /// Folder of systemd's credentials.
    credentials: Option<PathBuf>,
    #[cfg(debug_assertions)]
    test_delays: Option<Value>,
}

/// Variable with which systemd names the folder of a service's credentials (systemd.exec, "Credentials").
const CREDENTIALS_FOLDER: &str = "CREDENTIALS_DIRECTORY";
/// Credential that holds the keys of the secrets.
const KEY_CREDENTIAL: &str = "kabar-key";
/// Ending of the server's own file of keys, after the name of the database's file.
const KEY_ENDING: &str = ".key";

/// Returns the folder of systemd's credentials.
fn credentials_folder(sources: &SettingSources) -> Option<PathBuf> {
    match &sources.environment {
        Some(environment) => environment.get(CREDENTIALS_FOLDER).map(PathBuf::from),
        None => process_credentials(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the variable is systemd's, and no setting")]
fn process_credentials() -> Option<PathBuf> {
    std::env::var_os(CREDENTIALS_FOLDER).map(PathBuf::from)
}

/// Not a setting: only debug builds read `KABAR_TEST_DELAYS`, from the environment.
#[cfg(debug_assertions)]
const OF_TESTS: &str = "test_delays";
/// Not a setting: `KABAR_API_KEY` is read by the commands that call a server.
const OF_CLIENTS: &str = "api_key";

impl SettingsReader {
    /// Reads the sources. Fails only when one of them cannot be read at all.
    pub(super) fn merge_sources(mode: ServerMode, sources: &SettingSources) -> Result<Self, SettingProblem> {
        let path = sources.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        let file = File::from(path).format(FileFormat::Toml).required(sources.file.is_some());
        let environment = Environment::with_prefix("KABAR")
            .prefix_separator("_")
            .separator("__")
            .ignore_empty(true)
            .source(sources.environment.clone());

        let in_file = flatten_table(file.collect().map_err(|error| unreadable_file(path, error))?);
        let mut in_environment =
            environment.collect().map_err(|_not_shown_it_quotes_the_value| SettingProblem {
                key: String::new(),
                reason: "an environment variable that begins with KABAR_ is not valid UTF-8".to_owned(),
            })?;
        in_environment.remove(OF_CLIENTS);
        #[cfg(debug_assertions)]
        let test_delays = in_environment.remove(OF_TESTS);
        let of_kubernetes: BTreeSet<String> =
            in_environment.keys().filter(|key| is_service_variable(key)).cloned().collect();
        in_environment.retain(|key, _| !of_kubernetes.contains(key));
        let in_flags = sources.flags.iter().map(|(key, text)| (key.clone(), Value::from(text.as_str())));

        let defaults = SETTINGS.iter().filter_map(|known| Some((known.key, known.default(mode)?)));
        let mut reader = Self {
            mode,
            values: defaults.map(|(key, text)| (key.to_owned(), Value::from(text))).collect(),
            given: Vec::new(),
            problems: Vec::new(),
            secret_files: BTreeMap::new(),
            unread: BTreeSet::new(),
            passed_over: of_kubernetes.iter().map(|key| variable_name(key)).collect(),
            credentials: credentials_folder(sources),
            #[cfg(debug_assertions)]
            test_delays,
        };
        reader.overlay_source(in_file, |_| format!("in {}", path.display()));
        reader
            .overlay_source(in_environment.into_iter().collect(), |key| format!("as {}", variable_name(key)));
        reader.overlay_source(in_flags.collect(), |_| "as a flag".to_owned());
        reader.read_secret_files();
        Ok(reader)
    }

    /// Puts the values of a source over those of the sources before it.
    fn overlay_source(&mut self, source: BTreeMap<String, Value>, place: impl Fn(&str) -> String) {
        for known in SETTINGS {
            let Some(secret) = known.file_of else { continue };
            match (source.contains_key(secret), source.contains_key(known.key)) {
                (true, true) => self.report_problem(known.key, format!("give this or {secret}, not both")),
                (true, false) => drop(self.values.remove(known.key)),
                (false, true) => drop(self.values.remove(secret)),
                (false, false) => {}
            }
        }
        self.given.extend(source.keys().map(|key| (key.clone(), place(key))));
        self.values.extend(source);
    }

    /// Reads the secrets that lie in files.
    fn read_secret_files(&mut self) {
        for known in SETTINGS {
            let Some(secret) = known.file_of else { continue };
            let Some(value) = self.values.get(known.key) else { continue };
            let read = match text_of(value).map(PathBuf::from) {
                Some(path) => read_secret_file(&path).map(|text| (path, text)),
                None => Err("must be the path of a file".to_owned()),
            };
            match read {
                Ok((path, text)) => {
                    self.values.insert(secret.to_owned(), Value::from(text));
                    self.secret_files.insert(secret, path);
                }
                Err(reason) => {
                    self.values.remove(secret);
                    self.unread.insert(secret);
                    self.report_problem(known.key, reason);
                }
            }
        }
    }

    /// Returns the files that secrets were read from, by the key of the secret.
    pub(super) fn secret_files(&self) -> BTreeMap<&'static str, PathBuf> {
        self.secret_files.clone()
    }

    /// Returns the place of the keys under which secrets are stored in this database.
    pub(super) fn read_key_source(&mut self, database: &DatabaseUrl) -> Option<KeySource> {
        const KEY: &str = "secrets.key_file";
        let path =
            |text: &str| if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.into()) };
        if self.values.contains_key(KEY) {
            return self.read_optional(KEY, path).map(KeySource::Given);
        }
        let credential = self.credentials.as_ref().map(|folder| folder.join(KEY_CREDENTIAL));
        if let Some(credential) = credential.filter(|path| path.exists()) {
            return Some(KeySource::Given(credential));
        }
        let Some(file) = database.file_path() else {
            self.report_missing(KEY);
            return None;
        };
        let mut own = file.as_os_str().to_owned();
        own.push(KEY_ENDING);
        Some(KeySource::Own(own.into()))
    }

    /// Returns the names of variables that Kubernetes makes for a Service, and that are no settings.
    pub(super) fn passed_over(&self) -> Vec<String> {
        self.passed_over.clone()
    }

    /// Returns the delays of awaits; see [`crate::surroundings`].
    #[cfg(debug_assertions)]
    pub(super) fn test_delays(&mut self) -> Option<SeededDelays> {
        let text = self.test_delays.take()?.into_string().ok()?;
        text.parse().map_err(|reason| self.report_problem(OF_TESTS, reason)).ok()
    }

    /// Returns all mistakes that were found.
    pub(super) fn into_problems(self) -> Vec<SettingProblem> {
        self.problems
    }

    /// Reports keys that no setting has, most often misspelt ones.
    pub(super) fn refuse_unknown_keys(&mut self) {
        let unknown = self.given.iter().filter(|(key, _)| define_key(key).is_none());
        self.problems.extend(unknown.map(|(key, place)| SettingProblem {
            key: key.clone(),
            reason: format!("there is no such setting (given {place})"),
        }));
    }

    /// Returns `true` when a source gives this setting.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.given.iter().any(|(given, _)| given == key)
    }

    /// Reads a required setting; reports a mistake when it is absent.
    pub(super) fn read_parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if !self.values.contains_key(key) {
            self.report_missing(key);
            return None;
        }
        self.read_optional(key, parse)
    }

    /// Reads a setting that may be absent.
    pub(super) fn read_optional<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = match &self.values.get(key)?.kind {
            ValueKind::String(text) => parse(text),
            ValueKind::I64(number) => parse(&number.to_string()),
            ValueKind::Boolean(on) => parse(if *on { "true" } else { "false" }),
            ValueKind::Nil
            | ValueKind::I128(_)
            | ValueKind::U64(_)
            | ValueKind::U128(_)
            | ValueKind::Float(_)
            | ValueKind::Table(_)
            | ValueKind::Array(_) => Err("has a type that does not fit".to_owned()),
        };
        text.map_err(|reason| self.report_problem(key, reason)).ok()
    }

    /// Reads a secret. It must be text, because a number would have lost its leading zeros already.
    pub(super) fn read_secret(
        &mut self,
        key: &'static str,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> Option<Secret> {
        self.parse_secret(key, |text| check(text).map(|()| Secret::new(text)))
    }

    /// Reads secrets that are given as one text.
    pub(super) fn parse_secret<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Some(value) = self.values.get(key) else {
            self.report_missing(key);
            return None;
        };
        let parsed = if let ValueKind::String(text) = &value.kind {
            parse(text)
        } else {
            Err("must be text; put it in quotes".to_owned())
        };
        parsed.map_err(|reason| self.report_problem(key, reason)).ok()
    }

    /// Reads a whole number within a range.
    pub(super) fn read_count(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.read_parsed(key, |text| whole_number(text, &range))
    }

    /// Reads a whole number within a range that may be absent.
    pub(super) fn optional_count(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.read_optional(key, |text| whole_number(text, &range))
    }

    /// Reads `true` or `false`.
    pub(super) fn read_switch(&mut self, key: &'static str) -> Option<bool> {
        self.read_parsed(key, |text| text.parse().or(Err(format!("must be true or false, got {text:?}"))))
    }

    /// Reads a list: an array of texts in the file, separated by commas elsewhere.
    pub(super) fn read_list(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<String, String>,
    ) -> Option<Vec<String>> {
        let items: Option<Vec<String>> = match self.values.get(key).map(|value| &value.kind) {
            Some(ValueKind::String(text)) => Some(text.split(',').map(str::to_owned).collect()),
            Some(ValueKind::Array(items)) => items.iter().map(text_of).collect(),
            _ => None,
        };
        let Some(items) = items else {
            self.report_problem(key, "must be a list of texts".to_owned());
            return None;
        };
        let items = items.iter().map(|item| item.trim()).filter(|item| !item.is_empty());
        let read: Result<Vec<String>, String> = items.map(parse).collect();
        read.map_err(|reason| self.report_problem(key, reason)).ok()
    }

    fn report_missing(&mut self, key: &'static str) {
        let needed = define_key(key).and_then(|known| known.needed).filter(|_| !self.unread.contains(key));
        if let (ServerMode::Serve, Some(reason)) = (self.mode, needed) {
            self.report_problem(key, reason.to_owned());
        }
    }

    /// Reports a mistake; that of a secret in a file by the key that names the file.
    fn report_problem(&mut self, key: &str, reason: String) {
        let by_file = self.secret_files.contains_key(key);
        let named = SETTINGS.iter().find(|known| by_file && known.file_of == Some(key));
        let key = named.map_or(key, |known| known.key);
        self.problems.push(SettingProblem { key: key.to_owned(), reason });
    }
}

fn whole_number(text: &str, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        format!("must be a whole number from {} to {}, got {text:?}", range.start(), range.end())
    })
}

fn text_of(value: &Value) -> Option<String> {
    if let ValueKind::String(text) = &value.kind { Some(text.clone()) } else { None }
}

/// Leaves of a file's tables by their dotted keys.
fn flatten_table(tables: config::Map<String, Value>) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    let mut open: Vec<(String, Value)> = tables.into_iter().collect();
    while let Some((key, value)) = open.pop() {
        if let ValueKind::Table(inner) = value.kind {
            open.extend(inner.into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
        } else {
            leaves.insert(key, value);
        }
    }
    leaves
}

/// Reports the place of a mistake in a file without quoting the line, which may hold a secret.
fn unreadable_file(path: &Path, error: ConfigError) -> SettingProblem {
    let text =
        if let ConfigError::FileParse { cause, .. } = error { cause.to_string() } else { error.to_string() };
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains('|')).map(str::trim).collect();
    SettingProblem {
        key: String::new(),
        reason: format!("{} cannot be read: {}", path.display(), lines.join(": ")),
    }
}
