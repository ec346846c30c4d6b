//! Names of columns as they stand among other words: of letters, digits, `_`, `.` and `-`, or in double quotes, in which two are one.

/// Takes a name off a text. Returns it and what comes behind it and the blanks there.
///
/// # Errors
/// Returns why there is none.
pub(super) fn take_name(text: &str) -> Result<(String, &str), &'static str> {
    let mut name = String::new();
    let rest = match text.strip_prefix('"') {
        Some(mut quoted) => loop {
            let (piece, rest) = quoted.split_once('"').ok_or("a quote is not closed")?;
            name.push_str(piece);
            match rest.strip_prefix('"') {
                Some(rest) => {
                    name.push('"');
                    quoted = rest;
                }
                None => break rest,
            }
        },
        None => {
            let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
            let (word, rest) = text.split_at(text.find(|c| !is_of_name(c)).unwrap_or(text.len()));
            name.push_str(word);
            rest
        }
    };
    if name.is_empty() { Err("a name is missing") } else { Ok((name, rest.trim_start())) }
}
