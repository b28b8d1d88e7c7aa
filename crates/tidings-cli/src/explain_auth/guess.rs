//! Tries the usual mistakes until one leads to the signature that was given.

use data_encoding::{BASE64, HEXLOWER};
use tidings_protocol::{App, app::AppSecret};

use super::findings::Finding;

/// A text that somebody may have signed instead, and the mistake that is.
pub(super) type Attempt = (String, Finding);

/// What is wrong with a signature of this text; nothing if it is right.
pub(super) fn check(
    signature: &str,
    text: &str,
    attempts: impl IntoIterator<Item = Attempt>,
    app: &App,
    apps: &[App],
) -> Vec<Finding> {
    let (digits, mut findings) = match normalize(signature) {
        Ok(normalized) => normalized,
        Err(findings) => return findings,
    };
    match made_from(&digits, text, attempts, app, apps) {
        Some(mistakes) => findings.extend(mistakes),
        None => findings.push(Finding::Unexplained),
    }
    findings
}

/// The signature as the server would want it, and what had to be done for that; or why it can be none.
fn normalize(signature: &str) -> Result<(String, Vec<Finding>), Vec<Finding>> {
    let mut findings = Vec::new();
    let trimmed = signature.trim();
    if trimmed != signature {
        findings.push(Finding::WhiteSpace);
    }
    if let Ok(digest) = BASE64.decode(trimmed.as_bytes())
        && digest.len() == 32
    {
        findings.push(Finding::Base64);
        return Ok((HEXLOWER.encode(&digest), findings));
    }
    let len = trimmed.chars().count();
    if len != 64 {
        findings.push(Finding::Length { len });
    } else if !trimmed.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        findings.push(Finding::NotHex);
    } else {
        let digits = trimmed.to_ascii_lowercase();
        if digits != trimmed {
            findings.push(Finding::UpperCase);
        }
        return Ok((digits, findings));
    }
    Err(findings)
}

/// The mistakes that lead to this signature; none for the right text with the right secret.
fn made_from(
    digits: &str,
    text: &str,
    attempts: impl IntoIterator<Item = Attempt>,
    app: &App,
    apps: &[App],
) -> Option<Vec<Finding>> {
    let secrets = secrets(app, apps);
    let texts = [(text.to_owned(), None)].into_iter().chain(with_white_space(text)).chain(
        attempts
            .into_iter()
            .filter(|(attempt, _)| attempt != text)
            .map(|(attempt, finding)| (attempt, Some(finding))),
    );
    for (text, of_text) in texts {
        for (secret, of_secret) in &secrets {
            if secret.verifies(&[text.as_bytes()], digits) {
                return Some(of_text.into_iter().chain(of_secret.clone()).collect());
            }
        }
    }
    None
}

fn with_white_space(text: &str) -> impl Iterator<Item = (String, Option<Finding>)> {
    ["\n", "\r\n", " "].map(|end| (format!("{text}{end}"), Some(Finding::TextWithWhiteSpace))).into_iter()
}

/// What may have been taken for the secret.
fn secrets(app: &App, apps: &[App]) -> Vec<(AppSecret, Option<Finding>)> {
    let mut secrets = vec![(app.secret.clone(), None)];
    let others = apps.iter().filter(|other| other.id != app.id);
    secrets.extend(others.map(|other| (other.secret.clone(), Some(Finding::SecretOfApp(other.id.clone())))));
    secrets.push((AppSecret::new(app.key.clone()), Some(Finding::KeyAsSecret)));
    secrets.extend(["\n", "\r\n", "\r", " "].map(|end| {
        let secret = AppSecret::new(format!("{}{end}", app.secret.reveal()));
        (secret, Some(Finding::SecretWithWhiteSpace))
    }));
    secrets
}
