//! Real SSH servers: OpenSSH's sshd and dropbear.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::{Daemon, find_program, free_port};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SshKind {
    /// OpenSSH.
    OpenSsh,
    /// dropbear.
    Dropbear,
}

/// What a server is to be like.
#[derive(Debug, Clone, Default)]
pub struct SshSetup {
    /// The login shell of the account, where it is not to be its own.
    pub shell: Option<PathBuf>,
    /// More lines for the configuration of sshd, which come first and so hold.
    pub lines: Vec<String>,
    /// The kinds of host keys, such as `ed25519`; that alone if there are none.
    pub host_keys: Vec<&'static str>,
    /// Files or directories that sessions see in place of others.
    pub binds: Vec<(PathBuf, PathBuf)>,
    /// Further names of the account.
    pub account_names: Vec<&'static str>,
    /// Whether dropbear takes passwords; for sshd that is a line.
    pub passwords: bool,
    /// Texts that sessions see in place of these files.
    pub files: Vec<(PathBuf, String)>,
    /// The options of a file system in memory that the home directory is to be,
    /// such as `noexec,size=4m`; it is not seen from outside. Not for dropbear.
    pub home: Option<String>,
    /// Whether all that a connection began is ended when it is, detached or
    /// not, as systemd-logind does it: for as long as the file `logind.conf` in
    /// the server's directory says `KillUserProcesses=yes`. Not for dropbear.
    pub kills_at_logout: bool,
}

/// A running server on the loopback address, with throw-away keys. The only
/// account is that of this process, with a home directory of its own.
#[derive(Debug)]
pub struct SshServer {
    daemon: Daemon,
    kind: SshKind,
    port: u16,
    user: String,
}

/// Gives a mount namespace of its own to what follows `--`, with the pairs
/// before it bound: so the account has another home and shell there, and the
/// machine is left as it is. Descriptors and ignored signals of the tests are
/// taken away, which no server of a real machine has.
const BIND: &str = r#"
while [ "$1" != -- ]; do
    case $1 in
        tmpfs:*) mount -t tmpfs -o "${1#tmpfs:}" tmpfs "$2" || exit 1 ;;
        *) mount --bind "$1" "$2" || exit 1 ;;
    esac
    shift 2
done
shift
for descriptor in /proc/$$/fd/*; do
    descriptor=${descriptor##*/}
    if [ "$descriptor" -gt 2 ] && [ "$descriptor" -ne 255 ]; then eval "exec $descriptor>&-"; fi
done
exec env --default-signal=INT,QUIT "$@"
"#;

/// What every session of a server begins with that kills at logout: one who
/// waits for the end of the connection, outside of it. A cgroup tells logind
/// what belongs to a session, and here a variable of its environment does.
const KILLS_AT_LOGOUT: &str = r#"#!/bin/sh
(
    exec env -i "PATH=$PATH" setsid /bin/sh -c '
        while kill -0 "$1" 2>/dev/null; do sleep 0.02; done
        grep -qx KillUserProcesses=yes "$3" || exit 0
        for file in $(grep -lzxF "SSH_CONNECTION=$2" /proc/[0-9]*/environ 2>/dev/null); do
            file=${file#/proc/}
            kill "${file%/environ}"
        done' sh "$PPID" "$SSH_CONNECTION" "${0%/*}/logind.conf"
) </dev/null >/dev/null 2>&1 &
exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"#;

impl SshServer {
    /// Starts one, and waits until it answers.
    ///
    /// # Errors
    ///
    /// If a program is missing, or this process is not root; the message says
    /// what would be needed.
    pub fn start(kind: SshKind, setup: &SshSetup) -> anyhow::Result<Self> {
        let need = |name: &str| find_program(name).with_context(|| format!("there is no `{name}`"));
        need("ssh-keygen")?;
        need("unshare")?;
        let server = need(match kind {
            SshKind::OpenSsh => "sshd",
            SshKind::Dropbear => "dropbear",
        })?;
        let directory = tempfile::tempdir()?;
        let place = directory.path();
        let (user, passwd) = account(place, setup)?;
        make_key(&place.join("client"), "ed25519", "")?;
        let ssh = place.join("home/.ssh");
        fs::create_dir_all(&ssh)?;
        fs::set_permissions(place.join("home"), fs::Permissions::from_mode(0o700))?;
        fs::copy(place.join("client.pub"), ssh.join("authorized_keys"))?;
        let port = free_port()?;
        let mut command = Command::new(need("unshare")?);
        command.args([
            "--mount",
            "--propagation",
            "private",
            "/bin/bash",
            "-c",
            BIND,
            "bash",
        ]);
        command.arg(&passwd).arg("/etc/passwd");
        for (source, target) in &setup.binds {
            command.arg(source).arg(target);
        }
        for (index, (target, text)) in setup.files.iter().enumerate() {
            let source = place.join(format!("file-{index}"));
            fs::write(&source, text)?;
            command.arg(source).arg(target);
        }
        if let Some(options) = &setup.home {
            command
                .arg(format!("tmpfs:{options}"))
                .arg(place.join("home"));
        }
        command.arg("--").arg(server);
        match kind {
            SshKind::OpenSsh => openssh(&mut command, place, port, setup)?,
            SshKind::Dropbear => dropbear(&mut command, place, port, setup)?,
        }
        let daemon = Self::launch(&command, directory, kind)?;
        let mut started = Self {
            daemon,
            kind,
            port,
            user,
        };
        started.wait()?;
        Ok(started)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Which server it is.
    pub fn kind(&self) -> SshKind {
        self.kind
    }

    /// The account.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// `user@127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("{}@127.0.0.1:{}", self.user, self.port)
    }

    /// A private key that is let in.
    pub fn identity(&self) -> PathBuf {
        self.directory().join("client")
    }

    /// The public host key of this kind, as a line `ssh-ed25519 AAAA…`.
    ///
    /// # Errors
    ///
    /// If there is none of the kind.
    pub fn host_key(&self, kind: &str) -> anyhow::Result<String> {
        let text = fs::read_to_string(self.directory().join(format!("host_{kind}.pub")))?;
        let mut fields = text.split_whitespace();
        let line: Vec<_> = fields.by_ref().take(2).collect();
        Ok(line.join(" "))
    }

    /// A file of known hosts that has its host keys.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn known_hosts(&self) -> anyhow::Result<PathBuf> {
        let mut text = String::new();
        for entry in fs::read_dir(self.directory())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if let Some(kind) = name
                .strip_prefix("host_")
                .and_then(|rest| rest.strip_suffix(".pub"))
            {
                writeln!(text, "[127.0.0.1]:{} {}", self.port, self.host_key(kind)?)?;
            }
        }
        let path = self.directory().join("known_hosts");
        fs::write(&path, text)?;
        Ok(path)
    }

    /// The options of the backend `ssh` for it, but for `hosts`, as `KEY=VALUE`.
    /// Its host keys are known on every port of this machine, so that it can be
    /// reached by a detour as well.
    ///
    /// # Errors
    ///
    /// If the file of known hosts cannot be written.
    pub fn options(&self) -> anyhow::Result<Vec<String>> {
        let known_hosts = self.known_hosts()?;
        let known = fs::read_to_string(&known_hosts)?;
        let anywhere = known.replace(&format!("[127.0.0.1]:{}", self.port), "[127.0.0.1]:*");
        fs::write(&known_hosts, known + &anywhere)?;
        Ok(vec![
            "slots=64".into(),
            format!("identity-file={}", self.identity().display()),
            format!("known-hosts={}", known_hosts.display()),
            "identity-agent=none".into(),
            "ssh-config=none".into(),
        ])
    }

    /// The home directory of the account, where sessions begin.
    pub fn home(&self) -> PathBuf {
        self.directory().join("home")
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        self.daemon.directory()
    }

    /// The process.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Kills the server, but not its sessions, and starts it again on the same
    /// port.
    ///
    /// # Errors
    ///
    /// If it does not come up.
    pub fn kill_and_start(&mut self) -> anyhow::Result<()> {
        self.daemon.end_by(libc::SIGKILL)?;
        self.daemon.start_again()?;
        self.wait()
    }

    fn launch(command: &Command, directory: TempDir, kind: SshKind) -> anyhow::Result<Daemon> {
        let name = match kind {
            SshKind::OpenSsh => "sshd",
            SshKind::Dropbear => "dropbear",
        };
        Daemon::start(name, command, directory, Duration::from_secs(5))
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        let port = self.port;
        self.daemon.wait_until(Duration::from_secs(20), |_| {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
    }
}

/// Makes a key pair at `path`, encrypted with `passphrase` unless that is empty.
///
/// # Errors
///
/// If `ssh-keygen` fails.
pub fn make_key(path: &Path, kind: &str, passphrase: &str) -> anyhow::Result<()> {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "throw-away", "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        made.status.success(),
        "ssh-keygen: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    Ok(())
}

/// The name of this process's account, and a passwd file in which it has
/// another home and maybe another shell.
fn account(place: &Path, setup: &SshSetup) -> anyhow::Result<(String, PathBuf)> {
    use std::os::unix::fs::MetadataExt as _;
    let uid = fs::metadata("/proc/self")?.uid();
    ensure!(
        uid == 0,
        "the SSH servers of the tests are started as root only"
    );
    let home = place.join("home");
    let text = fs::read_to_string("/etc/passwd")?;
    let mut user = None;
    let mut lines = String::new();
    for line in text.lines() {
        let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        if user.is_none() && fields.get(2).is_some_and(|id| *id == uid.to_string()) {
            user = fields.first().cloned();
            if let Some(field) = fields.get_mut(5) {
                *field = home.display().to_string();
            }
            if let (Some(field), Some(shell)) = (fields.get_mut(6), &setup.shell) {
                *field = shell.display().to_string();
            }
        }
        let mut names = vec![fields.first().cloned().unwrap_or_default()];
        if user.as_deref() == names.first().map(String::as_str) {
            names.extend(setup.account_names.iter().map(ToString::to_string));
        }
        for name in names {
            if let Some(field) = fields.first_mut() {
                *field = name;
            }
            lines.push_str(&fields.join(":"));
            lines.push('\n');
        }
    }
    let path = place.join("passwd");
    fs::write(&path, lines)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    Ok((user.context("this process has no account")?, path))
}

fn openssh(command: &mut Command, place: &Path, port: u16, setup: &SshSetup) -> anyhow::Result<()> {
    // sshd wants this directory of its own, and makes none.
    fs::create_dir_all("/run/sshd")?;
    let mut config: String = setup.lines.iter().flat_map(|line| [line, "\n"]).collect();
    let kinds = if setup.host_keys.is_empty() {
        &["ed25519"][..]
    } else {
        &setup.host_keys
    };
    if setup.kills_at_logout {
        let path = place.join("session");
        fs::write(&path, KILLS_AT_LOGOUT)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        fs::write(
            place.join("logind.conf"),
            "[Login]\nKillUserProcesses=yes\n",
        )?;
        writeln!(config, "ForceCommand exec {}", path.display())?;
    }
    for kind in kinds {
        let path = place.join(format!("host_{kind}"));
        make_key(&path, kind, "")?;
        writeln!(config, "HostKey {}", path.display())?;
    }
    write!(
        config,
        "ListenAddress 127.0.0.1:{port}\nPidFile none\nUsePAM no\nStrictModes no\n\
         PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         AuthorizedKeysFile {}\nLogLevel VERBOSE\n",
        place.join("client.pub").display()
    )?;
    let path = place.join("sshd_config");
    fs::write(&path, config)?;
    command.args(["-D", "-e", "-f"]).arg(path);
    Ok(())
}

fn dropbear(
    command: &mut Command,
    place: &Path,
    port: u16,
    setup: &SshSetup,
) -> anyhow::Result<()> {
    let key = place.join("host_key");
    let made = Command::new("dropbearkey")
        .args(["-t", "ed25519", "-f"])
        .arg(&key)
        .output()
        .context("there is no `dropbearkey`")?;
    ensure!(
        made.status.success(),
        "dropbearkey: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    let text = String::from_utf8_lossy(&made.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("ssh-"));
    fs::write(
        place.join("host_ed25519.pub"),
        line.context("dropbearkey printed no key")?,
    )?;
    command
        .args(["-F", "-E", "-r"])
        .arg(key)
        .arg("-p")
        .arg(format!("127.0.0.1:{port}"));
    if !setup.passwords {
        command.arg("-s");
    }
    Ok(())
}
