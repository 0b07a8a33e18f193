//! Finds, proves and exports a better S3 transfer configuration.
