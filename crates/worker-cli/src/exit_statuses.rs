//! What the exit status of `worker run` says: once, for the help and the
//! documents.

/// A status and its meaning.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) status: &'static str,
    pub(crate) meaning: &'static str,
}

const fn row(status: &'static str, meaning: &'static str) -> Row {
    Row { status, meaning }
}

/// In the order in which they are told.
pub(crate) const ROWS: &[Row] = &[
    row("the script's own", "it exited by itself"),
    row("128+n", "signal n ended it (137 also for a lack of memory)"),
    row(
        "124",
        "a limit ended it: startup, upload, hard, silence or output",
    ),
    row(
        "125",
        "it never began: backend, option, script file, image or connection",
    ),
    row("75", "it may have begun, and how it ended is not known"),
    row("130, 143, 129", "the job was cancelled by INT, TERM or HUP"),
    row(
        "141",
        "its output could not be written: the job was cancelled, or a success is none",
    ),
    row("2", "the command line is wrong"),
];

/// The part of the help of `worker run` that lists them.
pub(crate) fn help() -> String {
    let lines = ROWS
        .iter()
        .map(|row| format!("  {:<18}{}\n", row.status, row.meaning));
    format!("Exit status:\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::{LIMIT, LOST, NEVER_STARTED};

    #[test]
    fn the_statuses_are_those_of_the_program() {
        for (status, code) in [(LIMIT, "124"), (NEVER_STARTED, "125"), (LOST, "75")] {
            assert_eq!(format!("{status:?}"), format!("ExitStatus({code})"));
            assert!(ROWS.iter().any(|row| row.status == code), "{code}");
        }
    }
}
