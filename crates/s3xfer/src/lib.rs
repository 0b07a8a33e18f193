//! A parallel-range S3 transfer engine on aws-sdk-s3.
