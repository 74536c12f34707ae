//! Settings of plugins, and the exceptions for tenants of a price tier.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::SettingsReader;
use crate::domain::organisation::PriceTier;

/// Limits of a single run of a plugin, and of all runs together.
#[derive(Debug, Clone)]
pub struct HookSettings {
    /// Limits of one run.
    pub limits: HookLimits,
    /// Limits that differ for tenants of a tier, in the order of [`PriceTier::ALL`].
    pub tiers: [HookExceptions; PriceTier::ALL.len()],
    /// Threads that run plugins.
    pub threads: usize,
    /// Concurrent runs, at most.
    pub concurrent_runs: usize,
    /// Size of a component in bytes, at most.
    pub component_bytes: usize,
    /// Folder for compiled components. `None`: beside an embedded database, else they are not kept.
    pub cache_folder: Option<PathBuf>,
}

/// Limits of one run of a plugin, and of its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookLimits {
    /// Processor time.
    pub cpu: Duration,
    /// Elapsed time, waits for other hosts included.
    pub wall: Duration,
    /// Memory.
    pub memory_bytes: usize,
    /// Bytes of log lines that are kept.
    pub log_bytes: usize,
    /// Bytes of a component's compiled form.
    pub compiled_bytes: usize,
}

/// Limits of a tier that differ from the common ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HookExceptions {
    /// As [`HookLimits::cpu`].
    pub cpu: Option<Duration>,
    /// As [`HookLimits::wall`].
    pub wall: Option<Duration>,
    /// As [`HookLimits::memory_bytes`].
    pub memory_bytes: Option<usize>,
    /// As [`HookLimits::log_bytes`].
    pub log_bytes: Option<usize>,
    /// As [`HookLimits::compiled_bytes`].
    pub compiled_bytes: Option<usize>,
}

impl HookSettings {
    pub(super) fn read_settings(from: &mut SettingsReader) -> Option<Self> {
        // Each key has a default, so none is absent.
        let common = HookExceptions::read_settings(
            from,
            ["hooks.cpu_ms", "hooks.wall_ms", "hooks.memory_mib", "hooks.log_kib", "hooks.compiled_mib"],
        );
        let tiers = PriceTier::ALL
            .map(|tier| HookExceptions::read_settings(from, HookExceptions::setting_keys(tier)));
        let threads = from.read_count("hooks.threads", 2..=256);
        let concurrent_runs = from.read_count("hooks.concurrent_runs", 1..=1_000);
        let component_bytes = from.read_count("hooks.component_bytes", 65_536..=134_217_728);
        let cache_folder = from.read_optional("hooks.cache_folder", |text| Ok(PathBuf::from(text)));
        Some(Self {
            limits: HookLimits {
                cpu: common.cpu?,
                wall: common.wall?,
                memory_bytes: common.memory_bytes?,
                log_bytes: common.log_bytes?,
                compiled_bytes: common.compiled_bytes?,
            },
            tiers,
            threads: usize::try_from(threads?).ok()?,
            concurrent_runs: usize::try_from(concurrent_runs?).ok()?,
            component_bytes: usize::try_from(component_bytes?).ok()?,
            cache_folder,
        })
    }

    /// Returns the limits of a run for a tenant of this tier.
    #[must_use]
    pub fn limits_of(&self, tier: PriceTier) -> HookLimits {
        let place = PriceTier::ALL.iter().position(|known| *known == tier);
        let other = place.and_then(|place| self.tiers.get(place)).copied().unwrap_or_default();
        HookLimits {
            cpu: other.cpu.unwrap_or(self.limits.cpu),
            wall: other.wall.unwrap_or(self.limits.wall),
            memory_bytes: other.memory_bytes.unwrap_or(self.limits.memory_bytes),
            log_bytes: other.log_bytes.unwrap_or(self.limits.log_bytes),
            compiled_bytes: other.compiled_bytes.unwrap_or(self.limits.compiled_bytes),
        }
    }
}

impl HookExceptions {
    /// The names of its settings, in the order of its members.
    const fn setting_keys(tier: PriceTier) -> [&'static str; 5] {
        match tier {
            PriceTier::Free => [
                "hooks.free.cpu_ms",
                "hooks.free.wall_ms",
                "hooks.free.memory_mib",
                "hooks.free.log_kib",
                "hooks.free.compiled_mib",
            ],
            PriceTier::Pro => [
                "hooks.pro.cpu_ms",
                "hooks.pro.wall_ms",
                "hooks.pro.memory_mib",
                "hooks.pro.log_kib",
                "hooks.pro.compiled_mib",
            ],
            PriceTier::Enterprise => [
                "hooks.enterprise.cpu_ms",
                "hooks.enterprise.wall_ms",
                "hooks.enterprise.memory_mib",
                "hooks.enterprise.log_kib",
                "hooks.enterprise.compiled_mib",
            ],
        }
    }

    fn read_settings(
        from: &mut SettingsReader,
        [cpu, wall, memory, log, compiled]: [&'static str; 5],
    ) -> Self {
        let bytes = |count: u64, shift: u32| usize::try_from(count << shift).unwrap_or(usize::MAX);
        Self {
            cpu: from.optional_count(cpu, 1..=10_000).map(Duration::from_millis),
            wall: from.optional_count(wall, 1..=60_000).map(Duration::from_millis),
            memory_bytes: from.optional_count(memory, 1..=128).map(|mib| bytes(mib, 20)),
            log_bytes: from.optional_count(log, 1..=1_024).map(|kib| bytes(kib, 10)),
            compiled_bytes: from.optional_count(compiled, 1..=128).map(|mib| bytes(mib, 20)),
        }
    }
}
