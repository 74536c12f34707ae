//! Keys of a file, as a server and its operator change it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::*;

const PLACE: SecretPlace<'static> = SecretPlace { table: "plugins", column: "secrets", id: "plg_1" };

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kabar.db.key");
    (folder, path)
}

fn line(byte: u8) -> String {
    STANDARD.encode([byte; 32])
}

fn lines(path: &PathBuf) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn words(error: &KeyError) -> String {
    error.to_string()
}

#[test]
fn the_servers_own_file_is_made_once_and_for_its_user_alone() {
    let (_folder, path) = folder();
    let own = KeySource::Own(path.clone());
    let missing = KeyRing::open(own.clone(), false).unwrap_err();
    assert!(words(&missing).contains("is missing") && words(&missing).contains("kabar.db.key"), "{missing}");
    let ring = KeyRing::open(own.clone(), true).unwrap();
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(), lines(&path).len()), (0o600, 1));
    let value = ring.encrypt(PLACE, "hunter2").unwrap();
    let again = KeyRing::open(own, true).unwrap();
    assert_eq!(again.decrypt(PLACE, &value).unwrap().reveal(), "hunter2");

    let next = again.choose_next(None, false).unwrap();
    assert_eq!((mode(), lines(&path).len()), (0o600, 2));
    assert_ne!(again.writing_key(), next, "it encrypts once every node can decrypt");
    assert_eq!(again.choose_next(None, false).unwrap(), next, "one that was begun goes on");
    assert!(again.write_under(next) && again.writing_key() == next);
    assert_eq!(again.choose_next(None, true).unwrap(), next, "values under older keys are left");
    assert_eq!(again.decrypt(PLACE, &value).unwrap().reveal(), "hunter2");
    let offered = again.choose_next(Some(&Secret::new(&line(7))), false).unwrap();
    assert_eq!((lines(&path)[0].clone(), lines(&path).len()), (line(7), 3));
    assert_eq!(again.choose_next(Some(&Secret::new(&line(7))), false).unwrap(), offered);
    assert!(matches!(again.choose_next(Some(&Secret::new("7")), false), Err(KeyError::NotAKey)));
}

#[test]
fn a_file_of_the_operator_is_read_and_never_written() {
    let (_folder, path) = folder();
    let given = KeySource::Given(path.clone());
    assert!(KeyRing::open(given.clone(), true).is_err() && !path.exists());
    std::fs::write(&path, format!("{}\r\n\n{}", line(2), line(1))).unwrap();
    let ring = KeyRing::open(given.clone(), true).unwrap();
    let refused = ring.choose_next(None, false).unwrap_err();
    assert!(words(&refused).contains("in force already"), "{refused}");
    let refused = ring.choose_next(Some(&Secret::new(&line(3))), false).unwrap_err();
    assert!(words(&refused).contains("does not begin with that key"), "{refused}");

    let elsewhere = {
        let (_folder, path) = folder();
        std::fs::write(&path, line(3)).unwrap();
        KeyRing::open(KeySource::Given(path), false).unwrap()
    };
    let value = elsewhere.encrypt(PLACE, "hunter2").unwrap();
    let refused = ring.decrypt(PLACE, &value).unwrap_err();
    assert!(words(&refused).contains(&elsewhere.writing_key().to_string()), "{refused}");
    let before = ring.writing_key();
    std::fs::write(&path, format!("{}\n{}\n{}\n", line(3), line(2), line(1))).unwrap();
    assert_eq!(ring.decrypt(PLACE, &value).unwrap().reveal(), "hunter2", "read again by itself");
    assert_eq!(ring.writing_key(), before, "it encrypts after a rotation");
    assert_eq!(ring.choose_next(None, false).unwrap(), elsewhere.writing_key());
    assert_eq!(ring.artefact_keys().len(), 3);
    assert!(ring.write_under(elsewhere.writing_key()));
    assert_eq!(ring.artefact_keys()[0], elsewhere.artefact_keys()[0]);

    for (text, said) in [("", "has no key"), ("AAAA", "line 1"), (&*format!("{}\nx", line(1)), "line 2")] {
        std::fs::write(&path, text).unwrap();
        let refused = KeyRing::open(given.clone(), true).unwrap_err();
        assert!(words(&refused).contains(said) && !words(&refused).contains(&line(1)), "{refused}");
    }
}
