-- The spool's tables. Every seq, manifest id and letter number comes from state.next_seq: a number is never used
-- twice, so a reader that remembers the last one it saw misses nothing, and a cache by number is never wrong.

-- One row: the counters that figures() reads, and the age clock, written by each commit.
create table state (
    only_row integer primary key check (only_row = 1),
    age_s real not null,
    wall_s real,
    next_seq integer not null,
    rows integer not null,
    outbox integer not null,
    dead_letters integer not null,
    dead_bytes integer not null,
    ended_early integer not null,
    dead_dropped integer not null
);
-- The age clock starts at 1: waiting.not_before_s = 0 means "not postponed".
insert into state values (1, 1.0, null, 1, 0, 0, 0, 0, 0, 0);

create table lanes (
    id integer primary key,
    name text not null unique,
    waiting integer not null
);

-- Identity: the UNIQUE id is the only dedupe. Narrow, because it stays for keep-done. A row without one in `waiting`
-- has ended: dead if it has a code, else done.
create table events (
    seq integer primary key,
    id blob not null unique,
    digest blob not null,
    namespace text not null,
    name text not null,
    code text,
    error text
);

-- What dispatch needs, deleted when the event ends.
-- not_before_s: 0 = ready; above = age from which it may be tried; null = held, an earlier row has its order_key.
create table waiting (
    seq integer primary key,
    lane integer not null,
    manifest integer not null,
    order_key text,
    not_before_s real,
    expires_at_s real,
    attempts integer not null,
    stored_at_s real not null,
    body blob not null
);
create index waiting_ready on waiting (lane) where not_before_s = 0;
create index waiting_due on waiting (lane, not_before_s) where not_before_s > 0;
create index waiting_order on waiting (order_key) where order_key is not null;
create index waiting_expiry on waiting (expires_at_s) where expires_at_s is not null;

-- Reply addresses beyond the one in waiting.body: the same request came again.
create table replies (
    seq integer not null,
    n integer not null,
    address blob not null,
    primary key (seq, n)
) without rowid;

-- In order of ending, for purge.
create table ended (
    n integer primary key,
    seq integer not null,
    ended_s real not null
);

-- refs counts waiting rows. Bodies stand apart: a change of refs must not rewrite 75 KiB.
create table manifests (
    id integer primary key,
    digest blob not null unique,
    refs integer not null
);
create index manifests_unused on manifests (id) where refs = 0;
create table manifest_bodies (
    id integer primary key,
    body blob not null
);

-- entries: up to four of (first 16 bytes of the digest, delivery id of 16 bytes), the newest first.
create table inflight (
    connection text not null,
    packet_id integer not null,
    entries blob not null,
    primary key (connection, packet_id)
) without rowid;

create table outbox (
    seq integer primary key,
    connection text not null,
    head blob not null,
    payload blob not null
);
create index outbox_by_connection on outbox (connection);

create table dead_letters (
    seq integer primary key,
    mapping text not null,
    reason text not null,
    count integer not null,
    first_age_s real not null,
    first_wall_s real not null,
    last_wall_s real not null,
    size integer not null,
    head blob not null,
    payload blob not null
);
create index dead_letters_by_kind on dead_letters (mapping, reason);

create table retained (
    connection text not null,
    topic text not null,
    namespace text not null,
    name text not null,
    uid text not null,
    primary key (connection, topic)
) without rowid;

create table meta (
    key text primary key,
    value text not null
) without rowid;
