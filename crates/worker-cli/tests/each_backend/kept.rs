//! Instances that are kept on purpose, and their end at their time by whoever
//! looks next.

use serde_json::Value;

use crate::Case;
use crate::clock::later;
use crate::place::{Place, Script};

pub(crate) const CASES: &[Case] = &[
    ("kept_on_failure", kept_on_failure),
    ("kept_until_its_time", kept_until_its_time),
];

const FAILS: Script = Script {
    text: "echo found >evidence; exit 3",
    fake: &[("exit-code", "3")],
};

const SUCCEEDS: Script = Script {
    text: "exit 0",
    fake: &[],
};

/// A limit with which an instance expires before [`LATER`].
const SOON: [&str; 2] = ["--hard-timeout", "1m"];

fn kept_on_failure(place: &Place) {
    let keep = ["--keep", "on-failure"];
    let output = place.output(&FAILS, &keep);
    let said = String::from_utf8(output.stderr).unwrap();
    if !keeps(&said) {
        assert_eq!(output.status.code(), Some(125), "{said}");
        return place.assert_clean();
    }
    assert_eq!(output.status.code(), Some(3), "{said}");
    let result = place.result();
    let id = result["instance"].as_str().unwrap();
    assert!(result["kept"]["expires"].is_u64(), "{result:#}");
    assert!(
        said.contains(&format!("worker: kept {id} until ")),
        "{said}"
    );
    let [found] = &place.instances()[..] else {
        panic!("one is kept: {:#?}", place.instances());
    };
    let marks = &found["instance"]["marks"];
    assert_eq!(
        (&marks["instance"], &marks["kept"]),
        (&id.into(), &true.into())
    );
    let off = marks["expires"].as_u64().unwrap() - result["kept"]["expires"].as_u64().unwrap();
    assert!(off < 60, "told another time than it has: {off} s");
    // A success is not kept, and does not touch what is.
    let output = place.output(&SUCCEEDS, &keep);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(place.instances().len(), 1);
    // What was printed removes it.
    let removed = place.worker("reap").arg(id).output().unwrap();
    let told = String::from_utf8(removed.stdout).unwrap();
    assert!(removed.status.success(), "{told}");
    assert!(told.contains("removed: asked for by its id"), "{told}");
    place.assert_clean();
}

fn kept_until_its_time(place: &Place) {
    let Some(later) = later() else { return };
    let later: Vec<_> = later.iter().map(String::as_str).collect();
    for look in ["ps", "reap", "run"] {
        let keep = ["--keep", "always", SOON[0], SOON[1]];
        let output = place.output(&SUCCEEDS, &keep);
        let said = String::from_utf8(output.stderr).unwrap();
        if !keeps(&said) {
            return place.assert_clean();
        }
        assert_eq!(output.status.code(), Some(0), "{said}");
        let id = place.result()["instance"].as_str().unwrap().to_owned();
        // Not before its time.
        let reaped = place.worker("reap").arg("--json").output().unwrap();
        let reaped: Vec<Value> = serde_json::from_slice(&reaped.stdout).unwrap();
        assert!(
            reaped.iter().all(|one| one["removed"] == false),
            "{reaped:#?}"
        );
        assert_eq!(place.instances().len(), 1);
        let looked = match look {
            "run" => place.run_under(&later, &SUCCEEDS, &[]).output().unwrap(),
            _ => place.worker_under(&later, look).output().unwrap(),
        };
        let told = [looked.stdout, looked.stderr].concat();
        let told = String::from_utf8(told).unwrap();
        assert!(looked.status.success(), "{look}: {told}");
        assert!(told.contains("removed"), "{look}: {told}");
        assert!(told.contains(&id), "{look}: {told}");
        place.assert_clean();
    }
}

/// Whether the backend can keep an instance, by what it said.
fn keeps(said: &str) -> bool {
    !said.contains("does not have the capability `keeps`")
}
