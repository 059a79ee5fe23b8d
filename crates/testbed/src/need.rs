//! What a run of the tests must not skip.

/// The variable by which `cargo xtask` names the suites that must run,
/// separated by commas.
const VARIABLE: &str = "WORKER_TEST_REQUIRE";

/// Whether skipping `suite` is a failure in this run of the tests.
pub fn is_required(suite: &str) -> bool {
    let required = std::env::var(VARIABLE).unwrap_or_default();
    required.split(',').any(|name| name.trim() == suite)
}

/// Says that `suite` cannot run here, and why.
///
/// # Panics
///
/// If the suite is required.
#[expect(clippy::print_stderr, reason = "it tells who runs the tests")]
pub fn missing(suite: &str, reason: &str) {
    assert!(
        !is_required(suite),
        "`{suite}` is required and cannot run: {reason}"
    );
    eprintln!("skipped, for lack of `{suite}`: {reason}");
}
