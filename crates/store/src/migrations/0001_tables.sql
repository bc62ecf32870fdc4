CREATE TABLE head (
    one BIGINT PRIMARY KEY,
    revision BIGINT NOT NULL,
    pruned BIGINT NOT NULL,
    key_check TEXT NOT NULL
);
CREATE TABLE objects (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    project TEXT,
    parent TEXT,
    revision BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE TABLE claims (
    key TEXT PRIMARY KEY,
    holder TEXT NOT NULL
);
CREATE TABLE changes (
    revision BIGINT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    op TEXT NOT NULL,
    PRIMARY KEY (revision, kind, id)
);
CREATE TABLE traces (
    id TEXT PRIMARY KEY,
    revision BIGINT NOT NULL,
    project TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX traces_by_project ON traces (project, at_ms);
