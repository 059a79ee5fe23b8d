//! A terminal with a screen, for programs under test.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// More than any test waits for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// A program on a terminal of its own.
pub(crate) struct Terminal {
    pub(crate) child: Child,
    master: File,
    reader: Option<JoinHandle<()>>,
    screen: Arc<Mutex<Screen>>,
}

struct Screen {
    parser: vt100::Parser,
    /// All bytes that came, for what a screen does not keep.
    raw: Vec<u8>,
}

impl Terminal {
    /// Runs `command` with its standard input and error on a new terminal,
    /// which is its controlling one; its standard output too, unless `apart`.
    pub(crate) fn run(command: &Command, columns: u16, apart: Option<Stdio>) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
        let master = master.unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let end = rustix::fs::open(&*name, flags, Mode::empty()).unwrap();
        let stdio = || Stdio::from(end.try_clone().unwrap());
        // Begins a session with the terminal, and becomes the program.
        let mut setsid = Command::new("setsid");
        setsid.arg("--ctty").arg(command.get_program());
        setsid.args(command.get_args()).env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                setsid.env(name, value);
            }
        }
        if let Some(directory) = command.get_current_dir() {
            setsid.current_dir(directory);
        }
        if setsid.get_envs().all(|(name, _)| name != "TERM") {
            setsid.env("TERM", "xterm");
        }
        setsid.stdin(stdio()).stderr(stdio());
        setsid.stdout(apart.unwrap_or_else(stdio));
        let master = File::from(master);
        let screen = Arc::new(Mutex::new(Screen {
            parser: vt100::Parser::new(24, columns, 200),
            raw: Vec::new(),
        }));
        resize(&master, columns);
        let child = setsid.spawn().unwrap();
        // It holds ends of the terminal.
        drop((setsid, end));
        let reader = std::thread::spawn({
            let (mut master, screen) = (master.try_clone().unwrap(), screen.clone());
            move || {
                let mut buffer = [0; 4096];
                // The end of a terminal is an error.
                while let Ok(read @ 1..) = master.read(&mut buffer) {
                    let mut screen = screen.lock().unwrap();
                    let bytes = buffer.get(..read).unwrap();
                    screen.parser.process(bytes);
                    screen.raw.extend_from_slice(bytes);
                }
            }
        });
        Self {
            child,
            master,
            reader: Some(reader),
            screen,
        }
    }

    /// Types.
    pub(crate) fn type_text(&self, text: &str) {
        (&self.master).write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn resize(&self, columns: u16) {
        let mut screen = self.screen.lock().unwrap();
        screen.parser.screen_mut().set_size(24, columns);
        resize(&self.master, columns);
    }

    /// Whether each key is handed on at once, and none is shown.
    pub(crate) fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.master).unwrap().local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// What is on the screen, without what is empty below.
    pub(crate) fn screen(&self) -> String {
        let screen = self.screen.lock().unwrap();
        let contents = screen.parser.screen().contents();
        let lines: Vec<_> = contents.lines().map(str::trim_end).collect();
        lines.join("\n").trim_end().to_owned()
    }

    /// Everything that was ever written.
    pub(crate) fn written(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap().raw).into_owned()
    }

    /// Waits until the screen is as `wanted`.
    #[track_caller]
    pub(crate) fn wait_for(&self, wanted: impl Fn(&str) -> bool) {
        let began = Instant::now();
        while !wanted(&self.screen()) {
            assert!(
                began.elapsed() < PATIENCE,
                "in vain; the screen is:\n{}",
                self.screen()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[track_caller]
    pub(crate) fn wait_for_text(&self, text: &str) {
        self.wait_for(|screen| screen.contains(text));
    }

    /// Waits for the end of the program, and gives its status and the screen.
    pub(crate) fn end(&mut self) -> (i32, String) {
        let status = self.wait();
        // The terminal ends with its last user, after what that wrote last.
        let reader = self.reader.take().unwrap();
        let began = Instant::now();
        while !reader.is_finished() {
            assert!(began.elapsed() < PATIENCE, "somebody holds the terminal");
            std::thread::sleep(Duration::from_millis(5));
        }
        let code = status.code().or(status.signal().map(|signal| 128 + signal));
        (code.unwrap(), self.screen())
    }

    fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "it does not end; the screen is:\n{}",
                self.screen()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn resize(master: &File, columns: u16) {
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(master, size).unwrap();
}
