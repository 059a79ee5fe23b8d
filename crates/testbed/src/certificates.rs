//! Certificates of the tests' own, made by openssl.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// An authority that exists for one test.
#[derive(Debug)]
pub struct Authority {
    files: tempfile::TempDir,
}

impl Authority {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// If this machine has no openssl.
    pub fn make() -> anyhow::Result<Self> {
        let files = tempfile::Builder::new().prefix("authority-").tempdir()?;
        let authority = Self { files };
        openssl(
            authority.files.path(),
            &[
                &["req", "-x509", "-days", "2", "-subj", "/CN=authority"],
                NEW_KEY,
                &["-keyout", "key.pem", "-out", "ca.pem"],
            ],
        )?;
        Ok(authority)
    }

    /// Puts `ca.pem`, and `cert.pem` with `key.pem` for these names, into
    /// `directory`, as docker has them. Names are as in `IP:127.0.0.1` and
    /// `DNS:localhost`.
    ///
    /// # Errors
    ///
    /// If openssl fails.
    pub fn issue(&self, directory: &Path, names: &str) -> anyhow::Result<()> {
        fs::create_dir_all(directory)?;
        let own = |name: &str| self.files.path().join(name).display().to_string();
        fs::copy(own("ca.pem"), directory.join("ca.pem"))?;
        openssl(
            directory,
            &[
                &["req", "-x509", "-days", "2", "-subj", "/CN=test"],
                NEW_KEY,
                &["-addext", &format!("subjectAltName={names}")],
                &["-addext", "basicConstraints=critical,CA:false"],
                &["-CA", &own("ca.pem"), "-CAkey", &own("key.pem")],
                &["-keyout", "key.pem", "-out", "cert.pem"],
            ],
        )
    }
}

const NEW_KEY: &[&str] = &[
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
];

fn openssl(directory: &Path, arguments: &[&[&str]]) -> anyhow::Result<()> {
    let output = Command::new("openssl")
        .args(arguments.iter().copied().flatten())
        .current_dir(directory)
        .output()
        .context("there is no openssl: install the package of that name")?;
    ensure!(
        output.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
