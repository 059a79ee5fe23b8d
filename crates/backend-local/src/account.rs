//! The account that this process runs as.

use std::ffi::{CStr, OsString};
use std::os::unix::ffi::OsStringExt;

/// What the user database says about this user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: OsString,
    pub(crate) home: OsString,
    pub(crate) shell: OsString,
}

impl Account {
    /// Looks it up. It may block, where the database is not a file. A user
    /// that is not in it is called by its number, and lives in `/`.
    pub(crate) fn current() -> Self {
        let user = rustix::process::geteuid().as_raw();
        lookup(user).unwrap_or_else(|| Self {
            name: user.to_string().into(),
            home: "/".into(),
            shell: "/bin/sh".into(),
        })
    }
}

#[expect(
    unsafe_code,
    reason = "only the C library can ask every database of users (NSS)"
)]
fn lookup(user: u32) -> Option<Account> {
    let mut buffer = vec![0; 1 << 10];
    loop {
        // SAFETY: all-zero bytes are a valid `passwd` (null pointers, zeros).
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        // SAFETY: the pointers are to live variables, the length is the buffer's.
        let error = unsafe {
            libc::getpwuid_r(
                user,
                &raw mut entry,
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw mut found,
            )
        };
        if error == libc::ERANGE && buffer.len() < 1 << 20 {
            buffer.resize(buffer.len() * 4, 0);
            continue;
        }
        if error != 0 || found.is_null() {
            return None;
        }
        let text = |pointer: *const libc::c_char| {
            if pointer.is_null() {
                return OsString::new();
            }
            // SAFETY: a found entry holds strings that end with NUL and live
            // in `buffer`.
            let text = unsafe { CStr::from_ptr(pointer) };
            OsString::from_vec(text.to_bytes().to_vec())
        };
        return Some(Account {
            name: text(entry.pw_name),
            home: text(entry.pw_dir),
            shell: text(entry.pw_shell),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_everywhere_and_an_unused_number_nowhere() {
        assert_eq!(lookup(0).unwrap().name, "root");
        assert_eq!(lookup(u32::MAX - 7), None);
        assert!(!Account::current().name.is_empty());
    }
}
