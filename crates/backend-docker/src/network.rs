//! Who makes the network of a container that is to have none: pure.
//!
//! Asked for the network `none`, an engine still makes a sandbox for it, and
//! to hand it over the runtime runs the engine's whole program again: 100 ms
//! of processor time of the 230 ms that a container costs (Docker 20.10).
//! Told that the network is disabled, it leaves the namespace to the runtime,
//! which makes the same one: private, with the loopback device and nothing
//! else. Engines that do not know that word go by `none`.
//!
//! What is missing then is the name `localhost`: the engine writes /etc/hosts
//! with the sandbox. The gate does it, which takes root and a place that can be
//! written; where either is not sure, the engine makes the sandbox.

use crate::image::Image;
use crate::options::DockerOptions;

/// Whether the engine is told that there is no network to make.
pub(crate) fn is_left_to_the_runtime(options: &DockerOptions, image: &Image) -> bool {
    let user = options.user.as_deref().unwrap_or(&image.user);
    let user = user.split(':').next().unwrap_or_default();
    let targets = options.binds.iter().map(|bind| &bind.target);
    let mut targets = targets.chain(options.tmpfs.iter().map(|mount| &mount.target));
    options.network.as_deref() == Some("none")
        && matches!(user, "" | "0" | "root")
        && !options.read_only
        // Others than the engine's own may ask more of it.
        && options.runtime.is_none()
        && !targets.any(|target| is_around_etc(target))
}

/// Whether a mount there may hide /etc/hosts, or a link to it.
fn is_around_etc(target: &str) -> bool {
    let mut parts = target.split('/').filter(|part| !matches!(*part, "" | "."));
    parts
        .next()
        .is_none_or(|first| first == "etc" || first == "..")
}

#[cfg(test)]
mod tests {
    use backend_core::{Options as _, ProviderConfig};

    use super::*;

    fn left(user: &str, pairs: &[(&str, &str)]) -> bool {
        let config: ProviderConfig = pairs.iter().copied().collect();
        let options = DockerOptions::parse("docker", &config).unwrap();
        let image = Image {
            reference: "image:1".into(),
            name: "image:1".into(),
            user: user.into(),
        };
        is_left_to_the_runtime(&options, &image)
    }

    #[test]
    fn only_no_network_at_all_is_left() {
        assert!(left("", &[("network", "none")]));
        for network in ["bridge", "host", "some-network"] {
            assert!(!left("", &[("network", network)]));
        }
        assert!(!left("", &[]));
    }

    #[test]
    fn whoever_cannot_write_its_hosts_file_gets_the_engines() {
        let with = |user, key, value| left(user, &[("network", "none"), (key, value)]);
        assert!(with("", "read-only", "false") && !with("", "read-only", "true"));
        assert!(with("root:root", "user", "0:7") && !with("root", "user", "7"));
        assert!(with("7", "user", "root") && !left("nobody", &[("network", "none")]));
        assert!(with("", "binds", "/a:/b") && !with("", "binds", "/a://etc/hosts"));
        assert!(with("", "tmpfs", "/tmp") && !with("", "tmpfs", "/etc:size=1m"));
        assert!(!with("", "runtime", "runsc"));
    }
}
