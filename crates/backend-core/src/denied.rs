//! Why a permission was denied: the mode and the owners of what stands in the
//! way, which the system's error does not tell.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// An error of a file, with its mode and owners where the permission was
/// denied: "permission denied: it has mode 0600, user root, group root".
///
/// Reads the file system, to look at the file or the first directory on the way
/// to it that could be looked at.
pub fn why_unusable(path: &Path, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error.to_string();
    }
    match blocking(path) {
        Some((place, who)) if place == path => format!("permission denied: it has {who}"),
        Some((place, who)) => format!("permission denied: {} has {who}", place.display()),
        None => "permission denied".into(),
    }
}

/// The same error of a file, with what [`why_unusable`] says where the
/// permission was denied.
pub fn with_permissions(path: &Path, error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied => io::Error::new(error.kind(), why_unusable(path, &error)),
        _ => error,
    }
}

/// The nearest to `path` of what can be looked at.
fn blocking(path: &Path) -> Option<(&Path, Permissions)> {
    path.ancestors().find_map(|place| {
        let metadata = std::fs::metadata(place).ok()?;
        Some((place, Permissions::of(&metadata)))
    })
}

struct Permissions {
    mode: u32,
    user: String,
    group: String,
}

impl Permissions {
    fn of(metadata: &Metadata) -> Self {
        Self {
            mode: metadata.mode() & 0o7777,
            user: name("/etc/passwd", metadata.uid()),
            group: name("/etc/group", metadata.gid()),
        }
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, user, group } = self;
        write!(f, "mode {mode:04o}, user {user}, group {group}")
    }
}

/// The name of a number in a file of the form `name:x:number:…`, else the
/// number.
fn name(file: &str, number: u32) -> String {
    let number = number.to_string();
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut lines = text.lines().map(|line| line.split(':'));
    let found = lines.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    found.unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_mode_and_the_owners_are_told_of_what_can_be_seen() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let text = why_unusable(&file, &denied);
        assert!(
            text.starts_with("permission denied: it has mode 0640, user "),
            "{text}"
        );
        let kept = with_permissions(&file, io::ErrorKind::PermissionDenied.into());
        assert_eq!((kept.kind(), kept.to_string()), (denied.kind(), text));
        let below = why_unusable(&file.join("below"), &denied);
        let shown = format!("permission denied: {} has mode 0640", file.display());
        assert!(below.starts_with(&shown), "{below}");
        let other = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(why_unusable(&file, &other), other.to_string());
    }

    #[test]
    fn numbers_have_names_where_there_are_any() {
        assert_eq!(name("/etc/passwd", 0), "root");
        assert_eq!(name("/etc/passwd", 4_123_456), "4123456");
        assert_eq!(name("/no/such/file", 7), "7");
    }
}
