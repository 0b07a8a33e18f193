//! [`Compare`]: when a sync takes two objects, or an object and a file, for the same.

/// The rule by which a sync leaves out what is there already. Sizes are in bytes; times are an object's `LastModified`
/// and a file's modification time, compared by whole seconds, in which S3 tells the former.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Compare {
    /// Transfers what has another size, or is newer than what is there. Costs no request but the listing.
    #[default]
    SizeAndTime,
    /// Transfers what has another size.
    SizeOnly,
    /// Transfers what has another size or another checksum. Files are read, and for each object of the same size its
    /// checksum is asked for (a HEAD). What has no checksum that both sides know is transferred.
    Checksum,
    /// Transfers what is newer than what is there, whatever its size: what was changed at the target stays.
    Update,
}
