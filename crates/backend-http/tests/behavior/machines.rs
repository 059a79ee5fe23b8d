//! The example of a service that hands out machines over SSH, with one machine
//! that it has.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use backend_core::{ErrorKind, ProviderExt as _, StartAttributes};
use testbed::{Daemon, SshKind, SshServer, SshSetup};

use crate::client::{eventually, noise, provider, ready, run_noise};

struct Machines {
    service: Daemon,
    endpoint: String,
}

impl Machines {
    /// With this host key of the machine.
    fn start(machine: &SshServer, host_key: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("machine.json");
        let told = serde_json::json!({
            "host": "127.0.0.1", "port": machine.port(), "user": machine.user(), "host_key": host_key,
        });
        std::fs::write(&file, told.to_string()).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let port = testbed::free_port().unwrap();
        let mut command = Command::new("python3");
        command
            .arg(root.join("examples/machines.py"))
            .arg(port.to_string())
            .arg(file);
        let grace = Duration::from_secs(2);
        let mut service = Daemon::start("machines.py", &command, directory, grace).unwrap();
        let listens = |_: &Daemon| TcpStream::connect(("127.0.0.1", port)).is_ok();
        service
            .wait_until(Duration::from_secs(20), listens)
            .unwrap();
        Self {
            service,
            endpoint: format!("http://127.0.0.1:{port}"),
        }
    }
}

#[tokio::test]
async fn a_service_that_only_creates_shows_and_deletes_is_a_backend() {
    let machine = match SshServer::start(SshKind::OpenSsh, &SshSetup::default()) {
        Ok(machine) => machine,
        Err(error) => return testbed::missing("ssh", &error.to_string()),
    };
    let machines = Machines::start(&machine, &machine.host_key("ed25519").unwrap());
    let identity = machine.identity().display().to_string();
    let options = [("identity-file", identity.as_str()), ("lease", "3s")];
    let http = provider(&machines.endpoint, &options);
    http.setup().await.unwrap();
    let instance = ready(&*http, &noise(8, "sleep 4")).await;
    assert_eq!(http.list().await.unwrap().len(), 1);
    // Longer than the lease, which is renewed meanwhile.
    let _ = run_noise(&*instance, 8).await;
    let id = instance.id().to_string();
    instance.stop().await.unwrap();
    assert!(http.list().await.unwrap().is_empty());
    assert!(machines.service.log().contains(&format!("deleted {id}")));

    // A service that says another host key: nothing is sent to that machine.
    let made = tempfile::tempdir().unwrap();
    let other = made.path().join("other");
    testbed::make_key(&other, "ed25519", "").unwrap();
    let key = std::fs::read_to_string(other.with_extension("pub")).unwrap();
    let wrong = Machines::start(&machine, key.trim());
    let refused = provider(&wrong.endpoint, &options);
    let start = refused.start_new(&StartAttributes::default()).await;
    let error = start.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Untrusted, "{error:?}");
    refused.settle().await;
    let deleted = || wrong.service.log().contains("deleted");
    eventually("the deletion", Duration::from_secs(20), deleted).await;
}
