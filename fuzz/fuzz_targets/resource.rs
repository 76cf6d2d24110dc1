//! Feeds `checks/resource.rs`.
#![no_main]

#[path = "../checks/resource.rs"]
mod resource;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| resource::check(bytes));
