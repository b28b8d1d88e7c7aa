//! How the server is told what to do: flags win over variables, these over one file, the file over defaults.

mod aliases;
mod environment;
mod file;
mod finding;
mod outbound;
mod rules;
mod soketi;
mod tls;

#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use tidings_protocol::App;
use tidings_store::Brand;

use crate::{Drain, ServerConfig};

pub use aliases::{AliasedApp, NO_ADAPTER, NO_PASSPHRASE, NO_PREFIX, parse_boolean, parse_limit};
pub use environment::{Environment, LOG};
pub use finding::{
    ConfigErrors, Finding, Mistake, MistakeKind, Note, NoteKind, Place, Snippet, Warning, WarningKind,
    nearest,
};
pub use outbound::OutboundConfig;
pub use rules::{
    parse_brand_id, parse_brand_name, parse_drain, parse_host, parse_id, parse_key, parse_port, parse_secret,
    parse_sid_url,
};
pub use soketi::{SoketiWebhooks, read_webhooks};
pub use tls::TlsConfig;

/// Where `tidings serve` listens if it is not told.
pub const DEFAULT_ADDRESS: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 6001);
/// The port of `/metrics` if it is not told, on the same machine only.
const DEFAULT_METRICS_PORT: u16 = 9601;
/// Where the store is if it is not told.
pub const DEFAULT_DATA_DIR: &str = "./tidings-data";
/// What most call their file. It is not read unless it is named.
const USUAL_FILE: &str = "tidings.toml";

/// All that the server is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// How it serves.
    pub server: ServerConfig,
    /// How it leaves.
    pub drain: Drain,
    /// Where its metrics are.
    pub metrics: MetricsAddress,
    /// Whether they are told under soketi's names too.
    pub soketi_names: bool,
    /// Where it speaks TLS, if it does.
    pub tls: Option<TlsConfig>,
    /// Where its store is.
    pub data_dir: PathBuf,
    /// The apps of the file and of the variables; those of the store come on top.
    pub apps: Vec<App>,
    /// The brands of the file; those of the store come on top.
    pub brands: Vec<BrandConfig>,
    /// What leaves the house.
    pub outbound: OutboundConfig,
}

/// A brand of the file.
#[derive(Clone, PartialEq, Eq)]
pub struct BrandConfig {
    /// The brand.
    pub brand: Brand,
    /// What its senders show. They are secrets.
    pub api_keys: Vec<String>,
}

impl std::fmt::Debug for BrandConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrandConfig").field("brand", &self.brand).finish_non_exhaustive()
    }
}

/// Where metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsAddress {
    /// Nobody has said where: a second server on this machine goes without.
    Default(SocketAddr),
    /// There and nowhere else.
    Chosen(SocketAddr),
}

/// What flags of the command line say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The file to read.
    pub config: Option<PathBuf>,
    /// What it says on top of the file and the variables.
    pub server: Layer,
}

/// What one source says of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// The address to listen on.
    pub host: Option<IpAddr>,
    /// The port to listen on; 0 is any that is free.
    pub port: Option<u16>,
    /// After so long a silence a connection is pinged.
    pub activity_timeout: Option<Duration>,
    /// When the server is to leave, it takes new connections for so long.
    pub drain_delay: Option<Duration>,
    /// Then it closes its sockets over this time.
    pub drain_window: Option<Duration>,
    /// Where the store is.
    pub data_dir: Option<PathBuf>,
    /// The address at which metrics are served.
    pub metrics_host: Option<IpAddr>,
    /// The port at which metrics are served; 0 is any that is free.
    pub metrics_port: Option<u16>,
    /// Whether metrics are told under soketi's names too.
    pub soketi_names: Option<bool>,
    /// Where TLS is spoken.
    pub tls: Option<TlsConfig>,
}

/// A configuration without mistakes.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What may not be meant so.
    pub warnings: Vec<Warning>,
    /// What was made of the variables that other servers know.
    pub notes: Vec<Note>,
    /// Where each of its apps stands, in their order.
    pub app_places: Vec<Place>,
    /// The brands whose app the file does not have. The variables or the store may: a server knows.
    pub astray: Vec<Warning>,
}

/// The configuration as it was read, and of it what [`Loaded`] tells.
struct Read {
    config: Config,
    app_places: Vec<Place>,
    astray: Vec<Warning>,
}

/// What variables say by themselves.
pub struct Described {
    /// How to serve.
    pub server: Layer,
    /// The app, if they name one.
    pub app: Option<AliasedApp>,
    /// What may not be meant so.
    pub warnings: Vec<Warning>,
    /// What was made of the variables that other servers know.
    pub notes: Vec<Note>,
}

/// Reads the variables alone.
///
/// # Errors
/// [`ConfigErrors`] has every mistake in them.
pub fn describe(environment: &Environment) -> Result<Described, ConfigErrors> {
    let mut report = finding::Report::default();
    let environment::Variables { server, app } = environment::read(environment, &mut report);
    let notes = report.take_notes();
    Ok(Described { server, app, warnings: report.finish()?, notes })
}

impl Config {
    /// Puts the layers together.
    ///
    /// # Errors
    /// [`ConfigErrors`] has every mistake of the file and the variables.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Loaded, ConfigErrors> {
        let mut report = finding::Report::default();
        let Read { config, app_places, astray } = Self::read(flags, environment, &mut report);
        let notes = report.take_notes();
        Ok(Loaded { config, warnings: report.finish()?, notes, app_places, astray })
    }

    /// What the layers say together; what is wrong goes into the report.
    fn read(flags: &Flags, environment: &Environment, report: &mut finding::Report) -> Read {
        let variables = environment::read(environment, report);
        let path = flags.config.as_deref().or_else(|| environment.config_file());
        let file = if let Some(path) = path {
            file::read(path, report)
        } else {
            if Path::new(USUAL_FILE).is_file() {
                report.warning(Place::File(USUAL_FILE.into()), WarningKind::NotNamed);
            }
            file::FileConfig::default()
        };
        Self::join(flags, variables, file, path, report)
    }

    /// What they say together; the file is at `path`.
    fn join(
        flags: &Flags,
        variables: environment::Variables,
        file: file::FileConfig,
        path: Option<&Path>,
        report: &mut finding::Report,
    ) -> Read {
        let (apps, of_variables) = with_first(variables.app, file.apps, report);
        let of_file = path.map(|path| Place::File(path.to_owned()));
        let app_places =
            of_variables.into_iter().chain(of_file.into_iter().cycle()).take(apps.len()).collect();
        let server = flags.server.clone().or(variables.server).or(file.server);
        let config = Config { outbound: file.outbound, ..server.with_defaults(apps, file.brands) };
        if let Some((key, port)) = config.taken_from_metrics() {
            report.mistake(Place::Key("metrics.port"), MistakeKind::SamePort { key, port });
        }
        Read { config, app_places, astray: file.astray }
    }

    /// Which other listener has the port that was chosen for the metrics, where their addresses meet.
    fn taken_from_metrics(&self) -> Option<(&'static str, u16)> {
        let MetricsAddress::Chosen(metrics) = self.metrics else { return None };
        let tls_port = self.tls.as_ref().and_then(|tls| tls.port);
        [("server.port", Some(self.server.port)), ("tls.port", tls_port)]
            .into_iter()
            .filter_map(|(key, port)| Some((key, port.filter(|port| *port != 0)?)))
            .find(|(_, port)| *port == metrics.port() && meet(self.server.host, metrics.ip()))
    }

    /// The keys that have another value than in `running`, and which a running server cannot change.
    #[must_use]
    pub fn needs_restart(&self, running: &Config) -> Vec<&'static str> {
        let Config { server, drain, metrics, soketi_names, tls, data_dir, apps: _, brands, outbound } = self;
        let ServerConfig { host, port, activity_timeout } = server;
        [
            ("server.host", *host != running.server.host),
            ("server.port", *port != running.server.port),
            ("server.activity_timeout", *activity_timeout != running.server.activity_timeout),
            ("server.drain_delay", drain.delay != running.drain.delay),
            ("server.drain_window", drain.window != running.drain.window),
            ("metrics", *metrics != running.metrics || *soketi_names != running.soketi_names),
            ("tls", *tls != running.tls),
            ("outbound", *outbound != running.outbound),
            ("brands", *brands != running.brands),
            ("server.data_dir", *data_dir != running.data_dir),
        ]
        .into_iter()
        .filter_map(|(key, changed)| changed.then_some(key))
        .collect()
    }

    /// Reads a file alone, and the certificates that it names.
    ///
    /// # Errors
    /// [`ConfigErrors`] has every mistake of the file.
    pub fn check(path: &Path) -> Result<Loaded, ConfigErrors> {
        let flags = Flags { config: Some(path.to_owned()), server: Layer::default() };
        let mut report = finding::Report::default();
        let Read { config, app_places, mut astray } =
            Self::read(&flags, &Environment::default(), &mut report);
        let tls = config.tls.as_ref().map_or(Ok(()), |tls| tls.read().map(drop));
        for errors in [tls, config.outbound.authorities().map(drop)].into_iter().filter_map(Result::err) {
            report.add(errors);
        }
        let notes = report.take_notes();
        let mut warnings = report.finish()?;
        warnings.append(&mut astray);
        warnings.sort_by_key(|warning| warning.place.order());
        Ok(Loaded { config, warnings, notes, app_places, astray })
    }

    /// Reads what is to become a file; the certificates that it names may be of another machine.
    ///
    /// # Errors
    /// [`ConfigErrors`] has every mistake of the text.
    pub fn check_text(text: &str) -> Result<(), ConfigErrors> {
        let mut report = finding::Report::default();
        let path = Path::new("-");
        let file = file::parse(path, text, &mut report);
        Self::join(&Flags::default(), environment::Variables::default(), file, Some(path), &mut report);
        report.finish().map(drop)
    }
}

impl Layer {
    /// This layer on top of another.
    fn or(self, below: Layer) -> Layer {
        Layer {
            host: self.host.or(below.host),
            port: self.port.or(below.port),
            activity_timeout: self.activity_timeout.or(below.activity_timeout),
            drain_delay: self.drain_delay.or(below.drain_delay),
            drain_window: self.drain_window.or(below.drain_window),
            data_dir: self.data_dir.or(below.data_dir),
            metrics_host: self.metrics_host.or(below.metrics_host),
            metrics_port: self.metrics_port.or(below.metrics_port),
            soketi_names: self.soketi_names.or(below.soketi_names),
            tls: self.tls.or(below.tls),
        }
    }

    fn with_defaults(self, apps: Vec<App>, brands: Vec<BrandConfig>) -> Config {
        let (loopback, default_port) = DEFAULT_ADDRESS;
        let port = self.port.unwrap_or(default_port);
        // Who wants any port for the one wants any for the other.
        let metrics_port = if port == 0 { 0 } else { DEFAULT_METRICS_PORT };
        let metrics = SocketAddr::new(
            self.metrics_host.unwrap_or(loopback.into()),
            self.metrics_port.unwrap_or(metrics_port),
        );
        let is_default = self.metrics_host.is_none() && self.metrics_port.is_none();
        // Who names the port that is there anyway wants no other.
        let beside = |tls_port: &u16| *tls_port != port || port == 0;
        let tls = self.tls.map(|tls| TlsConfig { port: tls.port.filter(beside), ..tls });
        Config {
            metrics: if is_default {
                MetricsAddress::Default(metrics)
            } else {
                MetricsAddress::Chosen(metrics)
            },
            soketi_names: self.soketi_names.unwrap_or(false),
            server: ServerConfig {
                host: self.host.unwrap_or(loopback.into()),
                port,
                activity_timeout: self.activity_timeout.unwrap_or(rules::DEFAULT_ACTIVITY_TIMEOUT),
            },
            drain: Drain {
                delay: self.drain_delay.unwrap_or(rules::DEFAULT_DRAIN.delay),
                window: self.drain_window.unwrap_or(rules::DEFAULT_DRAIN.window),
            },
            tls,
            data_dir: self.data_dir.unwrap_or_else(|| DEFAULT_DATA_DIR.into()),
            apps,
            brands,
            outbound: OutboundConfig::default(),
        }
    }
}

/// Whether who listens at one address cannot listen at the other: the one of all addresses of version 6 takes those of
/// version 4 too.
fn meet(one: IpAddr, other: IpAddr) -> bool {
    let takes = |all: IpAddr, one: IpAddr| all.is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    one == other || takes(one, other) || takes(other, one)
}

/// Whether two have the same credentials; the file may also know a secret that is being replaced.
fn is_same(of_file: &App, of_variables: &App) -> bool {
    of_file.key == of_variables.key && of_file.secret.clone().alone() == of_variables.secret
}

/// The app of the variables before those of the file, which may say more about that same app; and where it stands, if
/// the file does not have it.
fn with_first(
    first: Option<AliasedApp>,
    mut apps: Vec<App>,
    report: &mut finding::Report,
) -> (Vec<App>, Option<Place>) {
    let Some(aliased) = first else { return (apps, None) };
    let (first, AliasedApp { id_name, key_name, .. }) = (aliased.to_app(), aliased);
    let place = Place::Variable(id_name.to_owned());
    match apps.iter().position(|app| app.id == first.id) {
        Some(at) if is_same(&apps[at], &first) => {
            apps[..=at].rotate_right(1);
            (apps, None)
        }
        Some(_) => {
            report.mistake(place, MistakeKind::OtherCredentials);
            (apps, None)
        }
        None => {
            if apps.iter().any(|app| app.key == first.key) {
                report.mistake(
                    Place::Variable(key_name.to_owned()),
                    MistakeKind::Taken { by: "an app of the file".to_owned() },
                );
            }
            apps.insert(0, first);
            (apps, Some(place))
        }
    }
}
