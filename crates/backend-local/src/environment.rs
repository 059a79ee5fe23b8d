//! The whole environment of a script; nothing of the worker's is in it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;

use backend_core::{Environment, InstanceId};

use crate::account::Account;
use crate::error::Failure;
use crate::layout::Layout;
use crate::options::{Home, LocalOptions};
use crate::proc_files::{self, Stat};
use crate::remains::Remains;

/// The one variable that Worker itself adds; also the marker by which
/// processes are found.
pub(crate) const INSTANCE_VARIABLE: &str = "WORKER_INSTANCE_ID";

/// What a script's environment is made of.
pub(crate) fn build(
    options: &LocalOptions,
    account: &Account,
    layout: &Layout,
    id: &InstanceId,
    added: &Environment,
) -> Result<BTreeMap<OsString, OsString>, Failure> {
    if added.get(INSTANCE_VARIABLE).is_some() {
        return Err(Failure::ReservedVariable(INSTANCE_VARIABLE));
    }
    let home = match options.home {
        Home::Private => layout.home().into(),
        Home::Account => account.home.clone(),
    };
    let own = [
        ("PATH", OsString::from(&options.path)),
        ("HOME", home),
        ("TMPDIR", layout.temporary().into()),
        ("USER", account.name.clone()),
        ("LOGNAME", account.name.clone()),
        ("SHELL", account.shell.clone()),
        (INSTANCE_VARIABLE, id.as_str().into()),
    ];
    let own = own.map(|(name, value)| (OsString::from(name), value));
    let added = added
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    Ok(own.into_iter().chain(added).collect())
}

/// Keeps what a script is given, for shells beside it.
pub(crate) fn keep(
    layout: &Layout,
    environment: &BTreeMap<OsString, OsString>,
) -> std::io::Result<()> {
    let mut text = Vec::new();
    for (name, value) in environment {
        for part in [name.as_bytes(), b"=", value.as_bytes(), b"\0"] {
            text.extend_from_slice(part);
        }
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(layout.environment())?
        .write_all(&text)
}

/// What the script was given: from what was kept, else from its process, if
/// that still runs. Blocks.
pub(crate) fn of_script(
    id: &InstanceId,
    remains: &Remains,
) -> Option<BTreeMap<OsString, OsString>> {
    let kept = || std::fs::read(remains.layout.environment()).ok();
    let text = kept().or_else(|| {
        let members = remains.containment.members(None);
        let leaders = members.into_iter().filter_map(|pid| {
            let stat = Stat::read(pid)?;
            (stat.session == pid.as_raw_nonzero().get()).then_some((stat.started, pid))
        });
        // The first of all sessions is the script's.
        let (_, first) = leaders.min_by_key(|(started, _)| *started)?;
        proc_files::environ(first)
    })?;
    let read: BTreeMap<_, _> = text
        .split(|byte| *byte == 0)
        .filter_map(|entry| {
            let equals = entry.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (entry.get(..equals)?, entry.get(equals + 1..)?);
            Some((
                OsStr::from_bytes(name).into(),
                OsStr::from_bytes(value).into(),
            ))
        })
        .collect();
    // A script that has become something else may have given it another.
    let marked = read.get(OsStr::new(INSTANCE_VARIABLE));
    marked.is_some_and(|own| own == id.as_str()).then_some(read)
}

#[cfg(test)]
mod tests {
    use backend_core::{Options, ProviderConfig};

    use super::*;

    #[test]
    fn the_run_may_replace_all_but_the_marker() {
        let id: InstanceId = "w-1".parse().unwrap();
        let layout = Layout::new("/base".as_ref(), &id);
        let account = Account {
            name: "ann".into(),
            home: "/home/ann".into(),
            shell: "/bin/bash".into(),
        };
        let config = ProviderConfig::from([("home", "account")]);
        let options = LocalOptions::parse("local", &config).unwrap();
        let mut added = Environment::new();
        added.set("PATH", "/opt").unwrap().set("X", "").unwrap();
        let built = build(&options, &account, &layout, &id, &added).unwrap();
        let get = |name: &str| built.get(&OsString::from(name)).unwrap().to_str().unwrap();
        assert_eq!(built.len(), 8);
        assert_eq!(
            (get("PATH"), get("HOME"), get("X")),
            ("/opt", "/home/ann", "")
        );
        assert_eq!(get("TMPDIR"), "/base/w-1/job/tmp");
        added.set(INSTANCE_VARIABLE, "other").unwrap();
        let refused = build(&options, &account, &layout, &id, &added);
        assert!(matches!(refused, Err(Failure::ReservedVariable(_))));
    }
}
