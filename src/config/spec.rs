//! What is told about a setting: its name, kind, default and one line of
//! documentation.

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number within both bounds, of a unit (may be empty).
    Number {
        min: u64,
        max: u64,
        unit: &'static str,
    },
    Flag,
    Choice(&'static [&'static str]),
    /// Free text that the converter checks; the words say what it expects.
    Text(&'static str),
    /// Values separated by commas, an array in the file; the words describe
    /// one of them.
    List(&'static str),
    /// A path; a relative one starts at the folder of the file that names it,
    /// or at the working folder.
    Path(&'static str),
    /// Never printed.
    Secret(&'static str),
}

impl Kind {
    /// Completes the sentence "expected …".
    #[must_use]
    pub fn expectation(self) -> String {
        match self {
            Kind::Number { min, max, unit } => {
                let unit = if unit.is_empty() {
                    ""
                } else {
                    &format!(" {unit}")
                };
                format!("a whole number from {min} to {max}{unit}")
            }
            Kind::Flag => "true or false".to_owned(),
            Kind::Choice(names) => format!("one of {}", names.join(", ")),
            Kind::List(one) => format!("a list, separated by commas, of {one}"),
            Kind::Text(words) | Kind::Path(words) | Kind::Secret(words) => words.to_owned(),
        }
    }

    #[must_use]
    pub fn is_secret(self) -> bool {
        matches!(self, Kind::Secret(_))
    }
}

/// What holds when nobody sets a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    Value(&'static str),
    /// Depends on other settings or the machine; the words say how.
    Rule(&'static str),
    /// The feature is off, or has no value.
    Unset,
}

/// A row of the table, without the type of its value.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub section: &'static str,
    pub name: &'static str,
    pub kind: Kind,
    pub fallback: Fallback,
    /// One line for the operator.
    pub doc: &'static str,
}

/// A row of the table with the way to its value.
#[derive(Debug)]
pub struct Setting<T> {
    pub spec: Spec,
    pub(super) convert: fn(&str) -> Option<T>,
}
