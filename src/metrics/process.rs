//! What the operating system says of this process: memory, descriptors, threads.

use std::fs;

use crate::metrics::text::Text;

/// Adds them to the text, where the system has `/proc`.
pub fn add(text: &mut Text) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let number = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|it| it.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let files = fs::read_dir("/proc/self/fd").map(|it| it.count() as u64).ok();
    for (name, help, value) in [
        (
            "process_resident_memory_bytes",
            "Memory in use, in bytes.",
            number("VmRSS:").map(|kib| kib * 1024),
        ),
        ("process_open_fds", "Open file descriptors.", files),
        ("process_threads", "Threads.", number("Threads:")),
    ] {
        if let Some(value) = value {
            text.family(name, "gauge", help);
            text.sample(&[], value);
        }
    }
}
