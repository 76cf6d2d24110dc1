//! plumm, a self-hosted SCIM 2.0 provisioning server: one synchronous binary, one SQLite file.
//!
//! # The map
//!
//! A request goes down this list and its answer back up: socket, http, app, auth, api, scim,
//! store. A module uses only modules that stand further down its own road; `tests/it/tidy.rs` holds
//! who may use whom, and that every file stands here.
//!
//! ```text
//! main.rs                        argv and environment in, exit code out
//!
//! cli/mod.rs                     the commands: their grammar, and what runs for each
//! cli/serve/mod.rs               `plumm serve`: starts the server, ends it on a signal
//! cli/serve/allocator.rs         what its threads keep of freed memory
//! cli/serve/args.rs              its arguments, and what each must be
//! cli/serve/acme.rs              certificates by ACME, as a part of a running server
//! cli/serve/acme_args.rs         the arguments for them
//! cli/serve/first_run.rs         what it prints at the start, and what `--init` makes
//! cli/serve/scheduled_backups.rs backups that a running server makes by itself
//! cli/serve/permissions.rs       who else on the host can read the database
//! cli/serve/note.rs              what a running server tells commands of itself
//! cli/serve/periodic.rs          a thread that does something again and again
//! cli/serve/listener.rs          where it listens
//! cli/serve/notify.rs            what systemd is told: ready, ends, lives
//! cli/serve/watchdog.rs          whether it really lives
//! cli/org.rs                     `plumm org`
//! cli/org_show.rs                `plumm org show`
//! cli/org_deletion.rs            `plumm org delete`
//! cli/token.rs                   `plumm token`
//! cli/tls.rs                     `plumm tls`
//! cli/schema.rs                  `plumm schema`
//! cli/resource_type.rs           `plumm resource-type`
//! cli/webhook/mod.rs             `plumm webhook`
//! cli/webhook/shown.rs           endpoints and deliveries, as commands show them
//! cli/people/mod.rs              accounts as a file
//! cli/people/import.rs           people of a file become accounts
//! cli/people/judge.rs            what becomes of each of them
//! cli/people/report.rs           what came of it
//! cli/people/progress.rs         how far it is, on a terminal
//! cli/people/source.rs           the file, told CSV from JSON, row by row
//! cli/people/headers.rs          what the head of a column may be called
//! cli/people/columns.rs          accounts as rows of a table
//! cli/people/csv.rs              CSV, as the RFC and as spreadsheets have it
//! cli/people/elements.rs         the elements of a JSON array that is longer than memory
//! cli/people/export.rs           accounts become a file
//! cli/people/paced.rs            output that whoever makes it never waits for
//! cli/people/nameless.rs         a file without a name, gone when it is closed
//! cli/user.rs                    `plumm user`
//! cli/user_login.rs              `plumm user deactivate` and `activate`
//! cli/user_show.rs               `plumm user show`
//! cli/group.rs                   `plumm group`
//! cli/group_show.rs              `plumm group show`
//! cli/story.rs                   `plumm log`
//! cli/status.rs                  `plumm status`
//! cli/doctor/mod.rs              `plumm doctor`: numbered checks
//! cli/doctor/facts.rs            what they look at, read once
//! cli/doctor/finding.rs          what a check found
//! cli/doctor/remedy.rs           commands that mend it
//! cli/doctor/words.rs            times and sizes in words
//! cli/doctor/files.rs            checks of the database file
//! cli/doctor/backups.rs          the check of the backups
//! cli/doctor/server.rs           checks of the server and its host
//! cli/doctor/settings.rs         the check of the settings
//! cli/doctor/certificate.rs      the check of the TLS certificate
//! cli/doctor/acme.rs             the same for one by ACME
//! cli/doctor/orgs.rs             checks of each organisation
//! cli/okta_check.rs              `plumm okta-check`
//! cli/demo.rs                    `plumm demo`
//! cli/backup.rs                  `plumm backup`, `plumm restore`, `plumm check`
//! cli/person.rs                  the person that a command names
//! cli/erasure.rs                 how commands erase a resource for good
//! cli/record.rs                  the lines that commands leave in the record of changes
//! cli/config.rs                  `plumm config`
//! cli/healthcheck.rs             `plumm healthcheck`
//! cli/completions.rs             `plumm completions`
//! cli/man.rs                     `plumm man`
//! cli/settings/mod.rs            the settings, and where the value of each comes from
//! cli/settings/env_file.rs       the file of settings, as systemd reads it
//! cli/settings/names.rs          which variables are known, and which one was meant
//! cli/logging.rs                 lines of the log, as text and as JSON
//! cli/arguments.rs               what arguments of several commands must be
//! cli/session.rs                 the database, the clock, and how an answer is printed
//! cli/operator.rs                who runs a command
//! cli/text.rs                    tables, and words that neither terminal nor shell obeys
//! cli/error.rs                   why a command failed, and its exit code
//!
//! idp/mod.rs                     the client that speaks as an identity provider
//! idp/client.rs                  one request over the network, and its answer
//! idp/provider.rs                what each provider sends, in its own forms
//! idp/person.rs                  a person of a provider, and as which attributes it is sent
//! idp/company/mod.rs             an invented company whose people come, move and go
//! idp/company/names.rs           what they are called
//! idp/message.rs                 a request and its answer as values
//! idp/step.rs                    the steps of a check: what was sent, what was seen, what to do
//! idp/address.rs                 the base URL that an admin types
//! idp/credential.rs              the token that an admin pastes
//! idp/reach.rs                   the way to a server: its addresses, a connection, its certificate
//! idp/chain.rs                   its certificate as an identity provider judges it
//! idp/check/mod.rs               the check of a server, step by step
//! idp/check/talk.rs              requests of the check, and what their answers must be
//! idp/check/account.rs           the life of an account
//! idp/check/paging.rs            an import, page by page
//! idp/check/group.rs             the life of a group
//! idp/check/made.rs              what the check has made at the server
//! idp/check/left.rs              it is taken away again
//! acme/mod.rs                    certificates by ACME: a thread that sees to it that there is one
//! acme/settings.rs               what is asked for, and of whom
//! acme/account.rs                the account with a directory
//! acme/order.rs                  one order, to its certificate
//! acme/challenges.rs             what a server shows so that it is seen to have the name
//! acme/client.rs                 requests to a directory, and what it answered
//! acme/jws.rs                    the key of the account, and what it signs
//! acme/issued.rs                 what a certificate says of itself
//! acme/storage.rs                what is kept beside the database
//! acme/schedule.rs               when a certificate is renewed, and what failed tried again
//! acme/renewal_info.rs           when the directory suggests to renew
//! acme/problem.rs                what a directory refuses, in words
//! acme/failure.rs                why no certificate came
//!
//! server/mod.rs                  a listener, a thread for each connection, the end of service
//! server/acceptor.rs             the accept loop
//! server/protocol.rs             plain HTTP or TLS, served or turned away
//! server/connection.rs           one connection: request, response, and again
//! server/front.rs                what is answered before the application, and on port 80 alone
//! server/render.rs               a response as the bytes of its head
//! server/stream.rs               what a connection reads and writes
//! server/socket.rs               a TCP socket whose reads and writes share one deadline
//! server/tls/mod.rs              TLS
//! server/tls/stream.rs           TLS over a socket
//! server/tls/certificates.rs     the certificate in use, and its renewal
//! server/tls/examined.rs         a certificate and its key, looked at without being used
//! server/tls/pem.rs              the files of the certificate and its key
//! server/request/mod.rs          the bytes of a connection become requests
//! server/request/reader.rs       one request after the other
//! server/request/head.rs         the head of a request, parsed
//! server/request/body.rs         the body, in memory that grows with what arrives
//! server/request/chunked.rs      the chunked transfer coding
//! server/request/chunk_line.rs   the size line of a chunk
//! server/request/line_scanner.rs where a head or a trailer section ends
//! server/request/input.rs        the bytes that were received and not yet parsed
//! server/request/refusal.rs      why a request is not read any further
//! server/limits.rs               caps on connections and the deadlines
//! server/slots/mod.rs            the slots of connections, and which one is evicted
//! server/slots/state.rs          what a connection is doing and since when
//! server/permits.rs              how many requests are handled at once
//! server/probe.rs                which certificates a server shows
//! server/budget.rs               how much memory request bodies may take
//!
//! http/mod.rs                    HTTP messages as plain values
//! http/request.rs                one request
//! http/fields.rs                 its header fields, in one piece of memory
//! http/request_id.rs             what a request is called, in its answer and in the log
//! http/response.rs               one response
//! http/forwarded.rs              whose request a proxy passed on
//!
//! app/mod.rs                     what every request goes through
//! app/answer.rs                  an answer with the memory that it takes
//! app/parts.rs                   further parts of an answer that is longer than memory
//! app/refused.rs                 what is kept of requests that were refused
//! config.rs                      the settings that an operator gives when the server is started
//! clock.rs                       the only reader of time
//! id.rs                          the only source of random bytes
//! auth.rs                        API tokens: a header in, a principal out
//! rate.rs                        how many requests an organisation may send
//! refusals/mod.rs                refused requests, kept apart from the request
//! refusals/queue.rs              the same ones counted together, bounded
//! refusals/lines.rs              what the log says of them
//! memory.rs                      how much memory requests may take together
//! metrics/mod.rs                 what the server counts
//! metrics/acme.rs                how it stands with certificates by ACME
//! metrics/budget.rs              the numbers of a budget, which its owner is asked for
//! metrics/counter.rs             counters and gauges
//! metrics/events.rs              events that applications were told
//! metrics/histogram.rs           how long something took, in buckets
//! metrics/process.rs             what the operating system says of this process
//! metrics/refused.rs             requests that were refused, by reason
//! metrics/webhooks.rs            deliveries of webhooks
//! metrics/text.rs                the text format of Prometheus
//!
//! api/mod.rs                     the table of all routes: who asks decides the room
//! api/router.rs                  from a path to its route
//! api/context.rs                 what a handler works with
//! api/failure.rs                 why a handler could not answer, and what the client is told
//! api/body.rs                    the body of a request as a JSON object
//! api/refused.rs                 what is kept of a request that was refused
//! api/pages.rs                   pages of the change feed that several clients are sent
//! api/waiting.rs                 clients that wait for a change
//! api/scim/mod.rs                the identity provider: /scim/v2
//! api/scim/resource.rs           one resource: POST, GET, PUT, PATCH, DELETE
//! api/scim/members.rs            the members of a group as a request changes them
//! api/scim/bulk.rs               several operations in one request
//! api/scim/query.rs              lists of resources
//! api/scim/page.rs               a page of a list: judged, read and printed
//! api/scim/page_text.rs          its resources as one text, written as they are read
//! api/scim/long_page.rs          the rest of a page that is longer than what is read at once
//! api/scim/bookmarks.rs          where the last pages of a list ended, for who walks it by index
//! api/scim/cursor.rs             where a page ended, as text for the client
//! api/scim/render.rs             resources as answers
//! api/scim/discovery.rs          ServiceProviderConfig, ResourceTypes, Schemas
//! api/access/mod.rs              the application: /access/v1
//! api/access/login.rs            may this person log in?
//! api/access/check.rs            may this request pass? a reverse proxy asks
//! api/access/changes.rs          the change feed
//! api/admin/mod.rs               whoever looks after an organisation in a browser: /admin
//! api/admin/files.rs             the files of the page
//! api/admin/parameters.rs        what its requests say
//! api/admin/overview.rs          how it goes with the organisation
//! api/admin/people.rs            people found, one person, login by hand
//! api/admin/groups.rs            groups found, and one with its members
//! api/admin/activity.rs          changes and refusals, page by page and as they come
//! api/admin/export.rs            the same as a table for spreadsheets
//! api/admin/tokens.rs            API tokens listed, made and revoked
//! api/admin/webhooks.rs          endpoints of webhooks, their deliveries, replay
//! api/admin/backup.rs            what became of backups, and a snapshot to take away
//! api/admin/host.rs              backups of the host, and places for what takes long
//! api/admin/setup.rs             how far the identity provider is set up
//! api/operations/mod.rs          whoever runs the server
//! api/operations/health.rs       /healthz and /readyz
//! api/operations/metrics.rs      /metrics
//! api/operations/openapi.rs      /openapi.json
//!
//! scim/mod.rs                    the terms and rules of RFC 7643 and RFC 7644; pure
//! scim/error.rs                  the SCIM Error
//! scim/json.rs                   JSON text from outside, no name of an object twice
//! scim/print.rs                  resources and messages as JSON text
//! scim/datetime.rs               points in time
//! scim/schema/mod.rs             what an attribute is called and may hold
//! scim/schema/urn.rs             the URNs
//! scim/schema/name.rs            the names of the attributes that plumm itself speaks of
//! scim/schema/attribute.rs       an attribute and its characteristics
//! scim/schema/document.rs        a schema document, and what one of an extension must be
//! scim/schema/resource_type.rs   a resource type, and how a name finds its attribute
//! scim/schema/own_type.rs        a resource type of an organisation, and what it must be
//! scim/schema/type_conflicts.rs   what it must be beside all others
//! scim/schema/definitions.rs     all schemas and resource types of an organisation
//! scim/schema/service_provider_config.rs  what this server supports
//! scim/filter/mod.rs             filters and paths
//! scim/filter/comparison.rs      how strings are compared
//! scim/filter/path.rs            attribute paths
//! scim/filter/grammar.rs         the filter grammar: text in, tree out
//! scim/filter/condition.rs       a filter judged against a resource type
//! scim/filter/matching.rs        a condition decided in memory
//! scim/coerce.rs                 the value a client sent becomes the value its attribute takes
//! scim/twice.rs                  an attribute that one object names in two ways
//! scim/validate.rs               outside data becomes a document, by the schemas
//! scim/strict.rs                 the same for an organisation that is set to strict
//! scim/identity.rs               the product rules about userName, e-mail address and active
//! scim/deactivation.rs           whether a request means to take login away
//! scim/patch/mod.rs              PATCH
//! scim/patch/message.rs          the PatchOp message
//! scim/patch/path.rs             the path of an operation
//! scim/patch/target.rs           what the path names: its target location
//! scim/patch/apply.rs            the operations, applied to a document
//! scim/patch/singular.rs         an operation on an attribute with one value
//! scim/patch/multi_valued.rs     an operation on an attribute with several values
//! scim/returned.rs               what of a resource a client asked to see
//! scim/membership.rs             members of groups, groups of members
//! scim/meta.rs                   metadata and versions
//! scim/reference.rs              references to other resources within a value
//! scim/resource.rs               the representation of a resource
//! scim/changes.rs                what a change did, for the record of changes
//! scim/message.rs                the messages around resources: ListResponse, SearchRequest
//! scim/bulk.rs                   the messages of Bulk, references in it, and its order
//!
//! activity/mod.rs                what happened: changes and refusals as one story
//! activity/story.rs              in the order of time, page by page
//! activity/deeds.rs              what commands do, each with its words
//! activity/words.rs              each entry in words, and as JSON
//! activity/login.rs              whether a person may log in, and why
//!
//! by_hand/mod.rs                 what people change by hand, and its line in the record
//! by_hand/login.rs               login taken away or given back
//! by_hand/token.rs               API tokens made and revoked
//! by_hand/webhook.rs             endpoints of webhooks as people see and change them
//!
//! outbox/mod.rs                  the provisioning log as an outbox, for feed and webhooks
//! outbox/reader.rs               lines of the log become events with what they are about
//! outbox/account.rs              accounts and groups as the application sees them
//! definitions.rs                 the definitions of each organisation, kept in memory
//! creation.rs                    a new resource as it will be kept, whoever creates it
//! unique.rs                      values that must be unique, and creations that come again
//!
//! webhooks/mod.rs                deliveries: started with the server, ended with it
//! webhooks/dispatcher.rs         the one thread that knows all endpoints
//! webhooks/endpoint.rs           an endpoint at work: where it is, and what a delivery changes
//! webhooks/batch.rs              events that are sent to an endpoint one after the other
//! webhooks/queue.rs              whose turn it is
//! webhooks/schedule.rs           when a delivery that failed is tried again
//! webhooks/sender.rs             the threads that send
//! webhooks/client.rs             one request to a receiver, and its answer
//! webhooks/address.rs            which URLs and addresses are refused
//!
//! events/mod.rs                  what a change means to the application; pure
//! events/webhook.rs              the body and the signature of a webhook; pure
//!
//! store/mod.rs                   the database file: open, read, write
//! store/open.rs                  who opens the file, and what it must be before SQLite opens it
//! store/connection.rs            how each kind of connection is opened
//! store/scratch.rs               names that were seen, on disk and not in memory
//! store/readers.rs               the pool of reading connections
//! store/open_read.rs             a view for the steps of one request, on either kind of connection
//! store/credentials.rs           what a connection remembers of tokens
//! store/writer/mod.rs            group commit
//! store/writer/turns.rs          whose turn it is to write
//! store/writer/queued.rs         a change that one thread waits for and another makes
//! store/writer/batch.rs          the open transaction, and what is committed together
//! store/transaction.rs           Read and Write
//! store/migrate.rs               the numbered steps of schema.sql
//! store/checkpoint.rs            the write-ahead log is folded into the file
//! store/idle.rs                  the thread that checkpoints an idle file
//! store/database_file.rs         a database file by what it is and not by its name
//! store/serve_lock.rs            one server at a time, and what it says of itself
//! store/commits.rs               that something was committed, for who waits for it
//! store/paths.rs                 paths of the file and of what stands beside it
//! store/disk.rs                  how much room is left, and how much the files take
//! store/mutex.rs                 locking a mutex whatever has panicked
//! store/error.rs                 what can go wrong with the file
//! store/tables/mod.rs            one file per table
//! store/tables/org.rs            organisations
//! store/tables/org_erasure.rs    an organisation erased for good, in pieces
//! store/tables/token.rs          API tokens
//! store/tables/resource.rs       resources of every type
//! store/tables/draft.rs          a resource's row as it is to be written
//! store/tables/change.rs         a change of one resource as plain data, with its line of the log
//! store/tables/schema.rs         schemas of an organisation
//! store/tables/resource_type.rs  resource types of an organisation
//! store/tables/member.rs         who is a member of which group
//! store/tables/provisioning_log.rs  what changed, by whom
//! store/tables/refusal.rs        requests that were refused
//! store/tables/webhook.rs        endpoints of webhooks, and what was delivered
//! store/tables/census.rs         how many accounts and groups there are
//! store/query/mod.rs             lists and filters as SQL
//! store/query/story.rs           the record and the refusals, for whoever asks what happened
//! store/query/chain.rs           the lines of the record about one resource
//! store/query/listing.rs         pages of lists
//! store/query/search.rs          accounts and groups found by parts of their names
//! store/query/near.rs            names that are near to one that nobody has
//! store/query/directory.rs       accounts and groups in the order of their names
//! store/query/days.rs            how much happened on each day, and how far a provider has come
//! store/query/long_reads.rs      few long reads at once, so that short ones never wait for them
//! store/query/selective.rs       what an index does for a condition
//! store/query/sort_sql.rs        what a list is sorted by, as SQL
//! store/query/holder.rs          which resource already has a unique value
//! store/query/filter_sql/mod.rs  a condition as SQL
//! store/query/filter_sql/compiler.rs    the walk through a condition
//! store/query/filter_sql/values.rs      a test on the values that an attribute has
//! store/query/filter_sql/comparison.rs  one value compared with an operand
//! store/query/filter_sql/document.rs    where values stand in the JSON document
//! store/query/filter_sql/indexed.rs     what an index finds: text columns, email addresses
//! store/query/filter_sql/time.rs        tests on meta.created and meta.lastModified
//! store/query/member_sql.rs      members and groups in a condition, as SQL
//! store/query/expression.rs      an SQL expression for one value
//! store/query/fragment.rs        a piece of SQL and the values it binds
//! store/copies/mod.rs            copies of the file
//! store/copies/view.rs           a file read as it is, with nothing changed or left beside it
//! store/copies/check.rs          whether a file is whole, and what it holds
//! store/copies/glance.rs         a look at a file that costs little and changes nothing
//! store/copies/last_backup.rs    what became of the last backups, in a file beside the database
//! store/copies/chains.rs         whether the lines about each resource are chained
//! store/copies/columns.rs        what each column of a file must hold
//! store/copies/rotated.rs        the backups that a server makes by itself, by their names
//! store/copies/backup.rs         a whole copy in one file, at any moment
//! store/copies/snapshot.rs       a whole copy for somebody else, without a name on the disk
//! store/copies/restore.rs        a copy in the place of the database
//! ```

pub mod acme;
pub mod activity;
pub mod api;
pub mod app;
pub mod auth;
pub mod by_hand;
pub mod cli;
pub mod clock;
pub mod config;
pub mod creation;
pub mod definitions;
pub mod events;
pub mod http;
pub mod id;
pub mod idp;
pub mod memory;
pub mod metrics;
pub mod outbox;
pub mod rate;
pub mod refusals;
pub mod scim;
pub mod server;
pub mod store;
pub mod unique;
pub mod webhooks;
