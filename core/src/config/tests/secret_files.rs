//! Secrets in files: which source wins, what is refused, and that none is shown.

use super::*;
use crate::encryption::KeySource;

/// A file with this text, and its path.
fn secret(text: &str) -> (tempfile::NamedTempFile, String) {
    let file = file(text);
    let path = file.path().display().to_string();
    (file, path)
}

#[test]
fn every_secret_may_lie_in_a_file() {
    let texts = [
        ("KABAR_DATABASE_URL_FILE", "postgres://kabar:hunter2@db/kabar"),
        ("KABAR_REDIS_URL_FILE", "redis://:hunter2@cache"),
        ("KABAR_OPERATOR_TOKEN_FILE", "operator-hunter2-0123"),
        ("KABAR_WHATSAPP__APP_SECRET_FILE", "hunter2-of-tomorrow,hunter2-of-yesterday"),
        ("KABAR_WHATSAPP__VERIFY_TOKEN_FILE", "hunter2,with-a-comma"),
    ];
    for end in ["", "\n", "\r\n"] {
        let files = texts.map(|(name, text)| (name, secret(&format!("{text}{end}"))));
        let mut pairs: Vec<(&str, &str)> =
            files.iter().map(|(name, (_, path))| (*name, path.as_str())).collect();
        pairs.push(("KABAR_SECRETS__KEY_FILE", "/etc/kabar/key"));
        let settings = Settings::load(ServerMode::Serve, &environment(&pairs)).unwrap();
        assert_eq!(settings.database_url.reveal_url(), texts[0].1);
        assert_eq!(settings.redis_url.as_ref().unwrap().reveal_url(), texts[1].1);
        assert_eq!(settings.operator_token, Some(Secret::new(texts[2].1)));
        assert_eq!(
            settings.whatsapp.app_secrets,
            ["hunter2-of-tomorrow", "hunter2-of-yesterday"].map(Secret::new)
        );
        assert_eq!(settings.whatsapp.verify_token, Some(Secret::new(texts[4].1)));
        let shown = settings.masked();
        assert!(!format!("{settings:?}{shown}").contains("hunter2"), "{shown}");
        assert!(files.iter().all(|(_, (_, path))| shown.contains(path.as_str())), "{shown}");
        let again = Settings::load(ServerMode::Serve, &with_file(&file(&shown), &[])).unwrap();
        assert_eq!(settings.changed_keys(&again), []);
    }
    let twins = SETTINGS.iter().filter(|known| known.file_of.is_some()).count();
    assert_eq!(twins, texts.len(), "a secret without a test");
}

#[test]
fn keys_come_from_a_named_file_a_credential_or_beside_the_database() {
    let credentials = tempfile::tempdir().unwrap();
    let folder = ("CREDENTIALS_DIRECTORY", credentials.path().to_str().unwrap());
    let (sqlite, postgres) = ("sqlite:///srv/kabar.db", "postgres://kabar@db/kabar");
    let keys = |mode, pairs: &[(&str, &str)]| Settings::load(mode, &environment(pairs)).unwrap().keys;
    let (named, none) = (("KABAR_SECRETS__KEY_FILE", "/etc/kabar/key"), ("KABAR_SECRETS__KEY_FILE", ""));
    for mode in [ServerMode::Dev, ServerMode::Serve] {
        // An empty value counts as absent.
        let with = |url: &'static str, named: (&'static str, &'static str)| {
            vec![
                ("KABAR_DATABASE_URL", url),
                ("KABAR_OPERATOR_TOKEN", "operator-0123456789"),
                ("KABAR_WHATSAPP__APP_SECRET", "app-0123456789abcdef"),
                ("KABAR_WHATSAPP__VERIFY_TOKEN", "verify-0123456789"),
                folder,
                named,
            ]
        };
        assert_eq!(keys(mode, &with(sqlite, none)), Some(KeySource::Own("/srv/kabar.db.key".into())));
        assert_eq!(keys(mode, &with(postgres, named)), Some(KeySource::Given("/etc/kabar/key".into())));
        let credential = credentials.path().join("kabar-key");
        std::fs::write(&credential, "").unwrap();
        for url in [sqlite, postgres] {
            assert_eq!(keys(mode, &with(url, none)), Some(KeySource::Given(credential.clone())));
            assert_eq!(keys(mode, &with(url, named)), Some(KeySource::Given("/etc/kabar/key".into())));
        }
        std::fs::remove_file(credential).unwrap();
        let without = environment(&with(postgres, none));
        match mode {
            ServerMode::Dev => assert_eq!(Settings::load(mode, &without).unwrap().keys, None),
            ServerMode::Serve => assert_eq!(keys_of(&refusal(mode, &without)), ["secrets.key_file"]),
        }
    }
}

#[test]
fn a_secret_and_its_file_are_one_setting() {
    let in_toml = file("operator_token = \"of-the-file-01234567\"\n");
    let (_kept, path) = secret("of-the-secret-file-0123\n");
    let by_variable = [("KABAR_OPERATOR_TOKEN_FILE", path.as_str())];
    let token = |sources: &SettingSources| {
        Settings::load(ServerMode::Dev, sources).unwrap().operator_token.unwrap().reveal().to_owned()
    };
    assert_eq!(token(&with_file(&in_toml, &by_variable)), "of-the-secret-file-0123");
    let mut sources = environment(&by_variable);
    sources.flags.insert("operator_token".to_owned(), "of-the-flag-01234567".to_owned());
    assert_eq!(token(&sources), "of-the-flag-01234567");
    let both = [("KABAR_OPERATOR_TOKEN", "of-the-variable-0123"), by_variable[0]];
    let problems = refusal(ServerMode::Dev, &environment(&both));
    assert_eq!(keys_of(&problems), ["operator_token_file"]);
    assert!(
        problems.to_string().contains("not both") && !problems.to_string().contains("0123"),
        "{problems}"
    );
}

#[test]
fn a_file_that_cannot_be_used_is_named_without_quoting_it() {
    let (_short, short) = secret("hunter2");
    let (_spaced, spaced) = secret("hunter2 \nhunter2");
    let (_long, long) = secret(&"hunter2".repeat(10_000));
    for (path, said) in [
        (short.as_str(), "too short"),
        (spaced.as_str(), "without spaces"),
        (long.as_str(), "too long"),
        ("no/such/file", "cannot be read"),
        ("/", "cannot be read"),
    ] {
        let others = &SECRETS[1..];
        let given = [others, &[("KABAR_OPERATOR_TOKEN_FILE", path)]].concat();
        let problems = refusal(ServerMode::Serve, &environment(&given));
        assert_eq!(keys_of(&problems), ["operator_token_file"], "{problems}");
        assert!(problems.to_string().contains(said), "{problems}");
        assert!(!problems.to_string().contains("hunter2"), "{problems}");
    }
}

#[test]
fn an_app_secret_is_one_or_two() {
    let read = |text: &str| {
        let given = [("KABAR_WHATSAPP__APP_SECRET", text)];
        Settings::load(ServerMode::Dev, &environment(&given)).map(|settings| settings.whatsapp.app_secrets)
    };
    assert_eq!(read("new, old").unwrap(), ["new", "old"].map(Secret::new));
    assert_eq!(read("one").unwrap(), [Secret::new("one")]);
    for wrong in ["a,b,c", "a,", ",", "a b,c"] {
        assert_eq!(keys_of(&read(wrong).unwrap_err()), ["whatsapp.app_secret"], "{wrong}");
    }
}
