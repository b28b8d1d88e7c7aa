//! The first thing to see: where the server is, its app, and how to try it.

use std::path::Path;

use tidings_protocol::App;

use super::{ConfigArgs, snippets, target::Target};
use tidings_server::config::{DEFAULT_ADDRESS, DEFAULT_DATA_DIR};

/// Whether the secret has been seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The app has just been made.
    First,
    /// Its owner knows it.
    Again,
}

/// What the screen tells of.
pub(super) struct Screen<'a> {
    /// The addresses as they were bound, each with its scheme.
    pub(super) addresses: &'a [String],
    /// The address to reach it by.
    pub(super) target: Target,
    /// All apps.
    pub(super) apps: &'a [App],
    pub(super) start: Start,
    pub(super) store: &'a Path,
    /// Whether there is a brand whose test user anybody may be.
    pub(super) has_demo_brand: bool,
    /// As given on the command line: the commands shown need them again.
    pub(super) flags: &'a ConfigArgs,
    /// What the server was started as: the commands shown start with it.
    pub(super) program: &'a Path,
}

impl Screen<'_> {
    pub(super) fn text(&self) -> String {
        let mut text =
            format!("Tidings {}  listening on {}\n", env!("CARGO_PKG_VERSION"), self.addresses.join(" and "));
        if let Some(app) = self.apps.first() {
            text += &self.app(app);
        }
        text
    }

    fn app(&self, app: &App) -> String {
        let App { id, key, .. } = app;
        let more = match self.apps.len() - 1 {
            0 => String::new(),
            more => format!("  (and {more} more)"),
        };
        let show = self.command("apps show", &[id]);
        let secret = match self.start {
            Start::First => format!("{}  (later: {show})", app.secret.reveal()),
            Start::Again => format!("{}  (all of it: {show})", mask(app.secret.reveal())),
        };
        let (target, store) = (&self.target, self.store.display());
        let snippet = snippets::browser(key, target);
        let snippet = snippet.trim_end().replace('\n', "\n    ");
        let trigger = self.trigger(app);
        format!(
            "  app id  {id}{more}
  key     {key}
  secret  {secret}
  demo    {target}/
  store   {store}

  To receive in a page, with pusher-js:

    {snippet}

  To send:

    {trigger}

"
        ) + &self.inbox()
    }

    /// How to try the inbox of a first start.
    fn inbox(&self) -> String {
        match (self.start, self.has_demo_brand) {
            (Start::First, true) => format!(
                "  To put a notification into the inbox that the demo page shows:

    {}

",
                self.command("notify", &["--brand demo test Hello 'It is kept until it is deleted.'"])
            ),
            _ => String::new(),
        }
    }

    /// The command that sends an event, with the flags it needs.
    fn trigger(&self, app: &App) -> String {
        let (host, port) = DEFAULT_ADDRESS;
        let url = Some(self.target.to_string()).filter(|url| *url != format!("http://{host}:{port}"));
        let url = url.map(|url| format!("--url {url}"));
        let ca = self.target.ca().map(|file| format!("--ca {}", quoted(file)));
        let id = (self.apps.len() > 1).then(|| format!("--app {}", app.id));
        let words = [url, ca, id, Some("demo hello '{\"text\":\"Hi\"}'".to_owned())];
        let words: Vec<&str> = words.iter().flatten().map(String::as_str).collect();
        self.command("trigger", &words)
    }

    /// A command that acts on this server's configuration and store.
    fn command(&self, verb: &str, words: &[&str]) -> String {
        let config = self.flags.config.as_deref();
        let data_dir = self.flags.data_dir.as_deref().filter(|dir| *dir != Path::new(DEFAULT_DATA_DIR));
        let flags = [
            config.map(|path| format!("--config {}", quoted(path))),
            data_dir.map(|path| format!("--data-dir {}", quoted(path))),
        ];
        let start = format!("{} {verb}", quoted(self.program));
        let flags = flags.into_iter().flatten();
        let words = words.iter().map(ToString::to_string);
        [start].into_iter().chain(flags).chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// The beginning of a secret, enough to tell it from another; of a short one nothing.
pub(super) fn mask(secret: &str) -> String {
    let shown = if secret.chars().count() < 16 { 0 } else { 4 };
    secret.chars().take(shown).chain(['…']).collect()
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use tidings_protocol::app::AppSecret;
    use tidings_store::AppSettings;

    use super::*;

    fn app(id: &str) -> App {
        AppSettings::default().to_app(id.into(), "thekey".into(), AppSecret::new("0123456789abcdef"))
    }

    fn screen(apps: &[App], start: Start, address: &str, data_dir: Option<&str>) -> String {
        let flags = ConfigArgs { config: None, data_dir: data_dir.map(Into::into) };
        let target = format!("http://{address}").parse().expect("target");
        let store = Path::new("./tidings-data/tidings.db");
        let program = Path::new("tidings");
        let addresses = &[format!("http://{address}")];
        let has_demo_brand = start == Start::First;
        Screen { addresses, target, apps, start, store, has_demo_brand, flags: &flags, program }.text()
    }

    #[test]
    fn shows_all_that_is_needed_at_the_first_start() {
        let expected = format!(
            "\
Tidings {}  listening on http://127.0.0.1:6001
  app id  1
  key     thekey
  secret  0123456789abcdef  (later: tidings apps show 1)
  demo    http://127.0.0.1:6001/
  store   ./tidings-data/tidings.db

  To receive in a page, with pusher-js:

    const pusher = new Pusher(\"thekey\", {{
      wsHost: \"127.0.0.1\",
      wsPort: 6001,
      httpHost: \"127.0.0.1\",
      httpPort: 6001,
      forceTLS: false,
      cluster: \"local\",
    }});
    pusher.subscribe(\"demo\").bind(\"hello\", (data) => console.log(data));

  To send:

    tidings trigger demo hello '{{\"text\":\"Hi\"}}'

  To put a notification into the inbox that the demo page shows:

    tidings notify --brand demo test Hello 'It is kept until it is deleted.'

",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(screen(&[app("1")], Start::First, "127.0.0.1:6001", None), expected);
    }

    #[test]
    fn masks_the_secret_later_and_names_the_flags_that_are_needed() {
        let text = screen(&[app("1"), app("2")], Start::Again, "127.0.0.1:7000", Some("/tmp/a b"));
        assert!(text.contains("app id  1  (and 1 more)\n"), "{text}");
        let show = "secret  0123…  (all of it: tidings apps show --data-dir '/tmp/a b' 1)\n";
        assert!(text.contains(show), "{text}");
        let first = screen(&[app("1")], Start::First, "127.0.0.1:6001", Some("/tmp/d"));
        assert!(first.contains("(later: tidings apps show --data-dir /tmp/d 1)\n"), "{first}");
        let command = "tidings trigger --data-dir '/tmp/a b' --url http://127.0.0.1:7000 --app 1 demo hello '{\"text\":\"Hi\"}'";
        assert!(text.contains(command), "{text}");
    }

    #[test]
    fn masks() {
        assert_eq!(mask("0123456789abcdef"), "0123…");
        assert_eq!(mask("0123456789abcde"), "…");
    }
}
