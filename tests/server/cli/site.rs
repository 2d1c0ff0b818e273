//! A folder with everything that a server and its clients need, and processes that end with it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

const CA_REQUEST: &str = r#"{"CN": "Test CA", "key": {"algo": "ecdsa", "size": 256}}"#;
const PROFILES: &str = r#"{"signing": {"profiles": {
    "server": {"expiry": "24h", "usages": ["signing", "server auth"]},
    "client": {"expiry": "24h", "usages": ["signing", "client auth"]}}}}"#;

/// Certificates, an access control list and a folder of data.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
}

/// A server, or another command that runs on until its end is asked for.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: String,
    log: Arc<Mutex<String>>,
    /// Reads a server's standard error to its end.
    reader: Option<JoinHandle<()>>,
    _watchdog: Watchdog,
}

/// How a command ended.
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Makes a pipe at `path`.
pub(crate) fn make_pipe(path: &str) {
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
}

/// The program with these arguments, in an environment that says nothing to it.
pub(crate) fn varve<I: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_varve"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("VARVE_") || name.starts_with("GRPC_") {
            command.env_remove(name);
        }
    }
    for name in [
        "NOTIFY_SOCKET",
        "JOURNAL_STREAM",
        "STATE_DIRECTORY",
        "CREDENTIALS_DIRECTORY",
        "SOURCE_DATE_EPOCH",
    ] {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs a command to its end with `input`.
pub(crate) fn run(mut command: Command, input: &[u8]) -> Outcome {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let _watchdog = Watchdog::of(&child);
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = thread::spawn(move || {
        // A command that needs no input may be gone already.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.into()
}

/// Ends a process that hangs, so that whoever waits for it goes on and fails.
struct Watchdog {
    _alive: Sender<()>,
}

impl Watchdog {
    fn of(child: &Child) -> Self {
        let (alive, watched) = mpsc::channel();
        let pid = pid(child);
        thread::spawn(move || {
            if watched.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                // It may have ended at this moment.
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        Self { _alive: alive }
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.signal(), None, "ended by a signal: {stderr}");
        Self { code: output.status.code().unwrap(), stdout: output.stdout, stderr }
    }
}

impl Outcome {
    /// The output of a command that did what it should.
    pub(crate) fn done(self) -> Vec<u8> {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.stdout
    }

    /// Checks the exit code and that the message has all `parts`, once, with the program's name.
    pub(crate) fn refused(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in {}", self.stderr);
        }
        let errors = self.stderr.matches("varve: error: ").count();
        assert_eq!(errors, 1, "{}", self.stderr);
    }
}

impl Site {
    /// Makes the certificates: `server` for this host, clients `root` and `nobody`. The list lets
    /// root do everything.
    pub(crate) fn new() -> Self {
        let site = Self { dir: tempfile::tempdir().unwrap() };
        site.write("ca.json", CA_REQUEST);
        site.write("profiles.json", PROFILES);
        run(varve(["certs", "ca", &site.path("ca.json"), "--out", &site.folder()]), b"").done();
        site.issue("server", "server", r#""127.0.0.1", "localhost""#);
        site.issue("client", "root", "");
        site.issue("client", "nobody", "");
        site.write("acl.csv", "p, root, *, *\n");
        site
    }

    /// Issues `NAME.pem` and `NAME-key.pem`.
    pub(crate) fn issue(&self, profile: &str, name: &str, hosts: &str) {
        let request = format!("{name}-csr.json");
        let key = r#""key": {"algo": "ecdsa", "size": 256}"#;
        self.write(&request, &format!(r#"{{"CN": "{name}", {key}, "hosts": [{hosts}]}}"#));
        let mut command = varve(["certs", "issue", profile, &self.path(&request)]);
        command.args(["--ca", &self.path("ca.pem"), "--ca-key", &self.path("ca-key.pem")]);
        command.args(["--config", &self.path("profiles.json"), "--out", &self.folder()]);
        run(command, b"").done();
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn folder(&self) -> String {
        self.dir.path().to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    /// `command` with the server's flags, on a free port.
    pub(crate) fn server_flags(&self, command: &[&str]) -> Command {
        let mut command = varve(command);
        command.args(["--listen", "127.0.0.1:0", "--data-dir", &self.path("data")]);
        // Many run at once, and its port is one.
        command.args(["--metrics", "off"]);
        command.args(["--cert", &self.path("server.pem"), "--key", &self.path("server-key.pem")]);
        command.args(["--client-ca", &self.path("ca.pem"), "--acl", &self.path("acl.csv")]);
        command
    }

    /// A server on a free port.
    pub(crate) fn serve(&self) -> Running {
        Running::start(self.server_flags(&["serve"]))
    }

    /// `command` as the client `name` of `server`.
    pub(crate) fn client(&self, name: &str, server: &str, command: &[&str]) -> Command {
        let mut command = varve(command);
        command.args(["--server", server, "--ca", &self.path("ca.pem")]);
        command.args(["--cert", &self.path(&format!("{name}.pem"))]);
        command.args(["--key", &self.path(&format!("{name}-key.pem"))]);
        command
    }

    /// Every file and folder of data with its bytes and its mode.
    pub(crate) fn data(&self) -> Vec<(PathBuf, u32, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.dir.path().join("data")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let mode = mode(&path);
                if path.is_dir() {
                    folders.push(path.clone());
                    found.push((path, mode, Vec::new()));
                } else {
                    let bytes = fs::read(&path).unwrap();
                    found.push((path, mode, bytes));
                }
            }
        }
        found.sort();
        found
    }
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

impl Running {
    /// Starts a server and waits until it says where it listens.
    pub(crate) fn start(command: Command) -> Self {
        let mut running = Self::spawn(command);
        let stderr = running.child.stderr.take().unwrap();
        let log = Arc::clone(&running.log);
        running.reader = Some(thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        }));
        let mut line = String::new();
        BufReader::new(running.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ");
        let address = address.unwrap_or_else(|| panic!("{line:?}: {}", running.log()));
        running.address = address.to_owned();
        running
    }

    /// Starts a command that has no first words.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let watchdog = Watchdog::of(&child);
        let (address, log) = (String::new(), Arc::default());
        Self { child, address, log, reader: None, _watchdog: watchdog }
    }

    /// What it wrote to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until its log has `text`.
    pub(crate) fn wait_for_log(&self, text: &str) {
        self.wait_for_logs(text, 1);
    }

    /// Waits until its log has `text` so many times.
    pub(crate) fn wait_for_logs(&self, text: &str, times: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.log().matches(text).count() < times {
            assert!(Instant::now() < deadline, "no {text:?} in {}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Reads exactly so many bytes of its standard output.
    pub(crate) fn read(&mut self, bytes: usize) -> Vec<u8> {
        let mut read = vec![0; bytes];
        self.child.stdout.as_mut().unwrap().read_exact(&mut read).unwrap();
        read
    }

    /// Its standard error, for whoever reads along.
    pub(crate) fn take_stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().unwrap()
    }

    /// Closes the reading end of its standard output.
    pub(crate) fn stop_reading(&mut self) {
        drop(self.child.stdout.take());
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub(crate) fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child), signal).unwrap();
    }

    /// Waits for the end, and returns the exit code, what was not read, and how long it took.
    pub(crate) fn wait(mut self) -> (Outcome, Duration) {
        let (status, took) = self.wait_for_end();
        let (stdout, stderr) = self.rest();
        (Output { status, stdout, stderr }.into(), took)
    }

    /// Waits for the end by a signal, and returns its number and what was not read.
    pub(crate) fn wait_for_signal(mut self) -> (i32, Vec<u8>, String) {
        let (status, _) = self.wait_for_end();
        let (stdout, stderr) = self.rest();
        let stderr = String::from_utf8(stderr).unwrap();
        let signal = status.signal();
        (signal.unwrap_or_else(|| panic!("{status}: {stderr}")), stdout, stderr)
    }

    fn wait_for_end(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, began.elapsed());
            }
            assert!(began.elapsed() < PATIENCE, "still running: {}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn rest(&mut self) -> (Vec<u8>, Vec<u8>) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        let (mut stdout, mut stderr) = (Vec::new(), self.log().into_bytes());
        if let Some(mut pipe) = self.child.stdout.take() {
            pipe.read_to_end(&mut stdout).unwrap();
        }
        if let Some(mut pipe) = self.child.stderr.take() {
            pipe.read_to_end(&mut stderr).unwrap();
        }
        (stdout, stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap()).unwrap()
}
