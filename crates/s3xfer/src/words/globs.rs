//! [`Globs`]: the selection of keys of a prefix, or of files of a folder.

/// Patterns that exclude and include names, in order: the last pattern that matches decides, and a name that no pattern
/// matches is included. They are those of the AWS CLI ("Use of Exclude and Include Filters", `aws s3 help`): `*` is any
/// letters, `/` included, `?` is one letter, `[abc]` is one of these letters and `[!abc]` any other letter. A pattern
/// is compared with the whole path below the prefix or the folder, with `/` between names.
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
    /// Includes every name.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Includes names that match.
    #[must_use]
    pub fn include(mut self, pattern: &str) -> Self {
        self.patterns.push((true, pattern.chars().collect()));
        self
    }

    /// Excludes names that match.
    #[must_use]
    pub fn exclude(mut self, pattern: &str) -> Self {
        self.patterns.push((false, pattern.chars().collect()));
        self
    }
}
