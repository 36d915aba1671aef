//! The machine's memory, as the kernel counts it.

use std::fs;
use std::io;

const FILE: &str = "/proc/meminfo";

/// All of it, in bytes.
pub fn total() -> io::Result<u64> {
    field("MemTotal")
}

/// What programs can get without swapping, in bytes.
pub fn available() -> io::Result<u64> {
    field("MemAvailable")
}

fn field(name: &str) -> io::Result<u64> {
    let table = fs::read_to_string(FILE)?;
    let of_field = |line: &str| {
        let (_, rest) = line.split_once(':').filter(|(found, _)| *found == name)?;
        rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    let kilobytes = table.lines().find_map(of_field);
    kilobytes.map(|kilobytes| kilobytes << 10).ok_or_else(|| io::Error::other(format!("no {name} in {FILE}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_of_the_memory_is_available() {
        let (available, total) = (available().unwrap(), total().unwrap());
        assert!((1 << 20..=total).contains(&available), "{available} of {total}");
        assert_eq!(field("MemNone").unwrap_err().to_string(), "no MemNone in /proc/meminfo");
    }
}
