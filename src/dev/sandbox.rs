//! State that `kabar dev` creates on its first start and reuses on the next: `dev.json`.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kabar_actors::{AccountConnection, NewAccount, NewApiKey, NewOrganisation, TenantDirectory};
use kabar_core::domain::account::{PhoneNumberId, Secret};
use kabar_core::domain::audit::AuditOrigin;
use kabar_core::domain::organisation::PriceTier;
use kabar_core::domain::phone::Phone;
use kabar_core::domain::scopes::KeyScopes;
use serde::{Deserialize, Serialize};

use crate::simulator::SimulatedNumber;

/// Phone number id of the sandbox: Meta's own example id. Its number is of the range reserved for fiction.
pub(super) const PHONE_NUMBER_ID: &str = "106540352242922";
pub(super) const PHONE: &str = "+15550100922";
const WABA_ID: &str = "102290129340398";

#[derive(Debug, Serialize, Deserialize)]
struct SandboxSecrets {
    operator_token: String,
    app_secret: String,
    verify_token: String,
    api_key: Option<String>,
}

/// Secrets, key and organisation of the sandbox, with the folder that keeps them.
#[derive(Debug)]
pub(super) struct DevSandbox {
    file: PathBuf,
    made: SandboxSecrets,
}

fn new_secret(prefix: &str) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 18]>()))
}

impl DevSandbox {
    /// Opens the data folder; reads its secrets, or generates them.
    pub(super) fn open_folder(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join("dev.json");
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the data folder {}", folder.display()))?;
        if file.exists() {
            let text =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let made = serde_json::from_str(&text);
            let made =
                made.with_context(|| format!("{} is not ours; remove it to start afresh", file.display()))?;
            return Ok(Self { file, made });
        }
        let made = SandboxSecrets {
            operator_token: new_secret("kop_"),
            app_secret: new_secret("dev_app_secret_"),
            verify_token: new_secret("dev_verify_"),
            api_key: None,
        };
        let sandbox = Self { file, made };
        sandbox.save_file()?;
        Ok(sandbox)
    }

    fn save_file(&self) -> anyhow::Result<()> {
        let mut options = fs::OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&self.file);
        let mut file = opened.with_context(|| format!("cannot write {}", self.file.display()))?;
        writeln!(file, "{}", serde_json::to_string_pretty(&self.made)?)?;
        Ok(())
    }

    /// Creates organisation, users, number and key, unless they exist.
    pub(super) async fn create_tenant(&mut self, directory: &TenantDirectory) -> anyhow::Result<()> {
        let key_works = self.made.api_key.as_deref().is_some_and(|key| directory.find_caller(key).is_ok());
        if key_works && directory.account_of_number(PHONE_NUMBER_ID).is_some() {
            return Ok(());
        }
        let new = NewOrganisation {
            name: "Sandbox".into(),
            tier: PriceTier::Pro,
            limits: PriceTier::Pro.default_limits(),
            sandbox: true,
        };
        let known =
            directory.account_of_number(PHONE_NUMBER_ID).map(|slot| slot.current_account().organisation_id);
        let organisation = match known {
            Some(id) => id,
            None => directory.create_organisation(new, &AuditOrigin::SYSTEM).await?.id,
        };
        if known.is_none() {
            for (name, email) in [("Rani", "rani@example.com"), ("Bayu", "bayu@example.com")] {
                let (name, email) = (name.into(), Some(email.into()));
                directory.create_user(organisation, name, email, &AuditOrigin::SYSTEM).await?;
            }
            let connected =
                directory.connect_account(organisation, number_to_connect()?, &AuditOrigin::SYSTEM).await?;
            anyhow::ensure!(
                matches!(connected, AccountConnection::Connected(_)),
                "the sandbox number is taken"
            );
        }
        let new = NewApiKey { label: "made by kabar dev".into(), scopes: KeyScopes::ALL, expires_at: None };
        let made = directory.create_api_key(organisation, new, &AuditOrigin::SYSTEM).await?;
        self.made.api_key = made.map(|(_, secret)| secret);
        self.save_file()
    }

    pub(super) fn simulated_number() -> anyhow::Result<SimulatedNumber> {
        let NewAccount { phone_number_id, phone, .. } = number_to_connect()?;
        Ok(SimulatedNumber { phone_number_id, phone, waba_id: WABA_ID.to_owned() })
    }

    pub(super) fn operator_token(&self) -> &str {
        &self.made.operator_token
    }

    pub(super) fn app_secret(&self) -> &str {
        &self.made.app_secret
    }

    pub(super) fn verify_token(&self) -> &str {
        &self.made.verify_token
    }

    pub(super) fn api_key(&self) -> &str {
        self.made.api_key.as_deref().unwrap_or_default()
    }
}

fn number_to_connect() -> anyhow::Result<NewAccount> {
    Ok(NewAccount {
        phone_number_id: PhoneNumberId::parse(PHONE_NUMBER_ID).context("sandbox id")?,
        phone: Phone::parse(PHONE).context("sandbox number")?,
        name: Some("Sandbox".into()),
        waba_id: Some(WABA_ID.into()),
        access_token: Secret::new("simulated"),
        app_secret: None,
    })
}
