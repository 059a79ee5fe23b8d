//! That the checks see what they are there for: each kind of lie, once.

use std::time::Duration;

use backend_core::testkit::{Action, Direction};
use serde_json::json;

use super::*;
use crate::soak::faults::When;
use crate::soak::plan::Backend;
use crate::soak::scripts::Recipe;

fn plan(recipe: Recipe) -> Plan {
    Plan {
        number: 1,
        backend: Backend::Ssh,
        recipe,
        interruption: Interruption::Nothing,
        trouble: Trouble::Nothing,
    }
}

/// Ten lines, and code 3.
fn lines() -> Plan {
    plan(Recipe::Lines { count: 10, code: 3 })
}

/// What an honest worker shows of a script that exits by itself.
fn honest(plan: &Plan, status: i32) -> Observed {
    let script = plan.recipe.script();
    let mut seen = Observed {
        status: Some((Some(status), None)),
        stdout: script.output,
        stderr: Vec::new(),
        result: Some(json!({
            "ended_by": "script",
            "outcome": { "kind": "exited", "code": status },
            "exit_code": status,
            "output_complete": true,
            "output_truncated": false,
            "reconnects": 0,
        })),
        events: Vec::new(),
        interrupted: false,
        befell: Vec::new(),
        left: Vec::new(),
    };
    sum(&mut seen);
    seen
}

/// Puts length and hash of what came out into the result.
fn sum(seen: &mut Observed) {
    let (length, hash) = (seen.stdout.len(), sha256_hex(&seen.stdout));
    set(seen, "output_bytes", json!(length));
    set(seen, "output_sha256", json!(hash));
}

fn set(seen: &mut Observed, key: &str, value: Value) {
    seen.result.as_mut().unwrap()[key] = value;
}

/// What is wrong, as one text.
fn wrong(plan: &Plan, seen: &Observed) -> String {
    check(plan, &plan.recipe.script(), seen).1.join("; ")
}

fn cut() -> Trouble {
    Trouble::Cut {
        direction: Direction::FromTarget,
        after: 1,
        action: Action::Reset,
    }
}

#[test]
fn the_truth_is_let_through() {
    let plan = lines();
    assert_eq!(wrong(&plan, &honest(&plan, 3)), "");
}

#[test]
fn a_code_that_the_script_did_not_give() {
    let plan = lines();
    assert!(wrong(&plan, &honest(&plan, 0)).contains("never gave this verdict"));
    // Nor after a cut.
    let mut seen = honest(&plan, 0);
    seen.befell.push(cut());
    assert!(wrong(&plan, &seen).contains("never gave this verdict"));
}

#[test]
fn a_status_that_is_not_what_the_result_says() {
    let plan = lines();
    let mut seen = honest(&plan, 3);
    seen.status = Some((Some(0), None));
    assert!(wrong(&plan, &seen).contains("status 0 does not go with Own"));
}

#[test]
fn a_lost_last_chunk() {
    let plan = lines();
    let mut seen = honest(&plan, 3);
    seen.stdout.truncate(20);
    assert!(wrong(&plan, &seen).contains("output_sha256"));
    // Also if length and hash are those of what is there.
    sum(&mut seen);
    assert!(wrong(&plan, &seen).contains("claim to be complete"));
    // It has to be said, and there has to be a reason.
    set(&mut seen, "output_complete", json!(false));
    assert!(wrong(&plan, &seen).contains("without a reason"));
}

#[test]
fn words_of_ours_in_the_output() {
    let plan = lines();
    let mut seen = honest(&plan, 3);
    seen.stdout.extend_from_slice(b"worker: done\n");
    sum(&mut seen);
    assert!(wrong(&plan, &seen).contains("no beginning"));
}

#[test]
fn a_loss_without_a_fault_that_explains_it() {
    let plan = lines();
    let mut seen = honest(&plan, 75);
    set(&mut seen, "ended_by", json!("lost"));
    set(&mut seen, "outcome", json!({ "kind": "lost" }));
    set(&mut seen, "exit_code", Value::Null);
    assert!(wrong(&plan, &seen).contains("may not end so: Lost"));
    seen.befell.push(cut());
    assert!(wrong(&plan, &seen).contains("may not end so: Lost"));
    // Behind a server that was killed it may be.
    let plan = Plan {
        backend: Backend::Http,
        ..plan
    };
    seen.befell.push(Trouble::Kill(When::Begun(Duration::ZERO)));
    assert_eq!(wrong(&plan, &seen), "");
}

#[test]
fn a_secret_that_got_out() {
    let plan = plan(Recipe::Secret {
        pause_ms: 1,
        code: 0,
    });
    let secret = plan.recipe.script().secret.unwrap();
    let mut seen = honest(&plan, 0);
    assert_eq!(wrong(&plan, &seen), "");
    seen.events = format!("{{\"detail\":\"{secret}\"}}").into_bytes();
    assert_eq!(wrong(&plan, &seen), "the secret is in the events");
    seen.events.clear();
    seen.stdout = plan.recipe.script().raw;
    sum(&mut seen);
    assert!(wrong(&plan, &seen).contains("the secret is in standard output"));
}

#[test]
fn a_hang_a_panic_and_remains() {
    let plan = lines();
    let mut seen = honest(&plan, 3);
    seen.stderr = b"thread 'main' panicked at".to_vec();
    seen.left.push("w-1".into());
    assert_eq!(
        wrong(&plan, &seen),
        "the worker panicked; left on its disk: w-1"
    );
    seen.status = None;
    assert!(wrong(&plan, &seen).contains("it did not end"));
}

#[test]
fn output_that_is_cut_in_the_wrong_place() {
    let limited = Plan {
        interruption: Interruption::OutputLimit {
            bytes: 20,
            truncate: false,
        },
        ..lines()
    };
    let mut seen = honest(&limited, 124);
    set(&mut seen, "ended_by", json!("output-limit"));
    set(&mut seen, "outcome", Value::Null);
    set(&mut seen, "exit_code", Value::Null);
    for (length, right) in [(21, false), (20, true), (17, true), (12, false)] {
        seen.stdout = limited.recipe.script().output;
        seen.stdout.truncate(length);
        sum(&mut seen);
        assert_eq!(wrong(&limited, &seen).is_empty(), right, "{length}");
    }
}

#[test]
fn a_limit_that_output_with_holes_never_reached() {
    let limited = Plan {
        backend: Backend::Docker,
        interruption: Interruption::OutputLimit {
            bytes: 20,
            truncate: false,
        },
        ..lines()
    };
    let mut seen = honest(&limited, 3);
    seen.stdout = limited.recipe.script().output;
    seen.stdout.truncate(12);
    sum(&mut seen);
    set(&mut seen, "output_complete", json!(false));
    assert!(wrong(&limited, &seen).contains("may not end so: Own"));
    seen.befell.push(cut());
    assert_eq!(wrong(&limited, &seen), "");
    // What came is still held to it.
    seen.stdout = limited.recipe.script().output;
    seen.stdout.truncate(21);
    sum(&mut seen);
    assert!(wrong(&limited, &seen).contains("more than the limit"));
}
