//! `kv`: the plugin's map, as this run sees and changes it.

use crate::runtime::bindings::kabar::hooks::kv::{Host, KvError};
use crate::runtime::guest_state::GuestState;
use crate::runtime::kv_overlay::KvRefused;

impl From<KvRefused> for KvError {
    fn from(refused: KvRefused) -> Self {
        match refused {
            KvRefused::Quota => Self::QuotaExceeded,
            KvRefused::Key => Self::InvalidKey,
            KvRefused::NotANumber => Self::NotANumber,
        }
    }
}

impl Host for GuestState {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.charge_host_call()?;
        Ok(self.kv.get(&key).map(|value| value.to_vec()))
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), KvError>> {
        self.charge_host_call()?;
        Ok(self.kv.put(&key, &value).map_err(KvError::from))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<()> {
        self.charge_host_call()?;
        self.kv.delete(&key);
        Ok(())
    }

    fn list_keys(&mut self, prefix: String, limit: u32) -> wasmtime::Result<Vec<String>> {
        self.charge_host_call()?;
        Ok(self.kv.keys(&prefix, limit).iter().map(ToString::to_string).collect())
    }

    fn add(&mut self, key: String, by: i64) -> wasmtime::Result<Result<(), KvError>> {
        self.charge_host_call()?;
        Ok(self.kv.add(&key, by).map_err(KvError::from))
    }
}
