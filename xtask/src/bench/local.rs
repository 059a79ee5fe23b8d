//! A job on `local`, against the shell.

use std::path::Path;
use std::process::Command;

use super::{Figure, figure::Target, interleaved, read, script, whole};

/// Measures the program `worker`.
pub(crate) fn figures(worker: &Path, runs: usize) -> anyhow::Result<Vec<Figure>> {
    let place = tempfile::tempdir()?;
    let nothing = script(place.path(), "true.sh", "#!/bin/sh\ntrue\n")?;
    let much = script(
        place.path(),
        "much.sh",
        "#!/bin/sh\nhead -c 1073741824 /dev/zero\n",
    )?;
    let ours = |path: &Path| {
        let mut command = Command::new(worker);
        command.args(["run", "--quiet"]).arg(path);
        command.env("WORKER_STATE_DIR", place.path().join("state"));
        command.env("WORKER_LOCAL_DIRECTORY", place.path().join("instances"));
        command
    };
    let cold = interleaved(
        runs,
        || whole(&mut ours(&nothing)),
        || whole(Command::new("/bin/sh").arg(&nothing)),
    )?;
    let output = interleaved(
        runs.min(5),
        || read(&mut ours(&much)),
        || {
            read(
                Command::new("/bin/sh")
                    .arg("-c")
                    .arg("/bin/sh \"$0\" | cat")
                    .arg(&much),
            )
        },
    )?;
    Ok(vec![
        Figure::new(
            "local: whole process",
            "/bin/sh script",
            Target::Above(0.015),
            cold,
        ),
        // 0.4 times as fast is 2.5 times as long.
        Figure::new(
            "local: 1 GiB of output",
            "/bin/sh script | cat",
            Target::Ratio(2.5),
            output,
        ),
    ])
}
