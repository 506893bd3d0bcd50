//! Repositories: what an archive or a folder becomes, how it is read, and what
//! a checkout writes.

mod archives;
mod checkouts;
mod folders;
mod leftovers;
mod linked;
mod reading;

use crate::sources::{FILE, FOLDER, Item, LINK, PROGRAM, item};

/// A tree with every kind of entry that may be kept.
fn tree() -> Vec<Item<'static>> {
    vec![
        item(FILE, "index.html", b"<h1>hi</h1>"),
        item(PROGRAM, "bin/run", b"#!/bin/sh\n"),
        item(FOLDER, "empty/", b""),
        item(FILE, "src/a \"quoted\" name.js", b"1"),
        item(FILE, "src/\u{fc}n\u{ef}c\u{f6}de.js", b"2"),
        item(LINK, "src/link", b"../bin/run"),
        item(FILE, ".gitignore", b"dist\n"),
        item(FILE, "nothing", b""),
    ]
}

const LISTING: [&str; 7] = [
    "100644 .gitignore",
    "100755 bin/run",
    "100644 index.html",
    "100644 nothing",
    "100644 \"src/a \\\"quoted\\\" name.js\"",
    "120000 src/link",
    "100644 \"src/\\303\\274n\\303\\257c\\303\\266de.js\"",
];
