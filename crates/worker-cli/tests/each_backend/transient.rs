//! A start that fails for a while, and then works.

use std::fs;

use backend_core::testkit::FaultProxy;
use testbed::Tmpfs;
use tokio::runtime::Runtime;

use crate::Case;
use crate::place::{Begun, Place, Script};
use crate::rigs::Way;

pub(crate) const CASES: &[Case] = &[
    ("a_start_is_tried_until_it_works", works_later),
    ("a_start_is_tried_no_longer_than_its_limit", never_works),
];

const BEGINS: Script = Script {
    text: "echo begun; exit 3",
    fake: &[
        ("start-failures", "3"),
        ("log-output", "begun\n"),
        ("exit-code", "3"),
    ],
};

const NEVER: Script = Script {
    text: "echo begun",
    fake: &[("start-failures", "1000000"), ("log-output", "begun\n")],
};

fn works_later(place: &Place) {
    let Some(blocked) = Blocked::of(place) else {
        return;
    };
    place.detour(blocked.option());
    let mut run = place.run(&BEGINS, &["--startup-timeout", "1m"]);
    let mut job = Begun::starting(&mut run);
    for _ in 0..3 {
        job.says("; trying again");
    }
    let open = blocked.open();
    let ended = job.ended();
    assert_eq!(ended, (Some(3), "begun\n".into()), "{}", job.said());
    drop(open);
    assert_eq!(place.result()["exit_code"], 3);
    place.detour(None);
    place.assert_clean();
}

fn never_works(place: &Place) {
    let Some(blocked) = Blocked::of(place) else {
        return;
    };
    place.detour(blocked.option());
    let mut run = place.run(&NEVER, &["--startup-timeout", "2s"]);
    let output = run.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(124), "{said}");
    assert!(
        output.stdout.is_empty() && said.contains("the startup limit"),
        "{said}"
    );
    // Beside the limit, why it came to that.
    assert!(said.contains("error: failed to start"), "{said}");
    let result = place.result();
    assert_eq!(result["limit"], "startup");
    assert!(result["error"].is_string(), "{result}");
    place.detour(None);
    place.assert_clean();
}

/// What a start goes through, so that it cannot pass for now.
enum Blocked {
    /// Its script's own options do that.
    Options,
    /// A file system that is full.
    Full(Tmpfs),
    /// A port where nobody listens.
    Closed {
        runtime: Runtime,
        proxy: FaultProxy,
        option: String,
    },
}

impl Blocked {
    /// `None` where that cannot be had here.
    fn of(place: &Place) -> Option<Self> {
        Some(match &place.rig.reached()?.way {
            Way::Options => Self::Options,
            Way::Directory => {
                let Some(full) = Tmpfs::mount("size=64k,mode=700").unwrap() else {
                    testbed::missing("mount", "this user cannot mount");
                    return None;
                };
                fs::write(full.path().join("full"), vec![0; 1 << 16]).ok();
                Self::Full(full)
            }
            Way::Connection { target, lead, .. } => {
                let runtime = Runtime::new().unwrap();
                let proxy = runtime.block_on(FaultProxy::tcp(target.clone())).unwrap();
                runtime.block_on(proxy.refuse(true));
                let option = lead(proxy.address().unwrap().port());
                Self::Closed {
                    runtime,
                    proxy,
                    option,
                }
            }
        })
    }

    /// The option that leads a worker there.
    fn option(&self) -> Option<String> {
        match self {
            Self::Options => None,
            Self::Full(full) => Some(format!("directory={}", full.path().join("base").display())),
            Self::Closed { option, .. } => Some(option.clone()),
        }
    }

    /// Lets it pass, as long as what is returned lives.
    fn open(self) -> Self {
        match &self {
            Self::Options => {}
            Self::Full(full) => fs::remove_file(full.path().join("full")).unwrap(),
            Self::Closed { runtime, proxy, .. } => runtime.block_on(proxy.refuse(false)),
        }
        self
    }
}
