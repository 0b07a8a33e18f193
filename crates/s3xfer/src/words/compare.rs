//! [`Compare`]: when a sync takes two objects, or an object and a file, for the same.

/// The rule by which a sync leaves out objects and files that are there already. Sizes are in bytes; times are an
/// object's `LastModified` and a file's modification time, compared by whole seconds, in which S3 tells the former.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Compare {
    /// Transfers a source that has another size than the target, or is newer. Costs no request but the listing.
    #[default]
    SizeAndTime,
    /// Transfers a source that has another size than the target.
    SizeOnly,
    /// Transfers a source that has another size or another checksum. Files are read, and for each object of the same
    /// size its checksum is asked for (a HEAD). A pair without a checksum that both sides know is transferred.
    Checksum,
    /// Transfers a source that is newer than the target, with any size: a target that was changed later stays.
    Update,
}
