//! Root file systems made from this machine's files, as tar files: no image
//! registry is needed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::find_program;

/// What the tests' scripts use, all of it in one static program.
const APPLETS: &[&str] = &[
    "awk",
    "base64",
    "basename",
    "cat",
    "chmod",
    "cp",
    "cut",
    "date",
    "dd",
    "dirname",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "grep",
    "head",
    "hostname",
    "id",
    "kill",
    "ln",
    "ls",
    "md5sum",
    "mkdir",
    "mkfifo",
    "mktemp",
    "mount",
    "mv",
    "nohup",
    "od",
    "printenv",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "setsid",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "stty",
    "su",
    "sync",
    "tail",
    "tee",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "tty",
    "uname",
    "uniq",
    "wc",
    "which",
    "xargs",
    "yes",
];

/// Writes a tar file with static busybox and nothing else.
///
/// # Errors
///
/// If this machine has no static busybox, or no tar.
pub fn busybox(tar: &Path) -> anyhow::Result<()> {
    let root = tempfile::tempdir()?;
    lay_busybox(root.path())?;
    pack(root.path(), tar)
}

/// The same with bash, dash and a small Python: all that the conformance suite
/// asks for.
///
/// # Errors
///
/// If this machine lacks one of them.
pub fn full(tar: &Path) -> anyhow::Result<()> {
    let root = tempfile::tempdir()?;
    lay_full(root.path())?;
    pack(root.path(), tar)
}

/// The same, with dash as `/bin/sh`.
///
/// # Errors
///
/// If this machine lacks one of them.
pub fn full_dash(tar: &Path) -> anyhow::Result<()> {
    full_with_shell("dash", tar)
}

/// The same, with bash as `/bin/sh`.
///
/// # Errors
///
/// If this machine lacks one of them.
pub fn full_bash(tar: &Path) -> anyhow::Result<()> {
    full_with_shell("bash", tar)
}

/// One program that ends at once, and no shell.
///
/// # Errors
///
/// If this machine has no static busybox, or no tar.
pub fn without_shell(tar: &Path) -> anyhow::Result<()> {
    let root = tempfile::tempdir()?;
    fs::create_dir_all(root.path().join("bin"))?;
    // busybox goes by its name.
    copy(&static_busybox()?, &root.path().join("bin/true"))?;
    pack(root.path(), tar)
}

fn full_with_shell(shell: &str, tar: &Path) -> anyhow::Result<()> {
    let root = tempfile::tempdir()?;
    lay_full(root.path())?;
    let link = root.path().join("bin/sh");
    fs::remove_file(&link)?;
    symlink(shell, &link)?;
    pack(root.path(), tar)
}

fn lay_full(root: &Path) -> anyhow::Result<()> {
    lay_busybox(root)?;
    for shell in ["/bin/bash", "/bin/dash"] {
        lay_program(root, Path::new(shell), shell)?;
    }
    // Debian's own, and not one that comes before it on the search path.
    let python = fs::canonicalize("/usr/bin/python3").context("there is no /usr/bin/python3")?;
    lay_program(root, &python, "/usr/bin/python3")?;
    let version = python.file_name().unwrap_or_default();
    let library = Path::new("/usr/lib").join(version);
    for part in ["", "encodings", "collections", "importlib"] {
        copy_modules(&library.join(part), root)?;
    }
    // Without it, Python complains.
    fs::create_dir_all(inside(root, &library.join("lib-dynload")))?;
    Ok(())
}

fn lay_program(root: &Path, program: &Path, place: &str) -> anyhow::Result<()> {
    copy(program, &inside(root, Path::new(place)))?;
    for library in libraries(program)? {
        copy(&library, &inside(root, &library))?;
    }
    Ok(())
}

fn copy_modules(directory: &Path, root: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "py") {
            copy(&path, &inside(root, &path))?;
        }
    }
    Ok(())
}

fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn lay_busybox(root: &Path) -> anyhow::Result<()> {
    for directory in [
        "bin", "etc", "proc", "root", "sys", "dev", "usr/bin", "var/tmp", "tmp",
    ] {
        fs::create_dir_all(root.join(directory))?;
    }
    for open in ["tmp", "var/tmp"] {
        let sticky = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
        fs::set_permissions(root.join(open), sticky)?;
    }
    copy(&static_busybox()?, &root.join("bin/busybox"))?;
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    symlink("/bin/env", root.join("usr/bin/env"))?;
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    )?;
    fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
    Ok(())
}

fn static_busybox() -> anyhow::Result<PathBuf> {
    let busybox = find_program("busybox").context("this machine has no busybox")?;
    ensure!(
        libraries(&busybox)?.is_empty(),
        "busybox is not static: install the package busybox-static"
    );
    Ok(busybox)
}

/// The libraries of a program, its loader too.
fn libraries(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = Command::new("ldd").arg(program).output()?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let paths = text
        .split_whitespace()
        .filter(|word| word.starts_with('/') && !word.ends_with(':'));
    Ok(paths.map(PathBuf::from).collect())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

fn pack(root: &Path, tar: &Path) -> anyhow::Result<()> {
    let status = Command::new("tar")
        .arg("-C")
        .arg(root)
        .args(["--owner=0", "--group=0", "-cf"])
        .arg(tar)
        .arg(".")
        .status()
        .context("cannot run tar")?;
    ensure!(status.success(), "tar failed: {status}");
    Ok(())
}
