//! The built program, from the outside: what it prints, how it ends, and that it works with itself.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::Value;
use tidings_protocol::app::AppSecret;
use tidings_server::Clock;

/// The most that anything here may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// How often a thing that will happen is looked for.
const PAUSE: Duration = Duration::from_millis(10);

/// A directory of this test's own, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tidings-cli-{}-{name}", process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory");
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    }

    /// The program in this directory, with no variables but these.
    fn tidings(&self, args: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command.args(args).current_dir(&self.0).env_clear().envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        Running::start(&mut self.tidings(args, &[])).end()
    }

    fn run_json(&self, args: &[&str]) -> Value {
        let ended = self.run(args);
        assert_eq!(ended.code, 0, "{args:?} {}", ended.err);
        serde_json::from_str(&ended.out).expect(&ended.out)
    }

    fn serve(&self, args: &[&str]) -> Server {
        self.serve_with(args, &[])
    }

    fn serve_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Server {
        let args = [&["--port", "0"], args].concat();
        let running = Running::start(&mut self.tidings(&args, variables));
        let mut screen = Vec::new();
        while !screen.iter().any(|line: &String| line.contains("tidings trigger")) {
            screen.push(running.line());
        }
        let url = screen[0].split("listening on ").nth(1).expect("an address").to_owned();
        Server { running, screen: screen.join("\n"), url }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program while it runs. It does not outlive its test.
struct Running {
    child: Child,
    lines: Receiver<String>,
    err: Arc<Mutex<String>>,
    err_ended: Receiver<()>,
}

/// How it ended.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let err_lines = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, lines) = mpsc::sync_channel(10_000);
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let err = Arc::new(Mutex::new(String::new()));
        let (end, err_ended) = mpsc::sync_channel(0);
        let text = err.clone();
        thread::spawn(move || {
            for line in err_lines.lines().map_while(Result::ok) {
                *text.lock().expect("no panic") += &(line + "\n");
            }
            drop(end);
        });
        Running { child, lines, err, err_ended }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("another line in time")
    }

    fn json_line(&self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).expect(&line)
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("/bin/sh").args(["-c", &kill]).status().expect("a shell").success());
    }

    /// Waits until it has said this on standard error.
    fn said(&self, text: &str) {
        soon(text, || self.err.lock().expect("no panic").contains(text).then_some(()));
    }

    fn end(mut self) -> Ended {
        let status = soon("the program ends", || self.child.try_wait().expect("a child"));
        let out = self.lines.iter().map(|line| line + "\n").collect();
        // Nothing is sent there, but that the sender goes tells the end.
        let _ = self.err_ended.recv_timeout(DEADLINE);
        let err = self.err.lock().expect("no panic").clone();
        Ended { code: status.code().unwrap_or(-1), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Server {
    running: Running,
    screen: String,
    url: String,
}

impl Server {
    /// The address of its metrics.
    fn metrics(&self) -> String {
        soon("the address of the metrics is told", || {
            let err = self.running.err.lock().expect("no panic").clone();
            let line = err.lines().find(|line| line.contains("metrics are served"))?.to_owned();
            let line: Value = serde_json::from_str(&line).expect("JSON");
            Some(line["address"].as_str().expect("a text").to_owned())
        })
    }

    /// What stands behind a name on the first screen.
    fn shown(&self, name: &str) -> &str {
        let line = self.screen.lines().find_map(|line| line.trim_start().strip_prefix(name)).expect(name);
        line.split_whitespace().next().expect("a value")
    }
}

/// Waits for a thing that will happen.
fn soon<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..DEADLINE.as_millis() / PAUSE.as_millis() {
        if let Some(found) = look() {
            return found;
        }
        thread::sleep(PAUSE);
    }
    panic!("not in time: {what}");
}

#[test]
fn the_first_start_makes_an_app_that_stays() {
    let folder = Folder::new("first-start");
    let clock = Clock::system();
    let start = clock.now();
    let first = folder.serve(&[]);
    let took = clock.now() - start;
    assert!(took < Duration::from_secs(1), "{took:?}");
    let (id, key, secret) = (first.shown("app id"), first.shown("key"), first.shown("secret"));
    assert!(id.len() == 6 && id.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
    assert_eq!((key.len(), secret.len()), (20, 40));
    assert!(first.screen.contains("  (later: "));
    assert!(first.screen.contains(&format!("new Pusher(\"{key}\"")));
    assert_eq!(first.shown("demo"), format!("{}/", first.url));
    assert_eq!(first.shown("store"), "./tidings-data/tidings.db");
    let (id, key, secret) = (id.to_owned(), key.to_owned(), secret.to_owned());
    let beside = folder.run(&["--port", "0"]);
    assert_eq!(beside.code, 1);
    assert!(beside.err.contains("another server uses ./tidings-data; stop it"), "{}", beside.err);
    ends_well(first);
    let again = folder.serve(&[]);
    assert_eq!((again.shown("app id"), again.shown("key")), (&*id, &*key));
    assert_eq!(again.shown("secret"), format!("{}…", &secret[..4]));
    assert!(!again.screen.contains(&secret));
    ends_well(again);
}

fn ends_well(server: Server) {
    server.running.signal("TERM");
    let ended = server.running.end();
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.err.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{}", ended.err);
}

#[test]
fn the_command_on_the_first_screen_works_as_it_stands() {
    let folder = Folder::new("paste");
    let server = folder.serve(&["--data-dir", "the data"]);
    let command = server.screen.lines().find(|line| line.contains("tidings trigger")).expect("a command");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).current_dir(&folder.0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = Running::start(&mut shell).end();
    assert_eq!((ended.code, &*ended.out), (0, "sent \"hello\" to demo\n"), "{}", ended.err);
}

#[test]
fn the_app_of_the_variables_is_served_and_no_other_made() {
    let folder = Folder::new("variables");
    let variables = [
        ("PUSHER_APP_ID", "77"),
        ("PUSHER_APP_KEY", "thekey"),
        ("PUSHER_APP_SECRET", "0123456789abcdef"),
        ("TIDINGS_DATA_DIR", "elsewhere"),
        ("TIDINGS_PROT", "1"),
    ];
    let server = folder.serve_with(&[], &variables);
    assert_eq!((server.shown("app id"), server.shown("secret")), ("77", "0123…"));
    assert_eq!(server.shown("store"), "elsewhere/tidings.db");
    assert_eq!(
        folder.run_json(&["apps", "list", "--data-dir", "elsewhere", "--json"]),
        Value::Array(Vec::new())
    );
    let trigger = ["trigger", "--url", &server.url, "demo", "hello"];
    let ended = Running::start(&mut folder.tidings(&trigger, &variables)).end();
    assert_eq!(ended.code, 0, "{}", ended.err);
    server.running.signal("INT");
    let ended = server.running.end();
    assert_eq!(ended.code, 0);
    assert!(ended.err.contains("did you mean `TIDINGS_PORT`?"), "{}", ended.err);
    assert!(!ended.err.contains("0123456789abcdef"));
}

#[test]
fn what_keeps_the_server_from_starting_is_one_clear_line() {
    let folder = Folder::new("no-start");
    let check = |args: &[&str], variables: &[(&str, &str)], code: i32, said: &str| {
        let ended = Running::start(&mut folder.tidings(args, variables)).end();
        assert_eq!((ended.code, &*ended.out), (code, ""), "{args:?} {}", ended.err);
        assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
        assert!(ended.err.contains(said), "{}", ended.err);
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    check(&["--port", &port], &[], 1, "another program listens there");
    let file = folder.write("file", "");
    check(&["--data-dir", &file], &[], 1, "cannot create the data directory");
    check(&["--config", "none.toml"], &[], 2, "none.toml: cannot be read: No such file");
    check(&[], &[("TIDINGS_PORT", "x")], 2, "TIDINGS_PORT: must be a whole number from 0 to 65535");
    check(&[], &[("TIDINGS_LOG", "a=loud")], 2, "TIDINGS_LOG: \"a=loud\" is no log filter");
}

#[test]
fn a_port_in_use_does_not_cost_the_first_secret() {
    let folder = Folder::new("port-then-secret");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    assert_eq!(folder.run(&["--port", &port]).code, 1);
    assert!(folder.serve(&[]).screen.contains("  (later: "));
}

const MISTAKES: &str = "\
[server]
prot = 6001

[[apps]]
id = \"1\"
key = \"k\"
secret = \"0123456789abcdef\"

[apps.limits]
conections = 5
event_bytes = \"10\"
";

#[test]
fn check_tells_every_mistake_at_once() {
    let folder = Folder::new("check");
    let bad = folder.write("bad.toml", MISTAKES);
    let ended = folder.run(&["check", &bad]);
    let expected = "\
bad.toml:2:1: key `server.prot`: unknown key; did you mean `port`?
 2 | prot = 6001
   | ^^^^
bad.toml:10:1: key `apps[0].limits.conections`: unknown key; did you mean `connections`?
 10 | conections = 5
    | ^^^^^^^^^^
bad.toml:11:15: key `apps[0].limits.event_bytes`: must be a whole number from 0 (no limit) to 4294967295, not a text
 11 | event_bytes = \"10\"
    |               ^^^^
";
    assert_eq!(ended.code, 2);
    assert_eq!(ended.err.replace(&bad, "bad.toml"), expected);
    let ended = folder.run(&["check", "--json", &bad]);
    assert_eq!(ended.code, 2);
    let json: Value = serde_json::from_str(&ended.out).expect(&ended.out);
    let lines: Vec<_> =
        json["mistakes"].as_array().expect("a list").iter().map(|found| &found["line"]).collect();
    assert_eq!(lines, [2, 10, 11]);
    assert_eq!(folder.run(&["--config", &bad]).code, 2);
}

#[test]
fn check_says_ok_and_what_is_doubtful() {
    let folder = Folder::new("check-ok");
    let good = folder.write("good.toml", "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"short\"\n");
    let ended = folder.run(&["check", &good]);
    let expected = format!(
        "warning: {good}:4:10: key `apps[0].secret`: a secret of less than 16 characters can be guessed\n\
         {good}: ok, 1 app\n"
    );
    assert_eq!((ended.code, &*ended.out, &*ended.err), (0, &*expected, ""));
    let app = "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"0123456789abcdef\"\n";
    let brand = |id: u32, app: u32| format!("[[brands]]\nid = {id}\nname = \"b{id}\"\napp = \"{app}\"\n");
    let file = folder.write("brands.toml", &format!("{}{}{app}", brand(1, 1), brand(2, 12)));
    let ended = folder.run(&["check", &file]);
    let expected = format!(
        "warning: {file}:8:7: key `brands[1].app`: the file has no app of this id; unless `tidings apps list` has \
         it, nobody can use the brand\n 8 | app = \"12\"\n   |       ^^^^\n{file}: ok, 1 app\n"
    );
    assert_eq!((ended.code, &*ended.out, &*ended.err), (0, &*expected, ""));
    assert_eq!(folder.run_json(&["check", "--json", &file])["warnings"][0]["line"], 8);
    let empty = folder.write("empty.toml", "");
    assert_eq!(folder.run_json(&["check", "--json", &empty])["apps"], 0);
}

#[test]
fn apps_are_added_listed_shown_rotated_and_disabled() {
    let folder = Folder::new("apps");
    assert_eq!(folder.run(&["apps", "list"]).out, "");
    assert!(!folder.0.join("tidings-data").exists(), "to look makes nothing");
    let one = folder.run_json(&[
        "apps",
        "add",
        "--json",
        "--id=1",
        "--client-events=false",
        "--watchlist-events",
        "--allowed-origin=https://a.example",
        "--allowed-origin=*.b.example",
        "--limit=connections=7",
    ]);
    assert_eq!((&one["client_events"], &one["watchlist_events"]), (&false.into(), &true.into()));
    assert_eq!(one["allowed_origins"], serde_json::json!(["https://a.example", "*.b.example"]));
    assert_eq!((&one["limits"]["connections"], &one["limits"]["event_bytes"]), (&7.into(), &10240.into()));
    let secret = one["secret"].as_str().expect("a secret").to_owned();
    let added = folder.run(&["apps", "add", "--id=2", "--key=two", "--secret=0123456789abcdef"]);
    assert_eq!((added.code, &*added.out), (0, "id      2\nkey     two\nsecret  0123456789abcdef\n"));

    let list = folder.run(&["apps", "list"]).out;
    assert_eq!(list, format!("1  {}\n2  two\n", one["key"].as_str().expect("a key")));
    let list = folder.run(&["apps", "list", "--json"]).out;
    assert!(list.contains("\"two\"") && !list.contains(&secret) && !list.contains("secret"), "{list}");

    assert_eq!(folder.run_json(&["apps", "show", "1", "--json"]), one);
    let shown = folder.run(&["apps", "show", "1"]).out;
    assert!(shown.contains(&secret) && shown.contains("limits.connections = 7\n"), "{shown}");
    for (place, said) in [
        ("laravel", "PUSHER_APP_SECRET=0123456789abcdef\n"),
        ("node", "  secret: \"0123456789abcdef\",\n"),
        ("python", "    secret=\"0123456789abcdef\",\n"),
        ("browser", "new Pusher(\"two\", {\n"),
    ] {
        let snippet = folder.run(&["apps", "show", "2", "--env", place]).out;
        assert!(snippet.contains(said), "{snippet}");
    }

    let rotated = folder.run_json(&["apps", "rotate", "1", "--json"]);
    assert_eq!(rotated["key"], one["key"]);
    assert_ne!(rotated["secret"], one["secret"]);
    assert_eq!(rotated["previous_secret"], one["secret"]);
    assert_eq!(folder.run_json(&["apps", "show", "1", "--json"]), rotated);
    let shown = folder.run(&["apps", "show", "1"]).out;
    let before = one["secret"].as_str().expect("a text");
    assert!(
        shown.contains(&format!("before  {before}  (good until `tidings apps rotate 1 --finish`)")),
        "{shown}"
    );
    let twice = folder.run(&["apps", "rotate", "1"]);
    assert_eq!((twice.code, &*twice.out), (2, ""));
    assert!(twice.err.contains("app 1 has two secrets already"), "{}", twice.err);
    assert_eq!(folder.run_json(&["apps", "show", "1", "--json"]), rotated);
    let finished = folder.run_json(&["apps", "rotate", "1", "--finish", "--json"]);
    assert_eq!((&finished["secret"], &finished["previous_secret"]), (&rotated["secret"], &Value::Null));
    assert_eq!(folder.run(&["apps", "disable", "2"]).out, "app 2 is disabled\n");
    assert!(folder.run(&["apps", "list"]).out.ends_with("2  two  disabled\n"));
    assert_eq!(folder.run(&["apps", "enable", "2"]).out, "app 2 is enabled\n");
    assert!(folder.run(&["apps", "list"]).out.ends_with("2  two\n"));
}

#[test]
fn apps_that_cannot_be() {
    let folder = Folder::new("apps-wrong");
    let config =
        folder.write("t.toml", "[[apps]]\nid = \"9\"\nkey = \"nine\"\nsecret = \"0123456789abcdef\"\n");
    folder.run(&["apps", "add", "--id=1", "--key=one"]);
    let check = |args: &[&str], code: i32, said: &str| {
        let ended = folder.run(args);
        assert_eq!((ended.code, &*ended.out), (code, ""), "{args:?}");
        assert!(ended.err.contains(said), "{}", ended.err);
    };
    check(&["apps", "add", "--id=1"], 1, "there is an app with id 1 already");
    check(&["apps", "add", "--key=one"], 1, "there is an app with key one already");
    check(&["apps", "add", "--id=9", "--config", &config], 1, "there is an app with id 9 already");
    check(&["apps", "add", "--id=a b"], 2, "must be 1 to 64 of the characters");
    check(&["apps", "add", "--secret="], 2, "must be at least 1 character");
    check(&["apps", "add", "--allowed-origin=a b"], 2, "\"a b\" is no origin");
    check(&["apps", "add", "--limit=conections=1"], 2, "did you mean `connections`?");
    check(&["apps", "add", "--limit=connections=many"], 2, "NAME=NUMBER");
    check(&["apps", "show", "7"], 2, "there is no app 7; there are: 1");
    check(&["apps", "show", "7", "--config", &config], 2, "there is no app 7; there are: 9, 1");
    check(&["apps", "rotate", "7", "--config", &config], 2, "there is no app 7; there are: 9, 1");
    check(&["apps", "rotate", "7", "--data-dir", "nowhere"], 2, "there is no app 7; there is none");
    check(&["apps", "rotate", "1", "--finish"], 2, "app 1 has one secret, and none before it to end");
}

#[test]
fn apps_of_the_configuration_are_shown_with_where_they_stand() {
    let folder = Folder::new("apps-configured");
    let lines = "previous_secret = \"fedcba9876543210\"\nallowed_origins = [\"https://*.a.example:8443\"]";
    let file = folder.write("t.toml", &config_of("0123456789abcdef", lines));
    folder.run(&["apps", "add", "--id=1", "--key=one"]);
    folder.run(&["apps", "add", "--id=2", "--key=seven"]);
    let variables = [
        ("TIDINGS_CONFIG", &*file),
        ("PUSHER_APP_ID", "77"),
        ("PUSHER_APP_KEY", "thekey"),
        ("PUSHER_APP_SECRET", "0123456789abcdef"),
    ];
    let run =
        |args: &[&str]| Running::start(&mut folder.tidings(&[&["apps"], args].concat(), &variables)).end();
    let listed = format!(
        "77  thekey  in PUSHER_APP_ID\n7   seven  in {file}\n1   one\n\
         2   seven  not used: the configuration has this id or key\n"
    );
    assert_eq!(run(&["list"]).out, listed);
    let shown = format!(
        "id      7\nkey     seven\nsecret  0123456789abcdef\n\
         before  fedcba9876543210  (good as long as `previous_secret` has it)\nin      {file}\n\
         allowed_origins = [\"https://*.a.example:8443\"]\n"
    );
    assert_eq!(run(&["show", "7"]).out, shown);
    let json = |args: &[&str]| serde_json::from_str::<Value>(&run(args).out).expect("JSON");
    assert_eq!(json(&["show", "7", "--json"])["configured_in"], *file);
    let listed = json(&["list", "--json"]);
    let of_2 = &listed[3];
    assert_eq!((&of_2["configured_in"], &of_2["hidden"]), (&Value::Null, &true.into()));
    assert!(!listed.to_string().contains("0123456789abcdef"));
    let not_used = "not used: the configuration has this id or key\n";
    assert!(run(&["show", "2"]).out.ends_with(not_used));
    assert_eq!(run(&["enable", "2"]).out, format!("app 2 is enabled  {not_used}"));
    assert!(run(&["show", "77", "--env", "laravel"]).out.contains("PUSHER_APP_KEY=thekey\n"));
    let stands = |args: &[&str], said: &str| {
        let ended = run(args);
        assert_eq!((ended.code, ended.out, ended.err), (2, String::new(), format!("tidings: app {said}\n")));
    };
    let rotate = "`previous_secret` is the secret of now, `secret` a new one";
    stands(&["rotate", "7"], &format!("7 stands in {file}; change it there: {rotate}"));
    let finish = format!("7 stands in {file}; change it there: leave out `previous_secret`");
    stands(&["rotate", "7", "--finish"], &finish);
    stands(&["enable", "7"], &format!("7 stands in {file}; change it there: `enabled = true`"));
    let said =
        "77 stands in PUSHER_APP_ID; write it into a file instead, as [[apps]], and there `enabled = false`";
    stands(&["disable", "77"], said);
}

#[test]
fn a_file_that_nobody_has_named_is_told_of() {
    let folder = Folder::new("not-named");
    let said = "tidings.toml: it lies here but is not read; name it: --config tidings.toml";
    let file = folder.write("tidings.toml", &config_of("0123456789abcdef", ""));
    for args in [&["apps", "list"][..], &["trigger", "demo", "hello"], &["webhooks", "list"], &["drain"]] {
        let ended = folder.run(args);
        assert!(ended.err.starts_with(&format!("warning: {said}\n")), "{args:?} {}", ended.err);
        let ended = folder.run(&[args, &["--config", "tidings.toml"]].concat());
        assert!(!ended.err.contains("is not read"), "{args:?} {}", ended.err);
    }
    let variables = [("TIDINGS_CONFIG", &*file)];
    let named = Running::start(&mut folder.tidings(&["apps", "list"], &variables)).end();
    assert_eq!(named.err, "");
    let server = folder.serve(&[]);
    server.running.said("it lies here but is not read; name it: --config tidings.toml");
    ends_well(server);
}

#[test]
fn flags_before_the_verb_are_said_to_stand_after_it() {
    let folder = Folder::new("flags-first");
    for args in
        [&["--config", "t.toml", "trigger", "demo", "hello"][..], &["--data-dir=d", "webhooks", "list"]]
    {
        let ended = folder.run(args);
        assert_eq!((ended.code, &*ended.out), (2, ""), "{args:?}");
        let verb = args.iter().find(|arg| ["trigger", "webhooks"].contains(arg)).expect("a verb");
        let said = format!("error: write flags after the verb: tidings {verb} --flag …");
        assert!(ended.err.starts_with(&said), "{}", ended.err);
        assert!(!ended.err.contains("cannot be used"), "{}", ended.err);
    }
}

#[test]
fn what_is_triggered_reaches_who_subscribes() {
    let folder = Folder::new("trigger");
    let server = folder.serve(&[]);
    let subscribe = [
        "subscribe",
        "--url",
        &server.url,
        "--count=3",
        "--timeout=20",
        "--user-data={\"id\":\"ann\"}",
        "--channel-data={\"user_id\":\"ann\"}",
        "demo",
        "private-a",
        "presence-a",
    ];
    let subscriber = Running::start(&mut folder.tidings(&subscribe, &[]));
    for channel in ["demo", "private-a", "presence-a"] {
        let frame = subscriber.json_line();
        assert_eq!(frame["event"], "pusher_internal:subscription_succeeded", "{frame}");
        assert_eq!(frame["channel"], channel);
    }
    let sent = folder.run(&["trigger", "--url", &server.url, "demo", "hello", "{\"text\":\"Hi\"}"]);
    assert_eq!((sent.code, &*sent.out), (0, "sent \"hello\" to demo\n"), "{}", sent.err);
    let encrypted = |data: &str| {
        let sent = folder.run(&["trigger", "--url", &server.url, "private-encrypted-a", "hello", data]);
        assert_eq!((sent.code, &*sent.out), (0, "sent \"hello\" to private-encrypted-a\n"));
        sent.err
    };
    let warned = "warning: private-encrypted-a is for what a backend's library has encrypted; its subscribers cannot read this\n";
    assert_eq!(encrypted("{}"), warned);
    assert_eq!(encrypted("{\"nonce\":\"bm9uY2U=\",\"ciphertext\":\"Y2lwaGVy\"}"), "");
    let event = subscriber.json_line();
    assert_eq!(event, serde_json::json!({"event": "hello", "channel": "demo", "data": "{\"text\":\"Hi\"}"}));

    let piped = ["trigger", "--json", "--url", &server.url, "--also=presence-a", "private-a", "more", "-"];
    let mut trigger = Running::start(folder.tidings(&piped, &[]).stdin(Stdio::piped()));
    trigger.child.stdin.take().expect("a pipe").write_all(b"from a pipe").expect("written");
    let sent = trigger.end();
    assert_eq!((sent.code, &*sent.out), (0, "{}\n"), "{}", sent.err);
    for channel in ["private-a", "presence-a"] {
        let event = subscriber.json_line();
        assert_eq!((&event["channel"], &event["data"]), (&channel.into(), &"from a pipe".into()));
    }
    let ended = subscriber.end();
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.err.contains("signed in\n"), "{}", ended.err);
}

#[test]
fn subscribing_ends_as_it_is_told() {
    let folder = Folder::new("subscribe");
    let server = folder.serve(&[]);
    let subscribe = |args: &[&str]| {
        let args = [&["subscribe", "--url", &server.url], args].concat();
        Running::start(&mut folder.tidings(&args, &[]))
    };
    assert_eq!(subscribe(&["--timeout=1", "demo"]).end().code, 0);
    let too_late = subscribe(&["--timeout=1", "--count=1", "demo"]).end();
    assert_eq!(too_late.code, 1);
    assert!(too_late.err.contains("0 of 1 events came"), "{}", too_late.err);
    for signal in ["INT", "TERM"] {
        let subscriber = subscribe(&["demo"]);
        subscriber.json_line();
        subscriber.signal(signal);
        assert_eq!(subscriber.end().code, 0);
    }
    let nobody = subscribe(&["presence-a"]).end();
    assert_eq!(nobody.code, 2);
    assert!(nobody.err.contains("--channel-data"), "{}", nobody.err);
    let refused = subscribe(&["--channel-data={}", "presence-a"]).end();
    assert_eq!((refused.code, &*refused.out), (1, ""));
    assert!(refused.err.contains("presence-a: "), "{}", refused.err);
    let subscriber = subscribe(&["demo"]);
    subscriber.json_line();
    server.running.signal("TERM");
    let closed = subscriber.end();
    assert_eq!(closed.code, 1);
    assert!(closed.err.contains("closed the connection with 4100"), "{}", closed.err);
    let ended = server.running.end();
    assert_eq!(ended.code, 0);
    assert!(ended.err.contains(r#""order":"SIGTERM""#), "{}", ended.err);
    assert!(ended.err.contains(r#""message":"the server has ended""#), "{}", ended.err);
}

#[test]
fn drain_has_the_server_leave_and_waits_for_its_end() {
    let folder = Folder::new("drain");
    let nobody = folder.run(&["drain"]);
    assert_eq!(nobody.code, 3, "{}", nobody.err);
    assert!(nobody.err.contains("no server runs with the data directory"), "{}", nobody.err);
    let server = folder.serve(&[]);
    let subscriber = Running::start(&mut folder.tidings(&["subscribe", "--url", &server.url, "demo"], &[]));
    subscriber.json_line();
    let drained = folder.run(&["drain", "--over", "60s"]);
    assert_eq!(
        (drained.code, &*drained.out),
        (0, "the server is leaving\nit has ended\n"),
        "{}",
        drained.err
    );
    let ended = server.running.end();
    assert_eq!(ended.code, 0);
    let told = [r#""message":"leaving","order":"tidings drain""#, r#""message":"the server has ended""#];
    assert!(told.iter().all(|told| ended.err.contains(told)), "{}", ended.err);
    assert!(subscriber.end().err.contains("closed the connection with 4100"));
    let wrong = folder.run(&["drain", "--over", "soon"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("must be a time from 0s to 3600s, as in 60s or 5m"), "{}", wrong.err);
    // What a server leaves that is killed does not keep the next from its orders.
    let killed = folder.serve(&[]);
    killed.running.signal("KILL");
    killed.running.end();
    assert_eq!(folder.run(&["drain"]).code, 3);
    let next = folder.serve(&[]);
    assert_eq!(folder.run(&["drain", "--over=0"]).code, 0);
    assert_eq!(next.running.end().code, 0);
}

#[test]
fn the_log_says_why_something_is_refused() {
    let folder = Folder::new("refusals");
    let limits = "[apps.limits]\npresence_members = 1\nchannels_per_connection = 2\n";
    let file = folder.write("t.toml", &config_of("0123456789abcdef", limits));
    let server = folder.serve(&["--config", &file]);
    let subscribe = |args: &[&str]| {
        let args = [&["subscribe", "--config", &file, "--url", &server.url], args].concat();
        Running::start(&mut folder.tidings(&args, &[]))
    };
    let first = subscribe(&["--channel-data={\"user_id\":\"1\"}", "presence-a"]);
    first.json_line();
    let refused: [(&[&str], &str); 4] = [
        (&["#server-to-user-1"], "its connection is not signed in as the user of this channel"),
        (&["--channel-data={}", "presence-a"], "its channel_data is not valid"),
        (
            &["--channel-data={\"user_id\":\"2\"}", "presence-a"],
            "the app's limit presence_members is reached",
        ),
        (&["a", "b", "c"], "the app's limit channels_per_connection is reached"),
    ];
    for (args, reason) in refused {
        assert_eq!(subscribe(args).end().code, 1, "{args:?}");
        server.running.said(reason);
    }
    let address = server.url.strip_prefix("http://").expect("an address");
    for (path, reason) in [
        ("/api/v1/config/nope", r#""status":404,"reason":"unknown brand""#),
        ("/Platform/LoginAuthToken", r#""status":405,"reason":"use POST""#),
    ] {
        get(address, path);
        server.running.said(reason);
    }
}

/// The status and body of a GET.
fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head[9..12].to_owned(), body.to_owned())
}

#[test]
fn metrics_have_a_listener_of_their_own() {
    let folder = Folder::new("metrics");
    let server = folder.serve_with(&[], &[("TIDINGS_METRICS_SOKETI_NAMES", "true")]);
    let address = server.metrics();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let (status, metrics) = get(&address, "/metrics");
    assert_eq!(status, "200");
    assert!(metrics.contains("\ntidings_build_info{version="), "{metrics}");
    for name in
        ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_max_fds"]
    {
        assert!(metrics.contains(&format!("\n{name} ")), "{metrics}");
    }
    let public_port = server.url.rsplit(':').next().expect("a port");
    assert!(metrics.contains(&format!("\nsoketi_{public_port}_connected{{app_id=")), "{metrics}");
    // The command serves an inbox, and so a store.
    assert!(metrics.contains("\ntidings_inbox_created_total 0\n"), "{metrics}");
    assert_eq!(get(&address, "/readyz").0, "200");
    assert_eq!(get(&address, "/").0, "404");
    assert_eq!(
        get(server.url.trim_start_matches("http://"), "/metrics").0,
        "404",
        "never on the public port"
    );

    // Who asks for a port gets it, or no server.
    let port = address.rsplit(':').next().expect("a port");
    let second =
        folder.tidings(&["--port", "0", "--data-dir", "second"], &[("TIDINGS_METRICS_PORT", port)]).output();
    let second = second.expect("the program ends");
    assert_eq!(second.status.code(), Some(1));
    let err = String::from_utf8_lossy(&second.stderr);
    assert!(err.contains("cannot serve metrics on 127.0.0.1:"), "{err}");
}

#[test]
fn what_init_writes_is_served() {
    let folder = Folder::new("init");
    let env = "REVERB_APP_ID=42\nREVERB_APP_KEY=the-key\nREVERB_APP_SECRET=\"0123 \\ abcdef0123456789\"\nREVERB_SERVER_PORT=8080\n";
    folder.write(".env", env);
    let made = folder.run(&["init", "--from", ".env"]);
    assert_eq!(
        (made.code, &*made.out),
        (0, "wrote tidings.toml; start the server with: tidings serve --config tidings.toml\n")
    );
    assert_eq!(folder.run(&["check", "tidings.toml"]).out, "tidings.toml: ok, 1 app\n");
    let server = folder.serve(&["--config", "tidings.toml"]);
    let args = ["trigger", "--config", "tidings.toml", "--url", &server.url, "demo", "hello", "{}"];
    assert_eq!(folder.run(&args).code, 0);
    let again = folder.run(&["init", "--from", ".env"]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("cannot write tidings.toml: File exists"), "{}", again.err);
    let none = folder.write("none.env", "APP_NAME=Shop\n");
    let ended = folder.run(&["init", "--from", &none, "--to", "-"]);
    assert_eq!((ended.code, &*ended.out), (2, ""));
    assert!(ended.err.contains("it names no app"), "{}", ended.err);
    let apps = r#"{"appManager.array.apps": [{"id": "1", "key": "k", "secret": "s"}, {"id": "2", "key": "k", "secret": "s"}]}"#;
    let twice = folder.write("twice.json", apps);
    let ended = folder.run(&["init", "--from", &twice, "--to", "twice.toml"]);
    assert_eq!((ended.code, &*ended.out), (2, ""));
    assert!(ended.err.ends_with("twice.json:\n  apps[1].key: `apps[0]` has it already\n"), "{}", ended.err);
    assert!(folder.run(&["check", "twice.toml"]).err.contains("cannot be read"));
}

#[test]
fn a_third_signal_ends_the_server_at_once() {
    let folder = Folder::new("second-signal");
    let server = folder.serve(&[]);
    let address = server.url.trim_start_matches("http://");
    let mut silent = TcpStream::connect(address).expect("connects");
    silent.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    let upgrade = format!(
        "GET /app/{}?protocol=7 HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.shown("key")
    );
    silent.write_all(upgrade.as_bytes()).expect("written");
    let mut answer = String::new();
    while !answer.contains("connection_established") {
        let mut part = [0; 1024];
        let len = silent.read(&mut part).expect("an answer");
        answer += &String::from_utf8_lossy(&part[..len]);
    }
    // The client never answers the close, for which the server would wait.
    let mut running = server.running;
    running.signal("TERM");
    let status = soon("the process ends", || {
        running.child.try_wait().expect("a child").or_else(|| {
            running.signal("TERM");
            None
        })
    });
    assert_eq!(status.code(), Some(130));
}

#[test]
fn a_running_server_notices_what_is_done_to_its_apps() {
    let folder = Folder::new("reload");
    let server = folder.serve(&[]);
    let first = server.shown("app id");
    folder.run(&["apps", "add", "--id=5"]);
    let trigger =
        |id: &str| folder.run(&["trigger", "--url", &server.url, "--app", id, "demo", "hello"]).code;
    let is = |code: i32| move |found: i32| (found == code).then_some(());
    soon("the new app is served", || is(0)(trigger("5")));
    folder.run(&["apps", "rotate", "5"]);
    soon("the new secret is taken", || is(0)(trigger("5")));
    folder.run(&["apps", "disable", "5"]);
    soon("the app is refused", || is(1)(trigger("5")));
    assert_eq!(trigger(first), 0);
    let which = folder.run(&["trigger", "--url", &server.url, "demo", "hello"]);
    assert_eq!(which.code, 2);
    assert!(which.err.contains(&format!("choose one with --app: {first}, 5")), "{}", which.err);
}

/// A file with an app of this secret, and more lines of it.
fn config_of(secret: &str, lines: &str) -> String {
    format!("[[apps]]\nid = \"7\"\nkey = \"seven\"\nsecret = \"{secret}\"\n{lines}\n")
}

#[test]
fn a_changed_file_is_taken_under_load_and_no_socket_dropped() {
    const CHANGES: usize = 5;
    let (old, new) = ("0123456789abcdef", "fedcba9876543210");
    let folder = Folder::new("reload-file");
    let config = folder.write("t.toml", &config_of(old, ""));
    let with_old = folder.write("old.toml", &config_of(old, ""));
    let with_new = folder.write("new.toml", &config_of(new, ""));
    let server = folder.serve(&["--config", &config]);
    let subscriber = Running::start(
        &mut folder.tidings(&["subscribe", "--config", &config, "--url", &server.url, "demo"], &[]),
    );
    subscriber.json_line();
    let mut sent = 0;
    let mut trigger = |with: &str, event: &str, data: &str| {
        let args = ["trigger", "--config", with, "--url", &server.url, "demo", event, data];
        let ended = folder.run(&args);
        sent += i32::from(ended.code == 0);
        ended
    };
    let is = |code: i32| move |ended: Ended| (ended.code == code).then_some(());

    // Noticed without a signal.
    folder.write("t.toml", &config_of(new, &format!("previous_secret = \"{old}\"")));
    soon("the new secret is good", || is(0)(trigger(&with_new, "hello", "{}")));
    assert_eq!(trigger(&with_old, "hello", "{}").code, 0, "the old one is still good");

    // At once with a signal, again and again while events come.
    for limit in 1..=CHANGES {
        folder.write("t.toml", &config_of(new, &format!("[apps.limits]\nevent_bytes = {limit}")));
        server.running.signal("HUP");
        let too_big = format!("limit of {limit} bytes");
        soon(&too_big, || {
            // Until the limit is taken it goes through.
            is(1)(trigger(&with_new, "e", &"x".repeat(limit + 1)))
        });
    }
    assert_eq!(trigger(&with_old, "hello", "{}").code, 1, "the old one is good no more");

    // A mistake changes nothing, and is told with its place.
    folder.write("t.toml", &config_of(old, "[apps.limits]\nevent_bites = 9"));
    server.running.signal("HUP");
    server.running.said("nothing has changed");
    server.running.said("t.toml:6:1: key `apps[0].limits.event_bites`");
    server.running.said("unknown key; did you mean `event_bytes`?");
    folder.write("t.toml", &format!("[server]\nactivity_timeout = 9\n{}", config_of(new, "enabled = true")));
    server.running.signal("HUP");
    server.running.said("server.activity_timeout");
    soon("the file without a mistake is taken", || is(0)(trigger(&with_new, "last", "{}")));

    loop {
        let event = subscriber.json_line();
        sent -= 1;
        if event["event"] == "last" {
            break;
        }
    }
    assert_eq!(sent, 0, "each event came, and the socket stayed");
    folder.write("t.toml", &config_of(new, "enabled = false"));
    server.running.signal("HUP");
    let closed = subscriber.end();
    assert!(closed.err.contains("closed the connection with 4003"), "{}", closed.err);
    server.running.signal("TERM");
    assert_eq!(server.running.end().code, 0);
}

#[test]
fn a_server_that_is_not_there() {
    let folder = Folder::new("unreachable");
    folder.run(&["apps", "add", "--id=1"]);
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let url = format!("http://127.0.0.1:{port}");
    for verb in [&["trigger", "--url", &url, "demo", "hello"][..], &["subscribe", "--url", &url, "demo"]] {
        let ended = folder.run(verb);
        assert_eq!(ended.code, 3);
        assert!(ended.err.contains(&format!("cannot reach {url}")), "{}", ended.err);
    }
    let url = format!("https://127.0.0.1:{port}");
    let tls = folder.run(&["trigger", "--url", &url, "demo", "hello"]);
    assert_eq!(tls.code, 3);
    assert!(tls.err.contains(&format!("cannot reach {url}")), "{}", tls.err);
    let no_channel = folder.run(&["trigger", "a b", "hello"]);
    assert_eq!(no_channel.code, 2);
    let no_app = folder.run(&["trigger", "--data-dir", "nowhere", "demo", "hello"]);
    assert_eq!(no_app.code, 2);
    assert!(no_app.err.contains("/nowhere has one; run this where the server runs"), "{}", no_app.err);
    assert!(!folder.0.join("nowhere").exists());
}

#[test]
fn an_address_or_a_secret_that_is_not_the_servers_is_told_as_that() {
    let folder = Folder::new("astray");
    let file = folder.write("t.toml", &config_of("0123456789abcdef", ""));
    let other = folder.write("other.toml", &config_of("fedcba9876543210", ""));
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let cert = folder.write("cert.pem", &params.self_signed(&key).expect("a certificate").pem());
    let tls =
        format!("[tls]\ncert = \"{cert}\"\nkey = \"{}\"", folder.write("key.pem", &key.serialize_pem()));
    let tls = folder.write("tls.toml", &(config_of("0123456789abcdef", "") + &tls));
    let plain = folder.serve(&["--config", &file]);
    let tls = folder.serve(&["--config", &tls, "--data-dir", "tls"]);
    let metrics = format!("http://{}", plain.metrics());
    let by_tls = plain.url.replace("http:", "https:");
    let without_tls = tls.url.replace("https:", "http:");
    let check = |config: &str, verb: &str, args: &[&str], code: i32, expected: &str| {
        let rest: &[&str] = if verb == "trigger" { &["private-a", "hello"] } else { &["private-a"] };
        let ended = folder.run(&[&[verb, "--config", config, "--url"], args, rest].concat());
        assert_eq!(
            (ended.code, ended.err.contains(expected)),
            (code, true),
            "{args:?} {expected}: {}",
            ended.err
        );
    };
    for verb in ["trigger", "subscribe"] {
        check(&file, verb, &[&by_tls], 3, "does not speak TLS; write its address with http\n");
        check(&file, verb, &[&without_tls], 3, "if it speaks TLS, write its address with https\n");
        check(&file, verb, &[&tls.url, "--ca", "nope.pem"], 2, "tidings: nope.pem cannot be read: ");
        check(&file, verb, &[&tls.url], 3, "its certificate is its own authority, and not a known one; give");
        check(&file, verb, &[&plain.url, "--ca", "nope.pem"], 2, "--ca has no meaning for http://127.0.0.1:");
        check(&other, verb, &[&plain.url], 1, "the app's secret here is not the server's");
    }
    check(&file, "subscribe", &[&metrics], 3, "or a proxy that does not pass them on?\n");
}

#[test]
fn a_signature_is_explained() {
    let folder = Folder::new("explain");
    folder.run(&["apps", "add", "--id=9"]);
    folder.run(&["apps", "add", "--id=3", "--key=278d425bdf160c739803", "--secret=7ad3773142a6692b25b8"]);
    let signature = "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4";
    let channel = |auth: &str| {
        folder.run(&["explain-auth", "--socket-id=1234.1234", "--channel=private-foobar", "--auth", auth])
    };
    let right = channel(&format!("278d425bdf160c739803:{signature}"));
    let expected = format!(
        "to sign    1234.1234:private-foobar\n\
         expected   278d425bdf160c739803:{signature}\n\
         given      278d425bdf160c739803:{signature}\n\
         right\n"
    );
    assert_eq!((right.code, right.out), (0, expected));
    let wrong = channel(&format!("278d425bdf160c739803:{}", signature.to_uppercase()));
    assert_eq!(wrong.code, 1);
    assert!(
        wrong.out.ends_with("wrong      the digits of the signature must be in lower case\n"),
        "{}",
        wrong.out
    );

    let presence = hmac("7ad3773142a6692b25b8", "1234.1234:presence-foobar");
    let presence = format!("--auth=278d425bdf160c739803:{presence}");
    let presence = ["explain-auth", "--socket-id=1234.1234", "--channel=presence-foobar", &presence];
    let ended = folder.run(&presence);
    let said = "\nright      of a signed-in user only: without channel_data others cannot join\n";
    assert!(ended.code == 0 && ended.out.ends_with(said), "{}", ended.out);
    assert_eq!(folder.run_json(&[&presence[..], &["--json"]].concat())["signed_in_only"], true);

    let check = |args: &[&str], code: i32, said: &str| {
        let ended = folder.run(&[&["explain-auth"], args].concat());
        assert_eq!((ended.code, &*ended.out), (code, ""), "{args:?} {}", ended.err);
        assert_eq!(ended.err, format!("tidings: {said}\n"));
    };
    let private = ["--socket-id=1.2", "--channel=private-a"];
    let auth = |auth| [&private[..], &["--auth", auth]].concat();
    check(&auth("otherkey:00"), 1, "no app has the key \"otherkey\"");
    check(&auth("foo"), 1, "auth must be KEY:SIGNATURE, with a colon between");
    check(&["--url=/apps/5/events?auth_key=other"], 1, "no app has the key \"other\"");
    check(&["--url=/apps/5/events"], 1, "the parameter auth_key is missing");
    check(&private, 2, "there are several apps; choose one with --app: 9, 3");
    let path = |path: &str| format!("requests to \"{path}\" are not signed; those to /apps/ID/… are");
    check(&["--url=http://127.0.0.1:6001/app/KEY?protocol=7"], 2, &path("/app/KEY"));
    check(&["--url=/foo"], 2, &path("/foo"));
    let public = "demo needs no signature; channels that begin with private- or presence- do";
    check(&["--socket-id=1.2", "--channel=demo"], 2, public);

    let body = folder.write(
        "body.json",
        "{\"name\":\"foo\",\"channels\":[\"project-3\"],\"data\":\"{\\\"some\\\":\\\"data\\\"}\"}",
    );
    let url = "http://127.0.0.1:6001/apps/3/events?auth_key=278d425bdf160c739803&auth_timestamp=1353088179\
        &auth_version=1.0&body_md5=ec365a775a4cd0599faeb73354201b6f\
        &auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c";
    let request = ["explain-auth", "--json", "--url", url, "--body", &body];
    let json = folder.run_json(&[&request[..], &["--at=1353088179"]].concat());
    assert_eq!(json["ok"], true);
    let late = folder.run(&request);
    assert_eq!(late.code, 1);
    let json: Value = serde_json::from_str(&late.out).expect(&late.out);
    assert_eq!(json["findings"][0]["code"], "timestamp_window");
    assert_eq!(folder.run(&["explain-auth", "--auth=a:b"]).code, 2);
    assert_eq!(folder.run(&["explain-auth", "--channel=a", "--user-data={}", "--socket-id=1.1"]).code, 2);
}

fn hmac(secret: &str, text: &str) -> String {
    AppSecret::new(secret).sign(&[text.as_bytes()])
}

#[test]
fn completions_name_the_verbs() {
    let folder = Folder::new("completions");
    for shell in ["bash", "zsh", "fish"] {
        let ended = folder.run(&["completions", shell]);
        assert_eq!(ended.code, 0);
        assert!(ended.out.contains("explain-auth"), "{shell}");
    }
    assert_eq!(folder.run(&["completions", "cmd"]).code, 2);
}

#[test]
fn help_documents_the_exit_codes() {
    let folder = Folder::new("help");
    let ended = folder.run(&["--help"]);
    assert_eq!(ended.code, 0);
    assert!(ended.out.contains("3  no server could be reached"), "{}", ended.out);
    assert!(!Path::new(&folder.0.join("tidings-data")).exists());
}

#[test]
fn brands_are_added_and_a_running_server_knows_them() {
    let folder = Folder::new("brands");
    let server = folder.serve(&[]);
    assert!(server.screen.contains("tidings trigger"));
    let listed = folder.run_json(&["brands", "list", "--json"]);
    assert_eq!(listed[0]["name"], "demo");
    let added = folder.run_json(&["brands", "add", "acorn", "--sid-url", "http://127.0.0.1:9/x", "--json"]);
    assert_eq!(
        (&added["id"], &added["name"], &added["test_sid"]),
        (&2.into(), &"acorn".into(), &false.into())
    );
    let key = added["api_key"].as_str().expect("a key").to_owned();
    let shown = folder.run(&["brands", "show", "acorn"]);
    assert!(shown.out.contains(&format!("api keys {}…", &key[..8])), "{}", shown.out);
    assert!(!shown.out.contains(&key), "a key is shown once");
    let ended = folder.run(&["brands", "add", "acorn"]);
    assert_eq!(ended.code, 2);
    assert_eq!(ended.err, "tidings: there is a brand with the name acorn already; choose another\n");
    let ended = folder.run(&["notify", "u-1", "Hello"]);
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (2, "tidings: there are several brands; choose one with --brand: demo, acorn\n")
    );
    let body = r#"{"activity":{"id":1,"brand_id":2,"user_id":"u-1"},"title":"From a sender"}"#;
    let stored = |status: &str| {
        let request = format!(
            "POST /channels/site/single HTTP/1.1\r\nhost: t\r\nx-api-key: {key}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(&server.url, &request).starts_with(&format!("HTTP/1.1 {status}"))
    };
    wait_until("the server knows the new key", || stored("200"));
    let ended = folder.run(&["notify", "--brand", "acorn", "--key", "w", "u-1", "Hello"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let again = folder.run(&["notify", "--brand", "acorn", "--key", "w", "u-1", "Hello"]);
    assert!(again.out.contains("was stored before"), "{}", again.out);
    let inbox = folder.run(&["inbox", "--brand", "2", "u-1"]);
    assert!(inbox.out.starts_with("2 unread, 2 unseen, 2 in all\n"), "{}", inbox.out);
    let nobody = folder.run(&["inbox", "--brand", "2", "u-2"]);
    assert_eq!((nobody.code, nobody.out.as_str()), (1, ""));
    let empty = folder.run(&["notify", "--brand", "2", "u-1", ""]);
    assert_eq!(empty.code, 2);
    assert!(empty.err.contains("give it a title, a message or a --link"), "{}", empty.err);
    let refused = folder.run(&["notify", "--brand", "2", "--link", "javascript:x", "u-1", "Hello"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("bad field button_link"), "{}", refused.err);
}

#[test]
fn a_server_whose_store_is_broken_ends_and_says_so() {
    let folder = Folder::new("broken");
    let server = folder.serve(&[]);
    let added = folder.run_json(&["brands", "add", "acorn", "--json"]);
    let key = added["api_key"].as_str().expect("a key").to_owned();
    let send = |id: u32| {
        let body = format!(r#"{{"activity":{{"id":{id},"brand_id":2,"user_id":"u"}},"title":"T"}}"#);
        let request = format!(
            "POST /channels/site/single HTTP/1.1\r\nhost: t\r\nx-api-key: {key}\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(&server.url, &request)
    };
    wait_until("the server knows the new key", || send(1).starts_with("HTTP/1.1 200"));
    // There is no number after this one: a bug, as far as the writer can know.
    rusqlite::Connection::open(folder.0.join("tidings-data/tidings.db"))
        .and_then(|store| {
            store.execute("UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'notifications'", [i64::MAX])
        })
        .expect("there is a store");
    let answer = send(2);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let ended = server.running.end();
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.contains("the store's writer has panicked; the server ends"), "{}", ended.err);
    assert!(ended.err.ends_with("start the server again\n"), "{}", ended.err);
}

/// Sends a request on a connection of its own and reads all that comes.
fn exchange(url: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).expect("the server listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers");
    answer
}

/// Looks again and again, until it is so or the time is over.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let clock = Clock::system();
    let end = clock.now() + DEADLINE;
    while !is_so() {
        assert!(clock.now() < end, "{what}");
        thread::sleep(PAUSE);
    }
}

/// Nobody listens at this address.
fn nobody() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("it is bound").to_string()
}

/// A configuration whose app has a webhook at this address, of one event.
fn config_with_webhook(address: &str) -> String {
    config_of(
        "secret-of-16-chars",
        &format!(
            "[[apps.webhooks]]\nurl = \"http://{address}/hook\"\nevents = [\"channel_occupied\"]\n[outbound]\nallow = [\"127.0.0.1\"]\n"
        ),
    )
}

#[test]
fn the_queue_of_webhooks_is_looked_into() {
    let folder = Folder::new("webhooks");
    let directory = folder.0.join("nowhere");
    for args in [&["list"][..], &["show", "1"], &["replay", "1"], &["replay", "--all"]] {
        let ended = folder.run(&[&["webhooks"], args, &["--data-dir", "nowhere"]].concat());
        assert_eq!((ended.code, &*ended.out), (2, ""), "{args:?}");
        assert!(ended.err.contains(&format!("no store in {}", directory.display())), "{}", ended.err);
    }
    assert!(!directory.exists());

    let address = nobody();
    let file = folder.write("t.toml", &config_with_webhook(&address));
    let server = folder.serve(&["--config", &file]);
    let _subscriber = Running::start(
        &mut folder.tidings(&["subscribe", "room", "--config", &file, "--url", &server.url], &[]),
    );
    let id = soon("it waits", || {
        let listed = folder.run(&["webhooks", "list", "--waiting", "--json"]).out;
        let first: Value = serde_json::from_str(listed.lines().next()?).expect("JSON");
        (first["attempts"] != 0).then(|| first["id"].to_string())
    });
    let waiting = folder.run(&["webhooks", "list", "--waiting", "--app=7"]).out;
    assert!(waiting.lines().next_back().is_some_and(|line| line.contains("; next at 2")), "{waiting}");
    for args in [&["list"][..], &["replay", "--all"]] {
        for config in [&[][..], &["--config", &file]] {
            let ended = folder.run(&[&["webhooks"], args, &["--app=9"], config].concat());
            let said = "tidings: there is no app 9; there are: 7\n";
            assert_eq!((ended.code, &*ended.out, &*ended.err), (2, "", said), "{args:?}");
        }
    }
    let ended = folder.run(&["webhooks", "replay", &id, "999"]);
    assert_eq!((ended.code, &*ended.out), (1, "0 back in the queue\n"));
    assert!(
        ended.err.contains(&format!("webhook {id} is no dead letter: it waits, and is tried at ")),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("there is no webhook 999"), "{}", ended.err);

    let note = "(no webhook names this URL now)";
    let listed = |args: &[&str]| folder.run(&[&["webhooks", "list"], args].concat()).out;
    let of_it = format!("app 7  http://{address}/hook  1 waiting, 0 dead");
    assert_eq!(listed(&["--config", &file]), format!("{of_it}\n"));
    folder.write("t.toml", &config_of("secret-of-16-chars", ""));
    server.running.signal("HUP");
    server.running.said("webhooks wait for a URL that no webhook names now");
    assert_eq!(listed(&["--config", &file]), format!("{of_it}  {note}\n"));
    assert_eq!(listed(&[]), format!("{of_it}\n"), "what the server is told is not known here");
    ends_well(server);
}
