-- What was said under a sender's Idempotency-Key. All times are unix milliseconds.
CREATE TABLE calls (
    brand_id   INTEGER NOT NULL,
    -- The door and the key: 'broadcasts:<key>' or 'notifications:<key>'.
    key        TEXT NOT NULL,
    -- The SHA-256 of it.
    hash       BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (brand_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX calls_by_age ON calls (created_at);
