//! `tidings init`

mod dotenv;
mod soketi;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::Value;
use tidings_protocol::{
    app::AppSecret,
    webhook::{Batching, ChannelFilter, Interest, Webhook, WebhookKind, WebhookKinds},
};
use tidings_store::AppSettings;

use super::{Exit, apps::changed, error::CliError, print, print_line};
use tidings_server::config::{Config, Layer, Mistake, Place};

#[derive(Args)]
pub(super) struct InitArgs {
    /// What the configuration is made of: a soketi JSON file, or the .env of a Laravel application
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The file to write, which must not be there; - is standard output
    #[arg(long, value_name = "FILE", default_value = "tidings.toml")]
    to: PathBuf,
}

/// A configuration before it is written.
#[derive(Default)]
struct Draft {
    server: Layer,
    /// The files of a certificate and its key.
    tls: Option<(PathBuf, PathBuf)>,
    apps: Vec<DraftApp>,
    /// What the reader of the file should know.
    notes: Vec<String>,
}

struct DraftApp {
    id: String,
    key: String,
    secret: AppSecret,
    settings: AppSettings,
    webhooks: Vec<Webhook>,
}

pub(super) fn run(args: &InitArgs) -> Result<Exit, CliError> {
    let from = &args.from;
    let text = fs::read_to_string(from)
        .map_err(|source| CliError::Input { what: from.display().to_string(), source })?;
    let not_understood = |mistakes| CliError::NotUnderstood { file: from.clone(), mistakes };
    let mut draft = read(&text).map_err(not_understood)?;
    draft.note_what_webhooks_need();
    let config = draft.render(from);
    accepted(&config).map_err(not_understood)?;
    if args.to == Path::new("-") {
        print(&config)?;
        return Ok(Exit::Done);
    }
    write_new(&args.to, &config).map_err(|source| CliError::Write { path: args.to.clone(), source })?;
    let to = args.to.display();
    for note in &draft.notes {
        print_line(format_args!("note: {}", in_one_line(note)))?;
    }
    print_line(format_args!("wrote {to}; start the server with: tidings serve --config {to}"))?;
    Ok(Exit::Done)
}

fn read(text: &str) -> Result<Draft, Vec<String>> {
    // Editors of Windows begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_start();
    // Other JSON than an object, and a comment before it, is for soketi's reader to refuse.
    let is_json = text.starts_with(['{', '/']) || serde_json::from_str::<Value>(text).is_ok();
    if is_json { soketi::read(text) } else { dotenv::read(text) }
}

/// Asks the server's own reader, for whom two apps with one key are too many.
///
/// # Errors
/// Every mistake, as a line.
fn accepted(config: &str) -> Result<(), Vec<String>> {
    let line = |mistake: &Mistake| match &mistake.place {
        // There is no file yet whose lines could be named.
        Place::Line { key: Some(key), .. } => format!("{key}: {}", mistake.kind),
        _ => mistake.to_string(),
    };
    Config::check_text(config).map_err(|errors| errors.mistakes.iter().map(line).collect())
}

/// Writes a file that only this user reads: it holds secrets.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

impl Draft {
    fn note_what_webhooks_need(&mut self) {
        if self.apps.iter().any(|app| !app.webhooks.is_empty()) {
            self.notes.push(
                "webhooks go to public addresses, and to networks that [outbound] allow names".to_owned(),
            );
        }
    }

    fn render(&self, from: &Path) -> String {
        let from = from.display().to_string();
        let mut text = format!("# Made by `tidings init` of {}.\n", in_one_line(&from));
        for note in &self.notes {
            text.extend(["# ", &*in_one_line(note), "\n"]);
        }
        let Layer {
            host,
            port,
            activity_timeout,
            drain_delay: _,
            drain_window,
            data_dir: _,
            metrics_host: _,
            metrics_port,
            soketi_names,
            tls: _,
        } = &self.server;
        section(
            &mut text,
            "[server]",
            &[
                ("host", host.map(|host| toml(&host.to_string()))),
                ("port", port.map(|port| port.to_string())),
                ("activity_timeout", activity_timeout.map(|time| time.as_secs().to_string())),
                ("drain_window", drain_window.map(|time| time.as_secs().to_string())),
            ],
        );
        section(
            &mut text,
            "[metrics]",
            &[
                ("port", metrics_port.map(|port| port.to_string())),
                ("soketi_names", soketi_names.map(|told| told.to_string())),
            ],
        );
        if let Some((cert, key)) = &self.tls {
            let path = |path: &Path| Some(toml(&path.to_string_lossy()));
            section(&mut text, "[tls]", &[("cert", path(cert)), ("key", path(key))]);
        }
        for DraftApp { id, key, secret, settings, webhooks } in &self.apps {
            section(
                &mut text,
                "[[apps]]",
                &[("id", Some(toml(id))), ("key", Some(toml(key))), ("secret", Some(toml(secret.reveal())))],
            );
            text.extend(changed(settings));
            for webhook in webhooks {
                for interest in &webhook.interests {
                    section(&mut text, "[[apps.webhooks]]", &table(webhook, interest));
                }
            }
        }
        text
    }
}

/// What a table says of a webhook and one of its interests; what is the default is left out.
fn table(webhook: &Webhook, Interest { kinds, channels }: &Interest) -> [(&'static str, Option<String>); 5] {
    let names: Vec<_> =
        WebhookKind::ALL.into_iter().filter(|kind| kinds.contains(*kind)).map(WebhookKind::name).collect();
    let patterns: Vec<_> = channels.texts().collect();
    let headers = webhook.headers.iter().map(|(name, value)| format!("{} = {}", toml(name), toml(value)));
    let headers = headers.collect::<Vec<_>>().join(", ");
    [
        ("url", Some(toml(&webhook.url))),
        ("events", (*kinds != WebhookKinds::all()).then(|| Value::from(names).to_string())),
        ("channels", (*channels != ChannelFilter::default()).then(|| Value::from(patterns).to_string())),
        ("headers", (!headers.is_empty()).then(|| format!("{{ {headers} }}"))),
        ("batch", (webhook.batching == Batching::Several).then(|| "true".to_owned())),
    ]
}

/// Adds a table, unless there is nothing in it.
fn section(text: &mut String, header: &str, values: &[(&str, Option<String>)]) {
    if values.iter().any(|(_, value)| value.is_some()) {
        text.extend(["\n", header, "\n"]);
    }
    for (key, value) in values {
        if let Some(value) = value {
            text.extend([key, " = ", value, "\n"]);
        }
    }
}

/// A text as TOML writes it: as JSON does, but for one character.
fn toml(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

/// A text that ends no comment: it may quote what others have written.
fn in_one_line(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    fn drafted(read: impl Fn(&str) -> Result<Draft, Vec<String>>, text: &str) -> String {
        let mut draft = read(text).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        draft.note_what_webhooks_need();
        let written = draft.render(Path::new("FILE"));
        check(text, &written);
        written
    }

    /// What is written has no mistakes, also with the certificate that it names.
    fn check(text: &str, written: &str) {
        let path = std::env::temp_dir().join(format!(
            "tidings-init-{}-{}.toml",
            std::process::id(),
            tidings_protocol::auth::request::body_md5(text.as_bytes())
        ));
        fs::write(&path, written).expect("written");
        let checked = Config::check(&path);
        fs::remove_file(&path).expect("it was there");
        assert_eq!(checked.map(|_| ()).map_err(|errors| errors.to_string()), Ok(()), "{written}");
    }

    #[test]
    fn a_laravel_env_with_reverb() {
        let env = "\
APP_NAME=Shop
export BROADCAST_CONNECTION=reverb   # not pusher

PUSHER_APP_ID=9
PUSHER_APP_KEY=old
PUSHER_APP_SECRET=0123456789abcdef
REVERB_APP_ID=123
REVERB_APP_KEY='the-key'
REVERB_APP_SECRET=\"the secret # of the app\"
REVERB_HOST=ws.shop.example
REVERB_PORT=443
REVERB_SERVER_HOST=0.0.0.0
REVERB_SERVER_PORT=8080
REVERB_APP_MAX_MESSAGE_SIZE=20000
VITE_REVERB_APP_KEY=\"${REVERB_APP_KEY}\"
";
        assert_eq!(
            drafted(dotenv::read, env),
            "\
# Made by `tidings init` of FILE.
# REVERB_HOST: not taken: it says where clients connect, not where the server listens
# REVERB_PORT: not taken: it says where clients connect, not where the server listens

[server]
host = \"0.0.0.0\"
port = 8080

[[apps]]
id = \"123\"
key = \"the-key\"
secret = \"the secret # of the app\"
limits.event_bytes = 20000
"
        );
    }

    #[test]
    fn a_laravel_env_with_pusher() {
        let env = "\
BROADCAST_DRIVER=pusher
KEY=the-key
PUSHER_APP_ID=123
PUSHER_APP_KEY=${KEY}
PUSHER_APP_SECRET=0123456789abcdef
PUSHER_APP_CLUSTER=mt1
";
        assert_eq!(
            drafted(dotenv::read, env),
            "\
# Made by `tidings init` of FILE.
# PUSHER_APP_CLUSTER: not taken: there are no clusters of Pusher's here

[[apps]]
id = \"123\"
key = \"the-key\"
secret = \"0123456789abcdef\"
"
        );
        let mistakes = |env: &str| dotenv::read(env).err().expect("mistakes");
        assert_eq!(
            mistakes("APP_NAME=Shop\n"),
            [
                "it names no app: a soketi JSON file is expected, or a .env with PUSHER_APP_ID, REVERB_APP_ID or the like"
            ]
        );
        assert_eq!(
            mistakes(&format!("REVERB_APP_ID=2\n{}", env.replace("BROADCAST_DRIVER", "X"))),
            [
                "REVERB_APP_ID: PUSHER_APP_ID says otherwise; let one of the two say it",
                "BROADCAST_CONNECTION: with pusher or reverb here the other's variables are passed over"
            ]
        );
    }

    #[test]
    fn a_soketi_file() {
        let json = r#"{
            "debug": true,
            "port": 6002,
            "metrics.port": 9700,
            "metrics.enabled": true,
            "metrics": {"prometheus": {"prefix": "ws_"}},
            "webhooks": {"batching": {"duration": 50}},
            "adapter": {"driver": "redis"},
            "database.redis.host": "redis",
            "pathPrefix": "/ws",
            "cors": {"origin": "*"},
            "madeUp": 1,
            "prot": 1,
            "shutdownGracePeriod": 3500,
            "eventLimits": {"maxPayloadInKb": "20", "maxNameLength": 100},
            "presence": {"zz": 1, "maxMemberPerChannel": 5},
            "metrics.host": "0.0.0.0",
            "appManager.driver": "array",
            "appManager.cache.enabled": true,
            "appManager.array.apps": [
                {"id": 7, "key": "seven", "secret": "0123456789abcdef", "maxConnections": -1, "enableClientMessages": true,
                 "maxClientEventsPerSecond": 50, "webhooks": [
                    {"url": "https://shop.example/hook", "event_types": ["channel_occupied", "member_added"],
                     "filter": {"channel_name_starts_with": "presence-", "channel_name_ends_with": "-vip"},
                     "headers": {"X-Own": "a \"b\""}},
                    {"lambda_function": "count", "event_types": ["channel_occupied"]},
                    {"url": "https://shop.example/hook", "event_types": ["cache_miss"], "headers": {"X-Own": "a \"b\""}},
                    {"url": "https://log.example/"}
                ]},
                {"id": "8", "key": "eight", "secret": "fedcba9876543210", "enabled": false, "maxReadRequestsPerSecond": "9"}
            ]
        }"#;
        assert_eq!(
            drafted(soketi::read, json),
            "\
# Made by `tidings init` of FILE.
# app 7: webhooks[1]: not taken: Lambda functions are not called
# adapter: several nodes do not share their channels here; run one
# appManager.cache.enabled: it has no meaning here
# cors: it has no meaning here
# database.redis.host: apps and webhooks are kept in the data directory, and in no other database
# debug: TIDINGS_LOG=debug has more logged
# eventLimits.maxNameLength: names have at most 200 characters here
# madeUp: unknown key
# metrics.prometheus.prefix: soketi's names are told with its own prefix
# metrics.host: metrics are served on this machine only; [metrics] host names another address
# pathPrefix: there is no path prefix here; clients and backends connect without one
# presence.maxMemberPerChannel: unknown key; did you mean `presence.maxMembersPerChannel`?
# presence.zz: unknown key
# prot: unknown key; did you mean `port`?
# webhooks.batching.duration: nothing waits for a batch to fill
# webhooks go to public addresses, and to networks that [outbound] allow names

[server]
port = 6002
drain_window = 4

[metrics]
port = 9700
soketi_names = true

[[apps]]
id = \"7\"
key = \"seven\"
secret = \"0123456789abcdef\"
limits.client_events_per_second = 50
limits.event_bytes = 20480
limits.presence_member_bytes = 2048

[[apps.webhooks]]
url = \"https://shop.example/hook\"
events = [\"channel_occupied\",\"member_added\"]
channels = [\"presence-*-vip\"]
headers = { \"X-Own\" = \"a \\\"b\\\"\" }

[[apps.webhooks]]
url = \"https://shop.example/hook\"
events = [\"cache_miss\"]
headers = { \"X-Own\" = \"a \\\"b\\\"\" }

[[apps.webhooks]]
url = \"https://log.example/\"

[[apps]]
id = \"8\"
key = \"eight\"
secret = \"fedcba9876543210\"
enabled = false
client_events = false
limits.client_events_per_second = 0
limits.reads_per_second = 9
limits.event_bytes = 20480
limits.presence_member_bytes = 2048
"
        );
    }

    #[test]
    fn limits_of_one_app_of_soketi() {
        let json = r#"{
            "eventLimits.maxPayloadInKb": 20,
            "appManager.array.apps": [
                {"AppId": "9", "AppKey": "nine", "AppSecret": "fedcba9876543210", "MaxConnections": 1, "max_connections": 10,
                 "maxEventPayloadInKb": 5, "maxPresenceMembersPerChannel": 7, "max_presence_member_size_in_kb": 3,
                 "maxEventBatchSize": 3, "maxEventChannelsAtOnce": "2", "maxEventNameLength": 50,
                 "MaxChannelNameLength": 60, "maxConections": 4, "a\nport = 1": 1}
            ]
        }"#;
        assert_eq!(
            drafted(soketi::read, json),
            "\
# Made by `tidings init` of FILE.
# app 9: MaxChannelNameLength: names have at most 200 characters here
# app 9: a\\nport = 1: unknown key
# app 9: maxConections: unknown key; did you mean `maxConnections`?
# app 9: maxEventNameLength: names have at most 200 characters here

[[apps]]
id = \"9\"
key = \"nine\"
secret = \"fedcba9876543210\"
client_events = false
limits.connections = 10
limits.client_events_per_second = 0
limits.event_bytes = 5120
limits.channels_per_event = 2
limits.events_per_batch = 3
limits.presence_members = 7
limits.presence_member_bytes = 3072
"
        );
    }

    const TLS_AND_APP: &str = "\
[tls]
cert = \"/etc/soketi/fullchain.pem\"
key = \"/etc/soketi/key.pem\"

[[apps]]
id = \"7\"
key = \"seven\"
secret = \"0123456789abcdef\"
";

    #[test]
    fn tls_and_webhooks_of_soketi() {
        let folder = std::env::temp_dir().join(format!("tidings-init-{}-tls", std::process::id()));
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join("fullchain.pem"), cert.pem()).expect("written");
        fs::write(folder.join("key.pem"), signing_key.serialize_pem()).expect("written");
        let here = |text: &str| text.replace("/etc/soketi", folder.to_str().expect("a text"));
        let json = r#"{
            "ssl": {"certPath": "/etc/soketi/fullchain.pem", "keyPath": "/etc/soketi/key.pem", "passphrase": "s3cret", "caPath": ""},
            "webhooks": {"batching": {"enabled": true, "duration": 50}},
            "appManager.array.apps": [{"id": "7", "key": "seven", "secret": "0123456789abcdef", "enableClientMessages": true,
                "webhooks": [{"url": "https://log.example/", "event_types": ["client_event"]}]}]
        }"#;
        let written = drafted(soketi::read, &here(json));
        let expected = "\
# Made by `tidings init` of FILE.
# ssl.passphrase: the key is read without a passphrase; write it so: openssl pkey -in FILE -out FILE
# webhooks.batching.duration: nothing waits for a batch to fill
# webhooks go to public addresses, and to networks that [outbound] allow names

";
        assert_eq!(
            written.strip_prefix(expected).map(|rest| rest.starts_with(&here(TLS_AND_APP))),
            Some(true),
            "{written}"
        );
        let webhook = "
[[apps.webhooks]]
url = \"https://log.example/\"
events = [\"client_event\"]
batch = true
";
        assert!(written.ends_with(webhook), "{written}");
        let env = r#"
SOKETI_DEFAULT_APP_ID=7
SOKETI_DEFAULT_APP_KEY=seven
SOKETI_DEFAULT_APP_SECRET=0123456789abcdef
SOKETI_SSL_CERT=/etc/soketi/fullchain.pem
SOKETI_SSL_KEY=/etc/soketi/key.pem
SOKETI_WEBHOOKS_BATCHING=1
SOKETI_DEFAULT_APP_WEBHOOKS='[{"url": "https://log.example/", "event_types": ["client_event"]}, {"lambda_function": "f"}]'
"#;
        let expected = format!(
            "\
# Made by `tidings init` of FILE.
# SOKETI_DEFAULT_APP_WEBHOOKS: webhooks[1]: not taken: Lambda functions are not called
# webhooks go to public addresses, and to networks that [outbound] allow names

{TLS_AND_APP}{webhook}"
        );
        assert_eq!(drafted(dotenv::read, &here(env)), here(&expected));
        fs::remove_dir_all(folder).expect("it was there");
    }

    #[test]
    fn what_the_server_refuses_is_not_written() {
        let checked = |json: &str| {
            accepted(&read(json).unwrap_or_else(|mistakes| panic!("{mistakes:?}")).render(Path::new("a\nb")))
        };
        let app = |id: u8, key: &str, secret: &str| {
            format!(r#"{{"id": "{id}", "key": "{key}", "secret": "{secret}"}}"#)
        };
        let file = |apps: &[String], more: &str| format!(r#"{{"{APPS}": [{}]{more}}}"#, apps.join(", "));
        let secret = r"0123456789\u007f\t\u0000\r\n\u0085";
        assert_eq!(checked(&file(&[app(1, "a", secret)], "")), Ok(()));
        assert_eq!(checked(&file(&[app(1, "a", secret)], r#", "a\u007f\rb\nport = 1": 1"#)), Ok(()));
        assert_eq!(
            checked(&file(&[app(1, "same", secret), app(2, "same", secret)], "")),
            Err(vec!["apps[1].key: `apps[0]` has it already".to_owned()])
        );
        assert_eq!(
            checked(&file(&[app(1, "a", secret)], r#", "port": 9601, "metrics.port": 9601"#)),
            Err(vec![
                "key `metrics.port`: is 9601, as `server.port` is; choose another port for one of the two"
                    .to_owned()
            ])
        );
    }

    const APPS: &str = "appManager.array.apps";

    #[test]
    fn which_of_the_two_a_file_is() {
        let app = format!(r#"{{"{APPS}": [{{"id": "1", "key": "k", "secret": "s"}}]}}"#);
        let env = "PUSHER_APP_ID=1\nPUSHER_APP_KEY=k\nPUSHER_APP_SECRET=s\n";
        for text in [app.clone(), env.to_owned()] {
            let ids = |text: &str| read(text).map(|draft| draft.apps[0].id.clone());
            assert_eq!(ids(&text), Ok("1".to_owned()), "{text}");
            assert_eq!(ids(&format!("\u{feff}\n{text}")), Ok("1".to_owned()), "{text}");
        }
        let mistakes = |text: &str| read(text).err().expect("mistakes").concat();
        assert_eq!(mistakes("[]"), "it must be an object with the key appManager.array.apps");
        assert_eq!(
            mistakes(&format!("// ours\n{app}")),
            "it begins with a comment, and JSON has none; take it out"
        );
        assert!(
            mistakes("[server]\nport = 1\n").starts_with("it names no app: a soketi JSON file is expected")
        );
    }

    #[test]
    fn values_of_an_env() {
        for (written, meant) in [
            (r#""a\"b # c\\" # d"#, r#"a"b # c\"#),
            (r#""a\$b ${KEY} \${KEY}""#, "a$b the-key ${KEY}"),
            (r#""a \ b\x""#, r"a \ b\x"),
            (r#""a\tb""#, "a\tb"),
            (r"'a\' # b", r"a\"),
            (r"a\b${KEY}c # d", r"a\bthe-keyc"),
            ("${KEY", "${KEY"),
        ] {
            let env =
                format!("PUSHER_APP_ID=1\nKEY=the-key\nPUSHER_APP_KEY=k\nPUSHER_APP_SECRET={written}\n");
            let draft = dotenv::read(&env).unwrap_or_else(|mistakes| panic!("{written}: {mistakes:?}"));
            assert_eq!(draft.apps[0].secret.reveal(), meant, "{written}");
        }
        let env = "PUSHER_APP_ID=1\nPUSHER_APP_KEY=k\nPUSHER_APP_SECRET= # to be filled in\n";
        let mistakes = dotenv::read(env).err().expect("a comment is no secret");
        assert!(mistakes.concat().ends_with("PUSHER_APP_SECRET is not set"), "{mistakes:?}");
    }

    #[test]
    fn soketi_files_with_mistakes() {
        let mistakes = |json| soketi::read(json).err().expect("mistakes");
        assert!(mistakes("{").concat().starts_with("it is no JSON: "));
        assert_eq!(
            mistakes("{}"),
            ["it has no apps in appManager.array.apps; apps of a database are not taken"]
        );
        assert_eq!(
            mistakes(
                r#"{"port": "x", "ssl.certPath": "/c", "appManager": {"array": {"apps": [
                    {"id": "1", "key": "k k", "maxConnections": "?", "webhooks": "[{"}]}}}"#
            ),
            [
                "port: must be a whole number from 0 to 65535, not \"x\"",
                "ssl.keyPath: it is missing",
                "appManager.array.apps[0].key: must be 1 to 128 of the characters A-Z a-z 0-9 _ -, not \"k k\"",
                "appManager.array.apps[0].secret: it is missing",
                "appManager.array.apps[0].maxConnections: must be a whole number, or -1 for no limit, not \"?\"",
                "appManager.array.apps[0].webhooks: must be soketi's list of webhooks, as JSON, not something else",
            ]
        );
    }
}
