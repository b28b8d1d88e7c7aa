//! The same JSON as other programs write it.

use std::fmt::Write as _;

use serde_json::Value;

/// What separates the parts of arrays and objects.
#[derive(Clone, Copy)]
enum Spacing {
    /// As JavaScript, PHP and Ruby write.
    None,
    /// As Python writes: after commas and colons.
    AfterSeparators,
}

/// Which characters of texts are escaped though they need not be.
#[derive(Clone, Copy)]
enum Escapes {
    None,
    /// `\/`, as PHP writes.
    Slash,
    /// `\u00e4`, as Python writes.
    NonAscii,
    /// Both, as PHP writes if it is not told otherwise.
    SlashAndNonAscii,
}

/// The ways in which a JSON text is written elsewhere, keys in their order or sorted; nothing if it is no JSON.
pub(super) fn variants(text: &str) -> Vec<String> {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    // A JSON object of serde_json has its keys sorted.
    let sorted = value.to_string();
    let mut variants = Vec::new();
    for source in [text, &sorted] {
        for spacing in [Spacing::None, Spacing::AfterSeparators] {
            for escapes in [Escapes::None, Escapes::Slash, Escapes::NonAscii, Escapes::SlashAndNonAscii] {
                variants.push(rewrite(source, spacing, escapes));
            }
        }
    }
    variants
}

/// Writes a valid JSON text anew.
fn rewrite(text: &str, spacing: Spacing, escapes: Escapes) -> String {
    let mut written = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let end = string_end(rest);
            write_string(&mut written, &rest[..end], escapes);
            rest = &rest[end..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        if c.is_ascii_whitespace() {
            continue;
        }
        written.push(c);
        if matches!((spacing, c), (Spacing::AfterSeparators, ',' | ':')) {
            written.push(' ');
        }
    }
    written
}

/// Where the string literal ends that a text begins with.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn write_string(written: &mut String, literal: &str, escapes: Escapes) {
    let plain = serde_json::from_str::<String>(literal).map(|text| Value::String(text).to_string());
    let (slash, non_ascii) = match escapes {
        Escapes::None => (false, false),
        Escapes::Slash => (true, false),
        Escapes::NonAscii => (false, true),
        Escapes::SlashAndNonAscii => (true, true),
    };
    for c in plain.as_deref().unwrap_or(literal).chars() {
        match c {
            '/' if slash => written.push_str("\\/"),
            c if non_ascii && !c.is_ascii() => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(written, "\\u{unit:04x}").expect("a string takes what is written to it");
                }
            }
            c => written.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, spacing: Spacing, escapes: Escapes, expected: &str) {
        assert_eq!(rewrite(text, spacing, escapes), expected);
    }

    #[test]
    fn writes_as_others_do() {
        let text = r#"{ "b":"a, b: \"c\"", "a":["/",1 ,"ż😀"]}"#;
        check(text, Spacing::None, Escapes::None, r#"{"b":"a, b: \"c\"","a":["/",1,"ż😀"]}"#);
        check(text, Spacing::AfterSeparators, Escapes::None, r#"{"b": "a, b: \"c\"", "a": ["/", 1, "ż😀"]}"#);
        check(text, Spacing::None, Escapes::Slash, r#"{"b":"a, b: \"c\"","a":["\/",1,"ż😀"]}"#);
        check(
            text,
            Spacing::None,
            Escapes::NonAscii,
            r#"{"b":"a, b: \"c\"","a":["/",1,"\u017c\ud83d\ude00"]}"#,
        );
        check(r#""\u017c\/""#, Spacing::None, Escapes::None, "\"ż/\"");
    }

    #[test]
    fn sorts_keys_and_gives_nothing_for_what_is_no_json() {
        assert!(variants(r#"{"b":1,"a":2}"#).contains(&r#"{"a":2,"b":1}"#.to_owned()));
        assert_eq!(variants("{"), Vec::<String>::new());
    }
}
