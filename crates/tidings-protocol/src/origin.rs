//! The pages that may connect to an app.

/// The `Origin` headers that an app takes, each a pattern:
/// `*`; a host (`example.com`, any scheme and port); a host with any subdomain (`*.example.com`); or a whole origin
/// (`https://example.com`, `https://*.example.com:8443`), whose absent port is the scheme's own.
///
/// An empty list takes every origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Any,
    Host(HostPattern),
    Whole { scheme: String, host: HostPattern, port: Option<u16> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Exact(String),
    Subdomains(String),
}

/// The text is no origin pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no origin: write https://example.com, example.com, *.example.com or *")]
pub struct OriginPatternError(pub String);

impl AllowedOrigins {
    /// Reads the patterns.
    ///
    /// # Errors
    /// [`OriginPatternError`] names the first that cannot be read.
    pub fn parse<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, OriginPatternError> {
        patterns.into_iter().map(Pattern::parse).collect::<Result<_, _>>().map(AllowedOrigins)
    }

    /// Whether a client that sent this `Origin` header may connect. Without the header the client is no page of a
    /// browser, and a list of pages says nothing about it.
    #[must_use]
    pub fn allow(&self, origin: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        self.0.is_empty() || self.0.iter().any(|pattern| pattern.matches(origin))
    }

    /// The patterns as texts that [`parse`](Self::parse) reads.
    #[must_use]
    pub fn to_texts(&self) -> Vec<String> {
        self.0.iter().map(Pattern::to_text).collect()
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, OriginPatternError> {
        let error = || OriginPatternError(text.to_owned());
        if text == "*" {
            return Ok(Pattern::Any);
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let (host, port) = split_port(rest).ok_or_else(error)?;
            if scheme.is_empty() {
                return Err(error());
            }
            let host = HostPattern::parse(host).ok_or_else(error)?;
            return Ok(Pattern::Whole { scheme: scheme.to_ascii_lowercase(), host, port });
        }
        HostPattern::parse(text).map(Pattern::Host).ok_or_else(error)
    }

    fn to_text(&self) -> String {
        match self {
            Pattern::Any => "*".to_owned(),
            Pattern::Host(host) => host.to_text(),
            Pattern::Whole { scheme, host, port: None } => format!("{scheme}://{}", host.to_text()),
            Pattern::Whole { scheme, host, port: Some(port) } => {
                format!("{scheme}://{}:{port}", host.to_text())
            }
        }
    }

    fn matches(&self, origin: &str) -> bool {
        if matches!(self, Pattern::Any) {
            return true;
        }
        let Some((scheme, rest)) = origin.split_once("://") else { return false };
        let Some((host, port)) = split_port(rest).filter(|(host, _)| is_host(host)) else { return false };
        match self {
            Pattern::Any => true,
            Pattern::Host(pattern) => pattern.matches(host),
            Pattern::Whole { scheme: wanted, host: pattern, port: wanted_port } => {
                scheme.eq_ignore_ascii_case(wanted)
                    && pattern.matches(host)
                    && port.or(own_port(scheme)) == wanted_port.or(own_port(wanted))
            }
        }
    }
}

impl HostPattern {
    fn parse(text: &str) -> Option<Self> {
        let (name, subdomains) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        if !is_host(name) {
            return None;
        }
        let name = name.to_ascii_lowercase();
        Some(if subdomains { HostPattern::Subdomains(format!(".{name}")) } else { HostPattern::Exact(name) })
    }

    fn to_text(&self) -> String {
        match self {
            HostPattern::Exact(name) => name.clone(),
            HostPattern::Subdomains(suffix) => format!("*{suffix}"),
        }
    }

    fn matches(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        match self {
            HostPattern::Exact(name) => host == *name,
            HostPattern::Subdomains(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
        }
    }
}

/// A name, or an address in brackets.
fn is_host(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let valid = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b) || (inner.is_some() && b == b':');
    let name = inner.unwrap_or(text);
    !name.is_empty() && name.bytes().all(valid)
}

/// Splits `host[:port]`; `None` if what follows the colon is no port, or a path follows.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    if text.contains('/') {
        return None;
    }
    let end_of_host = text.rfind(']').unwrap_or(0);
    match text[end_of_host..].rfind(':') {
        Some(colon) => {
            let (host, port) = text.split_at(end_of_host + colon);
            Some((host, Some(port[1..].parse().ok()?)))
        }
        None => Some((text, None)),
    }
}

fn own_port(scheme: &str) -> Option<u16> {
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], origin: &str, expected: bool) {
        let allowed = AllowedOrigins::parse(patterns.iter().copied()).expect("patterns");
        assert_eq!(allowed.allow(Some(origin)), expected, "{patterns:?} {origin}");
        let texts = allowed.to_texts();
        assert_eq!(AllowedOrigins::parse(texts.iter().map(String::as_str)), Ok(allowed), "{texts:?}");
    }

    #[test]
    fn exact_hosts_subdomains_and_whole_origins() {
        check(&[], "https://any.example", true);
        check(&["*"], "null", true);
        check(&["https://a.example"], "https://a.example", true);
        check(&["https://a.example"], "https://a.example:443", true);
        check(&["https://a.example"], "http://a.example", false);
        check(&["https://a.example"], "https://a.example:8443", false);
        check(&["https://a.example"], "https://a.example.evil.test", false);
        check(&["https://a.example"], "https://evil-a.example", false);
        check(&["https://a.example"], "null", false);
        check(&["HTTPS://A.example"], "https://a.EXAMPLE", true);
        check(&["a.example"], "http://a.example:3000", true);
        check(&["a.example"], "http://b.a.example", false);
        check(&["*.a.example"], "https://b.a.example", true);
        check(&["*.a.example"], "https://a.example", false);
        check(&["*.a.example"], "https://xa.example", false);
        check(&["https://*.a.example:8443"], "https://b.a.example:8443", true);
        check(&["http://[::1]:3000"], "http://[::1]:3000", true);
        check(&["http://localhost:3000"], "http://localhost:3000/path", false);
    }

    #[test]
    fn no_header_is_no_page() {
        assert!(AllowedOrigins::parse(["https://a.example"]).expect("pattern").allow(None));
    }

    #[test]
    fn refuses_what_is_no_origin() {
        for bad in ["", "https://", "https://a.example/path", "a b", "https://a.example:x", "://a"] {
            assert!(AllowedOrigins::parse([bad]).is_err(), "{bad}");
        }
    }
}
