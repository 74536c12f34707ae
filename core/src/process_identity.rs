//! Identity of a process on its machine, for finding out whether the process of a stored identity has ended.
//!
//! Invariant: [`has_ended`] is true only for a process that is provably gone: same boot, same process
//! namespace, and either no process of that number or one that began at another time. Anything else
//! (another machine, another container, an unreadable `/proc`) is "not known", never "ended".

use std::fs;

/// Ordinal of the start time among the fields of `/proc/<pid>/stat` that follow the command's name
/// (proc(5): field 22; the name is field 2, the state field 3).
const START_TIME_FIELD: usize = 19;

/// Identity of this process: boot, process namespace, number and start time. Empty where the system does not
/// provide them; an empty identity never counts as ended.
#[must_use]
pub fn current_process() -> String {
    let number = std::process::id();
    match (machine_part(), start_time(number)) {
        (Some(machine), Some(start)) => format!("{machine} {number} {start}"),
        _ => String::new(),
    }
}

/// Returns `true` when the process of this identity has provably ended.
#[must_use]
pub fn has_ended(identity: &str) -> bool {
    let fields: Vec<&str> = identity.split(' ').collect();
    let [boot, namespace, number, start] = fields.as_slice() else { return false };
    let Ok(number) = number.parse() else { return false };
    if machine_part().as_deref() != Some(&format!("{boot} {namespace}")) {
        return false;
    }
    start_time(number).as_deref() != Some(*start)
}

fn machine_part() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.to_str()?))
}

/// Clock ticks from boot to the start of a process; `None` when there is none, or it has ended and waits
/// for its parent.
fn start_time(number: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The command's name may hold spaces and parentheses.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let is_over = matches!(fields.next(), Some("Z" | "X"));
    fields.nth(START_TIME_FIELD - 1).filter(|_| !is_over).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_is_gone_has_ended() {
        let own = current_process();
        assert_eq!(own.split(' ').count(), 4, "{own}");
        assert!(!has_ended(&own));
        let mut fields: Vec<&str> = own.split(' ').collect();
        fields[3] = "1";
        assert!(has_ended(&fields.join(" ")), "a process of the same number that began at another time");
        fields[0] = "another-boot";
        assert!(!has_ended(&fields.join(" ")), "another machine");
        for nothing in ["", "a b c", "a b x d"] {
            assert!(!has_ended(nothing), "{nothing:?}");
        }
    }

    #[test]
    fn a_child_has_ended_once_it_was_killed() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let identity =
            format!("{} {} {}", machine_part().unwrap(), child.id(), start_time(child.id()).unwrap());
        assert!(!has_ended(&identity));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(has_ended(&identity));
    }
}
