//! Removes a directory tree, whatever a script has made of it.
//!
//! The tree is flattened as it is removed: what is a directory within a
//! directory is moved up to the top. So neither the depth nor the number of
//! descriptors grows with the tree, no path is ever too long, and every step
//! is relative to a descriptor, so that a link is never followed.

use std::ffi::{CStr, CString};
use std::io;
use std::path::Path;
use std::time::Instant;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, IFlags, Mode, OFlags, chmodat, fchmod, ioctl_getflags,
    ioctl_setflags, openat, renameat, unlinkat,
};
use rustix::io::Errno;

/// Removes `path` and all in it; what is gone already is fine. Goes on until
/// `deadline` while files are still being made in it.
pub(crate) fn remove(path: &Path, deadline: Instant) -> io::Result<()> {
    loop {
        let top = match open(CWD, path) {
            Ok(top) => top,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut moved = 0;
        // Each pass removes one level of everything.
        while pass(&top, &mut moved)? {
            late(deadline)?;
        }
        match rustix::fs::rmdir(path) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // Something was made in it after the last look.
            Err(Errno::NOTEMPTY) => late(deadline)?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes all files and empties all directories in `top`; their own
/// directories are moved up. Says whether there was anything.
fn pass(top: &OwnedFd, moved: &mut u64) -> io::Result<bool> {
    let entries = entries(top)?;
    let any = !entries.is_empty();
    for (name, kind) in entries {
        if kind != FileType::Directory && unlink(top, &name)? {
            continue;
        }
        let directory = match open(top, &*name) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(named(error, &name)),
        };
        for (inner, kind) in self::entries(&directory)? {
            if kind != FileType::Directory && unlink(&directory, &inner)? {
                continue;
            }
            raise(&directory, &inner, top, moved)?;
        }
        drop(directory);
        match unlinkat(top, &*name, AtFlags::REMOVEDIR) {
            // If something was made in it since, the next pass sees it.
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY) => {}
            Err(error) => return Err(named(error, &name)),
        }
    }
    Ok(any)
}

/// Moves the directory `inner` up to `top`, under a name that nothing there has.
fn raise(directory: &OwnedFd, inner: &CStr, top: &OwnedFd, moved: &mut u64) -> io::Result<()> {
    loop {
        *moved += 1;
        let name = format!(".removing-{moved}");
        match renameat(directory, inner, top, &*name) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
            // A directory that is moved to another parent must be writable.
            Err(Errno::ACCESS | Errno::PERM) => {
                drop(open(directory, inner).map_err(|error| named(error, inner))?);
                return match renameat(directory, inner, top, &*name) {
                    Ok(()) | Err(Errno::NOENT) => Ok(()),
                    Err(error) => Err(named(error, inner)),
                };
            }
            Err(error) => return Err(named(error, inner)),
        }
    }
}

/// Opens a directory, and makes it one that we may empty.
fn open<P: rustix::path::Arg + Copy>(parent: impl AsFd, name: P) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match openat(&parent, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            // It was seen to be a directory; should it have become a link
            // since, the open after this refuses it.
            chmodat(&parent, name, Mode::RWXU, AtFlags::empty())?;
            openat(&parent, name, flags, Mode::empty())?
        }
        result => result?,
    };
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&directory)?.st_mode);
    if mode.contains(Mode::RWXU) {
        release(&directory);
    } else {
        match fchmod(&directory, Mode::RWXU) {
            Err(Errno::PERM) if release(&directory) => fchmod(&directory, Mode::RWXU)?,
            result => result?,
        }
    }
    Ok(directory)
}

/// Unlinks a file. `false` if it is a directory.
fn unlink(directory: &OwnedFd, name: &CStr) -> io::Result<bool> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        Err(Errno::PERM) => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = openat(directory, name, flags, Mode::empty());
            if !file.is_ok_and(|file| release(&file)) {
                return Err(named(Errno::PERM, name));
            }
            match unlinkat(directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(true),
                Err(error) => Err(named(error, name)),
            }
        }
        Err(error) => Err(named(error, name)),
    }
}

/// Takes away what `chattr +i` and `+a` set. Says whether there was anything
/// to take away, and it could be.
fn release(file: &OwnedFd) -> bool {
    let fixed = IFlags::IMMUTABLE | IFlags::APPEND;
    match ioctl_getflags(file) {
        Ok(flags) if flags.intersects(fixed) => ioctl_setflags(file, flags - fixed).is_ok(),
        _ => false,
    }
}

fn entries(directory: &OwnedFd) -> io::Result<Vec<(CString, FileType)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            found.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    Ok(found)
}

fn late(deadline: Instant) -> io::Result<()> {
    if Instant::now() < deadline {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "it took too long, or files are still being made in it",
    ))
}

fn named(error: Errno, name: &CStr) -> io::Error {
    let source = io::Error::from(error);
    let name = name.to_string_lossy();
    io::Error::new(
        source.kind(),
        format!("`{}`: {source}", name.escape_debug()),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::Duration;

    use super::*;

    /// More than a busy machine needs for anything here.
    fn soon() -> Instant {
        Instant::now() + Duration::from_mins(3)
    }

    #[test]
    fn a_tree_of_ten_thousand_levels_is_removed() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("x");
        fs::create_dir(&path).unwrap();
        let mut directory = open(CWD, &*path).unwrap();
        for _ in 0..10_000 {
            rustix::fs::mkdirat(&directory, "d", Mode::RWXU).unwrap();
            directory = open(&directory, "d").unwrap();
        }
        drop(directory);
        remove(&path, soon()).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn links_are_removed_and_not_followed() {
        let outer = tempfile::tempdir().unwrap();
        let (kept, path) = (outer.path().join("kept"), outer.path().join("x"));
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "").unwrap();
        fs::create_dir_all(path.join("a/b")).unwrap();
        symlink(&kept, path.join("link")).unwrap();
        symlink(&kept, path.join("a/b/link")).unwrap();
        remove(&path, soon()).unwrap();
        assert!(kept.join("file").exists() && !path.exists());
        symlink(&kept, &path).unwrap();
        assert!(
            remove(&path, soon()).is_err(),
            "a link in place of the tree"
        );
        assert!(kept.join("file").exists());
    }

    #[test]
    fn directories_without_permissions_and_odd_names_are_removed() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("x");
        fs::create_dir_all(path.join("a/b/c")).unwrap();
        for name in ["-rf", "new\nline", ".removing-1", ".removing-2"] {
            fs::create_dir(path.join(name)).unwrap();
            fs::write(path.join(name).join("f"), "").unwrap();
        }
        for directory in ["a/b/c", "a/b", "a"] {
            fs::set_permissions(path.join(directory), fs::Permissions::from_mode(0o000)).unwrap();
        }
        remove(&path, soon()).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn files_that_are_made_meanwhile_are_removed_too() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("x");
        fs::create_dir_all(path.join("a")).unwrap();
        let maker = {
            let path = path.clone();
            std::thread::spawn(move || {
                let mut made = 0;
                while made < 100_000 && fs::write(path.join(format!("f{made}")), "").is_ok() {
                    made += 1;
                }
                made
            })
        };
        let result = remove(&path, soon());
        let made = maker.join().unwrap();
        result.unwrap();
        assert!(!path.exists(), "{made} were made");
    }
}
