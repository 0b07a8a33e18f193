//! [`Globs`]: which keys of a prefix, or files of a folder, are meant.

/// Patterns that leave names out and take them in again, in order: the last one that matches decides, and names that
/// none matches are taken. As the AWS CLI has them ("Use of Exclude and Include Filters", `aws s3 help`): `*` is any
/// letters, `/` among them, `?` is one letter, `[abc]` one of these and `[!abc]` another one. A pattern is compared
/// with the whole path below the prefix or the folder, in which `/` is between names.
///
/// ```
/// use s3xfer::Globs;
///
/// let globs = Globs::new().exclude("*").include("*.csv").exclude("draft/*");
/// assert!(globs.take("2026/sums.csv"));
/// assert!(!globs.take("2026/sums.txt"));
/// assert!(!globs.take("draft/sums.csv"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Globs {
    /// Whether a match is taken, and the pattern.
    pub(crate) patterns: Vec<(bool, Vec<char>)>,
}

impl Globs {
    /// Takes everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes names that match.
    #[must_use]
    pub fn include(mut self, pattern: &str) -> Self {
        self.patterns.push((true, pattern.chars().collect()));
        self
    }

    /// Leaves out names that match.
    #[must_use]
    pub fn exclude(mut self, pattern: &str) -> Self {
        self.patterns.push((false, pattern.chars().collect()));
        self
    }
}
