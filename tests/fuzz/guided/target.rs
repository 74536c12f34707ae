//! One target under libFuzzer: that of the executable's name.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let target = kabar_fuzz::targets::find_target(env!("CARGO_BIN_NAME")).expect("the name of a target");
    (target.run)(input);
});
