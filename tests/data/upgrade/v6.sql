-- A database of schema 6, for tests/it/upgrade.rs.
-- sha256 of its step of schema.sql: e50bf5fe7b7f68d9c662af14123df32a9e564331f50717f017b894e89ac10e87
-- token: plm_9cevgbalt6s9_6WSmW8Ft52UkuLiGauJUUabYxn8ha7WeccjHBnxDXowla0a419
PRAGMA foreign_keys = OFF;
BEGIN;
CREATE TABLE counted (seq INTEGER PRIMARY KEY AUTOINCREMENT);
DROP TABLE counted;
CREATE TABLE org (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    name_folded TEXT NOT NULL UNIQUE,
    active INTEGER NOT NULL,
    username_format TEXT NOT NULL,
    identity_changes TEXT NOT NULL,
    created INTEGER NOT NULL
, schemas INTEGER NOT NULL DEFAULT 0, strict INTEGER NOT NULL DEFAULT 0, rate INTEGER NOT NULL DEFAULT 6000000, trimmed INTEGER NOT NULL DEFAULT 0) STRICT;
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
CREATE TABLE resource_count (
    org INTEGER NOT NULL REFERENCES org (id),
    type TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (org, type)
) STRICT, WITHOUT ROWID;
CREATE TABLE member (
    grp INTEGER NOT NULL REFERENCES resource (seq) ON DELETE CASCADE,
    resource INTEGER NOT NULL REFERENCES resource (seq) ON DELETE CASCADE,
    PRIMARY KEY (grp, resource)
) STRICT, WITHOUT ROWID;
CREATE TABLE schema (
    org INTEGER NOT NULL REFERENCES org (id),
    urn TEXT NOT NULL,
    type TEXT NOT NULL,
    document TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (org, urn)
) STRICT, WITHOUT ROWID;
CREATE TABLE "resource" (
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
CREATE TABLE "email" (
    org INTEGER NOT NULL,
    value TEXT NOT NULL,
    resource INTEGER NOT NULL,
    PRIMARY KEY (org, value, resource)
) STRICT, WITHOUT ROWID;
CREATE TABLE "provisioning_log" (
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
, request TEXT, reason TEXT) STRICT;
CREATE TABLE resource_type (
    org INTEGER NOT NULL REFERENCES org (id),
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (org, name)
) STRICT, WITHOUT ROWID;
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
INSERT INTO "org" VALUES (1, 'acme', 'acme', 1, 'email', 'refuse', 1795466957597000000, 2, 0, 6000000, 0);
INSERT INTO "org" VALUES (2, 'Söhne & "Co" ''99', 'söhne & "co" ''99', 1, 'any', 'allow', 1795466957625000000, 0, 0, 6000000, 0);
INSERT INTO "token" VALUES ('9cevgbalt6s9', 1, 'scim', 'okta', '$argon2id$v=19$m=19456,t=2,p=1$B5aKplX1dU3R9mgEIigrxA$KlYQ8bJb7AoO6+Umt/2gLIFjuWjo5EJu2vZnjI2kHzM', X'88D679B4A74C9988', 1795466957666000000, NULL, NULL, 1795466959875000000);
INSERT INTO "token" VALUES ('ai05k7sor2gu', 2, 'scim', '', '$argon2id$v=19$m=19456,t=2,p=1$gdWDhqvfbrb10CvqyeJEUw$GlFpgRLW28RJIDLYG/0cLWrQYg7W48IV5qAzpy2o6Lo', X'2E6E04E8747E6777', 1795466958386000000, NULL, NULL, 1795466959765000000);
INSERT INTO "token" VALUES ('gg8fsw6m0pk2', 2, 'access', '', '$argon2id$v=19$m=19456,t=2,p=1$fq0jTpKcy7vGriiOhUFaFA$Kb3hoRo3Dcnr0rudTDnuMGs2tu1H1HUTQC4Ro4oMzJQ', X'C376B27FB765B6B5', 1795466958157000000, 2110826958157000000, NULL, NULL);
INSERT INTO "token" VALUES ('rgsc1hosiij4', 1, 'scim', 'old', '$argon2id$v=19$m=19456,t=2,p=1$1b8VBOmRVssYEwU+sXlMTg$2uWkQE4bbFooCVLtn+tF/E6auuLp4/nhs/OUeO1P0EM', X'C22B60D10EC0C0E5', 1795466957846000000, NULL, 1795466958132000000, NULL);
INSERT INTO "resource_count" VALUES (1, 'Group', 2);
INSERT INTO "resource_count" VALUES (1, 'User', 3);
INSERT INTO "resource_count" VALUES (2, 'User', 1);
INSERT INTO "member" VALUES (5, 1);
INSERT INTO "member" VALUES (5, 2);
INSERT INTO "member" VALUES (6, 5);
INSERT INTO "schema" VALUES (1, 'urn:example:scim:2.0:User', 'User', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Schema"],"id":"urn:example:scim:2.0:User","name":"Example","description":"d","attributes":[{"name":"badge","type":"string","multiValued":false,"description":"b","required":false,"caseExact":false,"mutability":"readWrite","returned":"default","uniqueness":"server"}]}', 1795466960257000000);
INSERT INTO "resource" VALUES (1, 1, 'User', '01a20a2b-9a92-79fb-a13c-a8d064a3c9fa', 'mara.novak@example.com', '00u1', 'mara o''novak', 'Mara O''Novak', 1, 1795466959506000000, 1795466959846000000, 2, NULL, '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"01a20a2b-9a92-79fb-a13c-a8d064a3c9fa","externalId":"00u1","userName":"Mara.Novak@Example.com","displayName":"Mara O''Novak","title":"Guide","active":true,"emails":[{"value":"Mara.Novak@Example.com","primary":true,"type":"work"},{"value":"STRASSE@example.com","type":"home"},{"value":"straße@example.com","type":"other"}]}');
INSERT INTO "resource" VALUES (2, 1, 'User', '01a20a2b-9b80-7e29-ad48-97ad5402b782', 'jürgen@example.com', NULL, 'jürgen ''j'' "q" 😀
  tab	 end', 'Jürgen ''J'' "Q" 😀
  tab	 end', 0, 1795466959744000000, 1795466959744000000, 1, NULL, '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:okta:acme:1.0:user:custom"],"id":"01a20a2b-9b80-7e29-ad48-97ad5402b782","userName":"jürgen@example.com","displayName":"Jürgen ''J'' \"Q\" 😀\n  tab\t end","title":"x; -- v 9\nDROP","active":false,"emails":[{"value":"JÜRGEN@example.com"}],"urn:okta:acme:1.0:user:custom":{"n":12345678901234567,"f":1.5e-7,"empty":"","list":[1,"2"]}}');
INSERT INTO "resource" VALUES (3, 1, 'User', '01a20a2b-9b89-7ad9-8b34-2e6f3f4c6c97', 'gone@example.com', NULL, 'gone', 'Gone', 1, 1795466959753000000, 1795466959753000000, 1, 1795466959869000000, '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"01a20a2b-9b89-7ad9-8b34-2e6f3f4c6c97","userName":"gone@example.com","displayName":"Gone","active":true,"emails":[{"value":"gone@example.com"}]}');
INSERT INTO "resource" VALUES (4, 2, 'User', '01a20a2b-9b95-77fd-9913-e2f1c6315a47', 'plain', NULL, '', '', 1, 1795466959765000000, 1795466959765000000, 1, NULL, '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"01a20a2b-9b95-77fd-9913-e2f1c6315a47","userName":"plain","displayName":"","active":true}');
INSERT INTO "resource" VALUES (5, 1, 'Group', '01a20a2b-9bf6-7b63-a860-c9500d069d1d', NULL, NULL, 'tour guides', 'Tour Guides', NULL, 1795466959862000000, 1795466959869000000, 2, NULL, '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"id":"01a20a2b-9bf6-7b63-a860-c9500d069d1d","displayName":"Tour Guides"}');
INSERT INTO "resource" VALUES (6, 1, 'Group', '01a20a2b-9bf8-707f-afdb-eb0c72d75a1a', NULL, NULL, 'everybody ☂', 'Everybody ☂', NULL, 1795466959864000000, 1795466959864000000, 1, NULL, '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"id":"01a20a2b-9bf8-707f-afdb-eb0c72d75a1a","displayName":"Everybody ☂"}');
INSERT INTO "resource" VALUES (7, 1, 'User', '01a20a2b-9c03-7b83-bac9-aa2ab52aabe0', 'gone@example.com', NULL, 'second', 'Second', 1, 1795466959875000000, 1795466959875000000, 1, NULL, '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"01a20a2b-9c03-7b83-bac9-aa2ab52aabe0","userName":"gone@example.com","displayName":"Second","active":true}');
INSERT INTO "email" VALUES (1, 'gone@example.com', 3);
INSERT INTO "email" VALUES (1, 'jürgen@example.com', 2);
INSERT INTO "email" VALUES (1, 'mara.novak@example.com', 1);
INSERT INTO "email" VALUES (1, 'strasse@example.com', 1);
INSERT INTO "email" VALUES (1, 'straße@example.com', 1);
INSERT INTO "provisioning_log" VALUES (1, 1795466959506000000, 1, '9cevgbalt6s9', '127.0.0.1', 'POST', 'User', '01a20a2b-9a92-79fb-a13c-a8d064a3c9fa', 201, '{"schemas":{"before":null,"after":["urn:ietf:params:scim:schemas:core:2.0:User"]},"id":{"before":null,"after":"01a20a2b-9a92-79fb-a13c-a8d064a3c9fa"},"externalId":{"before":null,"after":"00u1"},"userName":{"before":null,"after":"Mara.Novak@Example.com"},"displayName":{"before":null,"after":"Mara O''Novak"},"active":{"before":null,"after":true},"emails":{"before":null,"after":[{"value":"Mara.Novak@Example.com","primary":true,"type":"work"},{"value":"STRASSE@example.com","type":"home"},{"value":"straße@example.com","type":"other"}]}}', NULL, NULL);
INSERT INTO "provisioning_log" VALUES (2, 1795466959744000000, 1, '9cevgbalt6s9', '127.0.0.1', 'POST', 'User', '01a20a2b-9b80-7e29-ad48-97ad5402b782', 201, '{"schemas":{"before":null,"after":["urn:ietf:params:scim:schemas:core:2.0:User","urn:okta:acme:1.0:user:custom"]},"id":{"before":null,"after":"01a20a2b-9b80-7e29-ad48-97ad5402b782"},"userName":{"before":null,"after":"jürgen@example.com"},"displayName":{"before":null,"after":"Jürgen ''J'' \"Q\" 😀\n  tab\t end"},"title":{"before":null,"after":"x; -- v 9\nDROP"},"active":{"before":null,"after":false},"emails":{"before":null,"after":[{"value":"JÜRGEN@example.com"}]},"urn:okta:acme:1.0:user:custom":{"before":null,"after":{"n":12345678901234567,"f":1.5e-7,"empty":"","list":[1,"2"]}}}', NULL, NULL);
INSERT INTO "provisioning_log" VALUES (3, 1795466959753000000, 1, '9cevgbalt6s9', '127.0.0.1', 'POST', 'User', '01a20a2b-9b89-7ad9-8b34-2e6f3f4c6c97', 201, '{"schemas":{"before":null,"after":["urn:ietf:params:scim:schemas:core:2.0:User"]},"id":{"before":null,"after":"01a20a2b-9b89-7ad9-8b34-2e6f3f4c6c97"},"userName":{"before":null,"after":"gone@example.com"},"displayName":{"before":null,"after":"Gone"},"active":{"before":null,"after":true},"emails":{"before":null,"after":[{"value":"gone@example.com"}]}}', NULL, NULL);
INSERT INTO "provisioning_log" VALUES (4, 1795466959765000000, 2, 'ai05k7sor2gu', '127.0.0.1', 'POST', 'User', '01a20a2b-9b95-77fd-9913-e2f1c6315a47', 201, '{"schemas":{"before":null,"after":["urn:ietf:params:scim:schemas:core:2.0:User"]},"id":{"before":null,"after":"01a20a2b-9b95-77fd-9913-e2f1c6315a47"},"userName":{"before":null,"after":"plain"},"displayName":{"before":null,"after":""},"active":{"before":null,"after":true}}', NULL, NULL);
INSERT INTO "provisioning_log" VALUES (5, 1795466959846000000, 1, '9cevgbalt6s9', '127.0.0.1', 'PATCH', 'User', '01a20a2b-9a92-79fb-a13c-a8d064a3c9fa', 200, '{"title":{"before":null,"after":"Guide"}}', 'req-5', NULL);
INSERT INTO "provisioning_log" VALUES (6, 1795466959862000000, 1, '9cevgbalt6s9', '127.0.0.1', 'POST', 'Group', '01a20a2b-9bf6-7b63-a860-c9500d069d1d', 201, '{"schemas":{"before":null,"after":["urn:ietf:params:scim:schemas:core:2.0:Group"]},"id":{"before":null,"after":"01a20a2b-9bf6-7b63-a860-c9500d069d1d"},"displayName":{"before":null,"after":"Tour Guides"},"members":{"added":["01a20a2b-9a92-79fb-a13c-a8d064a3c9fa","01a20a2b-9b80-7e29-ad48-97ad5402b782","01a20a2b-9b89-7ad9-8b34-2e6f3f4c6c97"]}}', NULL, NULL);
INSERT INTO "provisioning_log" VALUES (7, 1795466959864000000, 1, '9cevgbalt6s9', '127.0.0.1', 'POST', 'Group', '01a20a2b-9bf8-707f-afdb-eb0c72d75a1a', 201, '{"schemas":{"before":null,"after":["urn:ietf:params:scim:schemas:core:2.0:Group"]},"id":{"before":null,"after":"01a20a2b-9bf8-707f-afdb-eb0c72d75a1a"},"displayName":{"before":null,"after":"Everybody ☂"},"members":{"added":["01a20a2b-9bf6-7b63-a860-c9500d069d1d"]}}', NULL, NULL);
INSERT INTO "provisioning_log" VALUES (8, 1795466959869000000, 1, '9cevgbalt6s9', '127.0.0.1', 'DELETE', 'User', '01a20a2b-9b89-7ad9-8b34-2e6f3f4c6c97', 204, '{"groups":{"removed":["01a20a2b-9bf6-7b63-a860-c9500d069d1d"]}}', NULL, NULL);
INSERT INTO "provisioning_log" VALUES (9, 1795466959875000000, 1, '9cevgbalt6s9', '127.0.0.1', 'POST', 'User', '01a20a2b-9c03-7b83-bac9-aa2ab52aabe0', 201, '{"schemas":{"before":null,"after":["urn:ietf:params:scim:schemas:core:2.0:User"]},"id":{"before":null,"after":"01a20a2b-9c03-7b83-bac9-aa2ab52aabe0"},"userName":{"before":null,"after":"gone@example.com"},"displayName":{"before":null,"after":"Second"},"active":{"before":null,"after":true}}', NULL, NULL);
INSERT INTO "provisioning_log" VALUES (10, 1795466959900000000, 1, 'cli', 'user:anna', 'set', 'Organization', 'acme', 200, '{"strict":{"before":false,"after":true}}', NULL, NULL);
INSERT INTO "provisioning_log" VALUES (11, 1795466959901000000, 1, '9cevgbalt6s9', '127.0.0.1', 'POST', 'User', '01a20a2b-9b00-7000-8000-000000000001', 201, '{}', 'req-11', NULL);
INSERT INTO "provisioning_log" VALUES (12, 1795466959902000000, 1, 'cli', 'user:anna', 'deactivate', 'User', '01a20a2b-9a92-79fb-a13c-a8d064a3c9fa', 200, '{"active":{"before":true,"after":false}}', NULL, 'she left');
INSERT INTO "provisioning_log" VALUES (13, 1795466959903000000, 1, '9cevgbalt6s9', '127.0.0.1', 'DELETE', 'User', '01a20a2b-9b00-7000-8000-000000000001', 204, '{}', 'req-13', NULL);
INSERT INTO "provisioning_log" VALUES (14, 1795466959904000000, 1, 'cli', 'user:anna', 'activate', 'User', '01a20a2b-9a92-79fb-a13c-a8d064a3c9fa', 200, '{"active":{"before":false,"after":true}}', NULL, 'she is back');
INSERT INTO "provisioning_log" VALUES (15, 1795466959905000000, 1, 'cli', 'user:anna', 'purge', 'User', '01a20a2b-9b00-7000-8000-000000000001', 204, '{}', NULL, 'she asked for it');
INSERT INTO "provisioning_log" VALUES (16, 1795466959906000000, 1, 'cli', 'user:anna', 'set', 'Organization', 'acme', 200, '{"strict":{"before":true,"after":false}}', NULL, NULL);
INSERT INTO "resource_type" VALUES (1, 'Badge', '{"resourceType":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],"id":"Badge","name":"Badge","description":"","endpoint":"/Badges","schema":"urn:example:scim:2.0:Badge","schemaExtensions":[]},"schemas":[{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Schema"],"id":"urn:example:scim:2.0:Badge","name":"Badge","description":"","attributes":[{"name":"displayName","type":"string","multiValued":false,"description":"","required":false,"caseExact":false,"mutability":"readWrite","returned":"default","uniqueness":"none"},{"name":"colour","type":"string","multiValued":false,"description":"","required":false,"caseExact":false,"mutability":"readWrite","returned":"default","uniqueness":"none"}]}]}', 1795466959880000000);
INSERT INTO "webhook" VALUES ('wh_0123456789ab', 1, 'https://127.0.0.1:9/hook', 'user.created,user.deactivated', 'hmac', X'000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F', X'1F1E1D1C1B1A191817161514131211100F0E0D0C0B0A09080706050403020100', 1795466959875000000, NULL, 0, 1795466959875000000, 2, 3, 1, 9, NULL, 1795466959875000000, 'the receiver answered 410');
INSERT INTO "webhook_delivery" VALUES ('wh_0123456789ab', 1, 'evt_3_0', 'user.created', 1, 1795466959875000000, 12, 410, NULL, 'gone');
INSERT INTO "refusal" VALUES (3, 1, 1795466959900000000, 1795466959905000000, 2, 0, '9cevgbalt6s9', '127.0.0.1', 'req-r', 'POST', '/scim/v2/Users', 'User', NULL, 'mara.novak@example.com', 409, 'uniqueness', 'The userName is taken.');
DELETE FROM sqlite_sequence;
CREATE INDEX member_resource ON member (resource, grp);
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
CREATE INDEX provisioning_log_org ON provisioning_log (org);
CREATE INDEX webhook_org ON webhook (org);
CREATE INDEX provisioning_log_resource ON provisioning_log (resource);
CREATE INDEX refusal_org ON refusal (org);
COMMIT;
PRAGMA application_id = 1886156141;
PRAGMA user_version = 6;
