-- What is to leave the house, and what could not be delivered. All times are unix milliseconds.

CREATE TABLE targets (
    id     INTEGER PRIMARY KEY,
    app_id TEXT NOT NULL,
    url    TEXT NOT NULL,
    UNIQUE (app_id, url)
) STRICT;

CREATE TABLE deliveries (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    target_id  INTEGER NOT NULL,
    -- What is kept in order among itself: a channel.
    lane       TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    event      TEXT NOT NULL,
    body       TEXT NOT NULL,
    -- When it was put in the queue, the last time if it was replayed.
    queued_at  INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    -- Of the first of each lane alone: those behind it wait for it.
    due_at     INTEGER,
    last_error TEXT,
    -- A dead letter since then.
    died_at    INTEGER
) STRICT;
CREATE INDEX deliveries_due ON deliveries (target_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_by_lane ON deliveries (target_id, lane, seq) WHERE died_at IS NULL;
CREATE INDEX deliveries_dead ON deliveries (died_at) WHERE died_at IS NOT NULL;

-- Of whom backends believe that they are there: what a crash leaves here is told gone, unless it comes back.
CREATE TABLE told_channels (
    app_id  TEXT NOT NULL,
    channel TEXT NOT NULL,
    PRIMARY KEY (app_id, channel)
) STRICT, WITHOUT ROWID;

CREATE TABLE told_members (
    app_id  TEXT NOT NULL,
    channel TEXT NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (app_id, channel, user_id)
) STRICT, WITHOUT ROWID;
