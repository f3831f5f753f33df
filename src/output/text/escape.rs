//! Text from elsewhere (names of files, what files hold) made safe for a terminal.

use serde::Serialize;

use crate::files::input::shortened;

/// Characters of one cause of an error that are kept; a path may be longer than all else.
const MAX_CAUSE: usize = 1000;
/// Characters of an error that are kept.
const MAX_ERROR: usize = 4000;

/// The text on one line, with nothing in it that a terminal obeys or that reorders what is shown:
/// control characters, line separators and marks of writing direction are escaped as in Rust.
///
/// Whatever may hold the name or the content of a file goes through here on its way to a terminal
/// or into a text format; JSON has an escape of its own and stays exact.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => safe.extend(c.escape_default()),
            c if is_obeyed(c) => safe.extend(c.escape_unicode()),
            c => safe.push(c),
        }
    }
    safe
}

/// Whether a terminal obeys it, or shows other characters in another order for it.
fn is_obeyed(c: char) -> bool {
    let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || reorders
}

/// A value as one line of JSON, in which what [`escape`] escapes has JSON's own escape: serde_json
/// leaves what is above U+007E as it is.
///
/// # Errors
///
/// If it has no form in JSON.
pub fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let line = serde_json::to_string(value)?;
    if !line.contains(is_obeyed) {
        return Ok(line);
    }
    let mut safe = String::with_capacity(line.len());
    for c in line.chars() {
        match is_obeyed(c) {
            true => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => safe.push(c),
        }
    }
    Ok(safe)
}

/// An error and its causes as one line of bounded length, without a prefix.
pub fn error(error: &anyhow::Error) -> String {
    escape(&plain_error(error))
}

/// Does as [`error`] for a format with an escape of its own.
pub fn plain_error(error: &anyhow::Error) -> String {
    let mut causes: Vec<String> = Vec::new();
    for cause in error.chain() {
        let cause = shortened(&cause.to_string(), MAX_CAUSE).into_owned();
        // Some errors say what their cause says.
        if causes.last().is_none_or(|last| !last.ends_with(&cause)) {
            causes.push(cause);
        }
    }
    shortened(&causes.join(": "), MAX_ERROR).into_owned()
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(escape("a\x1b[2J\nb\r\u{9b}31m\u{7f}"), r"a\u{1b}[2J\nb\r\u{9b}31m\u{7f}");
        assert_eq!(escape("\u{202e}gnp.exe\u{2028}"), r"\u{202e}gnp.exe\u{2028}");
        assert_eq!(escape("Zürich 数字 ▀ ´"), "Zürich 数字 ▀ ´");
    }

    #[test]
    fn json_holds_the_same_text_without_a_control_character() {
        let name = "a\u{1b}[2J\u{7f}\u{9b}31m\n\u{e9}\u{2028}";
        let line = json(&name).unwrap();
        assert!(!line.contains(is_obeyed), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), name);
    }

    #[test]
    fn the_cause_is_shown_after_a_very_long_path() {
        let path = "a/".repeat(50_000);
        let fault = anyhow!("File name too long").context(format!("cannot read the image {path}"));
        let text = error(&fault);
        assert!(text.starts_with("cannot read the image a/a/"), "{text}");
        assert!(text.ends_with(": File name too long"), "{text}");
        assert!(text.chars().count() < 1100, "{}", text.chars().count());
    }
}
