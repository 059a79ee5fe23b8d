//! A worker that is killed in mid-run, and `worker reap`.

use std::process::Output;

use serde_json::Value;

use crate::Case;
use crate::clock::later;
use crate::place::{Begun, Place, Script};

pub(crate) const CASES: &[Case] = &[("killed_worker_and_reap", killed_worker_and_reap)];

const HANGS: Script = Script {
    text: "setsid sleep 600 & echo begun; sleep 600",
    fake: &[("log-output", "begun\n"), ("run-hang", "true")],
};

fn killed_worker_and_reap(place: &Place) {
    let Some(later) = later() else { return };
    let later: Vec<_> = later.iter().map(String::as_str).collect();
    let mut begun = Begun::of(&mut place.run(&HANGS, &["--job", "to be killed"]));
    if !place.rig.executes() {
        // What is in the memory of a process ends with it.
        begun.send("KILL");
        assert_eq!(begun.ended().0, None);
        return place.assert_clean();
    }
    // Alive: never touched, however old.
    let reaped = reap(place, &later, &[]);
    assert_eq!(reaped[0]["reason"], "its worker is alive", "{reaped:#?}");
    begun.send("KILL");
    assert_eq!(begun.ended().0, None);
    // Too young, another owner's, a dry run: nothing is removed.
    let reaped = reap(place, &[], &[]);
    assert_eq!(reaped[0]["reason"], "younger than a minute", "{reaped:#?}");
    let reaped = reap(place, &later, &["--owner", "someone-else"]);
    assert!(
        reaped.iter().all(|one| one["removes"] == false),
        "{reaped:#?}"
    );
    let reaped = reap(place, &later, &["--dry-run"]);
    assert_eq!(reaped[0]["reason"], "its worker is dead", "{reaped:#?}");
    assert_eq!(
        (&reaped[0]["removes"], &reaped[0]["removed"]),
        (&true.into(), &false.into())
    );
    assert_eq!(place.instances().len(), 1);
    // And then it is.
    let reaped = reap(place, &later, &[]);
    assert_eq!(reaped[0]["removed"], true, "{reaped:#?}");
    place.assert_clean();
    assert_eq!(reap(place, &later, &[]), Vec::<Value>::new());
}

/// `worker reap` at a later time; what it says of this place's instances.
fn reap(place: &Place, before: &[&str], arguments: &[&str]) -> Vec<Value> {
    let owner = std::fs::read_to_string(place.path("state/owner")).unwrap();
    let mut reap = place.worker_under(before, "reap");
    let reaped: Output = reap.arg("--json").args(arguments).output().unwrap();
    assert!(reaped.status.success(), "{reaped:?}");
    let all: Vec<Value> = serde_json::from_slice(&reaped.stdout).unwrap();
    let ours = |entry: &Value| entry["instance"]["marks"]["owner"] == owner.trim();
    all.into_iter().filter(ours).collect()
}
