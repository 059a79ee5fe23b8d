//! What the fuzz targets of this crate check. Each takes any bytes, and panics
//! where a property does not hold; its seeds are in `tests/seeds`.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a property that does not hold is a panic"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use backend_core::{OptionValue as _, Options as _, ProviderConfig};

use crate::error::Failure;
use crate::host::HostSpec;
use crate::known_hosts::{Decision, HostKey, KnownFile, LookupName, decide, known_algorithms};
use crate::options::{Fingerprint, SshOptions};
use crate::reply::{Line, Lines, Preamble};
use crate::ssh_config::{self, Includes, Settings};
use crate::{found, pattern};

/// All targets of this crate.
#[cfg(test)]
const TARGETS: &[testbed::FuzzTarget] = &[
    ("ssh_replies", replies),
    ("ssh_config", config),
    ("ssh_known_hosts", known_hosts),
    ("ssh_options", options),
];

/// The input without its first two bytes, which say where to cut it; and
/// several ways of cutting it: whole, in bytes, in pieces of a size, in two.
fn cut(bytes: &[u8]) -> (&[u8], [Vec<&[u8]>; 4]) {
    let (size, at, text) = match bytes {
        [size, at, text @ ..] => (usize::from(size % 31) + 1, usize::from(*at), text),
        _ => (1, 0, bytes),
    };
    let (one, other) = text.split_at(text.len() * at / 256);
    let ways = [
        vec![text],
        text.chunks(1).collect(),
        text.chunks(size).collect(),
        vec![one, other],
    ];
    (text, ways)
}

/// What the far side says: pieces do not matter, an exit is one that a process
/// can have, and what is kept of the rest is short and fit for a terminal.
pub fn replies(bytes: &[u8]) {
    const NONCE: &str = "worker-n";
    let (text, ways) = cut(bytes);
    let mark = format!("\n{NONCE}\n").into_bytes();
    let at = text.windows(mark.len()).position(|part| part == mark);
    let behind = at.map_or(&b""[..], |at| &text[at + mark.len()..]);
    let mut heard = Vec::new();
    for pieces in ways {
        let (mut preamble, mut lines) = (Preamble::new(NONCE), Lines::default());
        let (mut output, mut read) = (Vec::new(), Vec::new());
        for piece in pieces {
            if let Some(index) = preamble.skip(piece).unwrap() {
                output.extend(&piece[index..]);
            }
            read.extend(lines.feed(piece));
        }
        assert_eq!((preamble.is_over(), &output[..]), (at.is_some(), behind));
        let remarks = lines.remarks();
        assert!(remarks.len() < 6 << 10, "{}", remarks.len());
        assert!(!remarks.contains(char::is_control), "{remarks:?}");
        heard.push((read, remarks));
    }
    assert!(heard.iter().all(|one| *one == heard[0]), "{heard:?}");
    let (read, _) = heard.swap_remove(0);
    for line in read.iter().flatten() {
        match line {
            Line::Exit {
                code: Some(code), ..
            } => assert!((0..=255).contains(code)),
            Line::Started { slot, .. } => assert!(slot.starts_with('/')),
            _ => {}
        }
    }
    for found in found::read("u@h:22", read.into_iter().flatten().collect()) {
        if let Some(slot) = found::slot("u@h:22", &found.location) {
            assert_eq!(found.location, format!("u@h:22:{slot}"));
        }
    }
}

/// Included files: the parts of the text behind `---`, each by its number.
struct Parts<'a>(Vec<&'a str>);

impl Includes for Parts<'_> {
    fn load(&mut self, pattern: &str) -> Result<Vec<(PathBuf, String)>, Failure> {
        let parts = self.0.iter().enumerate();
        let named = parts.filter(|(number, _)| {
            pattern::matches(pattern.as_bytes(), number.to_string().as_bytes())
        });
        // A tree of files as wide as it is deep would take long, and says nothing.
        Ok(named
            .take(1)
            .map(|(number, text)| (number.to_string().into(), (*text).to_owned()))
            .collect())
    }
}

/// The configuration of OpenSSH: what was said first holds, whatever follows,
/// and every value can be used.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split("---");
    let main = parts.next().unwrap_or_default();
    let mut includes = Parts(parts.collect());
    let mut apply = |settings: &mut Settings, text: &str| {
        ssh_config::apply(
            settings,
            "build",
            (Path::new("config"), text),
            &mut includes,
        )
    };
    let mut settings = Settings::default();
    if apply(&mut settings, main).is_ok() {
        let mut again = settings.clone();
        apply(
            &mut again,
            "Match all\nHostName x\nUser x\nPort 1\nConnectTimeout 7\n",
        )
        .unwrap();
        let firsts = [
            (settings.host_name.clone(), &again.host_name, "x"),
            (settings.user.clone(), &again.user, "x"),
        ];
        for (before, now, otherwise) in firsts {
            assert_eq!(before.as_deref().or(Some(otherwise)), now.as_deref());
        }
        assert_eq!(settings.port.or(Some(1)), again.port);
        assert!(settings.port != Some(0));
        let limits = [settings.connect_timeout, settings.alive_interval];
        for limit in limits.into_iter().flatten() {
            // What is added to a time of the clock must not be endless.
            assert!(limit <= Duration::from_hours(24 * 365 * 100));
        }
    }
    for line in main.lines() {
        if let Ok(Some((keyword, arguments))) = ssh_config::split(line)
            && !keyword.is_empty()
        {
            let quoted = arguments.iter().map(|argument| format!(" \"{argument}\""));
            let written = format!("{keyword}{}", quoted.collect::<String>());
            assert_eq!(ssh_config::split(&written), Ok(Some((keyword, arguments))));
        }
    }
}

/// A key of no machine, as it is written in a file.
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

/// Files of known hosts, parted by `---`: only the key itself is trusted, on a
/// line of its own, and a revocation wins over all else.
pub fn known_hosts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).replace("KEY", KEY);
    if let Some(key) = HostKey::parse(&text) {
        assert_eq!(HostKey::parse(&key.written()).as_ref(), Some(&key));
        assert!(Fingerprint::parse(&key.fingerprint()).is_ok());
    }
    let key = HostKey::parse(KEY).unwrap();
    let (_, encoded) = KEY.split_once(' ').unwrap();
    let mut files: Vec<_> = text
        .split("---")
        .enumerate()
        .map(|(number, text)| KnownFile {
            path: number.to_string().into(),
            text: text.to_owned(),
        })
        .collect();
    for (host, port, is_alias) in [("h", 22, false), ("H", 2222, false), ("h", 2222, true)] {
        let host = host.to_owned();
        let name = LookupName {
            host,
            port,
            is_alias,
        };
        let decision = decide(&files, &name, &key);
        if let Decision::Trusted(place) | Decision::Revoked(place) = &decision {
            let file = files.iter().find(|file| file.path == place.path).unwrap();
            let line = file.text.lines().nth(place.line - 1).unwrap();
            let line = line.trim_start_matches([' ', '\t']);
            let revoked = matches!(decision, Decision::Revoked(_));
            assert!(line.contains(encoded) && !line.starts_with('#'), "{line:?}");
            assert_eq!(line.starts_with("@revoked"), revoked, "{line:?}");
        }
        let algorithms = known_algorithms(&files, &name);
        if matches!(decision, Decision::Trusted(_)) {
            assert!(algorithms.contains(&key.algorithm), "{algorithms:?}");
        }
        // What is written down of a new machine is what is found then.
        files.push(KnownFile {
            path: "new".into(),
            text: format!("{} {}\n", name.written(), key.written()),
        });
        let then = decide(&files, &name, &key);
        // What was decided by the name without its port counts no more.
        let is_new = matches!(&then, Decision::Trusted(place) if place.path == *"new");
        let has_port = name.written().contains(':');
        match decision {
            Decision::Revoked(_) | Decision::Trusted(_) => {
                assert!(then == decision || (has_port && is_new));
            }
            _ => assert!(is_new),
        }
        files.push(KnownFile {
            path: "revoked".into(),
            text: format!("@revoked * {KEY}\n"),
        });
        let then = decide(&files, &name, &key);
        assert!(matches!(then, Decision::Revoked(_)), "{then:?}");
        files.truncate(files.len() - 2);
    }
}

/// Options as lines of `key=value`, and all of the text as a machine and a
/// pattern.
pub fn options(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    machine(&text);
    let mut config = ProviderConfig::new();
    for line in text.lines() {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        config.set(key, value);
        value.split(',').for_each(machine);
        assert!(pattern::list_matches("*", value));
        if !value.contains(['*', '?', '!', ',']) {
            assert!(pattern::list_matches(value, value));
        }
    }
    if let Ok(options) = SshOptions::read("ssh", &config) {
        assert!((1..=1024).contains(&options.slots.0));
        assert!(
            options
                .hosts
                .iter()
                .all(|host| (1..=1024).contains(&host.weight))
        );
        let outlives = crate::lease::length(&options);
        assert!(outlives >= Duration::from_secs(1));
    }
}

/// A machine as it is written: what is shown is read as the same.
fn machine(text: &str) {
    let Ok(spec) = HostSpec::parse(text) else {
        return;
    };
    let again = HostSpec::parse(&spec.to_string());
    let bare = HostSpec {
        slots: None,
        weight: 1,
        ..spec
    };
    assert_eq!(again, Ok(bare), "{text:?}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_holds() {
        testbed::replay_seeds(env!("CARGO_MANIFEST_DIR"), super::TARGETS).unwrap();
    }
}
