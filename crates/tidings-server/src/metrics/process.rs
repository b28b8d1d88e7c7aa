//! What the system says of this process, under the names that every Prometheus client uses.

use std::fs;

use super::text::Text;

/// `/proc` counts processor time in hundredths of a second, on every machine that Linux runs on today.
const TICKS_PER_SECOND: f64 = 100.0;

/// Adds what can be known; a system without `/proc` tells less.
pub(super) fn add_to(text: &mut Text, started_unix_s: f64) {
    text.gauge("process_start_time_seconds", "When the process started, since 1970.")
        .sample(&[], started_unix_s);
    if let Some(seconds) = cpu_seconds() {
        text.counter("process_cpu_seconds_total", "Processor time used, by user and system.")
            .sample(&[], seconds);
    }
    if let Some(bytes) = resident_bytes() {
        text.gauge("process_resident_memory_bytes", "Memory in use.").sample(&[], bytes);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        text.gauge("process_open_fds", "Open files; each connection is one.").sample(&[], open.count());
    }
    if let Ok((soft, _)) = rlimit::Resource::NOFILE.get() {
        text.gauge("process_max_fds", "The most files that may be open.").sample(&[], soft);
    }
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program stands in parentheses and may hold spaces; times are the 12th and 13th after it.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    Some(kilobytes.parse::<u64>().ok()? * 1024)
}
