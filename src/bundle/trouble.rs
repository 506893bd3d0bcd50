//! Where in a tool's output the trouble begins: seldom at its end, because npm
//! explains its options after the cause and bundlers print a stack below theirs.

/// The most characters of a telling line that are quoted.
const QUOTED: usize = 200;

/// Whether a line looks as if the trouble begins here.
#[must_use]
pub fn is_trouble(line: &str) -> bool {
    let text = line.trim_start();
    let begins = ["error", "Error", "ERROR", "ERR_", "npm error", "npm ERR!"]
        .iter()
        .any(|word| text.starts_with(word));
    let marks = text.starts_with(['✘', '✖', '×', '❌']);
    let within = [
        "Error: ",
        " error: ",
        " error TS",
        "ERROR ",
        ": error",
        " ERR_",
        "Cannot find ",
        "Unable to resolve ",
        ": not found",
    ]
    .iter()
    .any(|word| text.contains(word));
    begins || marks || within
}

/// Listens to one command's output, to quote the line that tells most of why it
/// has failed.
#[derive(Debug, Default)]
pub struct Listener {
    told: Option<Told>,
}

#[derive(Debug)]
enum Told {
    /// It only announces what the next line says.
    Announced(String),
    /// An error's number: any other line tells more.
    Numbered(String),
    Told(String),
}

impl Listener {
    /// A command's line, without secrets.
    pub fn hear(&mut self, line: &str) {
        if matches!(self.told, Some(Told::Told(_))) {
            return;
        }
        let text = plain(line);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        if let Some(Told::Announced(before)) = &self.told {
            self.told = Some(Told::Told(cut(&format!("{before} {text}"))));
        } else if is_trouble(text) {
            self.told = Some(if is_number(text) {
                Told::Numbered(cut(text))
            } else if text.ends_with(':') {
                Told::Announced(cut(text))
            } else {
                Told::Told(cut(text))
            });
        }
    }

    /// What to quote, in one line of at most 200 characters without any that
    /// steer a terminal. It is a stranger's text.
    #[must_use]
    pub fn quote(&self) -> Option<&str> {
        match self.told.as_ref()? {
            Told::Announced(line) => Some(line.trim_end_matches(':')),
            Told::Numbered(line) | Told::Told(line) => Some(line),
        }
    }
}

/// `npm error code E404`, as npm begins.
fn is_number(text: &str) -> bool {
    ["npm error", "npm ERR!"]
        .iter()
        .filter_map(|mark| text.strip_prefix(mark))
        .any(|rest| {
            let rest = rest.trim();
            rest.is_empty() || ["code ", "errno "].iter().any(|w| rest.starts_with(w))
        })
}

/// Without colours, and without what would turn the order of a line's letters.
fn plain(line: &str) -> String {
    let turns = |c: &char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    console::strip_ansi_codes(line)
        .chars()
        .filter(|c| !turns(c))
        .map(|c| if c == '\t' { ' ' } else { c })
        .filter(|c| !c.is_control())
        .collect()
}

fn cut(text: &str) -> String {
    if text.chars().count() <= QUOTED {
        return text.to_owned();
    }
    let kept: String = text.chars().take(QUOTED - 1).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(output: &str) -> Option<String> {
        let mut listener = Listener::default();
        for line in output.lines() {
            listener.hear(line);
        }
        listener.quote().map(str::to_owned)
    }

    #[test]
    fn the_first_telling_line_is_quoted() {
        for (output, wanted) in [
            (
                "Starting Metro\n\u{1b}[31mError: Unable to resolve module ./x from App.js\u{1b}[0m\n  at y",
                "Error: Unable to resolve module ./x from App.js",
            ),
            (
                "error during build:\n\nCould not resolve \"./x\" from \"main.js\"\nfile: y",
                "error during build: Could not resolve \"./x\" from \"main.js\"",
            ),
            (
                "npm error code E404\nnpm error 404 Not Found - GET http://r.example/x\nnpm error 404",
                "npm error 404 Not Found - GET http://r.example/x",
            ),
            ("npm error code ELIFECYCLE", "npm error code ELIFECYCLE"),
            ("sh: 1: vite: not found", "sh: 1: vite: not found"),
            (
                "SyntaxError: a.js: Unexpected token (1:2)",
                "SyntaxError: a.js: Unexpected token (1:2)",
            ),
            ("error during build:", "error during build"),
        ] {
            assert_eq!(quoted(output).as_deref(), Some(wanted), "{output}");
        }
        assert_eq!(quoted("all is well\n\ndone"), None);
    }

    #[test]
    fn a_strangers_line_is_short_and_steers_nothing() {
        let quote = quoted(&format!("Error: {}\u{7}\u{202e}\tend", "ä".repeat(500))).unwrap();
        assert_eq!(quote.chars().count(), QUOTED);
        let quote = quoted("Error: a\u{7}\u{1b}[2Jb\u{202e}\tc").unwrap();
        assert_eq!(quote, "Error: ab c");
    }
}
