-- The database of plumm, as numbered steps. A step is never changed once it is released, only followed
-- by another; `PRAGMA user_version` counts the steps a file has taken (src/store/migrate.rs).
--
-- Times are nanoseconds since 1970-01-01T00:00:00Z. Text marked "folded" is in the form that
-- letter case does not change (src/scim/filter/comparison.rs), so that an index answers what letter case must not change.

-- v 1

-- An organisation: one customer. `active` says whether support has activated provisioning.
CREATE TABLE org (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    name_folded TEXT NOT NULL UNIQUE,
    active INTEGER NOT NULL,
    username_format TEXT NOT NULL,
    identity_changes TEXT NOT NULL,
    created INTEGER NOT NULL
) STRICT;

-- An API token: never the secret, only its argon2id hash and a short tag that refuses wrong guesses
-- before argon2 is reached (src/auth.rs).
CREATE TABLE token (
    id TEXT PRIMARY KEY,
    org INTEGER NOT NULL REFERENCES org (id),
    scope TEXT NOT NULL,
    label TEXT NOT NULL,
    hash TEXT NOT NULL,
    tag BLOB NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER,
    last_used INTEGER
) STRICT, WITHOUT ROWID;

-- A resource of any type. `document` is the JSON it is answered with, less what is computed (`meta`);
-- the columns beside it repeat what clients search by. `seq` is the order of creation, in which lists
-- are paged. A deleted resource keeps its row until support purges it.
CREATE TABLE resource (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    org INTEGER NOT NULL REFERENCES org (id),
    type TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    user_name TEXT,               -- folded
    external_id TEXT,
    display_name TEXT,            -- folded
    active INTEGER,
    created INTEGER NOT NULL,
    last_modified INTEGER NOT NULL,
    version INTEGER NOT NULL,
    deleted INTEGER,
    document TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX resource_user_name ON resource (org, type, user_name)
    WHERE deleted IS NULL AND user_name IS NOT NULL;
CREATE INDEX resource_external_id ON resource (org, type, external_id)
    WHERE deleted IS NULL AND external_id IS NOT NULL;
CREATE INDEX resource_display_name ON resource (org, type, display_name)
    WHERE deleted IS NULL AND display_name IS NOT NULL;
CREATE INDEX resource_list ON resource (org, type, seq) WHERE deleted IS NULL;
CREATE INDEX resource_last_modified ON resource (org, type, last_modified) WHERE deleted IS NULL;
CREATE INDEX resource_deleted ON resource (org, type, deleted) WHERE deleted IS NOT NULL;

-- The e-mail addresses of a resource, folded; several resources may share one.
CREATE TABLE email (
    org INTEGER NOT NULL REFERENCES org (id),
    value TEXT NOT NULL,
    resource INTEGER NOT NULL REFERENCES resource (seq) ON DELETE CASCADE,
    PRIMARY KEY (org, value, resource)
) STRICT, WITHOUT ROWID;
CREATE INDEX email_resource ON email (resource);

-- How many resources of a type there are, deleted ones not counted: `totalResults` of a list without a
-- filter.
CREATE TABLE resource_count (
    org INTEGER NOT NULL REFERENCES org (id),
    type TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (org, type)
) STRICT, WITHOUT ROWID;

-- What changed, by whom. Written in the transaction of the change itself.
CREATE TABLE provisioning_log (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    org INTEGER NOT NULL REFERENCES org (id),
    actor TEXT NOT NULL,          -- a token's id, or "cli"
    client TEXT,                  -- the client's address
    method TEXT NOT NULL,
    type TEXT NOT NULL,
    resource TEXT NOT NULL,       -- the resource's id
    outcome INTEGER NOT NULL,     -- the HTTP status
    changes TEXT NOT NULL         -- JSON: {"attribute": {"before": …, "after": …}}
) STRICT;
CREATE INDEX provisioning_log_org ON provisioning_log (org, seq);
CREATE INDEX provisioning_log_resource ON provisioning_log (resource);
CREATE INDEX provisioning_log_time ON provisioning_log (time);

-- v 2

-- What members and groups are called in answers: the displayName, as it is written.
ALTER TABLE resource ADD COLUMN display TEXT;
UPDATE resource SET display = json_extract(document, '$.displayName');

-- Who is a direct member of which group. Both are resources; members may be groups themselves.
CREATE TABLE member (
    grp INTEGER NOT NULL REFERENCES resource (seq) ON DELETE CASCADE,
    resource INTEGER NOT NULL REFERENCES resource (seq) ON DELETE CASCADE,
    PRIMARY KEY (grp, resource)
) STRICT, WITHOUT ROWID;
CREATE INDEX member_resource ON member (resource, grp);

-- Schemas that support registers for an organisation: extensions of a resource type.
CREATE TABLE schema (
    org INTEGER NOT NULL REFERENCES org (id),
    urn TEXT NOT NULL,
    type TEXT NOT NULL,
    document TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (org, urn)
) STRICT, WITHOUT ROWID;

-- `schemas` counts the changes of an organisation's schemas, so that a server notices them; `strict`
-- says whether what the interoperability profile forbids is refused.
ALTER TABLE org ADD COLUMN schemas INTEGER NOT NULL DEFAULT 0;
ALTER TABLE org ADD COLUMN strict INTEGER NOT NULL DEFAULT 0;

-- v 3

-- How many requests a minute an organisation may send; the default is more than any client sends.
ALTER TABLE org ADD COLUMN rate INTEGER NOT NULL DEFAULT 6000000;

-- Fewer pages for each change, since a change is as fast as the pages it writes are few. Without
-- AUTOINCREMENT no counter is written beside each row (the last `seq` may be given again after a purge;
-- a client that walks a list at that moment may miss the new one). The address of an e-mail entry is found by its
-- value, so `email` needs no second index, and its rows go with their resource by hand.
CREATE TABLE resource_3 (
    seq INTEGER PRIMARY KEY,
    org INTEGER NOT NULL REFERENCES org (id),
    type TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    user_name TEXT,               -- folded
    external_id TEXT,
    display_name TEXT,            -- folded
    display TEXT,                 -- the displayName as it is written: what members and groups are called
    active INTEGER,
    created INTEGER NOT NULL,
    last_modified INTEGER NOT NULL,
    version INTEGER NOT NULL,
    deleted INTEGER,
    document TEXT NOT NULL
) STRICT;
INSERT INTO resource_3
    SELECT seq, org, type, id, user_name, external_id, display_name, display, active, created,
        last_modified, version, deleted, document
    FROM resource ORDER BY seq;
DROP TABLE resource;
ALTER TABLE resource_3 RENAME TO resource;
CREATE UNIQUE INDEX resource_user_name ON resource (org, type, user_name)
    WHERE deleted IS NULL AND user_name IS NOT NULL;
CREATE INDEX resource_external_id ON resource (org, type, external_id)
    WHERE deleted IS NULL AND external_id IS NOT NULL;
CREATE INDEX resource_display_name ON resource (org, type, display_name)
    WHERE deleted IS NULL AND display_name IS NOT NULL;
CREATE INDEX resource_list ON resource (org, type, seq) WHERE deleted IS NULL;
CREATE INDEX resource_last_modified ON resource (org, type, last_modified) WHERE deleted IS NULL;
CREATE INDEX resource_deleted ON resource (org, type, deleted) WHERE deleted IS NOT NULL;
-- Accounts that may not log in. It has every column of its own condition, so that counting them, and so
-- the others, reads no document.
CREATE INDEX resource_inactive ON resource (org, active, deleted, user_name)
    WHERE deleted IS NULL AND user_name IS NOT NULL AND active IS NOT 1;

CREATE TABLE email_3 (
    org INTEGER NOT NULL,
    value TEXT NOT NULL,
    resource INTEGER NOT NULL,
    PRIMARY KEY (org, value, resource)
) STRICT, WITHOUT ROWID;
INSERT INTO email_3 SELECT org, value, resource FROM email ORDER BY org, value, resource;
DROP TABLE email;
ALTER TABLE email_3 RENAME TO email;

-- The log is read in its own order, and trimmed from its beginning; its newest line is never removed, so
-- that no number is given twice.
CREATE TABLE provisioning_log_3 (
    seq INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    org INTEGER NOT NULL REFERENCES org (id),
    actor TEXT NOT NULL,          -- a token's id, or "cli"
    client TEXT,                  -- the client's address
    method TEXT NOT NULL,
    type TEXT NOT NULL,
    resource TEXT NOT NULL,       -- the resource's id
    outcome INTEGER NOT NULL,     -- the HTTP status
    changes TEXT NOT NULL         -- JSON: {"attribute": {"before": …, "after": …}}
) STRICT;
INSERT INTO provisioning_log_3
    SELECT seq, time, org, actor, client, method, type, resource, outcome, changes
    FROM provisioning_log ORDER BY seq;
DROP TABLE provisioning_log;
ALTER TABLE provisioning_log_3 RENAME TO provisioning_log;

-- v 4

-- Resource types that support registers for an organisation, each with its own schemas: `document` is
-- {"resourceType": …, "schemas": […]}. `org.schemas` counts their changes too. With this step names are
-- folded anew (src/store/migrate.rs).
CREATE TABLE resource_type (
    org INTEGER NOT NULL REFERENCES org (id),
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (org, name)
) STRICT, WITHOUT ROWID;

-- v 5

-- One organisation's lines in their order, for the application that follows its changes. Each entry ends
-- with the row's number, which is `seq`.
CREATE INDEX provisioning_log_org ON provisioning_log (org);

-- The number of the newest line of an organisation that was trimmed: who has read less far has missed
-- something. Of files that were trimmed before this step it is the last number before their first line,
-- for each organisation that was there then.
ALTER TABLE org ADD COLUMN trimmed INTEGER NOT NULL DEFAULT 0;
UPDATE org SET trimmed = (SELECT min(seq) - 1 FROM provisioning_log)
    WHERE created <= (SELECT time FROM provisioning_log ORDER BY seq LIMIT 1);

-- Where the application wants to be told of changes. Keys lie here as they are, since they sign. What is
-- delivered: every event of the lines up to `after`, and the first `delivered` events of the line behind
-- it. `revision` counts the changes by commands, so that a server does not write over them.
CREATE TABLE webhook (
    id TEXT PRIMARY KEY,
    org INTEGER NOT NULL REFERENCES org (id),
    url TEXT NOT NULL,
    events TEXT NOT NULL,         -- their types with a comma between them; none: all
    algorithm TEXT NOT NULL,
    key BLOB NOT NULL,
    former_key BLOB,              -- signs too, until `former_until`
    former_until INTEGER,
    ca TEXT,                      -- authorities of the receiver's certificate, as PEM; none: the system's
    insecure INTEGER NOT NULL,    -- whether plain HTTP may leave the host
    created INTEGER NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,
    after INTEGER NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt INTEGER,
    disabled INTEGER,
    reason TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_org ON webhook (org);

-- The last attempts at each endpoint, numbered.
CREATE TABLE webhook_delivery (
    webhook TEXT NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    event TEXT NOT NULL,
    type TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    time INTEGER NOT NULL,
    milliseconds INTEGER NOT NULL,
    status INTEGER,
    error TEXT,
    answer TEXT NOT NULL,         -- its start
    PRIMARY KEY (webhook, number)
) STRICT, WITHOUT ROWID;

-- v 6

-- What a change was part of, and why: the id of the request, and what a person gave as the reason of a
-- command.
ALTER TABLE provisioning_log ADD COLUMN request TEXT;
ALTER TABLE provisioning_log ADD COLUMN reason TEXT;

-- The lines about one resource, in their order: each entry ends with the row's number, which is `seq`.
CREATE INDEX provisioning_log_resource ON provisioning_log (resource);

-- Requests of an organisation that were refused. Written apart from the request, so that the last second
-- of a killed server is missing. Those that are the same are one row, with the number of the newest.
CREATE TABLE refusal (
    seq INTEGER PRIMARY KEY,
    org INTEGER NOT NULL REFERENCES org (id),
    first INTEGER NOT NULL,       -- when the first of them was refused
    time INTEGER NOT NULL,        -- and the last
    count INTEGER NOT NULL,
    various INTEGER NOT NULL,     -- whether they differ in `resource`, `subject` or `detail`: those of one
    token TEXT NOT NULL,          -- the token's id
    client TEXT,                  -- the client's address
    request TEXT,                 -- the id of the last request
    method TEXT NOT NULL,
    path TEXT NOT NULL,           -- its shape, without a name or an id
    type TEXT,                    -- the resource type, where it is about one
    resource TEXT,                -- the resource's id
    subject TEXT,                 -- folded: the userName that the request gives
    status INTEGER NOT NULL,      -- the HTTP status
    scim_type TEXT,
    detail TEXT NOT NULL          -- what the client was told, cut
) STRICT;
CREATE INDEX refusal_org ON refusal (org);

-- v 7

-- What happened to one resource is found without an index, which each change would have to write: the
-- resource's row, which is written anyway, has the number of the last line about it, and each line has the
-- number of the line before. 0 is no line; one that is not there was removed for its age. Both tables are
-- copied, so that rows that grow leave no pages half empty, and short columns stand before long ones.
CREATE TABLE resource_7 (
    seq INTEGER PRIMARY KEY,
    org INTEGER NOT NULL REFERENCES org (id),
    type TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    user_name TEXT,               -- folded
    external_id TEXT,
    display_name TEXT,            -- folded
    display TEXT,                 -- the displayName as it is written: what members and groups are called
    active INTEGER,
    created INTEGER NOT NULL,
    last_modified INTEGER NOT NULL,
    version INTEGER NOT NULL,
    deleted INTEGER,
    last_line INTEGER NOT NULL DEFAULT 0,
    document TEXT NOT NULL
) STRICT;
INSERT INTO resource_7
    SELECT seq, org, type, id, user_name, external_id, display_name, display, active, created,
        last_modified, version, deleted,
        coalesce((SELECT max(log.seq) FROM provisioning_log AS log
            WHERE log.resource = resource.id), 0),
        document
    FROM resource ORDER BY seq;
DROP TABLE resource;
ALTER TABLE resource_7 RENAME TO resource;
CREATE UNIQUE INDEX resource_user_name ON resource (org, type, user_name)
    WHERE deleted IS NULL AND user_name IS NOT NULL;
CREATE INDEX resource_external_id ON resource (org, type, external_id)
    WHERE deleted IS NULL AND external_id IS NOT NULL;
CREATE INDEX resource_display_name ON resource (org, type, display_name)
    WHERE deleted IS NULL AND display_name IS NOT NULL;
CREATE INDEX resource_list ON resource (org, type, seq) WHERE deleted IS NULL;
CREATE INDEX resource_last_modified ON resource (org, type, last_modified) WHERE deleted IS NULL;
CREATE INDEX resource_deleted ON resource (org, type, deleted) WHERE deleted IS NOT NULL;
CREATE INDEX resource_inactive ON resource (org, active, deleted, user_name)
    WHERE deleted IS NULL AND user_name IS NOT NULL AND active IS NOT 1;

CREATE TABLE provisioning_log_7 (
    seq INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    org INTEGER NOT NULL REFERENCES org (id),
    actor TEXT NOT NULL,          -- a token's id, or "cli"
    client TEXT,                  -- the client's address
    method TEXT NOT NULL,
    type TEXT NOT NULL,
    resource TEXT NOT NULL,       -- the resource's id
    previous INTEGER,             -- the line before about the same resource; none of what is no resource
    outcome INTEGER NOT NULL,     -- the HTTP status
    request TEXT,                 -- the id of the request
    reason TEXT,                  -- what a person gave as the reason of a command
    changes TEXT NOT NULL         -- JSON: {"attribute": {"before": …, "after": …}}
) STRICT;
INSERT INTO provisioning_log_7
    SELECT log.seq, time, org, actor, client, method, type, resource, chain.previous, outcome, request,
        reason, changes
    FROM provisioning_log AS log LEFT JOIN (
        SELECT seq, lag(seq, 1, 0) OVER (PARTITION BY resource ORDER BY seq) AS previous
        FROM provisioning_log
        WHERE type NOT IN ('Organization', 'Token', 'Schema', 'ResourceType', 'Webhook')
    ) AS chain ON chain.seq = log.seq
    ORDER BY log.seq;
DROP TABLE provisioning_log;
ALTER TABLE provisioning_log_7 RENAME TO provisioning_log;
CREATE INDEX provisioning_log_org ON provisioning_log (org);
-- Lines that no resource's row leads to: about what is no resource, and the end of one that was purged.
CREATE INDEX provisioning_log_apart ON provisioning_log (resource)
    WHERE previous IS NULL OR method = 'purge';
