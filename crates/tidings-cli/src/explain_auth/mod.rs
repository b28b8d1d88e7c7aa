//! `tidings explain-auth`: what should have been signed, and where a signature departs from it.

mod findings;
mod guess;
mod json_text;
mod request;
mod socket;

#[cfg(test)]
mod tests;

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use tidings_protocol::{App, ChannelName, auth::request::Query};

use super::{ConfigArgs, Exit, error::CliError, known, print, print_line};
use findings::Finding;
use request::Request;
use socket::Signed;
use tidings_server::{Clock, config::Environment};

/// Explains a signature: of a channel (--channel), of a user (--user-data) or of an HTTP request (--path or --url).
#[derive(Args)]
#[command(group(ArgGroup::new("form").required(true).args(["channel", "user_data", "path", "url"])))]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The app's id; else the app whose key was given, or the only one
    #[arg(long, value_name = "ID")]
    app: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,

    /// The connection that was signed for, as in 123.456
    #[arg(long, value_name = "ID", help_heading = "Channels and users")]
    socket_id: Option<String>,
    /// The channel
    #[arg(long, requires = "socket_id", help_heading = "Channels and users")]
    channel: Option<String>,
    /// The `channel_data` of the frame, exactly as sent
    #[arg(long, value_name = "JSON", requires = "channel", help_heading = "Channels and users")]
    channel_data: Option<String>,
    /// The `user_data` of the frame, exactly as sent
    #[arg(long, value_name = "JSON", requires = "socket_id", help_heading = "Channels and users")]
    user_data: Option<String>,
    /// The auth that was given, KEY:SIGNATURE
    #[arg(long, value_name = "KEY:SIGNATURE", conflicts_with_all = ["path", "url"], help_heading = "Channels and users")]
    auth: Option<String>,

    /// The method [default: the one of the path]
    #[arg(long, help_heading = "Requests")]
    method: Option<String>,
    /// The path
    #[arg(long, requires = "query", help_heading = "Requests")]
    path: Option<String>,
    /// The query string
    #[arg(long, requires = "path", help_heading = "Requests")]
    query: Option<String>,
    /// Path and query in one, with or without scheme and host
    #[arg(long, help_heading = "Requests")]
    url: Option<String>,
    /// The file with the body; - reads it from standard input
    #[arg(long, value_name = "FILE", help_heading = "Requests")]
    body: Option<PathBuf>,
    /// The time to judge the time stamp by [default: now]
    #[arg(long, value_name = "UNIX_SECONDS", help_heading = "Requests")]
    at: Option<u64>,
}

/// What there is to say about a signature.
#[derive(Debug, PartialEq, Eq)]
struct Explanation {
    /// What is signed.
    signed: String,
    /// What comes of it.
    expected: String,
    /// What was given.
    given: Option<String>,
    /// What is wrong with it; nothing if it would be taken.
    findings: Vec<Finding>,
    /// Of whom it would be taken then.
    taken_of: TakenOf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TakenOf {
    Anybody,
    /// Who has signed in is a member without `channel_data`.
    SignedInUser,
}

pub(super) fn run(args: &ExplainArgs, environment: &Environment) -> Result<Exit, CliError> {
    check_signed(args)?;
    let config = args.config.load(environment)?;
    let apps = known::all(&config)?;
    let hint = |app: &App| match (&args.auth, request(args)) {
        (Some(auth), _) => auth.split(':').next() == Some(&app.key),
        (None, Some((path, query))) => Request::seems_of(app, &path, &query),
        (None, None) => false,
    };
    let hinted = apps.iter().find(|app| hint(app)).map(|app| app.id.as_str());
    let id = args.app.as_deref().or(hinted).map(str::to_owned);
    if let (None, [_, _, ..]) = (&id, apps.as_slice()) {
        check_hint(args)?;
    }
    let app = known::choose(apps.clone(), id.as_deref(), &config)?;
    let explanation = explain(args, &app, &apps)?;
    if args.json {
        print_line(explanation.to_json())?;
    } else {
        print(&explanation.to_text())?;
    }
    Ok(if explanation.is_right() { Exit::Done } else { Exit::Failed })
}

/// Checks that what it is about has a signature at all.
fn check_signed(args: &ExplainArgs) -> Result<(), CliError> {
    if let Some((path, _)) = request(args).filter(|(path, _)| !path.contains("apps/")) {
        return Err(CliError::UnsignedPath { path });
    }
    let channel = args.channel.as_deref().and_then(|name| ChannelName::parse(name).ok());
    match channel.filter(|channel| !channel.needs_auth()) {
        Some(channel) => Err(CliError::UnsignedChannel { channel: channel.to_string() }),
        None => Ok(()),
    }
}

/// Says why what was given leads to none of several apps, if that is its own fault.
fn check_hint(args: &ExplainArgs) -> Result<(), CliError> {
    let key = match (&args.auth, request(args)) {
        (Some(auth), _) => match auth.split_once(':') {
            Some((key, _)) => key.to_owned(),
            None => return Err(CliError::Auth(Finding::NoColon.to_string())),
        },
        (None, Some((_, query))) => match Query::parse(&query).value("auth_key") {
            Some(key) => key.to_owned(),
            None => return Err(CliError::Auth(Finding::MissingParameter("auth_key").to_string())),
        },
        (None, None) => return Ok(()),
    };
    Err(CliError::UnknownKey { key })
}

fn explain(args: &ExplainArgs, app: &App, apps: &[App]) -> Result<Explanation, CliError> {
    if let Some((path, query)) = request(args) {
        let body = args.body.as_deref().map(read_body).transpose()?;
        if body.is_none() && query.contains("body_md5=") {
            eprintln!("note: the body was not looked at; give it with --body FILE");
        }
        let usual = || Request::usual_method(&path, body.as_deref());
        let method = args.method.as_deref().unwrap_or_else(usual);
        let now_s = args.at.unwrap_or_else(|| Clock::system().unix().as_secs());
        let request = Request { method, path: &path, query: &query, body: body.as_deref() };
        return Ok(request.explain(app, apps, now_s));
    }
    let socket_id = args.socket_id.as_deref().unwrap_or_default();
    let signed = match (&args.channel, &args.user_data) {
        (Some(channel), _) => Signed::Channel { channel, channel_data: args.channel_data.as_deref() },
        (None, user_data) => Signed::User { user_data: user_data.as_deref().unwrap_or_default() },
    };
    Ok(signed.explain(socket_id, args.auth.as_deref(), app, apps))
}

/// Path and query of the request form.
fn request(args: &ExplainArgs) -> Option<(String, String)> {
    if let Some(path) = &args.path {
        return Some((path.clone(), args.query.clone().unwrap_or_default()));
    }
    let url = args.url.as_deref()?;
    let from_path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |slash| &rest[slash..]),
        None => url,
    };
    let (path, query) = from_path.split_once('?').unwrap_or((from_path, ""));
    Some((path.to_owned(), query.to_owned()))
}

fn read_body(file: &Path) -> Result<Vec<u8>, CliError> {
    let mut body = Vec::new();
    let read = if file == Path::new("-") {
        io::stdin().read_to_end(&mut body).map(|_| body)
    } else {
        fs::read(file)
    };
    read.map_err(|source| CliError::Input { what: format!("the body from {}", file.display()), source })
}

impl Explanation {
    fn is_right(&self) -> bool {
        self.findings.is_empty()
    }

    fn to_text(&self) -> String {
        // A request's three parts stand on lines of their own, as they are signed.
        let signed = self.signed.replace('\n', "\n           ");
        let mut lines = vec![
            format!("to sign    {signed}"),
            format!("expected   {}", self.expected),
            format!("given      {}", self.given.as_deref().unwrap_or("nothing")),
        ];
        if self.is_right() {
            lines.push(match self.taken_of {
                TakenOf::Anybody => "right".to_owned(),
                TakenOf::SignedInUser => {
                    "right      of a signed-in user only: without channel_data others cannot join".to_owned()
                }
            });
        }
        lines.extend(self.findings.iter().map(|finding| format!("wrong      {finding}")));
        lines.join("\n") + "\n"
    }

    fn to_json(&self) -> Value {
        let finding = |finding: &Finding| json!({"code": finding.code(), "message": finding.to_string()});
        json!({
            "signed": self.signed,
            "expected": self.expected,
            "given": self.given,
            "ok": self.is_right(),
            "signed_in_only": self.taken_of == TakenOf::SignedInUser,
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
        })
    }
}
