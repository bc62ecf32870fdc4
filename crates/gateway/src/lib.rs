//! The API server: authentication and mounting of the dialects.
