//! Huge pages, whose files have the pages' size in their names.

use std::fs;
use std::path::Path;

/// The sizes, such as `2MB`, for which a directory has a file `hugetlb.SIZE` and then `end`.
/// Reservations (`hugetlb.SIZE.rsvd…`) are not counted.
pub fn sizes(directory: &Path, end: &str) -> Vec<String> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |name: String| {
        let size = name.strip_prefix("hugetlb.")?.strip_suffix(end)?;
        (!size.contains('.')).then(|| size.to_owned())
    };
    let mut sizes: Vec<_> = files.filter_map(|file| size(file.file_name().into_string().ok()?)).collect();
    sizes.sort();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_found_by_their_files() {
        let directory = tempfile::tempdir().unwrap();
        for name in
            ["hugetlb.2MB.current", "hugetlb.1GB.current", "hugetlb.2MB.rsvd.current", "hugetlb.2MB.max", "x"]
        {
            fs::write(directory.path().join(name), "").unwrap();
        }
        assert_eq!(sizes(directory.path(), ".current"), ["1GB", "2MB"]);
        assert!(sizes(Path::new(""), ".current").is_empty());
    }
}
