//! The directory in which instances live: ours alone, or refused.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::Failure;

/// What only this user may use.
pub(crate) const PRIVATE: u32 = 0o700;

/// Where instances live unless an option says otherwise.
pub(crate) fn default_directory() -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    std::env::temp_dir().join(format!("worker-{user}"))
}

/// Makes the directory if there is none, and makes sure that it is one of
/// ours, with mode 0700: in a place that all can write, another user may have
/// put something there first. Says whether it was made.
pub(crate) fn ensure(base: &Path) -> Result<bool, Failure> {
    if let Some(parent) = base.parent() {
        fs::create_dir_all(parent).map_err(|source| Failure::file("make", parent, source))?;
    }
    let made = match make(base) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(Failure::file("make", base, error)),
    };
    verify(base)?;
    Ok(made)
}

/// Makes sure that the directory is ours alone; `false` if there is none.
pub(crate) fn exists(base: &Path) -> Result<bool, Failure> {
    match verify(base) {
        Ok(()) => Ok(true),
        Err(Failure::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Makes a directory with mode 0700, whatever the umask is.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(PRIVATE).create(path)?;
    let mode = fs::symlink_metadata(path)?.mode() & 0o777;
    if mode == PRIVATE {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(PRIVATE))
}

fn verify(base: &Path) -> Result<(), Failure> {
    let metadata =
        fs::symlink_metadata(base).map_err(|source| Failure::file("look at", base, source))?;
    let own = rustix::process::geteuid().as_raw();
    let mode = metadata.mode() & 0o7777;
    if !metadata.is_dir() {
        return Err(Failure::BaseNotADirectory(base.into()));
    }
    if metadata.uid() != own {
        return Err(Failure::BaseForeign {
            path: base.into(),
            owner: metadata.uid(),
            own,
        });
    }
    if mode & 0o777 != PRIVATE {
        return Err(Failure::BaseOpen {
            path: base.into(),
            mode,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_with_its_parents_and_only_for_us() {
        let outer = tempfile::tempdir().unwrap();
        let base = outer.path().join("a/b");
        assert!(!exists(&base).unwrap());
        assert!(ensure(&base).unwrap());
        assert!(!ensure(&base).unwrap());
        assert!(exists(&base).unwrap());
        assert_eq!(fs::metadata(&base).unwrap().mode() & 0o777, PRIVATE);
    }

    #[test]
    fn links_files_and_open_directories_are_refused() {
        let outer = tempfile::tempdir().unwrap();
        let open = outer.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(
            ensure(&open),
            Err(Failure::BaseOpen { mode: 0o755, .. })
        ));

        let (real, link) = (outer.path().join("real"), outer.path().join("link"));
        make(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(matches!(ensure(&link), Err(Failure::BaseNotADirectory(_))));
        assert!(matches!(exists(&link), Err(Failure::BaseNotADirectory(_))));

        let file = outer.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(ensure(&file), Err(Failure::BaseNotADirectory(_))));
        assert!(matches!(ensure(&file.join("x")), Err(Failure::File { .. })));
    }
}
