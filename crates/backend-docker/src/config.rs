//! What a container is created with: pure.

use std::collections::HashMap;

use backend_core::Marks;
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, ResourcesUlimits,
};

use crate::gate;
use crate::image::Image;
use crate::network;
use crate::options::{BindMount, Cpus, DockerOptions, MemoryLimit, Ulimit};

/// The request for a container of `image` with these marks.
pub(crate) fn container(
    options: &DockerOptions,
    marks: &Marks,
    image: &Image,
) -> ContainerCreateBody {
    let shell = ["/bin/sh", "-c", gate::PROGRAM, "worker-gate"].map(str::to_owned);
    ContainerCreateBody {
        image: Some(image.reference.clone()),
        // The image's own entrypoint is replaced, not run.
        entrypoint: Some(shell.to_vec()),
        cmd: Some(Vec::new()),
        user: options.user.clone(),
        working_dir: options.working_directory.clone(),
        hostname: options.hostname.clone(),
        network_disabled: network::is_left_to_the_runtime(options, image).then_some(true),
        env: Some(environment(options)),
        labels: Some(labels(options, marks)),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        // So that a worker that dies closes the gate's input.
        stdin_once: Some(true),
        tty: Some(false),
        host_config: Some(host(options)),
        ..ContainerCreateBody::default()
    }
}

/// The name of the container of an instance.
pub(crate) fn name(marks: &Marks) -> String {
    format!("worker-{}", marks.instance)
}

fn host(options: &DockerOptions) -> HostConfig {
    let memory = options.memory.map(MemoryLimit::bytes);
    HostConfig {
        init: Some(options.init),
        memory,
        // The same number: swap is included, and so there is none beyond it.
        memory_swap: memory,
        nano_cpus: options.cpus.map(Cpus::nano),
        pids_limit: options.pids_limit.count(),
        shm_size: options
            .shm_size
            .map(|size| i64::try_from(size.0).unwrap_or(i64::MAX)),
        tmpfs: Some(tmpfs(options)),
        ulimits: Some(options.ulimits.iter().map(ulimit).collect()),
        // Mounts and not `Binds`: those would make a source that is missing.
        mounts: Some(options.binds.iter().map(bind).collect()),
        network_mode: options.network.clone(),
        cap_add: Some(options.cap_add.clone()),
        cap_drop: Some(options.cap_drop.clone()),
        security_opt: Some(security(options)),
        runtime: options.runtime.clone(),
        privileged: Some(options.privileged),
        readonly_rootfs: Some(options.read_only),
        log_config: Some(HostConfigLogConfig {
            typ: Some(options.log_driver.clone()),
            config: None,
        }),
        ..HostConfig::default()
    }
}

fn tmpfs(options: &DockerOptions) -> HashMap<String, String> {
    let own = (
        gate::FILES.to_owned(),
        // Whoever runs in it may write; programs may be run.
        "rw,exec,nosuid,nodev,mode=1777,size=512m".to_owned(),
    );
    let asked = options
        .tmpfs
        .iter()
        .map(|mount| (mount.target.clone(), mount.options.clone()));
    asked.chain([own]).collect()
}

fn ulimit(limit: &Ulimit) -> ResourcesUlimits {
    ResourcesUlimits {
        name: Some(limit.name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    }
}

fn bind(bind: &BindMount) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(bind.source.clone()),
        target: Some(bind.target.clone()),
        read_only: Some(bind.read_only),
        ..Mount::default()
    }
}

fn security(options: &DockerOptions) -> Vec<String> {
    let own = (!options.new_privileges).then(|| "no-new-privileges".to_owned());
    own.into_iter()
        .chain(options.security_options.iter().cloned())
        .collect()
}

fn environment(options: &DockerOptions) -> Vec<String> {
    let proxies = [
        ("HTTP_PROXY", &options.http_proxy),
        ("HTTPS_PROXY", &options.https_proxy),
        ("FTP_PROXY", &options.ftp_proxy),
        ("NO_PROXY", &options.no_proxy),
    ];
    let proxies = proxies.into_iter().flat_map(|(name, value)| {
        // Programs differ in which they read.
        let both = |value: &String| {
            [
                format!("{name}={value}"),
                format!("{}={value}", name.to_ascii_lowercase()),
            ]
        };
        value.as_ref().map(both).into_iter().flatten()
    });
    let own = options
        .environment
        .iter()
        .map(|setting| format!("{}={}", setting.key, setting.value));
    proxies.chain(own).collect()
}

fn labels(options: &DockerOptions, marks: &Marks) -> HashMap<String, String> {
    let asked = options
        .labels
        .iter()
        .map(|label| (label.key.clone(), label.value.clone()));
    // The marks last: no label that was asked for can stand in for one.
    asked.chain(marks.to_labels()).collect()
}

#[cfg(test)]
mod tests {
    use backend_core::{Options as _, ProviderConfig, StartContext};

    use super::*;

    fn made(pairs: &[(&str, &str)]) -> ContainerCreateBody {
        let config: ProviderConfig = pairs.iter().copied().collect();
        let options = DockerOptions::parse("docker", &config).unwrap();
        let image = Image {
            reference: "image:1".into(),
            name: "image:1".into(),
            user: String::new(),
        };
        container(&options, &StartContext::new().marks(), &image)
    }

    #[test]
    fn the_defaults_are_safe() {
        let host = made(&[]).host_config.unwrap();
        assert_eq!(host.init, Some(true));
        assert_eq!(host.privileged, Some(false));
        assert_eq!(host.pids_limit, Some(4096));
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges"]);
        assert_eq!(host.log_config.unwrap().typ.unwrap(), "none");
        assert_eq!(host.memory, None);
    }

    #[test]
    fn every_option_has_its_place() {
        let body = made(&[
            ("memory", "64M"),
            ("cpus", "1.5"),
            ("pids-limit", "unlimited"),
            ("shm-size", "1M"),
            ("tmpfs", "/scratch:size=1m"),
            ("ulimits", "nofile=1:2"),
            ("binds", "/a:/b:ro"),
            ("network", "none"),
            ("user", "7"),
            ("working-directory", "/build"),
            ("cap-drop", "ALL"),
            ("new-privileges", "true"),
            ("security-opt", "seccomp=unconfined"),
            ("runtime", "runsc"),
            ("read-only", "true"),
            ("init", "false"),
            ("labels", "team=build"),
            ("labels", "worker.owner=somebody"),
            ("environment", "A=b=c"),
            ("http-proxy", "http://p"),
            ("hostname", "h"),
            ("log-driver", "local"),
        ]);
        let labels = body.labels.clone().unwrap();
        assert_ne!(labels["worker.owner"], "somebody");
        let env = body.env.clone().unwrap();
        assert_eq!(env, ["HTTP_PROXY=http://p", "http_proxy=http://p", "A=b=c"]);
        assert_eq!(
            (body.user.as_deref(), body.hostname.as_deref()),
            (Some("7"), Some("h"))
        );
        assert_eq!(body.working_dir.as_deref(), Some("/build"));
        let host = body.host_config.unwrap();
        assert_eq!(
            (host.memory, host.memory_swap),
            (Some(64 << 20), Some(64 << 20))
        );
        assert_eq!(
            (host.nano_cpus, host.pids_limit),
            (Some(1_500_000_000), None)
        );
        assert_eq!(host.tmpfs.unwrap()["/scratch"], "size=1m");
        assert_eq!(host.mounts.unwrap()[0].read_only, Some(true));
        assert_eq!(host.network_mode.as_deref(), Some("none"));
        assert_eq!(host.security_opt.unwrap(), ["seccomp=unconfined"]);
        assert_eq!((host.init, host.readonly_rootfs), (Some(false), Some(true)));
    }
}
