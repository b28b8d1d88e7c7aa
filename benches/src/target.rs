//! The server under test: one that runs already, or one started for the run and ended with it.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::clock;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::process::Process;
use crate::sign::Credentials;

/// How long a started server may take until it takes connections.
const START: Duration = Duration::from_secs(30);

/// The brand of a Tidings that the bench starts, and the key of its senders.
pub(crate) const BRAND_ID: u32 = 7;
pub(crate) const SENDER_KEY: &str = "key-of-the-benchs-senders";

const SOKETI_CONFIG: &str = include_str!("target/soketi.json");
const TIDINGS_CONFIG: &str = include_str!("target/tidings.toml");
const SOCKUDO_CONFIG: &str = include_str!("target/sockudo.toml");

/// What to measure, as said on the command line:
/// `HOST:PORT[@PID]`, `floor`, `floor-gather`, or `tidings`, `sockudo`, `soketi` with `=PATH` to the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Runs already.
    At { address: SocketAddr, pid: Option<u32> },
    /// A program that the bench starts.
    Started { kind: Kind, bin: Option<PathBuf> },
}

/// A program that the bench knows how to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Floor,
    FloorGather,
    Tidings,
    Sockudo,
    Soketi,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::FloorGather => "floor-gather",
            Self::Tidings => "tidings",
            Self::Sockudo => "sockudo",
            Self::Soketi => "soketi",
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, bin) = match text.split_once('=') {
            Some((name, bin)) => (name, Some(PathBuf::from(bin))),
            None => (text, None),
        };
        let kinds = [Kind::Floor, Kind::FloorGather, Kind::Tidings, Kind::Sockudo, Kind::Soketi];
        if let Some(kind) = kinds.into_iter().find(|kind| kind.name() == name) {
            return Ok(Self::Started { kind, bin });
        }
        let (address, pid) = match text.split_once('@') {
            Some((address, pid)) => {
                (address, Some(pid.parse().map_err(|_| format!("`{pid}` is no process id"))?))
            }
            None => (text, None),
        };
        let address: SocketAddr = address.replace("localhost", "127.0.0.1").parse().map_err(|_| {
            format!("`{text}` is neither HOST:PORT[@PID] nor floor, floor-gather, tidings, sockudo or soketi")
        })?;
        if !address.ip().is_loopback() {
            return Err(format!("{address} is not a loopback address; the bench loads this machine only"));
        }
        Ok(Self::At { address, pid })
    }
}

impl Target {
    /// The target's name in tables.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::At { address, .. } => address.to_string(),
            Self::Started { kind, .. } => kind.name().to_owned(),
        }
    }

    /// Starts the server if need be, and waits until it takes connections. It is called by its label from then on.
    pub(crate) fn start(&self, label: &str, access: &Access) -> Result<Running, Failure> {
        let credentials = Credentials::new(&access.app_id, &access.key, &access.secret);
        let (address, process, child) = match self {
            Self::At { address, pid } => (*address, pid.map(|pid| Process { pid }), None),
            Self::Started { kind, bin } => {
                let port = free_port()?;
                let child = Server::spawn(*kind, bin.as_deref(), port, access)?;
                let process = Process { pid: child.process.id() };
                (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), Some(process), Some(child))
            }
        };
        let mut running = Running { name: label.to_owned(), address, credentials, process, server: child };
        running.wait_for_port()?;
        Ok(running)
    }
}

/// What to call targets that run beside each other: their names, numbered from the second of one name on.
pub(crate) fn labels(targets: &[Target]) -> Vec<String> {
    let label = |(place, target): (usize, &Target)| {
        let name = target.name();
        match targets[..place].iter().filter(|other| other.name() == name).count() {
            0 => name,
            before => format!("{name}#{}", before + 1),
        }
    };
    targets.iter().enumerate().map(label).collect()
}

/// The app that the bench uses.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) app_id: String,
    pub(crate) key: String,
    pub(crate) secret: String,
}

/// A server that takes connections. One that was started ends when this is dropped.
pub(crate) struct Running {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) credentials: Credentials,
    pub(crate) process: Option<Process>,
    server: Option<Server>,
}

impl Running {
    fn wait_for_port(&mut self) -> Result<(), Failure> {
        let deadline = clock::now() + START;
        loop {
            let Err(error) = TcpStream::connect(self.address) else { return Ok(()) };
            let Some(server) = &mut self.server else {
                return Err(Failure::Unreachable(format!("{}: {error}", self.address)));
            };
            if let Some(status) = server.process.try_wait()? {
                let said = server.said();
                return Err(Failure::Unreachable(format!(
                    "{} ended with {status} at its start{said}",
                    self.name
                )));
            }
            if clock::now() > deadline {
                let said = server.said();
                return Err(Failure::Unreachable(format!("{} does not listen: {error}{said}", self.name)));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A server process of our own, with its folder of config, data and output.
struct Server {
    process: Child,
    folder: Folder,
    /// Whom the brand asks about its visitors; only Tidings has one.
    _operator: Option<Operator>,
}

impl Server {
    fn spawn(kind: Kind, bin: Option<&Path>, port: u16, access: &Access) -> Result<Self, Failure> {
        let folder = Folder::new()?;
        let data = folder.0.join("data");
        fs::create_dir(&data)?;
        let port = port.to_string();
        let need =
            || bin.ok_or_else(|| Failure::Usage(format!("{0} needs its program: {0}=PATH", kind.name())));
        let mut operator = None;
        let mut command = match kind {
            Kind::Floor | Kind::FloorGather => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["floor", "--exit-with-parent", "--port", &port]);
                if kind == Kind::FloorGather {
                    command.arg("--gather");
                }
                command
            }
            Kind::Tidings => {
                let sid_url = operator.insert(Operator::start()?).url();
                let config = fill(TIDINGS_CONFIG, &port, access)
                    .replace("{brand_id}", &BRAND_ID.to_string())
                    .replace("{sid_url}", &sid_url)
                    .replace("{sender_key}", SENDER_KEY);
                let config = folder.write("tidings.toml", &config)?;
                let mut command = Command::new(bin.unwrap_or(Path::new("target/release/tidings")));
                command.arg("serve").arg("--config").arg(config).arg("--data-dir").arg(data);
                command.env("TIDINGS_LOG", "warn");
                command
            }
            Kind::Sockudo => {
                let config = folder.write("sockudo.toml", &fill(SOCKUDO_CONFIG, &port, access))?;
                let mut command = Command::new(need()?);
                command.arg("--config").arg(config).env("RUST_LOG", "off");
                command
            }
            Kind::Soketi => {
                let config = folder.write("soketi.json", &fill(SOKETI_CONFIG, &port, access))?;
                let mut command = Command::new("node");
                command.arg(need()?).arg("start").arg(format!("--config={}", config.display()));
                command
            }
        };
        let output = File::create(folder.0.join("output"))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let process = command
            .spawn()
            .map_err(|error| Failure::Unreachable(format!("{}: {error}", command.get_program().display())))?;
        Ok(Self { process, folder, _operator: operator })
    }

    /// The end of what the server printed.
    fn said(&self) -> String {
        let output = fs::read_to_string(self.folder.0.join("output")).unwrap_or_default();
        let lines: Vec<&str> = output.lines().collect();
        format!("\n{}", lines[lines.len().saturating_sub(10)..].join("\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A temporary folder, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tidings-bench-{}-{count}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in the temporary folder harms no later run.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn fill(template: &str, port: &str, access: &Access) -> String {
    template
        .replace("{port}", port)
        .replace("{app_id}", &access.app_id)
        .replace("{key}", &access.key)
        .replace("{secret}", &access.secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&Target>) {
        assert_eq!(text.parse::<Target>().ok().as_ref(), expected, "{text}");
    }

    #[test]
    fn targets_read_from_the_command_line() {
        let at = |port, pid| Target::At { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), pid };
        check("127.0.0.1:6001", Some(&at(6001, None)));
        check("localhost:6001@77", Some(&at(6001, Some(77))));
        check("floor", Some(&Target::Started { kind: Kind::Floor, bin: None }));
        let bin = Some(PathBuf::from("/opt/sockudo"));
        check("sockudo=/opt/sockudo", Some(&Target::Started { kind: Kind::Sockudo, bin }));
        check("10.0.0.1:80", None);
        check("127.0.0.1:6001@x", None);
        check("reverb", None);
    }

    #[test]
    fn targets_of_one_name_are_told_apart() {
        let targets =
            ["tidings", "floor", "tidings=/old/tidings", "tidings"].map(|text| text.parse().unwrap());
        assert_eq!(labels(&targets), ["tidings", "floor", "tidings#2", "tidings#3"]);
    }

    #[test]
    fn configs_leave_no_hole() {
        let access = Access { app_id: "i".into(), key: "k".into(), secret: "s".into() };
        let soketi = fill(SOKETI_CONFIG, "7000", &access);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&soketi).unwrap()["port"], 7000);
        let sockudo = fill(SOCKUDO_CONFIG, "7000", &access);
        assert!(sockudo.contains("\nport = 7000\n") && sockudo.contains("\nsecret = \"s\"\n"));
    }
}
