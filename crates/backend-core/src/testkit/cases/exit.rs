//! How a script ends.

use crate::Signal;
use crate::testkit::case::Case;
use crate::testkit::script::{Prints, ScriptCheck};

pub(in crate::testkit) const CASES: &[Case] = &[
    Case::script(
        "E1-exit-0",
        "`exit 0` is an exit with 0",
        ScriptCheck::sh("exit 0\n").exits(0),
    )
    .simulate(&[("exit-code", "0")])
    .basic(),
    Case::script(
        "E1-exit-1",
        "`exit 1` is an exit with 1",
        ScriptCheck::sh("exit 1\n").exits(1),
    )
    .simulate(&[("exit-code", "1")])
    .basic(),
    Case::script(
        "E1-exit-43",
        "`exit 43` is an exit with 43",
        ScriptCheck::sh("exit 43\n").exits(43),
    )
    .simulate(&[("exit-code", "43")])
    .basic(),
    Case::script(
        "E1-exit-126",
        "`exit 126` is an exit with 126",
        ScriptCheck::sh("exit 126\n").exits(126),
    )
    .simulate(&[("exit-code", "126")]),
    Case::script(
        "E1-exit-127",
        "`exit 127` is an exit with 127",
        ScriptCheck::sh("exit 127\n").exits(127),
    )
    .simulate(&[("exit-code", "127")]),
    Case::script(
        "E1-exit-128",
        "`exit 128` is an exit with 128",
        ScriptCheck::sh("exit 128\n").exits(128),
    )
    .simulate(&[("exit-code", "128")]),
    Case::script(
        "E1-exit-137",
        "`exit 137` is an exit with 137, and no signal where signals are told apart",
        ScriptCheck::sh("exit 137\n").exits(137),
    )
    .simulate(&[("exit-code", "137")]),
    Case::script(
        "E1-exit-255",
        "`exit 255` is an exit with 255, and no failure of the connection",
        ScriptCheck::sh("exit 255\n").exits(255),
    )
    .simulate(&[("exit-code", "255")])
    .basic(),
    Case::script(
        "E2-kill-9",
        "a script that kills itself is ended by signal 9",
        ScriptCheck::sh("kill -9 $$\necho not reached\n")
            .dies(Signal::KILL)
            .prints(Prints::Exactly(b"")),
    )
    .simulate(&[("signal", "KILL")]),
    Case::script(
        "E2-kill-TERM",
        "a script that terminates itself is ended by signal 15",
        ScriptCheck::sh("kill -TERM $$\nsleep 20\n").dies(Signal::TERM),
    )
    .simulate(&[("signal", "TERM")]),
    Case::script(
        "E2-kill-SEGV",
        "a script that dies of an invalid memory reference is ended by signal 11",
        ScriptCheck::sh("kill -SEGV $$\nsleep 20\n").dies(Signal::SEGV),
    )
    .simulate(&[("signal", "SEGV")]),
    Case::script(
        "E2-output-before-signal",
        "output before a death by signal arrives",
        ScriptCheck::sh("echo last words\nkill -9 $$\n")
            .dies(Signal::KILL)
            .prints(Prints::Exactly(b"last words\n")),
    )
    .simulate(&[("signal", "KILL"), ("log-output", "last words\n")]),
    Case::script(
        "E3-oom-script",
        "a script that is killed for lack of memory is ended by signal 9, and memory is named",
        // The shell's own variable grows: the shell itself is the largest.
        ScriptCheck::sh("x=$(head -c 400000000 /dev/zero | tr '\\0' x)\necho not reached\n")
            .runs_out_of_memory()
            .prints(Prints::Exactly(b"")),
    )
    .needs(&[crate::Capability::MemoryLimit])
    .configure(&[("memory", "64M")]),
    Case::script(
        "E3-oom-child",
        "a script whose child is killed for lack of memory has its own exit, and memory is named",
        ScriptCheck::sh("head -c 400000000 /dev/zero | tail -c 399999999 >/dev/null\nexit 7\n")
            .exits(7)
            .sees_out_of_memory(),
    )
    .needs(&[crate::Capability::MemoryLimit])
    .configure(&[("memory", "64M")]),
    Case::script(
        "E4-missing-interpreter",
        "a missing interpreter is exit 127 with a message that names it, at once",
        ScriptCheck::sh("#!/no/such/thing\necho not reached\n")
            .exits(127)
            .prints(Prints::With("/no/such/thing"))
            .at_most(10),
    )
    .simulate(&[
        ("exit-code", "127"),
        ("log-output", "sh: /no/such/thing: not found\n"),
    ]),
    Case::script(
        "E5-no-shebang",
        "a script without a `#!` line is run by /bin/sh",
        ScriptCheck::sh("echo plain\n").prints(Prints::Exactly(b"plain\n")),
    )
    .simulate(&[("log-output", "plain\n")])
    .basic(),
    Case::script(
        "E5-shebang-sh",
        "a script with `#!/bin/sh` is run by it",
        ScriptCheck::sh("#!/bin/sh\necho shell\n").prints(Prints::Exactly(b"shell\n")),
    )
    .simulate(&[("log-output", "shell\n")])
    .basic(),
    Case::script(
        "E5-shebang-argument",
        "the argument of a `#!` line reaches the interpreter",
        ScriptCheck::sh("#!/bin/sh -e\nfalse\necho not reached\n")
            .exits(1)
            .prints(Prints::Exactly(b"")),
    )
    .simulate(&[("exit-code", "1")]),
    Case::script(
        "E5-shebang-bash",
        "a script with `#!/bin/bash` is run by it",
        ScriptCheck::sh("#!/bin/bash\nprintf '%s\\n' \"${BASH_VERSION:+bash}\"\n")
            .tool("/bin/bash")
            .prints(Prints::Exactly(b"bash\n")),
    ),
    Case::script(
        "E5-shebang-env-python3",
        "a script with `#!/usr/bin/env python3` is run by it",
        ScriptCheck::sh("#!/usr/bin/env python3\nprint(6 * 7)\n")
            .tool("python3")
            .prints(Prints::Exactly(b"42\n")),
    ),
    Case::script(
        "E5-shebang-cat",
        "a script with `#!/bin/cat` prints itself",
        ScriptCheck::sh("#!/bin/cat\n\u{fffd} $HOME `exit 3`\n").prints(Prints::Itself),
    )
    .simulate(&[("log-output", "#!/bin/cat\n\u{fffd} $HOME `exit 3`\n")]),
    Case::script(
        "E6-empty",
        "an empty script is exit 0 without output",
        ScriptCheck::sh("").prints(Prints::Exactly(b"")),
    )
    .simulate(&[])
    .basic(),
    Case::script(
        "E6-syntax-error-last",
        "a syntax error on the last line keeps the output before it",
        ScriptCheck::sh("echo before\nif\n")
            .fails()
            .prints(Prints::With("before\n")),
    )
    .simulate(&[
        ("exit-code", "2"),
        ("log-output", "before\nsh: syntax error\n"),
    ]),
    Case::script(
        "E7-closes-output",
        "the verdict of a script that closes its output is that of its later exit",
        ScriptCheck::sh("echo before\nexec >&- 2>&-\nsleep 2\nexit 7\n")
            .exits(7)
            .prints(Prints::Exactly(b"before\n"))
            .at_least(2),
    )
    .simulate(&[
        ("log-output", "before\n"),
        ("run-sleep", "2s"),
        ("exit-code", "7"),
    ]),
    Case::script(
        "E7-closes-output-and-dies",
        "the verdict of a script that closes its output and dies of a signal is that signal",
        ScriptCheck::sh("exec >&- 2>&-\nsleep 1\nkill -9 $$\n")
            .dies(Signal::KILL)
            .at_least(1),
    )
    .simulate(&[("run-sleep", "1s"), ("signal", "KILL")]),
    Case::script(
        "E7-exec",
        "the verdict of a script that becomes another program is that program's",
        ScriptCheck::sh("exec /bin/sh -c 'echo other; exit 9'\n")
            .exits(9)
            .prints(Prints::Exactly(b"other\n")),
    )
    .simulate(&[("log-output", "other\n"), ("exit-code", "9")]),
    Case::script(
        "E7-deletes-itself",
        "a script that deletes itself while it runs has its own verdict",
        ScriptCheck::sh("rm -f \"$0\"\necho still here\nexit 4\n")
            .exits(4)
            .prints(Prints::Exactly(b"still here\n")),
    )
    .simulate(&[("log-output", "still here\n"), ("exit-code", "4")]),
    Case::script(
        "E7-deletes-its-directory",
        "a script that deletes its directories while it runs has its own verdict",
        // `rmdir` takes nothing but an empty directory.
        ScriptCheck::sh(
            "rmdir \"$PWD\" 2>/dev/null\nrm -f \"$0\"\nrmdir \"$(dirname \"$0\")\" 2>/dev/null\necho still here\nexit 5\n",
        )
        .exits(5)
        .prints(Prints::Exactly(b"still here\n")),
    )
    .simulate(&[("log-output", "still here\n"), ("exit-code", "5")]),
];
