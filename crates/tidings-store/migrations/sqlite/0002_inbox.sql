-- All times are unix milliseconds.

CREATE TABLE brands (
    id              INTEGER PRIMARY KEY,
    name            TEXT UNIQUE NOT NULL,
    app_id          TEXT NOT NULL,
    region          TEXT NOT NULL,
    sid_url         TEXT,
    test_sid        INTEGER NOT NULL,
    -- A JSON array of patterns.
    allowed_origins TEXT NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT;

CREATE TABLE api_keys (
    -- The SHA-256 of the key.
    hash       BLOB PRIMARY KEY NOT NULL,
    -- The first characters, to tell keys apart.
    hint       TEXT NOT NULL,
    -- Whose it is; null: it opens the whole installation.
    brand_id   INTEGER,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    brand_id    INTEGER NOT NULL,
    external_id TEXT NOT NULL,
    first_name  TEXT NOT NULL DEFAULT '',
    last_name   TEXT NOT NULL DEFAULT '',
    email       TEXT NOT NULL DEFAULT '',
    phone       TEXT NOT NULL DEFAULT '',
    locale      TEXT NOT NULL DEFAULT '',
    is_test     INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    UNIQUE (brand_id, external_id)
) STRICT;
-- By number, as lists and broadcasts go.
CREATE INDEX users_by_brand ON users (brand_id);

-- What segments are made of.
CREATE TABLE user_tags (
    brand_id INTEGER NOT NULL,
    tag      TEXT NOT NULL,
    user_id  INTEGER NOT NULL,
    PRIMARY KEY (brand_id, tag, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_tags_by_user ON user_tags (user_id);

CREATE TABLE logins (
    -- The SHA-256 of the token.
    token_hash BLOB PRIMARY KEY NOT NULL,
    brand_id   INTEGER NOT NULL,
    user_id    INTEGER NOT NULL,
    -- The SHA-256 of the sid that the operator accepted, if it was asked for this login.
    sid_hash   BLOB,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX logins_by_sid ON logins (sid_hash, brand_id, expires_at);
CREATE INDEX logins_by_end ON logins (expires_at);
CREATE INDEX logins_by_user ON logins (user_id, expires_at);

CREATE TABLE notifications (
    -- Sorts by time, see NotificationId; none is given again after its row has gone.
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    brand_id     INTEGER NOT NULL,
    user_id      INTEGER NOT NULL,
    event        TEXT NOT NULL CHECK (event IN ('message', 'shoutout', 'inbox')),
    display      TEXT NOT NULL CHECK (display IN ('push', 'silent')),
    title        TEXT NOT NULL,
    body         TEXT NOT NULL,
    preview      TEXT NOT NULL,
    footer       TEXT NOT NULL,
    button_link  TEXT NOT NULL,
    button_text  TEXT NOT NULL,
    button2_link TEXT NOT NULL,
    button2_text TEXT NOT NULL,
    image_url    TEXT NOT NULL,
    -- A JSON object.
    data         TEXT NOT NULL,
    category     TEXT NOT NULL,
    -- A JSON array of strings.
    tags         TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    seen_at      INTEGER,
    read_at      INTEGER,
    archived_at  INTEGER,
    -- Set on a tombstone, whose texts are gone.
    deleted_at   INTEGER
) STRICT;
-- Everything that counts and cursors need, so that neither looks at a row it does not show.
CREATE INDEX inbox ON notifications (brand_id, user_id, id, archived_at, expires_at, read_at, seen_at, deleted_at)
    WHERE deleted_at IS NULL;
CREATE INDEX notifications_by_expiry ON notifications (expires_at)
    WHERE deleted_at IS NULL AND expires_at IS NOT NULL;
CREATE INDEX tombstones ON notifications (deleted_at) WHERE deleted_at IS NOT NULL;

-- What senders call a notification; kept longer than the notification may live.
CREATE TABLE source_keys (
    brand_id        INTEGER NOT NULL,
    source          TEXT NOT NULL,
    key             TEXT NOT NULL,
    notification_id INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (brand_id, source, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX source_keys_by_age ON source_keys (created_at);

-- Changes of inboxes that are committed and not yet told to the pages that are open.
CREATE TABLE announcements (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    brand_id INTEGER NOT NULL,
    user_id  INTEGER NOT NULL,
    change   TEXT NOT NULL
        CHECK (change IN ('created', 'seen', 'read', 'unread', 'archived', 'unarchived', 'deleted')),
    -- Notification ids with commas between them; 'all' if it was the whole inbox.
    ids      TEXT NOT NULL,
    at       INTEGER NOT NULL
) STRICT;

CREATE TABLE templates (
    brand_id   INTEGER NOT NULL,
    -- 'default', 'action:<id>', 'activity:<id>' or 'name:<name>'.
    name       TEXT NOT NULL,
    -- A JSON object: languages, and the fields of each.
    body       TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (brand_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE broadcasts (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    brand_id   INTEGER NOT NULL,
    -- 'all', 'listed' (see broadcast_users), or 'tag:<tag>'.
    audience   TEXT NOT NULL,
    -- A JSON object: what is sent.
    payload    TEXT NOT NULL,
    due_at     INTEGER NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('scheduled', 'running', 'done', 'cancelled')),
    -- The last user that has been served; chunks go by user id.
    last_user  INTEGER NOT NULL DEFAULT 0,
    sent       INTEGER NOT NULL DEFAULT 0,
    -- What its sender calls it: the same again is not another.
    key        TEXT,
    created_at INTEGER NOT NULL,
    UNIQUE (brand_id, key)
) STRICT;
CREATE INDEX broadcasts_due ON broadcasts (due_at) WHERE state IN ('scheduled', 'running');
CREATE INDEX broadcasts_over ON broadcasts (due_at) WHERE state IN ('done', 'cancelled');

CREATE TABLE broadcast_users (
    broadcast_id INTEGER NOT NULL,
    user_id      INTEGER NOT NULL,
    PRIMARY KEY (broadcast_id, user_id)
) STRICT, WITHOUT ROWID;
