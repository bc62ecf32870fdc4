//! Objects, claims and the change feed in one transaction, on SQLite or PostgreSQL.
