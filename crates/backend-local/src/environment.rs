//! The whole environment of a script; nothing of the worker's is in it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use backend_core::{Environment, InstanceId};

use crate::account::Account;
use crate::error::Failure;
use crate::layout::Layout;
use crate::options::{Home, LocalOptions};

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
