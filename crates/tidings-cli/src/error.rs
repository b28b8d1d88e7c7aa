//! Why a verb could not do its work.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use tidings_inbox::ContentError;
use tidings_protocol::{channel::ChannelNameError, socket_id::SocketIdError};
use tidings_store::StoreError;

use super::{Exit, target::Target};
use tidings_server::{
    config::{ConfigErrors, Place},
    tls::CertificateError,
};

/// Why a verb could not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The configuration has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// `TIDINGS_LOG` is no filter.
    #[error("TIDINGS_LOG: {0:?} is no log filter; write a level like debug, or info,tidings=debug")]
    LogFilter(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store's writer has panicked.
    #[error(
        "a bug has stopped what writes the store, see above; what was acknowledged is safe; start the server again"
    )]
    Broken,
    /// The address to listen on cannot be had.
    #[error("cannot listen on {address}: {}", bind_reason(.source))]
    Bind { address: SocketAddr, source: io::Error },
    /// The address to speak TLS at cannot be had.
    #[error(
        "cannot listen on {address} for TLS: {source}; choose another port as [tls] port, or as TIDINGS_TLS_PORT"
    )]
    BindTls { address: SocketAddr, source: io::Error },
    /// There is no app to act for.
    #[error(
        "there is no app: neither the configuration nor {} has one; run this where the server runs, or name its \
         --data-dir; or start `tidings` once, or `tidings apps add`",
        absolute(.data_dir)
    )]
    NoApp { data_dir: PathBuf },
    /// There is no store to look into.
    #[error(
        "there is no store in {}; run this where the server runs, or name its --data-dir",
        absolute(.data_dir)
    )]
    NoStore { data_dir: PathBuf },
    /// There are several apps to act for.
    #[error("there are several apps; choose one with --app: {}", .ids.join(", "))]
    WhichApp { ids: Vec<String> },
    /// There is no such app.
    #[error("there is no app {id}; there {}", there_are(.ids))]
    UnknownApp { id: String, ids: Vec<String> },
    /// The app stands where the command line changes nothing.
    #[error("app {id} stands in {place}; {}{how}", where_to_change(.place))]
    Configured { id: String, place: Box<Place>, how: &'static str },
    /// There is no brand to act for.
    #[error(
        "there is no brand: neither the configuration nor {} has one; run this where the server runs, or name its \
         --data-dir; or `tidings brands add`",
        absolute(.data_dir)
    )]
    NoBrand { data_dir: PathBuf },
    /// There are several brands to act for.
    #[error("there are several brands; choose one with --brand: {}", .names.join(", "))]
    WhichBrand { names: Vec<String> },
    /// There is no such brand.
    #[error("there is no brand {wanted}; there {}", there_are(.names))]
    UnknownBrand { wanted: String, names: Vec<String> },
    /// A brand of this id or name is there.
    #[error("there is a brand with {what} already; choose another")]
    BrandTaken { what: String },
    /// A notification says nothing, or something that cannot be.
    #[error("{}", content(.0))]
    Content(#[from] ContentError),
    /// A text is no channel name.
    #[error(transparent)]
    Channel(#[from] ChannelNameError),
    /// A text is no socket id.
    #[error("{text:?} is no socket id; it is two numbers, as in 123.456")]
    SocketId { text: String, source: SocketIdError },
    /// The `auth` or query to explain does not lead to an app.
    #[error("{0}")]
    Auth(String),
    /// The key to explain is no app's.
    #[error("no app has the key {key:?}")]
    UnknownKey { key: String },
    /// Nothing is signed for this path.
    #[error("requests to {path:?} are not signed; those to /apps/ID/… are")]
    UnsignedPath { path: String },
    /// Nothing is signed for this channel.
    #[error("{channel} needs no signature; channels that begin with private- or presence- do")]
    UnsignedChannel { channel: String },
    /// A presence channel without a member.
    #[error("{channel} is a presence channel: say who joins with --channel-data '{{\"user_id\":\"1\"}}'")]
    NoMember { channel: String },
    /// A file or standard input cannot be read.
    #[error("cannot read {what}: {source}")]
    Input { what: String, source: io::Error },
    /// A file of another server cannot be understood.
    #[error("{}:\n  {}", .file.display(), .mistakes.join("\n  "))]
    NotUnderstood { file: PathBuf, mistakes: Vec<String> },
    /// A file cannot be written.
    #[error("cannot write {}: {source}; name another file with --to", .path.display())]
    Write { path: PathBuf, source: io::Error },
    /// Standard output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
    /// The system did not give what a runtime needs.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    /// Nobody listens there, or the connection broke.
    #[error("cannot reach {target}: {reason}; is the server running?")]
    Unreachable { target: Target, reason: String },
    /// The address for metrics cannot be had.
    #[error("cannot serve metrics on {address}: {source}; choose another address as [metrics] host and port")]
    BindMetrics { address: SocketAddr, source: io::Error },
    /// Two secrets of the app are live already.
    #[error(
        "app {0} has two secrets already: when all of its backends sign with the new one, `tidings apps rotate {0} --finish` ends the old one"
    )]
    RotationUnderWay(String),
    /// No secret of the app is being replaced.
    #[error(
        "app {0} has one secret, and none before it to end; `tidings apps rotate {0}` gives it a new one"
    )]
    NoRotation(String),
    /// No server has this data directory in use.
    #[error("no server runs with the data directory {}; name another one with --data-dir or TIDINGS_DATA_DIR", .data_dir.display())]
    NotRunning { data_dir: PathBuf },
    /// A server has this data directory in use, and takes no orders of this user.
    #[error(
        "the server with the data directory {} takes orders only of {}; run this as that user, or send the server SIGTERM",
        .data_dir.display(), whom(*.owner)
    )]
    NotOurs { data_dir: PathBuf, owner: Option<u32> },
    /// There is no certificate to believe.
    #[error(
        "--ca has no meaning for {target}, where TLS is not spoken; give its address as https with --url"
    )]
    CaWithoutTls { target: Target },
    /// The certificates to believe cannot be read.
    #[error(transparent)]
    Ca(#[from] CertificateError),
    /// TLS was begun where it is not spoken.
    #[error("{target} does not speak TLS; write its address with http")]
    SpeaksPlain { target: Target },
    /// HTTP was begun where something else is spoken.
    #[error("{target} does not answer with HTTP; if it speaks TLS, write its address with https")]
    NoHttp { target: Target },
    /// There are no websockets there.
    #[error(
        "no client can connect to {target}: it has no websockets there; is it the port of the metrics, or a proxy that does not pass them on?"
    )]
    NoSockets { target: Target },
    /// The server's certificate is not believed, or the two do not come to agree.
    #[error(
        "cannot speak TLS with {target}: {reason}; give the file of its certificate, or of the authority that vouches for it, with --ca"
    )]
    NoTls { target: Target, reason: String },
    /// The server said no.
    #[error("the server refused with {status}: {}", refusal(.message))]
    Refused { status: u16, message: String },
    /// The server ended the connection.
    #[error("the server closed the connection with {code}: {message}")]
    Closed { code: u16, message: String },
    /// A subscription or signin failed.
    #[error("{0}")]
    NotAllowed(String),
    /// The time that was given is over.
    #[error("the time is over: {events} of {wanted} events came")]
    TimeOver { events: u64, wanted: u64 },
}

impl CliError {
    pub(super) fn exit(&self) -> Exit {
        match self {
            CliError::Config(_)
            | CliError::LogFilter(_)
            | CliError::NotUnderstood { .. }
            | CliError::NoApp { .. }
            | CliError::NoStore { .. }
            | CliError::WhichApp { .. }
            | CliError::UnknownApp { .. }
            | CliError::Configured { .. }
            | CliError::RotationUnderWay(_)
            | CliError::NoRotation(_)
            | CliError::NoBrand { .. }
            | CliError::WhichBrand { .. }
            | CliError::UnknownBrand { .. }
            | CliError::BrandTaken { .. }
            | CliError::CaWithoutTls { .. }
            | CliError::Ca(_)
            | CliError::Content(_)
            | CliError::Channel(_)
            | CliError::SocketId { .. }
            | CliError::UnsignedPath { .. }
            | CliError::UnsignedChannel { .. }
            | CliError::NoMember { .. } => Exit::Usage,
            CliError::Unreachable { .. }
            | CliError::NoTls { .. }
            | CliError::SpeaksPlain { .. }
            | CliError::NoHttp { .. }
            | CliError::NoSockets { .. }
            | CliError::NotOurs { .. }
            | CliError::NotRunning { .. } => Exit::Unreachable,
            CliError::Store(_)
            | CliError::Broken
            | CliError::Bind { .. }
            | CliError::BindTls { .. }
            | CliError::BindMetrics { .. }
            | CliError::Input { .. }
            | CliError::Write { .. }
            | CliError::Output(_)
            | CliError::Runtime(_)
            | CliError::Refused { .. }
            | CliError::Closed { .. }
            | CliError::NotAllowed(_)
            | CliError::Auth(_)
            | CliError::UnknownKey { .. }
            | CliError::TimeOver { .. } => Exit::Failed,
        }
    }

    /// What stands on standard error.
    pub(super) fn report(&self) -> String {
        match self {
            CliError::Config(errors) => {
                let warnings = errors.warnings.iter().map(|warning| format!("warning: {warning}"));
                warnings.chain([errors.to_string()]).collect::<Vec<_>>().join("\n")
            }
            other => format!("tidings: {other}"),
        }
    }

    /// Whether whoever read the output has had enough, which is no failure to tell of.
    pub(super) fn is_closed_pipe(&self) -> bool {
        matches!(self, CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

fn bind_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there; stop it, or choose another port with --port".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not listen on that port; choose one from 1024 on with --port".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose one with --host, 0.0.0.0 for all".to_owned()
        }
        _ => error.to_string(),
    }
}

/// What the server said, but for a signature: the command line signs as is right, so only its secret can be wrong.
pub(super) fn refusal(message: &str) -> &str {
    if message.starts_with("Invalid signature") {
        "Invalid signature: the app's secret here is not the server's; run this with the server's --config or --data-dir"
    } else {
        message
    }
}

fn content(error: &ContentError) -> String {
    match error {
        ContentError::None => {
            "the notification says nothing; give it a title, a message or a --link".to_owned()
        }
        ContentError::Field { .. } => error.to_string(),
    }
}

fn whom(owner: Option<u32>) -> String {
    owner.map_or_else(|| "the user that it runs as".to_owned(), |id| format!("the user with the id {id}"))
}

/// A path that can be found from everywhere.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).as_deref().unwrap_or(path).display().to_string()
}

fn where_to_change(place: &Place) -> &'static str {
    match place {
        Place::File(_) | Place::Line { .. } | Place::Key(_) => "change it there: ",
        Place::Variable(_) => "write it into a file instead, as [[apps]], and there ",
    }
}

fn there_are(ids: &[String]) -> String {
    if ids.is_empty() { "is none".to_owned() } else { format!("are: {}", ids.join(", ")) }
}
