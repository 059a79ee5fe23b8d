//! Another time for a program, by the library of `faketime`. Not by its program:
//! that one keeps a semaphore by its process id, which a program that is killed
//! leaves behind, and refuses to begin where an earlier one has left its own.

use std::path::PathBuf;

/// The library, if the package `faketime` is installed: for `LD_PRELOAD`.
pub fn faketime_library() -> Option<PathBuf> {
    let lib = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];
    let triples = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let places = lib
        .map(PathBuf::from)
        .into_iter()
        .chain(triples.map(|triple| triple.path()));
    places
        .map(|place| place.join("faketime/libfaketime.so.1"))
        .find(|library| library.is_file())
}

/// The words to put before a command, so that it believes in a time that is
/// `offset` from now, such as `+23h`.
pub fn at_another_time(offset: &str) -> Option<Vec<String>> {
    let library = faketime_library()?;
    Some(vec![
        "env".to_owned(),
        format!("LD_PRELOAD={}", library.display()),
        format!("FAKETIME={offset}"),
    ])
}
