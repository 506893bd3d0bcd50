//! Reads a `.env` file: `NAME=value` lines, as shells, systemd and docker
//! compose agree on them. Nothing is expanded: a `$` is a `$`.
//!
//! `export NAME=…` is taken; `#` starts a comment at the start of a line or
//! after a blank; `'…'` is literal; within `"…"` the escapes `\n`, `\"`, `\\`
//! and `\$` are known. A later line wins over an earlier one.

/// A line that cannot be read. The text of the line stays out: it may hold a
/// secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    pub(super) number: usize,
    pub(super) why: &'static str,
}

/// The names and values in the order of the lines, and the lines that are
/// neither.
pub(super) fn parse(text: &str) -> (Vec<(String, String)>, Vec<BadLine>) {
    let mut pairs = Vec::new();
    let mut bad = Vec::new();
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        match pair(line.trim()) {
            Ok(None) => {}
            Ok(Some(pair)) => pairs.push(pair),
            Err(why) => bad.push(BadLine {
                number: at + 1,
                why,
            }),
        }
    }
    (pairs, bad)
}

fn pair(line: &str) -> Result<Option<(String, String)>, &'static str> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let (name, rest) = line
        .split_once('=')
        .ok_or("is not of the form NAME=value")?;
    let name = name.trim_end();
    let named = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if !named {
        return Err("does not start with a name of letters, digits and underscores");
    }
    Ok(Some((name.to_owned(), value(rest.trim_start())?)))
}

fn value(rest: &str) -> Result<String, &'static str> {
    let (value, tail) = match rest.chars().next() {
        Some('\'') => {
            let (inside, tail) = rest[1..]
                .split_once('\'')
                .ok_or("has an opening ' without its closing one")?;
            (inside.to_owned(), tail)
        }
        Some('"') => double_quoted(&rest[1..])?,
        _ => {
            let end = rest
                .char_indices()
                .find(|&(at, c)| c == '#' && (at == 0 || rest[..at].ends_with(char::is_whitespace)))
                .map_or(rest.len(), |(at, _)| at);
            return Ok(rest[..end].trim_end().to_owned());
        }
    };
    let tail = tail.trim_start();
    if tail.is_empty() || tail.starts_with('#') {
        Ok(value)
    } else {
        Err("has text after the closing quote")
    }
}

fn double_quoted(rest: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &rest[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('"' | '\\' | '$'))) => value.push(c),
                Some((_, c)) => value.extend(['\\', c]),
                None => break,
            },
            c => value.push(c),
        }
    }
    Err("has an opening \" without its closing one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_common_forms() {
        let (pairs, bad) = parse(
            "# a comment\n\nPORT=4001\nexport LOG_LEVEL = debug  # loud\nA='x # $y'\nB=\"l1\\nl2 \\\"q\\\" \\d\" # c\r\nC=\nD=a#b\nE= # nothing\n",
        );
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("PORT", "4001"),
                ("LOG_LEVEL", "debug"),
                ("A", "x # $y"),
                ("B", "l1\nl2 \"q\" \\d"),
                ("C", ""),
                ("D", "a#b"),
                ("E", ""),
            ]
        );
        assert_eq!(bad, []);
    }

    #[test]
    fn names_the_line_and_not_its_text() {
        let (pairs, bad) = parse("PORT 4000\n1A=x\nB='open\nC=\"x\" y\nD=\"open\\\nE=ok");
        assert_eq!(pairs, [("E".to_owned(), "ok".to_owned())]);
        let lines: Vec<_> = bad.iter().map(|b| b.number).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5]);
    }
}
