//! What the tests need of the machine: found, or installed.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::command::{run, say};
use crate::schemathesis;

/// A program that some tests need.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    /// Its name on the search path, or in `sbin`.
    program: &'static str,
    /// The package of Debian and Ubuntu that has it.
    package: &'static str,
    /// The suites that need it.
    suites: &'static [&'static str],
}

const TOOLS: &[Tool] = &[
    Tool {
        program: "busybox",
        package: "busybox-static",
        suites: &["local", "ssh"],
    },
    Tool {
        program: "bash",
        package: "bash",
        suites: &["local", "ssh"],
    },
    Tool {
        program: "fish",
        package: "fish",
        suites: &["shells"],
    },
    Tool {
        program: "zsh",
        package: "zsh",
        suites: &["shells"],
    },
    Tool {
        program: "python3",
        package: "python3",
        suites: &["local"],
    },
    Tool {
        program: "dockerd",
        package: "docker.io",
        suites: &["docker"],
    },
    Tool {
        program: "ip",
        package: "iproute2",
        suites: &["docker"],
    },
    Tool {
        program: "iptables",
        package: "iptables",
        suites: &["docker"],
    },
    Tool {
        program: "podman",
        package: "podman",
        suites: &["podman"],
    },
    Tool {
        program: "runc",
        package: "runc",
        suites: &["podman"],
    },
    Tool {
        program: "catatonit",
        package: "catatonit",
        suites: &["podman"],
    },
    Tool {
        program: "faketime",
        package: "faketime",
        suites: &["fake", "local"],
    },
    Tool {
        program: "curl",
        package: "curl",
        suites: &["http"],
    },
    Tool {
        program: "nginx",
        package: "nginx",
        suites: &["http"],
    },
    Tool {
        program: "openssl",
        package: "openssl",
        suites: &["docker"],
    },
    Tool {
        program: "docker-registry",
        package: "docker-registry",
        suites: &["docker"],
    },
    Tool {
        program: "sshd",
        package: "openssh-server",
        suites: &["ssh"],
    },
    Tool {
        program: "ssh",
        package: "openssh-client",
        suites: &["ssh"],
    },
    Tool {
        program: "dropbear",
        package: "dropbear-bin",
        suites: &["ssh"],
    },
    Tool {
        program: "fish",
        package: "fish",
        suites: &["ssh"],
    },
    Tool {
        program: "tcsh",
        package: "tcsh",
        suites: &["ssh"],
    },
];

/// Finds the tools, and installs those that are missing where that can be
/// done: as root, by apt. Says what is missing else.
///
/// # Errors
///
/// If a tool is still missing that one of the `required` suites needs.
pub(crate) fn set_up(required: &[String]) -> anyhow::Result<()> {
    let missing: Vec<_> = TOOLS
        .iter()
        .filter(|tool| !is_there(tool.program))
        .collect();
    if missing.is_empty() {
        return schemathesis::set_up(required);
    }
    let packages: BTreeSet<_> = missing.iter().map(|tool| tool.package).collect();
    let list = packages.iter().copied().collect::<Vec<_>>().join(" ");
    if is_root() && is_there("apt-get") {
        say(&format!("installing {list}"));
        install(&packages).with_context(|| format!("cannot install {list}"))?;
    } else {
        say(&format!("missing: {list}; as root: apt-get install {list}"));
    }
    let still: Vec<_> = missing
        .iter()
        .filter(|tool| !is_there(tool.program))
        .collect();
    for tool in still {
        let needed = tool
            .suites
            .iter()
            .any(|suite| required.iter().any(|name| name == suite));
        anyhow::ensure!(
            !needed,
            "`{}` is missing, and a required suite needs it: install the package {}",
            tool.program,
            tool.package
        );
        say(&format!(
            "{} suites run without `{}`",
            tool.suites.join(" and "),
            tool.program
        ));
    }
    schemathesis::set_up(required)
}

fn install(packages: &BTreeSet<&str>) -> anyhow::Result<()> {
    let apt = || {
        let mut apt = Command::new("apt-get");
        // In run level 1 no package starts a service of its own.
        apt.env("DEBIAN_FRONTEND", "noninteractive")
            .env("RUNLEVEL", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        apt
    };
    run(apt().args(["update", "-qq"]))?;
    run(apt()
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(packages))
}

fn is_there(program: &str) -> bool {
    testbed::find_program(program).is_some()
}

fn is_root() -> bool {
    // The owner of our own process directory is our effective user.
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
