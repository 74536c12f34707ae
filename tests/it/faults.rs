//! Failures of disks, databases, clocks and processes, under load.

pub(crate) mod bad_days;
pub(crate) mod clocks;
pub(crate) mod durability;
pub(crate) mod full_disk;
pub(crate) mod load;
pub(crate) mod postgres_faults;
pub(crate) mod storage_faults;
