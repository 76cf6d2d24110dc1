-- A database of schema 1, for tests/it/upgrade.rs.
-- sha256 of its step of schema.sql: 27bed97c0c19f7360ee8e12d8b5855d8df029b7cf7789eb441ab84de2a2b42f1
-- token: plm_9cevgbalt6s9_6WSmW8Ft52UkuLiGauJUUabYxn8ha7WeccjHBnxDXowla0a419
BEGIN;
CREATE TABLE org (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    name_folded TEXT NOT NULL UNIQUE,
    active INTEGER NOT NULL,
    username_format TEXT NOT NULL,
    identity_changes TEXT NOT NULL,
    created INTEGER NOT NULL
) STRICT;
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
CREATE TABLE email (
    org INTEGER NOT NULL REFERENCES org (id),
    value TEXT NOT NULL,
    resource INTEGER NOT NULL REFERENCES resource (seq) ON DELETE CASCADE,
    PRIMARY KEY (org, value, resource)
) STRICT, WITHOUT ROWID;
CREATE TABLE resource_count (
    org INTEGER NOT NULL REFERENCES org (id),
    type TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (org, type)
) STRICT, WITHOUT ROWID;
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
INSERT INTO "org" VALUES (1, 'acme', 'acme', 1, 'email', 'refuse', 1795466957597000000);
INSERT INTO "org" VALUES (2, 'Söhne & "Co" ''99', 'söhne & "co" ''99', 1, 'any', 'allow', 1795466957625000000);
INSERT INTO "token" VALUES ('9cevgbalt6s9', 1, 'scim', 'okta', '$argon2id$v=19$m=19456,t=2,p=1$B5aKplX1dU3R9mgEIigrxA$KlYQ8bJb7AoO6+Umt/2gLIFjuWjo5EJu2vZnjI2kHzM', X'88D679B4A74C9988', 1795466957666000000, NULL, NULL, 1795466959875000000);
INSERT INTO "token" VALUES ('ai05k7sor2gu', 2, 'scim', '', '$argon2id$v=19$m=19456,t=2,p=1$gdWDhqvfbrb10CvqyeJEUw$GlFpgRLW28RJIDLYG/0cLWrQYg7W48IV5qAzpy2o6Lo', X'2E6E04E8747E6777', 1795466958386000000, NULL, NULL, 1795466959765000000);
INSERT INTO "token" VALUES ('gg8fsw6m0pk2', 2, 'access', '', '$argon2id$v=19$m=19456,t=2,p=1$fq0jTpKcy7vGriiOhUFaFA$Kb3hoRo3Dcnr0rudTDnuMGs2tu1H1HUTQC4Ro4oMzJQ', X'C376B27FB765B6B5', 1795466958157000000, 2110826958157000000, NULL, NULL);
INSERT INTO "token" VALUES ('rgsc1hosiij4', 1, 'scim', 'old', '$argon2id$v=19$m=19456,t=2,p=1$1b8VBOmRVssYEwU+sXlMTg$2uWkQE4bbFooCVLtn+tF/E6auuLp4/nhs/OUeO1P0EM', X'C22B60D10EC0C0E5', 1795466957846000000, NULL, 1795466958132000000, NULL);
INSERT INTO "resource" VALUES (1, 1, 'User', '01a20a2b-9a92-79fb-a13c-a8d064a3c9fa', 'mara.novak@example.com', '00u1', 'mara o''novak', 1, 1795466959506000000, 1795466959846000000, 2, NULL, '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"01a20a2b-9a92-79fb-a13c-a8d064a3c9fa","externalId":"00u1","userName":"Mara.Novak@Example.com","displayName":"Mara O''Novak","title":"Guide","active":true,"emails":[{"value":"Mara.Novak@Example.com","primary":true,"type":"work"},{"value":"STRASSE@example.com","type":"home"},{"value":"straße@example.com","type":"other"}]}');
INSERT INTO "resource" VALUES (2, 1, 'User', '01a20a2b-9b80-7e29-ad48-97ad5402b782', 'jürgen@example.com', NULL, 'jürgen ''j'' "q" 😀
  tab	 end', 0, 1795466959744000000, 1795466959744000000, 1, NULL, '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:okta:acme:1.0:user:custom"],"id":"01a20a2b-9b80-7e29-ad48-97ad5402b782","userName":"jürgen@example.com","displayName":"Jürgen ''J'' \"Q\" 😀\n  tab\t end","title":"x; -- v 9\nDROP","active":false,"emails":[{"value":"JÜRGEN@example.com"}],"urn:okta:acme:1.0:user:custom":{"n":12345678901234567,"f":1.5e-7,"empty":"","list":[1,"2"]}}');
INSERT INTO "resource" VALUES (3, 1, 'User', '01a20a2b-9b89-7ad9-8b34-2e6f3f4c6c97', 'gone@example.com', NULL, 'gone', 1, 1795466959753000000, 1795466959753000000, 1, 1795466959869000000, '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"01a20a2b-9b89-7ad9-8b34-2e6f3f4c6c97","userName":"gone@example.com","displayName":"Gone","active":true,"emails":[{"value":"gone@example.com"}]}');
INSERT INTO "resource" VALUES (4, 2, 'User', '01a20a2b-9b95-77fd-9913-e2f1c6315a47', 'plain', NULL, '', 1, 1795466959765000000, 1795466959765000000, 1, NULL, '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"01a20a2b-9b95-77fd-9913-e2f1c6315a47","userName":"plain","displayName":"","active":true}');
INSERT INTO "resource" VALUES (7, 1, 'User', '01a20a2b-9c03-7b83-bac9-aa2ab52aabe0', 'gone@example.com', NULL, 'second', 1, 1795466959875000000, 1795466959875000000, 1, NULL, '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"01a20a2b-9c03-7b83-bac9-aa2ab52aabe0","userName":"gone@example.com","displayName":"Second","active":true}');
INSERT INTO "email" VALUES (1, 'mara.novak@example.com', 1);
INSERT INTO "email" VALUES (1, 'strasse@example.com', 1);
INSERT INTO "email" VALUES (1, 'jürgen@example.com', 2);
INSERT INTO "email" VALUES (1, 'gone@example.com', 3);
INSERT INTO "resource_count" VALUES (1, 'User', 3);
INSERT INTO "resource_count" VALUES (2, 'User', 1);
INSERT INTO "provisioning_log" VALUES (1, 1795466959506000000, 1, '9cevgbalt6s9', '127.0.0.1', 'POST', 'User', '01a20a2b-9a92-79fb-a13c-a8d064a3c9fa', 201, '{"schemas":{"before":null,"after":["urn:ietf:params:scim:schemas:core:2.0:User"]},"id":{"before":null,"after":"01a20a2b-9a92-79fb-a13c-a8d064a3c9fa"},"externalId":{"before":null,"after":"00u1"},"userName":{"before":null,"after":"Mara.Novak@Example.com"},"displayName":{"before":null,"after":"Mara O''Novak"},"active":{"before":null,"after":true},"emails":{"before":null,"after":[{"value":"Mara.Novak@Example.com","primary":true,"type":"work"},{"value":"STRASSE@example.com","type":"home"},{"value":"straße@example.com","type":"other"}]}}');
INSERT INTO "provisioning_log" VALUES (2, 1795466959744000000, 1, '9cevgbalt6s9', '127.0.0.1', 'POST', 'User', '01a20a2b-9b80-7e29-ad48-97ad5402b782', 201, '{"schemas":{"before":null,"after":["urn:ietf:params:scim:schemas:core:2.0:User","urn:okta:acme:1.0:user:custom"]},"id":{"before":null,"after":"01a20a2b-9b80-7e29-ad48-97ad5402b782"},"userName":{"before":null,"after":"jürgen@example.com"},"displayName":{"before":null,"after":"Jürgen ''J'' \"Q\" 😀\n  tab\t end"},"title":{"before":null,"after":"x; -- v 9\nDROP"},"active":{"before":null,"after":false},"emails":{"before":null,"after":[{"value":"JÜRGEN@example.com"}]},"urn:okta:acme:1.0:user:custom":{"before":null,"after":{"n":12345678901234567,"f":1.5e-7,"empty":"","list":[1,"2"]}}}');
INSERT INTO "provisioning_log" VALUES (3, 1795466959753000000, 1, '9cevgbalt6s9', '127.0.0.1', 'POST', 'User', '01a20a2b-9b89-7ad9-8b34-2e6f3f4c6c97', 201, '{"schemas":{"before":null,"after":["urn:ietf:params:scim:schemas:core:2.0:User"]},"id":{"before":null,"after":"01a20a2b-9b89-7ad9-8b34-2e6f3f4c6c97"},"userName":{"before":null,"after":"gone@example.com"},"displayName":{"before":null,"after":"Gone"},"active":{"before":null,"after":true},"emails":{"before":null,"after":[{"value":"gone@example.com"}]}}');
INSERT INTO "provisioning_log" VALUES (4, 1795466959765000000, 2, 'ai05k7sor2gu', '127.0.0.1', 'POST', 'User', '01a20a2b-9b95-77fd-9913-e2f1c6315a47', 201, '{"schemas":{"before":null,"after":["urn:ietf:params:scim:schemas:core:2.0:User"]},"id":{"before":null,"after":"01a20a2b-9b95-77fd-9913-e2f1c6315a47"},"userName":{"before":null,"after":"plain"},"displayName":{"before":null,"after":""},"active":{"before":null,"after":true}}');
INSERT INTO "provisioning_log" VALUES (5, 1795466959846000000, 1, '9cevgbalt6s9', '127.0.0.1', 'PATCH', 'User', '01a20a2b-9a92-79fb-a13c-a8d064a3c9fa', 200, '{"title":{"before":null,"after":"Guide"}}');
INSERT INTO "provisioning_log" VALUES (8, 1795466959869000000, 1, '9cevgbalt6s9', '127.0.0.1', 'DELETE', 'User', '01a20a2b-9b89-7ad9-8b34-2e6f3f4c6c97', 204, '{"groups":{"removed":["01a20a2b-9bf6-7b63-a860-c9500d069d1d"]}}');
INSERT INTO "provisioning_log" VALUES (9, 1795466959875000000, 1, '9cevgbalt6s9', '127.0.0.1', 'POST', 'User', '01a20a2b-9c03-7b83-bac9-aa2ab52aabe0', 201, '{"schemas":{"before":null,"after":["urn:ietf:params:scim:schemas:core:2.0:User"]},"id":{"before":null,"after":"01a20a2b-9c03-7b83-bac9-aa2ab52aabe0"},"userName":{"before":null,"after":"gone@example.com"},"displayName":{"before":null,"after":"Second"},"active":{"before":null,"after":true}}');
DELETE FROM sqlite_sequence;
INSERT INTO "sqlite_sequence" VALUES ('resource', 7);
INSERT INTO "sqlite_sequence" VALUES ('provisioning_log', 9);
CREATE UNIQUE INDEX resource_user_name ON resource (org, type, user_name)
    WHERE deleted IS NULL AND user_name IS NOT NULL;
CREATE INDEX resource_external_id ON resource (org, type, external_id)
    WHERE deleted IS NULL AND external_id IS NOT NULL;
CREATE INDEX resource_display_name ON resource (org, type, display_name)
    WHERE deleted IS NULL AND display_name IS NOT NULL;
CREATE INDEX resource_list ON resource (org, type, seq) WHERE deleted IS NULL;
CREATE INDEX resource_last_modified ON resource (org, type, last_modified) WHERE deleted IS NULL;
CREATE INDEX resource_deleted ON resource (org, type, deleted) WHERE deleted IS NOT NULL;
CREATE INDEX email_resource ON email (resource);
CREATE INDEX provisioning_log_org ON provisioning_log (org, seq);
CREATE INDEX provisioning_log_resource ON provisioning_log (resource);
CREATE INDEX provisioning_log_time ON provisioning_log (time);
COMMIT;
PRAGMA application_id = 1886156141;
PRAGMA user_version = 1;
