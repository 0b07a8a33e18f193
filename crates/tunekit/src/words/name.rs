//! `UnknownName`: a searcher or scheduler that does not exist.

/// A searcher or scheduler of this name does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} called `{given}` (known: {})", known.join(", "))]
#[non_exhaustive]
pub struct UnknownName {
    /// `searcher` or `scheduler`.
    pub what: &'static str,
    /// The name given.
    pub given: String,
    /// The names there are.
    pub known: Vec<&'static str>,
}

impl UnknownName {
    pub(crate) fn new(what: &'static str, given: &str, known: impl IntoIterator<Item = &'static str>) -> Self {
        Self { what, given: given.to_owned(), known: known.into_iter().collect() }
    }
}
