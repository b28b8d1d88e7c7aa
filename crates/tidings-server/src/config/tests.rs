use std::{fs, process};

use tidings_courier::Settings;
use tidings_protocol::{
    app::{AppSecret, Limits},
    limit::Limit,
    webhook::{Batching, ChannelFilter, Interest, Webhook, WebhookKind, WebhookKinds},
};

use super::*;

const APP: &str = "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"0123456789abcdef\"\n";

/// A file of this test's own, gone at its end.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tidings-config-{}-{name}.toml", process::id()));
        fs::write(&path, text).expect("written");
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn lines<K: std::fmt::Display>(findings: &[Finding<K>]) -> String {
    findings.iter().flat_map(|finding| [finding.to_string(), "\n".to_owned()]).collect()
}

fn read(text: &str) -> (file::FileConfig, Result<Vec<Warning>, ConfigErrors>) {
    let mut report = finding::Report::default();
    let config = file::parse(Path::new("t.toml"), text, &mut report);
    (config, report.finish())
}

/// Checks what is said of a file with mistakes.
fn check(text: &str, expected: &str) {
    let errors = read(text).1.expect_err(text);
    assert_eq!(lines(&errors.mistakes), expected.trim_start_matches('\n'), "\n{text}");
}

/// Checks what is said of a line put into the app of a good file.
fn check_app(line: &str, expected: &str) {
    check(&format!("{APP}{line}\n"), expected);
}

/// Checks the warnings of a file without mistakes.
fn check_warnings(text: &str, expected: &str) {
    assert_eq!(lines(&read(text).1.expect(text)), expected.trim_start_matches('\n'), "\n{text}");
}

#[test]
fn an_empty_file_says_nothing() {
    let (config, report) = read("");
    assert_eq!((config.server, config.apps), (Layer::default(), Vec::new()));
    assert_eq!(report, Ok(Vec::new()));
}

#[test]
fn a_full_file_says_everything() {
    let (config, report) = read(
        r#"
        [server]
        host = "::1"
        port = 0x1771
        activity_timeout = 30
        drain_delay = 10
        drain_window = 0
        data_dir = "/var/lib/tidings"

        [metrics]
        host = "0.0.0.0"
        port = 9000
        soketi_names = true

        [[apps]]
        id = 123
        key = "the-key"
        secret = "the secret of the app"
        previous_secret = "the secret before"
        enabled = false
        client_events = false
        user_authentication = false
        watchlist_events = true
        subscription_count = true
        authorized_connections = true
        allowed_origins = ["https://*.example.com", "localhost"]

        [apps.limits]
        connections = 1
        backend_events_per_second = 2
        client_events_per_second = 3
        reads_per_second = 4
        event_bytes = 5
        channels_per_event = 6
        events_per_batch = 7
        presence_members = 0
        presence_member_bytes = 9
        channels_per_connection = 10
        "#,
    );
    assert_eq!(report, Ok(Vec::new()));
    let server = Layer {
        host: Some("::1".parse().expect("address")),
        port: Some(6001),
        activity_timeout: Some(Duration::from_secs(30)),
        drain_delay: Some(Duration::from_secs(10)),
        drain_window: Some(Duration::ZERO),
        data_dir: Some("/var/lib/tidings".into()),
        metrics_host: Some([0, 0, 0, 0].into()),
        metrics_port: Some(9000),
        soketi_names: Some(true),
        tls: None,
    };
    assert_eq!(config.server, server);
    let app = &config.apps[0];
    assert_eq!((&*app.id, &*app.key, app.secret.reveal()), ("123", "the-key", "the secret of the app"));
    assert_eq!(app.secret.previous().map(AppSecret::reveal), Some("the secret before"));
    assert!(!app.enabled && !app.features.client_events && !app.features.user_authentication);
    assert!(app.features.watchlist_events && app.features.subscription_count);
    assert!(app.features.authorized_connections);
    assert!(app.allowed_origins.allow(Some("https://a.example.com")));
    assert!(!app.allowed_origins.allow(Some("https://example.com")));
    let limits = Limits {
        connections: Limit::new(1),
        backend_events_per_second: Limit::new(2),
        client_events_per_second: Limit::new(3),
        reads_per_second: Limit::new(4),
        event_bytes: Limit::new(5),
        channels_per_event: Limit::new(6),
        events_per_batch: Limit::new(7),
        presence_members: Limit::NONE,
        presence_member_bytes: Limit::new(9),
        channels_per_connection: Limit::new(10),
    };
    assert_eq!(app.limits, limits);
}

#[test]
fn an_app_needs_only_its_credentials() {
    let app = read(APP).0.apps.remove(0);
    assert!(app.enabled && app.features.client_events);
    assert_eq!(app.limits, Limits::default());
}

#[test]
fn unknown_keys_and_what_may_be_meant() {
    check(
        "[server]\nhots = \"x\"\n",
        "
t.toml:2:1: key `server.hots`: unknown key; did you mean `host`?
 2 | hots = \"x\"
   | ^^^^
",
    );
    check(
        "[sever]\nport = 1\n",
        "
t.toml:1:2: key `sever`: unknown key; did you mean `server`?
 1 | [sever]
   |  ^^^^^
",
    );
    check(
        "port = 6001\n",
        "
t.toml:1:1: key `port`: unknown key
 1 | port = 6001
   | ^^^^
",
    );
    check_app(
        "[apps.limits]\nconections = 5",
        "
t.toml:6:1: key `apps[0].limits.conections`: unknown key; did you mean `connections`?
 6 | conections = 5
   | ^^^^^^^^^^
",
    );
    check_app(
        "Client_Events = true",
        "
t.toml:5:1: key `apps[0].Client_Events`: unknown key; did you mean `client_events`?
 5 | Client_Events = true
   | ^^^^^^^^^^^^^
",
    );
}

#[test]
fn values_of_a_wrong_type() {
    check(
        "[server]\nhost = 127\nport = \"6001\"\nactivity_timeout = 1.5\ndata_dir = true\n",
        "
t.toml:2:8: key `server.host`: must be an IP address or localhost, not a number
 2 | host = 127
   |        ^^^
t.toml:3:8: key `server.port`: must be a whole number from 0 to 65535, not a text
 3 | port = \"6001\"
   |        ^^^^^^
t.toml:4:20: key `server.activity_timeout`: must be a whole number of seconds from 1 to 3600, not a number
 4 | activity_timeout = 1.5
   |                    ^^^
t.toml:5:12: key `server.data_dir`: must be a path, not true or false
 5 | data_dir = true
   |            ^^^^
",
    );
    check(
        "server = 1\napps = \"x\"\n",
        "
t.toml:1:10: key `server`: must be a table, not a number
 1 | server = 1
   |          ^
t.toml:2:8: key `apps`: must be a list of apps, each begun with [[apps]], not a text
 2 | apps = \"x\"
   |        ^^^
",
    );
    check(
        "[apps]\nid = \"1\"\n",
        "
t.toml:1:1: key `apps`: must be a list of apps, each begun with [[apps]], not a table
 1 | [apps]
   | ^^^^^^
",
    );
    check(
        "apps = [1]\n",
        "
t.toml:1:9: key `apps[0]`: must be a table, not a number
 1 | apps = [1]
   |         ^
",
    );
    check_app(
        "enabled = \"yes\"",
        "
t.toml:5:11: key `apps[0].enabled`: must be true or false, not a text
 5 | enabled = \"yes\"
   |           ^^^^^
",
    );
    check_app(
        "allowed_origins = \"*\"",
        "
t.toml:5:19: key `apps[0].allowed_origins`: must be a list of origins, not a text
 5 | allowed_origins = \"*\"
   |                   ^^^
",
    );
    check_app(
        "allowed_origins = [\"*\", 1979-05-27]",
        "
t.toml:5:25: key `apps[0].allowed_origins[1]`: must be an origin, not a date or time
 5 | allowed_origins = [\"*\", 1979-05-27]
   |                         ^^^^^^^^^^
",
    );
    check_app(
        "limits = []",
        "
t.toml:5:10: key `apps[0].limits`: must be a table, not a list
 5 | limits = []
   |          ^^
",
    );
}

#[test]
fn values_out_of_bounds() {
    check(
        "[server]\nhost = \"example.com\"\nport = 65536\nactivity_timeout = 0\n",
        "
t.toml:2:8: key `server.host`: must be an IP address or localhost, not \"example.com\"
 2 | host = \"example.com\"
   |        ^^^^^^^^^^^^^
t.toml:3:8: key `server.port`: must be a whole number from 0 to 65535, not 65536
 3 | port = 65536
   |        ^^^^^
t.toml:4:20: key `server.activity_timeout`: must be a whole number of seconds from 1 to 3600, not 0
 4 | activity_timeout = 0
   |                    ^
",
    );
    check(
        "[server]\ndrain_delay = 3601\ndrain_window = -1\n",
        "
t.toml:2:15: key `server.drain_delay`: must be a whole number of seconds from 0 to 3600, not 3601
 2 | drain_delay = 3601
   |               ^^^^
t.toml:3:16: key `server.drain_window`: must be a whole number of seconds from 0 to 3600, not -1
 3 | drain_window = -1
   |                ^^
",
    );
    check(
        "[server]\nactivity_timeout = 3601\n",
        "
t.toml:2:20: key `server.activity_timeout`: must be a whole number of seconds from 1 to 3600, not 3601
 2 | activity_timeout = 3601
   |                    ^^^^
",
    );
    check_app(
        "[apps.limits]\nconnections = -1\nevent_bytes = 4294967296",
        "
t.toml:6:15: key `apps[0].limits.connections`: must be a whole number from 0 (no limit) to 4294967295, not -1
 6 | connections = -1
   |               ^^
t.toml:7:15: key `apps[0].limits.event_bytes`: must be a whole number from 0 (no limit) to 4294967295, not 4294967296
 7 | event_bytes = 4294967296
   |               ^^^^^^^^^^
",
    );
    check_app(
        "allowed_origins = [\"a b\"]",
        "
t.toml:5:20: key `apps[0].allowed_origins[0]`: \"a b\" is no origin: write https://example.com, example.com, *.example.com or *
 5 | allowed_origins = [\"a b\"]
   |                    ^^^^^
",
    );
}

#[test]
fn credentials() {
    check(
        "[[apps]]\nid = \"a b\"\nkey = \"\"\nsecret = \"\"\n",
        "
t.toml:2:6: key `apps[0].id`: must be 1 to 64 of the characters A-Z a-z 0-9 _ -, not \"a b\"
 2 | id = \"a b\"
   |      ^^^^^
t.toml:3:7: key `apps[0].key`: must be 1 to 128 of the characters A-Z a-z 0-9 _ -, not \"\"
 3 | key = \"\"
   |       ^^
t.toml:4:10: key `apps[0].secret`: must be at least 1 character, not none
",
    );
    check(
        "[[apps]]\nid = \"1\"\n\n[[apps]]\nid = -1\n",
        "
t.toml:1:1: key `apps[0]`: `key` is missing
 1 | [[apps]]
   | ^^^^^^^^
t.toml:1:1: key `apps[0]`: `secret` is missing
 1 | [[apps]]
   | ^^^^^^^^
t.toml:4:1: key `apps[1]`: `key` is missing
 4 | [[apps]]
   | ^^^^^^^^
t.toml:4:1: key `apps[1]`: `secret` is missing
 4 | [[apps]]
   | ^^^^^^^^
",
    );
    check(
        &format!("{APP}{APP}"),
        "
t.toml:6:6: key `apps[1].id`: `apps[0]` has it already
 6 | id = \"1\"
   |      ^^^
t.toml:7:7: key `apps[1].key`: `apps[0]` has it already
 7 | key = \"k\"
   |       ^^^
",
    );
}

#[test]
fn doubts() {
    check_warnings(
        "[[apps]]\nid = \"chat\"\nkey = \"k\"\nsecret = \"0123456789abcde\"\n",
        "
t.toml:2:6: key `apps[0].id`: an id of other characters than digits is refused by the Python library
 2 | id = \"chat\"
   |      ^^^^^^
t.toml:4:10: key `apps[0].secret`: a secret of less than 16 characters can be guessed
",
    );
    check_warnings(APP, "");
}

#[test]
fn syntax_is_told_with_the_rest_but_not_with_its_consequences() {
    check(
        "[server]\nport = \nhost = 5\n\n[[apps]]\nid = \"1\nx = 1\n[apps.limits]\nevent_bytes = \"\"\n",
        "
t.toml:2:8: string values must be quoted, expected literal string
 2 | port = 
   |        ^
t.toml:3:8: key `server.host`: must be an IP address or localhost, not a number
 3 | host = 5
   |        ^
t.toml:6:8: invalid basic string, expected `\"`
 6 | id = \"1
   |        ^
t.toml:7:1: key `apps[0].x`: unknown key
 7 | x = 1
   | ^
t.toml:9:15: key `apps[0].limits.event_bytes`: must be a whole number from 0 (no limit) to 4294967295, not a text
 9 | event_bytes = \"\"
   |               ^^
",
    );
    check(
        "[server\nport = 1\n",
        "
t.toml:1:8: unclosed table, expected `]`
 1 | [server
   |        ^
",
    );
    check(
        "[server]\nport = 1\nport = 2\n",
        "
t.toml:3:1: duplicate key
 3 | port = 2
   | ^^^^
",
    );
}

#[test]
fn places_count_characters_and_keep_tabs() {
    check(
        "[server]\r\n\t\"pört\" = 1 # ż\r\n",
        "
t.toml:2:2: key `server.pört`: unknown key; did you mean `port`?
 2 | \t\"pört\" = 1 # ż
   | \t^^^^^^
",
    );
}

#[test]
fn lines_with_secrets_are_not_shown() {
    check(
        "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = unquoted\n",
        "
t.toml:4:10: string values must be quoted, expected literal string
",
    );
    check_app(
        "Secrets = \"x\"",
        "
t.toml:5:1: key `apps[0].Secrets`: unknown key; did you mean `secret`?
",
    );
}

#[test]
fn files_that_cannot_be_read() {
    let load = |path: &Path| Config::check(path).expect_err("no config").to_string();
    assert_eq!(
        load(Path::new("/nowhere/t.toml")),
        "/nowhere/t.toml: cannot be read: No such file or directory (os error 2)"
    );
    let file = File::new("latin1", "");
    fs::write(&file.0, b"# \xe4").expect("written");
    assert_eq!(load(&file.0), format!("{}: cannot be read: it is no UTF-8 text", file.0.display()));
}

#[test]
fn tls_needs_both_files_and_may_have_a_port() {
    let tls = read("[tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\nport = 6443\n").0.server.tls.expect("TLS");
    assert_eq!((tls.cert(), tls.key(), tls.port), (Path::new("c.pem"), Path::new("k.pem"), Some(6443)));
    check(
        "[tls]\ncert = 1\nprot = 1\n",
        r"
t.toml:1:1: key `tls`: `key` is missing
 1 | [tls]
   | ^^^^^
t.toml:2:8: key `tls.cert`: must be a path, not a number
 2 | cert = 1
   |        ^
t.toml:3:1: key `tls.prot`: unknown key; did you mean `port`?
 3 | prot = 1
   | ^^^^
",
    );
    let port = |variables: &[(&str, &str)]| {
        let files = [("TIDINGS_TLS_CERT", "c"), ("TIDINGS_TLS_KEY", "k")];
        let variables: Vec<_> = files.iter().chain(variables).copied().collect();
        load(&variables).expect("no mistake").config.tls.expect("TLS").port
    };
    assert_eq!(port(&[]), None);
    assert_eq!(port(&[("TIDINGS_TLS_PORT", "7443")]), Some(7443));
    // The port that is there anyway is no other.
    assert_eq!(port(&[("TIDINGS_TLS_PORT", "7443"), ("TIDINGS_PORT", "7443")]), None);
    assert_eq!(port(&[("TIDINGS_TLS_PORT", "0"), ("TIDINGS_PORT", "0")]), Some(0));
    check_variables(
        &[("TIDINGS_TLS_CERT", "c")],
        "TIDINGS_TLS_CERT: TLS needs a certificate and its key; TIDINGS_TLS_KEY is not set",
    );
    check_variables(
        &[("TIDINGS_TLS_PORT", "1")],
        "TIDINGS_TLS_PORT: TLS needs a certificate and its key; TIDINGS_TLS_CERT and TIDINGS_TLS_KEY are not set",
    );
}

#[test]
fn variables_of_soketi_say_where_tls_is_and_who_is_told_by_webhooks() {
    let soketi = [("SOKETI_SSL_CERT", "c"), ("SOKETI_SSL_KEY", "k")];
    let tls = |variables: &[(&str, &str)]| {
        let variables: Vec<_> = soketi.iter().chain(variables).copied().collect();
        let TlsConfig { port, cert, key } = load(&variables).expect("no mistake").config.tls.expect("TLS");
        (cert.path, key.path, port)
    };
    assert_eq!(tls(&[]), ("c".into(), "k".into(), None));
    let own = [("TIDINGS_TLS_CERT", "oc"), ("TIDINGS_TLS_KEY", "ok"), ("TIDINGS_TLS_PORT", "6443")];
    assert_eq!(tls(&own), ("oc".into(), "ok".into(), Some(6443)));
    assert_eq!(tls(&own[2..]), ("c".into(), "k".into(), Some(6443)));
    check_variables(
        &soketi[1..],
        "SOKETI_SSL_KEY: TLS needs a certificate and its key; SOKETI_SSL_CERT is not set",
    );

    let first = [
        ("SOKETI_DEFAULT_APP_ID", "1"),
        ("SOKETI_DEFAULT_APP_KEY", "k"),
        ("SOKETI_DEFAULT_APP_SECRET", "0123456789abcdef"),
    ];
    let list = r#"[{"url": "https://a.example/", "event_types": ["client_event"],
        "filter": {"channel_name_ends_with": "-vip"}}, {"lambda_function": "f"}]"#;
    let webhooks = |variables: &[(&str, &str)]| {
        let variables: Vec<_> = first.iter().chain(variables).copied().collect();
        let Loaded { config, notes, .. } = load(&variables).expect("no mistake");
        (config.apps[0].webhooks.iter().cloned().collect::<Vec<_>>(), notes)
    };
    let (found, notes) =
        webhooks(&[("SOKETI_DEFAULT_APP_WEBHOOKS", list), ("SOKETI_WEBHOOKS_BATCHING", "true")]);
    let interest = Interest {
        kinds: [WebhookKind::ClientEvent].into_iter().collect(),
        channels: ChannelFilter::parse(["*-vip"]).expect("a pattern"),
    };
    let webhook = Webhook {
        url: "https://a.example/".into(),
        interests: vec![interest],
        headers: Vec::new(),
        batching: Batching::Several,
    };
    assert_eq!(found, [webhook]);
    let notes: Vec<_> = notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes[3..],
        [
            "SOKETI_WEBHOOKS_BATCHING: taken as batch, of the webhooks that follow",
            "SOKETI_DEFAULT_APP_WEBHOOKS: taken as the webhooks of the first app",
            "SOKETI_DEFAULT_APP_WEBHOOKS: webhooks[1]: not taken: Lambda functions are not called",
        ]
    );
    let (found, _) = webhooks(&[("SOKETI_DEFAULT_APP_WEBHOOKS", list)]);
    assert_eq!(found[0].batching, Batching::Single);
    // It may have secrets in it.
    check_variables(
        &[("SOKETI_DEFAULT_APP_WEBHOOKS", "[{\"url\": \"s3cret")],
        "SOKETI_DEFAULT_APP_WEBHOOKS: must be soketi's list of webhooks, as JSON, not something else",
    );
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_where_it_is_named_and_beside_other_mistakes() {
    let file = File::new(
        "certificate",
        "[tls]\ncert = \"/nowhere/c.pem\"\nkey = \"/nowhere/k.pem\"\n[outbound]\nca = \"/nowhere/ca.pem\"\n",
    );
    // Whoever does not need it does not read it.
    let flags = Flags { config: Some(file.0.clone()), server: Layer::default() };
    Config::load(&flags, &Environment::default()).expect("no mistake");
    let whole =
        fs::read_to_string(&file.0).expect("written") + "[metrics]\nport = 6001\n[server]\nprot = 1\n";
    fs::write(&file.0, whole).expect("written");
    let expected = format!(
        "{0}:2:8: key `tls.cert`: /nowhere/c.pem cannot be read: No such file or directory (os error 2)
 2 | cert = \"/nowhere/c.pem\"
   |        ^^^^^^^^^^^^^^^^
{0}:5:6: key `outbound.ca`: /nowhere/ca.pem cannot be read: No such file or directory (os error 2)
 5 | ca = \"/nowhere/ca.pem\"
   |      ^^^^^^^^^^^^^^^^^
{0}:9:1: key `server.prot`: unknown key; did you mean `port`?
 9 | prot = 1
   | ^^^^
key `metrics.port`: is 6001, as `server.port` is; choose another port for one of the two",
        file.0.display()
    );
    assert_eq!(Config::check(&file.0).expect_err("a mistake").to_string(), expected);
}

#[test]
fn metrics_have_a_port_of_their_own() {
    let check = |text: &str, key: Option<&str>| {
        let file = File::new("ports", text);
        let flags = Flags { config: Some(file.0.clone()), server: Layer::default() };
        let expected = |key| {
            format!("key `metrics.port`: is 7000, as `{key}` is; choose another port for one of the two")
        };
        let mistakes = Config::load(&flags, &Environment::default()).map(drop);
        assert_eq!(
            mistakes.map_err(|errors| errors.to_string()),
            key.map(expected).map_or(Ok(()), Err),
            "{text}"
        );
    };
    let same = Some("server.port");
    check("[server]\nport = 7000\n[metrics]\nport = 7000\n", same);
    check("[server]\nport = 7000\n[metrics]\nport = 7001\n", None);
    check("[server]\nport = 0\n[metrics]\nport = 0\n", None);
    check("[tls]\ncert = \"c\"\nkey = \"k\"\nport = 7000\n[metrics]\nport = 7000\n", Some("tls.port"));
    // A second server on the machine goes without, where nobody has chosen.
    check("[server]\nport = 9601\n", None);
    let hosts = [
        ("127.0.0.1", "127.0.0.2", None),
        ("0.0.0.0", "127.0.0.1", same),
        ("127.0.0.1", "0.0.0.0", same),
        ("::", "127.0.0.1", same),
        ("::", "0.0.0.0", same),
        ("0.0.0.0", "::1", None),
    ];
    for (host, metrics, key) in hosts {
        let text = format!(
            "[server]\nhost = \"{host}\"\nport = 7000\n[metrics]\nhost = \"{metrics}\"\nport = 7000\n"
        );
        check(&text, key);
    }
}

/// What the flags, the variables and the file `[server] port = 1, host = "::1", data_dir = "file"` make of it.
fn layered(name: &str, flags: Layer, variables: &[(&str, &str)]) -> Config {
    let file = File::new(name, "[server]\nport = 1\nhost = \"::1\"\ndata_dir = \"file\"\n");
    let environment = variables.iter().copied().collect();
    Config::load(&Flags { config: Some(file.0.clone()), server: flags }, &environment)
        .expect("no mistake")
        .config
}

#[test]
fn flags_over_variables_over_file_over_defaults() {
    let file = layered("file", Layer::default(), &[]);
    assert_eq!((file.server.port, file.server.host.to_string()), (1, "::1".to_owned()));
    assert_eq!(file.server.activity_timeout, Duration::from_mins(2));
    let variables = [("TIDINGS_PORT", "2"), ("TIDINGS_HOST", "localhost"), ("TIDINGS_ACTIVITY_TIMEOUT", "9")];
    let over_file = layered("variables", Layer::default(), &variables);
    assert_eq!((over_file.server.port, over_file.server.host.to_string()), (2, "127.0.0.1".to_owned()));
    assert_eq!(over_file.server.activity_timeout, Duration::from_secs(9));
    assert_eq!(over_file.data_dir, Path::new("file"));
    let flags = Layer { port: Some(3), data_dir: Some("flag".into()), ..Layer::default() };
    let over_all = layered("flags", flags, &[("TIDINGS_PORT", "2"), ("TIDINGS_DATA_DIR", "variable")]);
    assert_eq!((over_all.server.port, over_all.server.host.to_string()), (3, "::1".to_owned()));
    assert_eq!(over_all.data_dir, Path::new("flag"));
}

#[test]
fn nothing_said_is_one_node_on_a_laptop() {
    let config = Config::load(&Flags::default(), &Environment::default()).expect("no mistake").config;
    assert_eq!((config.server.host.to_string(), config.server.port), ("127.0.0.1".to_owned(), 6001));
    assert_eq!(config.metrics, MetricsAddress::Default(SocketAddr::new([127, 0, 0, 1].into(), 9601)));
    assert_eq!(config.data_dir, Path::new("./tidings-data"));
    assert!(config.apps.is_empty());
}

#[test]
fn a_variable_names_the_file_and_a_flag_another() {
    let (one, other) = (File::new("one", "[server]\nport = 1\n"), File::new("other", "[server]\nport = 2\n"));
    let environment = [("TIDINGS_CONFIG", one.0.to_string_lossy())].into_iter().collect();
    let port = |config| {
        let flags = Flags { config, ..Flags::default() };
        Config::load(&flags, &environment).expect("no mistake").config.server.port
    };
    assert_eq!(port(None), 1);
    assert_eq!(port(Some(other.0.clone())), 2);
}

fn load(variables: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    Config::load(&Flags::default(), &variables.iter().copied().collect())
}

/// Checks the mistakes of variables.
fn check_variables(variables: &[(&str, &str)], expected: &str) {
    assert_eq!(load(variables).expect_err("mistakes").to_string(), expected);
}

#[test]
fn variables_with_mistakes() {
    check_variables(
        &[("TIDINGS_PORT", "http"), ("TIDINGS_HOST", "here"), ("TIDINGS_ACTIVITY_TIMEOUT", "2m")],
        "TIDINGS_HOST: must be an IP address or localhost, not \"here\"\n\
         TIDINGS_PORT: must be a whole number from 0 to 65535, not \"http\"\n\
         TIDINGS_ACTIVITY_TIMEOUT: must be a whole number of seconds from 1 to 3600, not \"2m\"",
    );
    check_variables(
        &[("TIDINGS_DRAIN_DELAY", "2h"), ("TIDINGS_DRAIN_WINDOW", "61m")],
        "TIDINGS_DRAIN_DELAY: must be a time from 0s to 3600s, as in 60s or 5m, not \"2h\"\n\
         TIDINGS_DRAIN_WINDOW: must be a time from 0s to 3600s, as in 60s or 5m, not \"61m\"",
    );
    check_variables(
        &[("TIDINGS_METRICS_SOKETI_NAMES", "maybe")],
        "TIDINGS_METRICS_SOKETI_NAMES: must be true or false, not \"maybe\"",
    );
    check_variables(
        &[("PUSHER_APP_ID", "1")],
        "PUSHER_APP_ID: an app needs its id, key and secret; PUSHER_APP_KEY and PUSHER_APP_SECRET are not set",
    );
    check_variables(
        &[("PUSHER_APP_ID", ""), ("PUSHER_APP_KEY", "k"), ("PUSHER_APP_SECRET", "s")],
        "PUSHER_APP_KEY: an app needs its id, key and secret; PUSHER_APP_ID is not set",
    );
    check_variables(
        &[("PUSHER_APP_ID", "#"), ("PUSHER_APP_KEY", "k k"), ("PUSHER_APP_SECRET", "0123456789abcdef")],
        "PUSHER_APP_ID: must be 1 to 64 of the characters A-Z a-z 0-9 _ -, not \"#\"\n\
         PUSHER_APP_KEY: must be 1 to 128 of the characters A-Z a-z 0-9 _ -, not \"k k\"",
    );
}

/// Checks the warnings about variables.
fn check_variable_warnings(variables: &[(&str, &str)], expected: &str) {
    assert_eq!(lines(&load(variables).expect("no mistake").warnings), expected);
}

#[test]
fn variables_that_raise_doubts() {
    check_variable_warnings(&[("TIDINGS_LOG", "debug"), ("TIDINGS_HOST", ""), ("PUSHER_HOST", "x")], "");
    check_variable_warnings(
        &[("TIDINGS_POTR", "1"), ("TIDINGS_SERVICE_PORT_HTTP", "1")],
        "TIDINGS_POTR: unknown variable, ignored; did you mean `TIDINGS_PORT`?\n\
         TIDINGS_SERVICE_PORT_HTTP: unknown variable, ignored\n",
    );
    check_variable_warnings(
        &[("TIDINGS_PORT", "tcp://10.0.0.1:6001")],
        "TIDINGS_PORT: ignored: this is the address of a Kubernetes service and not a port to listen on\n",
    );
    check_variable_warnings(
        &[("PUSHER_APP_ID", "app-id"), ("PUSHER_APP_KEY", "app-key"), ("PUSHER_APP_SECRET", "app-secret")],
        "PUSHER_APP_ID: an id of other characters than digits is refused by the Python library\n\
         PUSHER_APP_SECRET: a secret of less than 16 characters can be guessed\n",
    );
}

/// The ids of the apps that come of these variables and a file with apps 1 and 2.
fn first_app(name: &str, id: &str, key: &str, secret: &str) -> Result<Vec<String>, String> {
    let second = "[[apps]]\nid = 2\nkey = \"k2\"\nsecret = \"fedcba9876543210\"\nclient_events = false\n";
    let file = File::new(name, &format!("{APP}{second}"));
    let variables = [("PUSHER_APP_ID", id), ("PUSHER_APP_KEY", key), ("PUSHER_APP_SECRET", secret)];
    let flags = Flags { config: Some(file.0.clone()), ..Flags::default() };
    let loaded =
        Config::load(&flags, &variables.into_iter().collect()).map_err(|errors| errors.to_string())?;
    let apps = loaded.config.apps.iter().zip(&loaded.app_places).map(|(app, place)| {
        let place = if place.path().is_some() { "file".to_owned() } else { place.to_string() };
        format!("{} {} {place}", app.id, app.features.client_events)
    });
    Ok(apps.collect())
}

#[test]
fn the_app_of_the_variables_is_the_first() {
    let ids = |ids: &[&str]| Ok(ids.iter().map(|id| (*id).to_owned()).collect());
    assert_eq!(
        first_app("new", "3", "k3", "0123456789abcdef"),
        ids(&["3 true PUSHER_APP_ID", "1 true file", "2 false file"])
    );
    assert_eq!(first_app("same", "2", "k2", "fedcba9876543210"), ids(&["2 false file", "1 true file"]));
    let other = Err("PUSHER_APP_ID: the file has an app of this id with another key or secret".to_owned());
    assert_eq!(first_app("other-key", "2", "k3", "fedcba9876543210"), other);
    assert_eq!(first_app("other-secret", "2", "k2", "0123456789abcdef"), other);
    let taken = Err("PUSHER_APP_KEY: an app of the file has it already".to_owned());
    assert_eq!(first_app("taken", "3", "k2", "0123456789abcdef"), taken);
}

#[test]
fn names_of_other_servers() {
    let variables = [
        ("REVERB_APP_ID", "1"),
        ("REVERB_APP_KEY", "k"),
        ("REVERB_APP_SECRET", "0123456789abcdef"),
        ("REVERB_SERVER_PORT", "8080"),
        ("REVERB_HOST", "ws.example"),
        ("REVERB_APP_ACCEPT_CLIENT_EVENTS_FROM", "none"),
        ("REVERB_SCALING_ENABLED", "true"),
        ("SOKETI_DEFAULT_APP_MAX_CONNS", "-1"),
        ("SOKETI_DEFAULT_APP_MAX_BACKEND_EVENTS_PER_SEC", "\"100\""),
        ("SOKETI_DEFAULT_APP_WEBHOOKS", "\"\""),
        ("REDIS_URL", "redis://:s3cret@redis:6379"),
        ("SOKETI_EVENT_MAX_SIZE_IN_KB", "20"),
        ("SOKETI_PORT", "tcp://10.0.0.1:6001"),
        ("SOKETI_HOST", "0.0.0.0"),
        ("TIDINGS_HOST", "::1"),
    ];
    let Loaded { config, warnings, notes, .. } = load(&variables).expect("no mistake");
    assert_eq!((config.server.host.to_string(), config.server.port), ("::1".to_owned(), 8080));
    let app = &config.apps[0];
    assert_eq!((&*app.id, &*app.key, app.secret.reveal()), ("1", "k", "0123456789abcdef"));
    assert!(!app.features.client_events);
    assert_eq!((app.limits.connections, app.limits.event_bytes), (Limit::NONE, Limit::new(20 * 1024)));
    assert_eq!(app.limits.backend_events_per_second, Limit::new(100));
    assert_eq!(lines(&warnings).lines().count(), 1, "{warnings:?}");
    let notes = lines(&notes);
    for told in [
        "REVERB_APP_KEY: taken as the key of the first app",
        "REVERB_HOST: not taken: it says where clients connect, not where the server listens",
        "REVERB_SCALING_ENABLED: not taken: it has no meaning here",
        "REDIS_URL: not taken: several nodes do not share their channels here; run one",
    ] {
        assert!(notes.lines().any(|note| note == told), "{told} is not in {notes}");
    }
}

#[test]
fn names_that_contradict_each_other() {
    check_variables(
        &[("REVERB_SERVER_PORT", "8080"), ("PORT", "9000"), ("SOKETI_DEFAULT_APP_ENABLED", "maybe")],
        "SOKETI_DEFAULT_APP_ENABLED: must be true or false, not \"maybe\"\n\
         PORT: REVERB_SERVER_PORT says otherwise; let one of the two say it",
    );
    check_variables(
        &[("PUSHER_URL", "http://k:0123456789abcdef@api.example/apps/1"), ("PUSHER_APP_KEY", "other")],
        "PUSHER_URL: PUSHER_APP_KEY says otherwise; let one of the two say it",
    );
    check_variables(
        &[("PUSHER_URL", "k:0123456789abcdef@api.example")],
        "PUSHER_URL: must be http://KEY:SECRET@HOST/apps/ID, not another text",
    );
    check_variables(
        &[("SOKETI_DEFAULT_APP_ID", "1")],
        "SOKETI_DEFAULT_APP_ID: an app needs its id, key and secret; SOKETI_DEFAULT_APP_KEY and \
         SOKETI_DEFAULT_APP_SECRET are not set",
    );
}

const BRAND: &str = "[[brands]]\nid = 7\nname = \"acorn\"\napp = \"1\"\n";

#[test]
fn a_brand_says_everything() {
    let (config, report) = read(
        r#"
        [[brands]]
        id = 7
        name = "acorn"
        app = 1
        region = "us"
        sid_url = "https://shop.example/authenticate?v=1"
        test_sid = true
        api_keys = ["0123456789abcdef"]
        allowed_origins = ["https://shop.example"]
        "#,
    );
    assert_eq!(report, Ok(Vec::new()));
    let BrandConfig { brand, api_keys } = &config.brands[0];
    assert_eq!((brand.id.get(), &*brand.name, &*brand.app_id, &*brand.region), (7, "acorn", "1", "us"));
    assert_eq!(brand.sid_url.as_deref(), Some("https://shop.example/authenticate?v=1"));
    assert!(brand.test_sid);
    assert_eq!(api_keys, &["0123456789abcdef"]);
    assert_eq!(brand.allowed_origins.texts(), ["https://shop.example"]);
    assert!(!format!("{config:?}", config = config.brands).contains("0123456789abcdef"));
}

#[test]
fn what_a_brand_does_not_say_is_closed() {
    let (config, report) = read(BRAND);
    assert_eq!(report, Ok(Vec::new()));
    let BrandConfig { brand, api_keys } = &config.brands[0];
    assert_eq!((brand.region.as_str(), brand.sid_url.as_deref(), brand.test_sid), ("eu", None, false));
    assert!(api_keys.is_empty());
}

#[test]
fn mistakes_in_brands_are_named() {
    let check_brand = |line: &str, expected: &str| check(&format!("{BRAND}{line}\n"), expected);
    check(
        "[[brands]]\nid = 1\nname = \"a\"\n",
        r"
t.toml:1:1: key `brands[0]`: `app` is missing
 1 | [[brands]]
   | ^^^^^^^^^^
",
    );
    check(
        "[[brands]]\nid = 0\nname = \"Acorn\"\napp = \"1\"\n",
        r#"
t.toml:2:6: key `brands[0].id`: must be a whole number from 1 to 2147483647, not "0"
 2 | id = 0
   |      ^
t.toml:3:8: key `brands[0].name`: must be 1 to 64 of the characters a-z 0-9 _ -, not "Acorn"
 3 | name = "Acorn"
   |        ^^^^^^^
"#,
    );
    check_brand(
        "sid_url = \"http://shop.example:65536/\"",
        "
t.toml:5:11: key `brands[0].sid_url`: must be an address as https://shop.example/authenticate, not \"http://shop.example:65536/\"
 5 | sid_url = \"http://shop.example:65536/\"
   |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
",
    );
    check_brand(
        "sid_url = \"shop.example\"",
        r#"
t.toml:5:11: key `brands[0].sid_url`: must be an address as https://shop.example/authenticate, not "shop.example"
 5 | sid_url = "shop.example"
   |           ^^^^^^^^^^^^^^
"#,
    );
    // A key is a secret: neither it nor its line is shown.
    check_brand(
        "api_keys = [\n  \"short\",\n]",
        r"
t.toml:6:3: key `brands[0].api_keys[0]`: must be a text of at least 16 printable characters, not 5 characters
",
    );
    check(
        &format!("{BRAND}{BRAND}"),
        r#"
t.toml:6:6: key `brands[1].id`: `brands[0]` has it already
 6 | id = 7
   |      ^
t.toml:7:8: key `brands[1].name`: `brands[0]` has it already
 7 | name = "acorn"
   |        ^^^^^^^
"#,
    );
}

#[test]
fn webhooks_say_where_of_what_and_how() {
    let (config, report) = read(&format!(
        r#"
        [outbound]
        allow = ["10.1.0.0/16", "::1"]
        retry_for = 3600
        timeout = 5
        {APP}
        [[apps.webhooks]]
        url = "https://shop.example/webhooks?from=tidings"
        events = ["member_added", "member_removed"]
        channels = ["presence-*", "presence-lobby"]
        headers = {{ Authorization = "Bearer s3cret", "X-Own" = "yes" }}
        batch = true

        [[apps.webhooks]]
        url = "http://10.1.2.3:8080/"

        [[apps.webhooks]]
        url = "https://shop.example/webhooks?from=tidings"
        events = ["cache_miss"]
        headers = {{ Authorization = "Bearer s3cret", "X-Own" = "yes" }}
        batch = true
        "#
    ));
    assert_eq!(report, Ok(Vec::new()));
    let allow = ["10.1.0.0/16", "::1"].map(|network| network.parse().expect("a network"));
    let outbound =
        Settings { allow: allow.into(), retry_for: Duration::from_hours(1), timeout: Duration::from_secs(5) };
    assert_eq!(config.outbound.settings, outbound);
    let webhooks: Vec<_> = config.apps[0].webhooks.iter().cloned().collect();
    let full = Webhook {
        url: "https://shop.example/webhooks?from=tidings".into(),
        interests: vec![
            Interest {
                kinds: [WebhookKind::MemberAdded, WebhookKind::MemberRemoved].into_iter().collect(),
                channels: ChannelFilter::parse(["presence-*", "presence-lobby"]).expect("patterns"),
            },
            Interest {
                kinds: [WebhookKind::CacheMiss].into_iter().collect(),
                channels: ChannelFilter::default(),
            },
        ],
        headers: vec![
            ("Authorization".to_owned(), "Bearer s3cret".to_owned()),
            ("X-Own".to_owned(), "yes".to_owned()),
        ],
        batching: Batching::Several,
    };
    let short = Webhook {
        url: "http://10.1.2.3:8080/".into(),
        interests: vec![Interest { kinds: WebhookKinds::all(), channels: ChannelFilter::default() }],
        headers: Vec::new(),
        batching: Batching::Single,
    };
    assert_eq!(webhooks, [full, short]);
    let defaults = Settings::default();
    assert_eq!((defaults.retry_for, defaults.allow), (Duration::from_hours(24), Vec::new()));
}

#[test]
fn mistakes_in_webhooks_are_named() {
    let check_webhook = |lines: &str, expected: &str| {
        check_app(&format!("[[apps.webhooks]]\nurl = \"https://a.example/\"\n{lines}"), expected);
    };
    check_app(
        "[[apps.webhooks]]\nbatch = true",
        "
t.toml:5:1: key `apps[0].webhooks[0]`: `url` is missing
 5 | [[apps.webhooks]]
   | ^^^^^^^^^^^^^^^^^
",
    );
    check_webhook(
        "event = []",
        "
t.toml:7:1: key `apps[0].webhooks[0].event`: unknown key; did you mean `events`?
 7 | event = []
   | ^^^^^
",
    );
    check_webhook(
        "events = [\"member_aded\"]",
        "
t.toml:7:11: key `apps[0].webhooks[0].events[0]`: must be channel_occupied, channel_vacated, member_added, member_removed, client_event, cache_miss or subscription_count, not \"member_aded\"
 7 | events = [\"member_aded\"]
   |           ^^^^^^^^^^^^^
",
    );
    check_webhook(
        "events = []\nchannels = []",
        "
t.toml:7:10: key `apps[0].webhooks[0].events`: name at least one event, or leave `events` out for all
 7 | events = []
   |          ^^
t.toml:8:12: key `apps[0].webhooks[0].channels`: name at least one pattern, or leave `channels` out for all
 8 | channels = []
   |            ^^
",
    );
    check_webhook(
        "channels = [\"**a\"]",
        "
t.toml:7:13: key `apps[0].webhooks[0].channels[0]`: \"**a\" is no pattern of channel names: write presence-lobby, private-*, *-lobby or *
 7 | channels = [\"**a\"]
   |             ^^^^^
",
    );
    check_webhook(
        "headers = { Content-Type = \"text/plain\" }",
        "
t.toml:7:28: key `apps[0].webhooks[0].headers.Content-Type`: must be under a name that Tidings does not set itself, not \"Content-Type\"
",
    );
    check_webhook(
        "headers = { \"X Own\" = \"a\", X-Own = \"\\n\" }",
        "
t.toml:7:23: key `apps[0].webhooks[0].headers.X Own`: must be under a name that a header can have, without spaces, not \"X Own\"
t.toml:7:36: key `apps[0].webhooks[0].headers.X-Own`: must be printable characters, not what stands there
",
    );
    check_webhook(
        "[[apps.webhooks]]\nurl = \"https://a.example/\"\nbatch = true",
        "
t.toml:8:7: key `apps[0].webhooks[1].url`: a webhook with this URL has other `headers` or another `batch`; let both say the same
 8 | url = \"https://a.example/\"
   |       ^^^^^^^^^^^^^^^^^^^^
",
    );
    for url in [
        "ftp://a.example/",
        "a.example",
        "https://",
        "https://me:pw@a.example/",
        "https://a.example/#x",
        "http://a.example:80800/",
        "http://a.example:/",
    ] {
        let text = format!("{APP}[[apps.webhooks]]\nurl = \"{url}\"\n");
        let errors = read(&text).1.expect_err(url);
        assert!(
            matches!(errors.mistakes[0].kind, MistakeKind::Value { expected: rules::WEBHOOK_URL, .. }),
            "{url}"
        );
    }
    check(
        "[outbound]\nallow = [\"10.0.0.1/8\"]\nretry_for = 60\n",
        "
t.toml:2:10: key `outbound.allow[0]`: \"10.0.0.1/8\" is no network: write 10.1.0.0/16, fd00::/8 or 127.0.0.1
 2 | allow = [\"10.0.0.1/8\"]
   |          ^^^^^^^^^^^^
t.toml:3:13: key `outbound.retry_for`: must be a whole number of seconds from 300 to 2592000, not 60
 3 | retry_for = 60
   |             ^^
",
    );
}

#[test]
fn a_webhook_that_nothing_will_be_sent_to_is_doubtful() {
    let warnings = |outbound: &str| {
        let webhooks =
            ["http://10.0.0.7:8080/hook", "http://[::1]/", "https://8.8.8.8/", "https://a.example/"]
                .map(|url| format!("[[apps.webhooks]]\nurl = \"{url}\"\n"));
        lines(&read(&format!("{APP}{}{outbound}", webhooks.concat())).1.expect("no mistake"))
    };
    assert_eq!(
        warnings("[outbound]\nallow = [\"::1\"]"),
        "t.toml:6:7: key `apps[0].webhooks[0].url`: 10.0.0.7 is no public address, and no network of [outbound] allow has it: nothing will be delivered there
 6 | url = \"http://10.0.0.7:8080/hook\"
   |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^
"
    );
    let all = warnings("");
    assert!(all.contains("10.0.0.7 is no public") && all.contains("::1 is no public"), "{all}");
    assert!(!all.contains("8.8.8.8 is") && !all.contains("a.example is"), "{all}");
    assert_eq!(warnings("[outbound]\nallow = [\"10.0.0.0/8\", \"::1\"]"), "");
}
