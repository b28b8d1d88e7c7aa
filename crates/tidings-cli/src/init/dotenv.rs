//! The `.env` of a Laravel application.

use std::collections::BTreeMap;

use super::{Draft, DraftApp};
use tidings_server::config::{AliasedApp, Described, Environment, Mistake, MistakeKind, Place, describe};

const NO_APP: &str = "it names no app: a soketi JSON file is expected, or a .env with PUSHER_APP_ID, REVERB_APP_ID or the like";
const DECIDES: &str =
    "BROADCAST_CONNECTION: with pusher or reverb here the other's variables are passed over";

/// Makes a draft of it.
///
/// # Errors
/// Every mistake, as a line.
pub(super) fn read(text: &str) -> Result<Draft, Vec<String>> {
    let mut variables = parse(text);
    // An application that has moved keeps the variables of before.
    let broadcaster =
        ["BROADCAST_CONNECTION", "BROADCAST_DRIVER"].iter().find_map(|name| variables.get(*name));
    let unused = match broadcaster.map(String::as_str) {
        Some("pusher") => Some("REVERB_"),
        Some("reverb") => Some("PUSHER_"),
        _ => None,
    };
    variables.retain(|name, _| unused.is_none_or(|unused| !name.starts_with(unused)));
    let environment: Environment = variables.into_iter().collect();
    let Described { server, app, notes, warnings } = describe(&environment).map_err(|errors| {
        let mut lines: Vec<_> = errors.mistakes.iter().map(ToString::to_string).collect();
        if errors.mistakes.iter().any(is_between_broadcasters) {
            lines.push(DECIDES.to_owned());
        }
        lines
    })?;
    let Some(AliasedApp { id, key, secret, settings, webhooks, .. }) = app else {
        return Err(vec![NO_APP.to_owned()]);
    };
    let notes = notes.iter().filter(|note| !note.kind.is_taken()).map(ToString::to_string);
    let notes = notes.chain(warnings.iter().map(ToString::to_string)).collect();
    let tls = server.tls.as_ref().map(|tls| (tls.cert().to_owned(), tls.key().to_owned()));
    let apps = vec![DraftApp { id, key, secret, settings, webhooks }];
    Ok(Draft { server, tls, apps, notes })
}

/// Whether it is that a variable of Reverb and one of Pusher differ.
fn is_between_broadcasters(mistake: &Mistake) -> bool {
    match (&mistake.place, &mistake.kind) {
        (Place::Variable(name), MistakeKind::Contradicts { other }) => {
            name.starts_with("REVERB_") && other.starts_with("PUSHER_")
        }
        _ => false,
    }
}

/// The variables: a line each, with or without quotes, and `${NAME}` for what was said before.
fn parse(text: &str) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        if line.starts_with('#') {
            continue;
        }
        if let Some((name, value)) = line.split_once('=') {
            let value = unquoted(value.trim(), &variables);
            variables.insert(name.trim().to_owned(), value);
        }
    }
    variables
}

fn unquoted(value: &str, before: &BTreeMap<String, String>) -> String {
    if let Some(literal) = value.strip_prefix('\'') {
        return literal.split('\'').next().unwrap_or("").to_owned();
    }
    match value.strip_prefix('"') {
        Some(quoted) => filled(quoted, true, before),
        // Nothing but a comment.
        None if value.starts_with('#') => String::new(),
        None => filled(value.split(" #").next().unwrap_or("").trim_end(), false, before),
    }
}

/// A text with the variables that it names. In quotes a `\` keeps what follows from its meaning, and the next quote ends it.
fn filled(text: &str, in_quotes: bool, before: &BTreeMap<String, String>) -> String {
    let mut filled = String::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            '"' if in_quotes => break,
            '\\' if in_quotes => match rest.next() {
                Some('n') => filled.push('\n'),
                Some('r') => filled.push('\r'),
                Some('t') => filled.push('\t'),
                Some(kept @ ('"' | '\\' | '$')) => filled.push(kept),
                other => filled.extend(['\\'].into_iter().chain(other)),
            },
            '$' => match rest.as_str().strip_prefix('{').and_then(|rest| rest.split_once('}')) {
                Some((name, after)) => {
                    filled.push_str(before.get(name).map_or("", String::as_str));
                    rest = after.chars();
                }
                None => filled.push('$'),
            },
            other => filled.push(other),
        }
    }
    filled
}
