//! What arguments of several commands must be.

/// Reads a number of days.
///
/// # Errors
/// What it must be.
pub fn days(text: &str, max: u32) -> Result<u32, String> {
    let days = text.parse().ok().filter(|it| (1..=max).contains(it));
    days.ok_or_else(|| format!("it must be a number of days from 1 to {max}"))
}

/// Checks a name or a label: trimmed, within a length, no control characters.
///
/// # Errors
/// What is wrong with it.
pub fn checked_text(text: &str, chars_max: usize) -> Result<String, String> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err("it contains a line break or another control character".to_owned());
    }
    if text.chars().count() > chars_max {
        return Err(format!("it is longer than {chars_max} characters"));
    }
    Ok(text.to_owned())
}
