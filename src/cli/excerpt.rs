//! The lines of a failed build's log that tell why it has failed.
//!
//! They are seldom the last ones: npm explains its options after the cause,
//! bundlers print a stack below theirs. So what a tool says is looked through
//! for where the trouble begins, in the stage that failed.

use crate::bundle::trouble::is_trouble;
use crate::error::Code;

/// How many lines are shown.
const LINES: usize = 20;
/// How many of them are the stage's last, where there is too much.
const LAST: usize = 6;
/// What stands right before the trouble is shown, too.
const BEFORE: usize = 2;

/// The lines to show, fit for a terminal: what a build writes must not steer it.
pub(super) fn of(log: &str) -> Vec<String> {
    let plain = console::strip_ansi_codes(log);
    let lines: Vec<String> = plain
        .lines()
        // A progress line is drawn over itself: its last state counts.
        .map(|line| line.trim_end().rsplit('\r').next().unwrap_or_default())
        .map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>())
        .filter(|line| !line.is_empty())
        .collect();
    let mut stage = without_usage(failed_stage(&lines));
    // How the log ends is told already, above the excerpt.
    stage.pop_if(|line| {
        line.split_once(": ")
            .is_some_and(|(code, _)| Code::parse(code).is_some())
    });
    if stage.len() <= LINES {
        return stage.into_iter().cloned().collect();
    }
    let end = stage.len() - LAST;
    let begin = match stage.iter().position(|line| is_trouble(line)) {
        Some(at) if at < end => at.saturating_sub(BEFORE),
        _ => return shown(&stage[stage.len() - LINES..]),
    };
    let cut = (begin + LINES - LAST).min(end);
    let mut chosen = shown(&stage[begin..cut]);
    match end - cut {
        0 => {}
        // Takes no more room than to say that it is left out.
        1 => chosen.push(stage[cut].clone()),
        more => chosen.push(format!("... {more} more lines in the log")),
    }
    chosen.extend(shown(&stage[end..]));
    chosen
}

fn shown(lines: &[&String]) -> Vec<String> {
    lines.iter().map(|line| (*line).clone()).collect()
}

/// From where the last stage begins; only our own lines begin with `== `.
fn failed_stage(lines: &[String]) -> &[String] {
    let begins = |line: &String| {
        let words: Vec<&str> = line.split(' ').collect();
        words.len() == 2 && words[0] == "=="
    };
    let begin = lines.iter().rposition(begins).unwrap_or_default();
    &lines[begin..]
}

/// Without what npm says of how it is to be used, after it has said why it was
/// used in vain.
fn without_usage(lines: &[String]) -> Vec<&String> {
    let mut in_usage = false;
    lines
        .iter()
        .filter(|line| {
            let Some(text) = ["npm error", "npm ERR!"]
                .iter()
                .find_map(|mark| line.strip_prefix(mark))
            else {
                in_usage = false;
                return true;
            };
            let text = text.trim();
            in_usage |= text == "Usage:";
            !(in_usage || text.is_empty() || text.starts_with("A complete log of this run"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_becomes_plain_lines() {
        let text = "== bundle\n\n10 %\r90 %\r\n\u{1b}[31mno such module\u{1b}[0m\u{7}\n";
        assert_eq!(of(text), ["== bundle", "90 %", "no such module"]);
        assert_eq!(of(&"a line\n".repeat(100)).len(), LINES);
        assert!(of("").is_empty());
    }

    #[test]
    fn of_npm_the_cause_is_shown_and_not_the_manual() {
        let mut log = "== checkout\n== checkout done 0.0s\n== dependencies\n$ npm ci\n\
            npm error code EUSAGE\nnpm error\n\
            npm error `npm ci` can only install packages when your package.json and \
            package-lock.json are in sync.\nnpm error\n\
            npm error Missing: ms@2.1.3 from lock file\nnpm error\n\
            npm error Clean install a project\nnpm error\nnpm error Usage:\nnpm error npm ci\n"
            .to_owned();
        log.push_str(&"npm error   --option\n".repeat(60));
        log.push_str("npm error A complete log of this run can be found in: /x\n");
        log.push_str("== dependencies failed 1.6s MISSING_DEPENDENCIES\n");
        log.push_str("MISSING_DEPENDENCIES: `npm ci` ended with code 1\n");
        let told = of(&log);
        assert_eq!(told[0], "== dependencies");
        assert!(told.contains(&"npm error Missing: ms@2.1.3 from lock file".to_owned()));
        assert!(told.contains(&"npm error code EUSAGE".to_owned()));
        assert!(
            !told.iter().any(|line| line.contains("--option")),
            "{told:#?}"
        );
        let last = told.last().map(String::as_str);
        assert_eq!(
            last,
            Some("== dependencies failed 1.6s MISSING_DEPENDENCIES")
        );
    }

    #[test]
    fn of_a_long_stage_the_trouble_and_the_end_are_shown() {
        let mut log = "== bundle\n".to_owned();
        let mut add = |text: &str, times: usize| {
            for number in 0..times {
                let line = [text, " ", &number.to_string(), "\n"].concat();
                log.push_str(&line);
            }
        };
        add("transforming", 50);
        add("Error: Unable to resolve module ./x from App.js", 1);
        add("    at somewhere", 50);
        add("== bundle failed 2.0s PREVIEW_BUILD_FAILED", 1);
        let told = of(&log);
        assert_eq!(told.len(), LINES + 1, "{told:#?}");
        assert_eq!(told[0], "transforming 48");
        assert!(told[2].starts_with("Error: Unable to resolve"), "{told:#?}");
        assert!(told[14].starts_with("... 34 more lines"), "{told:#?}");
        assert!(told[20].starts_with("== bundle failed"), "{told:#?}");
    }
}
