//! An S3 one can carry: the real protocol, an emulated network, planned faults.
