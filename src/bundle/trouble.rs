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
    heard: Option<Heard>,
    certificate: bool,
}

/// What was heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// What to quote, in one line of at most 200 characters without any that
    /// steer a terminal. It is a stranger's text.
    pub said: Option<String>,
    /// Whether it is a certificate that nobody here believes.
    pub certificate: bool,
}

/// How Node and OpenSSL name certificates that they do not believe.
const CERTIFICATE: [&str; 7] = [
    "SELF_SIGNED_CERT",
    "UNABLE_TO_GET_ISSUER_CERT",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    "CERT_",
    "self-signed certificate",
    "self signed certificate",
    "unable to get local issuer certificate",
];

#[derive(Debug)]
enum Heard {
    /// It only announces what the next line says.
    Announced(String),
    /// An error's number: any other line tells more.
    Numbered(String),
    Told(String),
}

impl Listener {
    /// A command's line, without secrets.
    pub fn hear(&mut self, line: &str) {
        self.certificate |= CERTIFICATE.iter().any(|name| line.contains(name));
        if matches!(self.heard, Some(Heard::Told(_))) {
            return;
        }
        let text = plain(line);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        if let Some(Heard::Announced(before)) = &self.heard {
            self.heard = Some(Heard::Told(cut(&format!("{before} {text}"))));
        } else if is_trouble(text) {
            self.heard = Some(if is_number(text) {
                Heard::Numbered(cut(text))
            } else if text.ends_with(':') {
                Heard::Announced(cut(text))
            } else {
                Heard::Told(cut(text))
            });
        }
    }

    #[must_use]
    pub fn heard(&self) -> Trouble {
        let said = self.heard.as_ref().map(|told| match told {
            Heard::Announced(line) => line.trim_end_matches(':'),
            Heard::Numbered(line) | Heard::Told(line) => line,
        });
        Trouble {
            said: said.map(str::to_owned),
            certificate: self.certificate,
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

/// Without colours, and without what is not seen: what turns the order of a
/// line's letters, breaks it elsewhere, or hides among them.
fn plain(line: &str) -> String {
    let unseen = |c: &char| {
        matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    console::strip_ansi_codes(line)
        .chars()
        .filter(|c| !unseen(c))
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
        listener.heard().said
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
    fn a_certificate_that_is_not_believed_is_told_from_other_failures() {
        let mut listener = Listener::default();
        listener.hear("npm error code E404");
        assert!(!listener.heard().certificate);
        listener.hear("npm error 404 Not Found");
        listener.hear("npm error code SELF_SIGNED_CERT_IN_CHAIN");
        assert!(listener.heard().certificate);
    }

    #[test]
    fn a_strangers_line_is_short_and_steers_nothing() {
        let quote = quoted(&format!("Error: {}\u{7}\u{202e}\tend", "ä".repeat(500))).unwrap();
        assert_eq!(quote.chars().count(), QUOTED);
        let quote = quoted("Error: a\u{7}\u{1b}[2Jb\u{202e}\tc").unwrap();
        assert_eq!(quote, "Error: ab c");
    }
}
