//! `tidings trigger`

use std::{
    io::{self, Read as _},
    path::PathBuf,
};

use clap::Args;
use serde_json::{Value, json};
use tidings_protocol::{
    App, ChannelName, SocketId,
    auth::request::{Query, body_md5, string_to_sign},
    channel::ChannelKind,
};

use super::{
    ConfigArgs, Exit,
    error::CliError,
    known, print_line,
    target::{self, Target},
};
use tidings_server::{Clock, config::Environment};

#[derive(Args)]
pub(super) struct TriggerArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The server [default: where `tidings serve` would listen]
    #[arg(long)]
    url: Option<Target>,
    /// A file of certificates to believe, and whom they vouch for [default: public authorities]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The app's id, where there are several
    #[arg(long, value_name = "ID")]
    app: Option<String>,
    /// The connection that does not get the event
    #[arg(long, value_name = "ID")]
    socket_id: Option<String>,
    /// Another channel that gets it; repeatable
    #[arg(long, value_name = "CHANNEL")]
    also: Vec<String>,
    /// Print the server's reply
    #[arg(long)]
    json: bool,
    /// The channel
    channel: String,
    /// The event's name
    event: String,
    /// The event's data; - reads it from standard input
    #[arg(default_value = "{}")]
    data: String,
}

pub(super) fn run(args: TriggerArgs, environment: &Environment) -> Result<Exit, CliError> {
    let channels: Vec<String> = [args.channel].into_iter().chain(args.also).collect();
    let mut encrypted = None;
    for channel in &channels {
        if ChannelName::parse(channel)?.kind() == ChannelKind::Encrypted {
            encrypted = Some(channel);
        }
    }
    if let Some(text) = &args.socket_id {
        let wrong = |source| CliError::SocketId { text: text.clone(), source };
        text.parse::<SocketId>().map_err(wrong)?;
    }
    let config = args.config.load(environment)?;
    let app = known::choose(known::all(&config)?, args.app.as_deref(), &config)?;
    let data = if args.data == "-" { standard_input()? } else { args.data };
    if let Some(channel) = encrypted.filter(|_| !seems_encrypted(&data)) {
        eprintln!(
            "warning: {channel} is for what a backend's library has encrypted; its subscribers cannot read this"
        );
    }
    let mut body = json!({"name": args.event, "channels": channels, "data": data});
    if let Some(socket_id) = args.socket_id {
        body["socket_id"] = socket_id.into();
    }
    let body = body.to_string();
    let target = Target::choose(args.url, args.ca, &config)?;
    let path = signed_path(&app, &body, Clock::system().unix().as_secs());
    let reply = target::block_on(target.post(&path, body))?;
    if reply.status != 200 {
        return Err(CliError::Refused { status: reply.status, message: reply.body.trim().to_owned() });
    }
    if args.json {
        print_line(reply.body)?;
    } else {
        print_line(format_args!("sent {:?} to {}", args.event, channels.join(", ")))?;
    }
    Ok(Exit::Done)
}

fn standard_input() -> Result<String, CliError> {
    let mut text = String::new();
    let what = || "the data from standard input".to_owned();
    io::stdin().read_to_string(&mut text).map_err(|source| CliError::Input { what: what(), source })?;
    Ok(text)
}

/// Whether it has what Pusher's libraries make of an event's data.
fn seems_encrypted(data: &str) -> bool {
    let Ok(Value::Object(json)) = serde_json::from_str(data) else { return false };
    ["nonce", "ciphertext"].iter().all(|key| json.get(*key).is_some_and(Value::is_string))
}

/// The path and signed query of `POST /apps/{id}/events`.
fn signed_path(app: &App, body: &str, now_s: u64) -> String {
    let path = format!("/apps/{}/events", app.id);
    let md5 = body_md5(body.as_bytes());
    let query = format!("auth_key={}&auth_timestamp={now_s}&auth_version=1.0&body_md5={md5}", app.key);
    let signature = app.secret.sign(&[string_to_sign("POST", &path, &Query::parse(&query)).as_bytes()]);
    format!("{path}?{query}&auth_signature={signature}")
}

#[cfg(test)]
mod tests {
    use tidings_protocol::app::AppSecret;
    use tidings_store::AppSettings;

    use super::*;

    #[test]
    fn signs_as_pushers_documentation_does() {
        let secret = AppSecret::new("7ad3773142a6692b25b8");
        let app = AppSettings::default().to_app("3".into(), "278d425bdf160c739803".into(), secret);
        let body = r#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
        assert_eq!(
            signed_path(&app, body, 1_353_088_179),
            "/apps/3/events?auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0\
             &body_md5=ec365a775a4cd0599faeb73354201b6f\
             &auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
        );
    }
}
