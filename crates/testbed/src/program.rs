//! Where programs are.

use std::path::PathBuf;

/// The path of the program `name`, if this machine has it. Daemons are in
/// `sbin`, which a user's search path may lack.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}
