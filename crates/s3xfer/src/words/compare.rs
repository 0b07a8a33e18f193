//! [`Compare`]: the rule by which a sync takes two objects, or an object and a file, for the same.

/// The rule by which a sync skips objects and files that the target has already. Sizes are in bytes. Times are an
/// object's `LastModified` and a file's modification time, compared in whole seconds, because S3 gives whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Compare {
    /// Transfers a source that has another size than the target, or is newer. It needs no request except the listing.
    #[default]
    SizeAndTime,
    /// Transfers a source that has another size than the target.
    SizeOnly,
    /// Transfers a source that has another size or another checksum. Files are read, and for each object of the same
    /// size a HEAD asks for its checksum. A pair without a common kind of checksum is transferred.
    Checksum,
    /// Transfers a source that is newer than the target, with any size: a target that was changed later stays.
    Update,
}
