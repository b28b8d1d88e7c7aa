CREATE TABLE apps (
    id         TEXT PRIMARY KEY NOT NULL,
    key        TEXT UNIQUE NOT NULL,
    secret     TEXT NOT NULL,
    -- A JSON object, under the names of the configuration file; what is absent has its default.
    settings   TEXT NOT NULL,
    -- Unix milliseconds.
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
