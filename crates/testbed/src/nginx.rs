//! nginx as a reverse proxy with its default settings.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::{Daemon, find_program, free_port};

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    /// The process.
    pub daemon: Daemon,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Nginx {
    /// Forwards everything to the server at `target`, as nginx does unless it
    /// is told otherwise; `None` where there is no nginx.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn in_front_of(target: SocketAddr) -> anyhow::Result<Option<Self>> {
        let Some(program) = find_program("nginx") else {
            return Ok(None);
        };
        let directory = tempfile::tempdir()?;
        let (path, port) = (directory.path().display().to_string(), free_port()?);
        // Nothing of this is about how requests are forwarded.
        let configuration = format!(
            "daemon off; user root; worker_processes 1; error_log stderr; pid {path}/pid;\n\
             events {{}}\n\
             http {{\n\
               access_log off;\n\
               client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;\n\
               fastcgi_temp_path {path}/fastcgi; uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;\n\
               server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{target}; }} }}\n\
             }}\n"
        );
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, configuration)?;
        let mut command = Command::new(program);
        command.arg("-e").arg("stderr").arg("-c").arg(&file);
        let grace = Duration::from_secs(5);
        let mut daemon = Daemon::start("nginx", &command, directory, grace)?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        daemon
            .wait_until(Duration::from_secs(10), |_| {
                std::net::TcpStream::connect(address).is_ok()
            })
            .context("nginx does not listen")?;
        Ok(Some(Self { daemon, address }))
    }
}
