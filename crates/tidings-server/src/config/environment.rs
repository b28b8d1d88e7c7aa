//! Variables of the environment.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use super::{
    Layer, MistakeKind, Place, TlsConfig, WarningKind,
    aliases::{self, AliasedApp, SOKETI_SSL_CERT, SOKETI_SSL_KEY, Said},
    finding::{Report, nearest},
    rules,
    tls::Told,
};

const CONFIG: &str = "TIDINGS_CONFIG";
const HOST: &str = "TIDINGS_HOST";
const PORT: &str = "TIDINGS_PORT";
const DATA_DIR: &str = "TIDINGS_DATA_DIR";
const ACTIVITY_TIMEOUT: &str = "TIDINGS_ACTIVITY_TIMEOUT";
const METRICS_HOST: &str = "TIDINGS_METRICS_HOST";
const METRICS_PORT: &str = "TIDINGS_METRICS_PORT";
const SOKETI_NAMES: &str = "TIDINGS_METRICS_SOKETI_NAMES";
const DRAIN_DELAY: &str = "TIDINGS_DRAIN_DELAY";
const DRAIN_WINDOW: &str = "TIDINGS_DRAIN_WINDOW";
/// Which lines are logged; the log reads it.
pub const LOG: &str = "TIDINGS_LOG";
const TLS_CERT: &str = "TIDINGS_TLS_CERT";
const TLS_KEY: &str = "TIDINGS_TLS_KEY";
const TLS_PORT: &str = "TIDINGS_TLS_PORT";
const OURS: [&str; 14] = [
    CONFIG,
    HOST,
    PORT,
    DATA_DIR,
    ACTIVITY_TIMEOUT,
    DRAIN_DELAY,
    DRAIN_WINDOW,
    METRICS_HOST,
    METRICS_PORT,
    SOKETI_NAMES,
    TLS_CERT,
    TLS_KEY,
    TLS_PORT,
    LOG,
];

/// The variables, as data.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

/// What they say.
#[derive(Default)]
pub(super) struct Variables {
    pub(super) server: Layer,
    pub(super) app: Option<AliasedApp>,
}

impl Environment {
    /// Those of this process that are text.
    #[must_use]
    pub fn of_process() -> Self {
        env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of a variable. An empty one counts as not set: compose files write them for what is left out.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The names of all that are set.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The file that they name.
    #[must_use]
    pub fn config_file(&self) -> Option<&Path> {
        self.value(CONFIG).map(Path::new)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Environment(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

pub(super) fn read(environment: &Environment, report: &mut Report) -> Variables {
    warn_of_unknown(environment, report);
    let mut aliases = aliases::read(environment, report);
    let app = aliases.app(report);
    let mut reader = Reader { environment, report };
    Variables {
        server: Layer {
            host: reader.value(HOST, rules::parse_host).or(aliases.host.value()),
            port: reader.port(PORT).or(aliases.port.value()),
            activity_timeout: reader
                .value(ACTIVITY_TIMEOUT, rules::parse_activity_timeout)
                .or(aliases.activity_timeout.value()),
            drain_delay: reader.value(DRAIN_DELAY, rules::parse_drain),
            drain_window: reader.value(DRAIN_WINDOW, rules::parse_drain).or(aliases.drain_window.value()),
            data_dir: environment.value(DATA_DIR).map(PathBuf::from),
            metrics_host: reader.value(METRICS_HOST, rules::parse_host),
            metrics_port: reader.value(METRICS_PORT, rules::parse_port).or(aliases.metrics_port.value()),
            soketi_names: reader.value(SOKETI_NAMES, aliases::parse_boolean),
            tls: reader.tls(aliases.tls_cert, aliases.tls_key),
        },
        app,
    }
}

fn warn_of_unknown(environment: &Environment, report: &mut Report) {
    let unknown = |name: &&String| name.starts_with("TIDINGS_") && !OURS.contains(&name.as_str());
    for name in environment.0.keys().filter(unknown) {
        let kind = WarningKind::UnknownVariable { nearest: nearest(name, &OURS) };
        report.warning(Place::Variable(name.clone()), kind);
    }
}

struct Reader<'a> {
    environment: &'a Environment,
    report: &'a mut Report,
}

impl Reader<'_> {
    fn value<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, MistakeKind>) -> Option<T> {
        let read = read(self.environment.value(name)?);
        read.map_err(|kind| self.report.mistake(Place::Variable(name.to_owned()), kind)).ok()
    }

    fn port(&mut self, name: &str) -> Option<u16> {
        if self.environment.value(name)?.contains("://") {
            self.report.warning(Place::Variable(name.to_owned()), WarningKind::KubernetesPort);
            return None;
        }
        self.value(name, rules::parse_port)
    }

    /// TLS as our variables say it, or those of soketi.
    fn tls(&mut self, cert: Said<PathBuf>, key: Said<PathBuf>) -> Option<TlsConfig> {
        let environment = self.environment;
        let told = |name: &'static str, said: Said<PathBuf>| {
            let own = environment.value(name).map(|path| (PathBuf::from(path), name));
            let (path, name) = own.or_else(|| said.told())?;
            Some((Told { path, place: Place::Variable(name.to_owned()) }, name))
        };
        let port = self.port(TLS_PORT);
        match (told(TLS_CERT, cert), told(TLS_KEY, key)) {
            (Some((cert, _)), Some((key, _))) => Some(TlsConfig { port, cert, key }),
            (None, None) if port.is_none() => None,
            (cert, key) => {
                let set = cert.as_ref().or(key.as_ref()).map_or(TLS_PORT, |(_, name)| name);
                let names = if [SOKETI_SSL_CERT, SOKETI_SSL_KEY].contains(&set) {
                    [(SOKETI_SSL_CERT, cert), (SOKETI_SSL_KEY, key)]
                } else {
                    [(TLS_CERT, cert), (TLS_KEY, key)]
                };
                let missing = names.into_iter().filter(|(_, told)| told.is_none()).map(|(name, _)| name);
                let kind = MistakeKind::TlsVariablesMissing(missing.collect());
                self.report.mistake(Place::Variable(set.to_owned()), kind);
                None
            }
        }
    }
}
