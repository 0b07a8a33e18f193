//! [`NameError`]: keys without a path below a folder, and files without a key.

/// Why a key cannot become a file below a folder, or a file an object. Nothing was written for it.
///
/// Displays as a fragment that reads after the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The rest of the key begins with `/`, and would be a path from the root.
    #[error("begins with `/` below the prefix; copy it by itself, under another name")]
    Absolute,
    /// A part between two `/` is empty. As a path it would be the same as the one without it.
    #[error("has an empty name between two `/`, which a path cannot have; copy it by itself, under another name")]
    EmptySegment,
    /// A part of the key means another folder.
    #[error("has `{segment}` as a name, which leads to another folder; copy it by itself, under another name")]
    Dots {
        /// `.` or `..`.
        segment: String,
    },
    /// A path ends at the first NUL.
    #[error("holds a NUL, which a path cannot; copy it by itself, under another name")]
    Nul,
    /// A part of the key is longer than names are in the folder's file system.
    #[error("has a name of {bytes} bytes; the folder's file system takes at most {most}")]
    TooLong {
        /// Bytes of the name in UTF-8.
        bytes: usize,
        /// The bound: `f_namemax` of statvfs(3).
        most: usize,
    },
    /// Another key needs a folder of the same name.
    #[error(
        "cannot be below `{file}`, which is an object, too: a name is a file or a folder; copy one of them by itself"
    )]
    BelowFile {
        /// The other key's path.
        file: String,
    },
    /// Another key's path differs in case alone, and the folder's file system does not tell them apart.
    #[error(
        "differs from an earlier key in upper and lower case only, which the folder's file system does not tell apart; \
         copy one of them by itself"
    )]
    SameButForCase,
    /// A key that ends with `/` stands for a folder, and a folder has no bytes.
    #[error("ends with `/` like a folder, but has {bytes} bytes; copy it by itself, under another name")]
    FolderWithBytes {
        /// Bytes of the object.
        bytes: u64,
    },
    /// The name is one of those that this crate gives to temporary files.
    #[error("is a name of this crate's temporary files; copy it by itself, or without resuming")]
    Reserved,
    /// A file's name is not text, but keys must be.
    #[error("is not UTF-8, but a key must be; rename the file")]
    NotUtf8,
    /// A link is on the way, and would lead out of the folder.
    #[error("is behind the symbolic link `{link}`, which may lead out of the folder; remove the link")]
    BehindLink {
        /// The link's path below the folder.
        link: String,
    },
    /// Something that is no regular file is where the object's file belongs.
    #[error("is taken by something that is no regular file; move it away")]
    NotAFile,
    /// A file is where a folder is needed.
    #[error("needs a folder at `{file}`, where a file is; move the file away")]
    FileInTheWay {
        /// The file's path below the folder.
        file: String,
    },
}
