-- The secret that is being replaced, with which may still be signed.
ALTER TABLE apps ADD COLUMN previous_secret TEXT;
