-- Every statement of the spool but the schema's, each a block that begins with "-- name: NAME".
-- ":seqs" and ":ids" are JSON arrays: one statement for a whole batch, compiled once.

-- name: load_state
select age_s, wall_s, next_seq, rows, outbox, dead_letters, dead_bytes, ended_early, dead_dropped from state;

-- name: save_state
update state set age_s = ?, wall_s = ?, next_seq = ?, rows = ?, outbox = ?, dead_letters = ?, dead_bytes = ?,
    ended_early = ?, dead_dropped = ?;

-- name: load_lanes
select id, name, waiting, bytes from lanes;

-- name: save_lane
insert into lanes (id, name, waiting, bytes) values (?, ?, ?, ?)
on conflict (id) do update set waiting = excluded.waiting, bytes = excluded.bytes;

-- name: insert_event
insert into events (seq, id, digest, namespace, name) values (?, ?, ?, ?, ?) on conflict (id) do nothing;

-- name: insert_waiting
insert into waiting (seq, lane, manifest, order_key, not_before_s, expires_at_s, attempts, stored_at_s, body, size)
values (?, ?, ?, ?, ?, ?, 0, ?, ?, ?);

-- name: find_event
select seq, digest, namespace, name, code, error from events where id = ?;

-- name: waiting_body
select body from waiting where seq = ?;

-- name: key_is_waiting
select 1 from waiting where order_key = ? limit 1;

-- name: select_replies
select seq, address from replies where seq in (select value from json_each(:seqs)) order by seq, n;

-- name: add_reply
insert into replies (seq, n, address) values (?, ?, ?);

-- name: delete_replies
delete from replies where seq in (select value from json_each(:seqs));

-- name: find_manifest
select id from manifests where digest = ?;

-- name: insert_manifest
insert into manifests (id, digest, refs) values (?, ?, 0);

-- name: insert_manifest_body
insert into manifest_bodies (id, body) values (?, ?);

-- name: count_manifest
update manifests set refs = refs + ? where id = ?;

-- name: manifest_body
select body from manifest_bodies where id = ?;

-- name: unused_manifests
select id from manifests where refs = 0 order by id limit ?;

-- name: delete_manifests
delete from manifests where id in (select value from json_each(:ids));

-- name: delete_manifest_bodies
delete from manifest_bodies where id in (select value from json_each(:ids));

-- name: remember_delivery
insert into inflight (connection, packet_id, entries) values (?, ?, ?)
on conflict (connection, packet_id) do update set entries = substr(cast(excluded.entries || entries as blob), 1, 128)
where instr(entries, excluded.entries) = 0;

-- name: find_delivery
select entries from inflight where connection = ? and packet_id = ?;

-- name: forget_deliveries
delete from inflight where connection = ?;

-- name: all_deliveries
select packet_id, entries from inflight where connection = ? order by packet_id;

-- name: any_delivery
select exists (
    select 1 from json_each(:seqs) j
    cross join inflight i on i.connection = :connection and i.packet_id = j.value
);

-- name: forget_some_deliveries
delete from inflight where connection = :connection and packet_id in (select value from json_each(:seqs));

-- name: ready_rows
select w.seq, e.id, e.digest, e.namespace, e.name, l.name, w.manifest, w.order_key, w.not_before_s, w.expires_at_s,
    w.attempts, w.stored_at_s, w.body, w.note, w.own_failures
from waiting w indexed by waiting_ready
cross join events e on e.seq = w.seq
cross join lanes l on l.id = w.lane
where w.lane = (select id from lanes where name = ?) and w.not_before_s = 0 and w.seq > ?
order by w.seq limit ?;

-- name: rows_by_seq
select w.seq, e.id, e.digest, e.namespace, e.name, l.name, w.manifest, w.order_key, w.not_before_s, w.expires_at_s,
    w.attempts, w.stored_at_s, w.body, w.note, w.own_failures
from json_each(:seqs) j
cross join waiting w on w.seq = j.value
cross join events e on e.seq = w.seq
cross join lanes l on l.id = w.lane
order by j.key;

-- name: due_seqs
select seq from waiting indexed by waiting_due
where lane = (select id from lanes where name = ?) and not_before_s > 0 and own_failures < 3 and not_before_s <= ?
order by not_before_s, seq;

-- name: next_due
select min(not_before_s) from waiting indexed by waiting_due
where lane = (select id from lanes where name = ?) and not_before_s > 0 and own_failures < 3;

-- name: newest_seqs
select seq from waiting indexed by waiting_ready
where lane = (select id from lanes where name = ?) and not_before_s = 0
order by seq desc;

-- name: quarantined_seqs
select seq from waiting indexed by waiting_quarantined where own_failures >= 3 and not_before_s <= ?
order by not_before_s, seq;

-- name: next_quarantined
select min(not_before_s) from waiting indexed by waiting_quarantined where own_failures >= 3;

-- name: expired_seqs
select seq from waiting indexed by waiting_expiry
where expires_at_s is not null and expires_at_s <= ?
order by expires_at_s, seq;

-- name: find_seq
select w.seq from events e cross join waiting w on w.seq = e.seq where e.id = ?;

-- name: delete_waiting
delete from waiting where seq in (select value from json_each(:seqs)) returning seq, lane, manifest, order_key, size;

-- name: insert_ended
insert into ended (seq, ended_s) values (?, ?);

-- name: mark_dead
update events set code = ?, error = ? where seq = ?;

-- name: first_of_key
select seq, not_before_s from waiting where order_key = ? order by seq limit 1;

-- name: release_row
update waiting set not_before_s = ? where seq = ?;

-- name: note_row
update waiting set note = ? where seq = ?;

-- name: postpone
update waiting set attempts = ?, own_failures = ?, not_before_s = ? where seq = ? and not_before_s is not null;

-- name: oldest_ended
select n, seq, ended_s from ended order by n limit ?;

-- name: delete_events
delete from events where seq in (select value from json_each(:seqs));

-- name: delete_ended
delete from ended where n <= ?;

-- name: insert_outbox
insert into outbox (seq, connection, head, payload) values (?, ?, ?, ?);

-- name: outbox_rows
select seq, head, payload from outbox where connection = ? and seq > ? order by seq limit ?;

-- name: delete_outbox
delete from outbox where seq in (select value from json_each(:seqs));

-- name: newest_dead_letter
select seq, first_age_s from dead_letters
where origin = ? and mapping = ? and reason = ? and (kept is not null) = ?
order by seq desc limit 1;

-- name: crowded_dead_letters
select seq, first_age_s from dead_letters
where mapping = ? and reason = ? and (kept is not null) = ?
order by seq desc limit 1 offset ?;

-- name: dead_letters_since
select coalesce(sum(size), 0) from (
    select size, first_age_s from dead_letters where mapping = ? and reason = ? and (kept is not null) = ?
    order by seq desc limit ?
) where first_age_s > ?;

-- name: count_on_dead_letter
update dead_letters set count = count + ?, last_wall_s = ? where seq = ?;

-- name: insert_dead_letter
insert into dead_letters
    (seq, mapping, reason, count, kept, first_age_s, first_wall_s, last_wall_s, size, origin, head, payload)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: keep_on_dead_letter
update dead_letters set kept = kept + ?, size = size + ? where seq = ?;

-- name: dead_letter_rows
select seq, mapping, reason, count, kept, first_wall_s, last_wall_s, head, payload from dead_letters
where seq < :before and (:mapping is null or mapping = :mapping) and (:reason is null or reason = :reason)
    and (:first_before_s is null or first_age_s < :first_before_s)
order by seq desc limit :limit;

-- name: oldest_dead_letters
select seq, count, size, first_age_s, coalesce(kept, 0) from dead_letters order by seq limit ?;

-- name: select_dead_letters
select seq, coalesce(kept, 0) from dead_letters
where seq <= :upto and (:mapping is null or mapping = :mapping) and (:reason is null or reason = :reason)
    and (:first_before_s is null or first_age_s < :first_before_s)
order by seq limit :limit;

-- name: delete_dead_letters
delete from dead_letters where seq in (select value from json_each(:seqs)) returning size;

-- name: dying_rows
select w.seq, e.id, e.digest, e.namespace, e.name, w.lane, w.manifest, w.order_key, w.body, length(m.body)
from json_each(:seqs) j
cross join waiting w on w.seq = j.value
cross join events e on e.seq = w.seq
cross join manifest_bodies m on m.id = w.manifest;

-- name: last_ended
select max(n) from ended;

-- name: manifest_is_kept
select 1 from dead_events where letter = ? and manifest = ? limit 1;

-- name: insert_dead_event
insert into dead_events
    (seq, letter, ended, id, digest, namespace, name, lane, manifest, order_key, max_age_s, body)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: dead_event_rows
select d.seq, d.id, d.digest, d.namespace, d.name, l.name, d.manifest, d.order_key, 0.0, null, 0, 0.0, d.body, null, 0
from dead_events d cross join lanes l on l.id = d.lane
where d.letter = ? order by d.seq limit ?;

-- name: delete_dead_events
delete from dead_events where letter in (select value from json_each(:seqs)) returning manifest;

-- name: take_dead_events
delete from dead_events where letter = ?
returning seq, ended, id, digest, namespace, name, lane, manifest, order_key, max_age_s, body;

-- name: delete_ended_row
delete from ended where n = ? and seq = ?;

-- name: renumber_event
update events set seq = ?, code = null, error = null where seq = ?;

-- name: all_retained
select connection, topic, namespace, name, uid from retained order by connection, topic;

-- name: retain
insert into retained (connection, topic, namespace, name, uid) values (?, ?, ?, ?, ?)
on conflict (connection, topic)
do update set namespace = excluded.namespace, name = excluded.name, uid = excluded.uid;

-- name: release_retained
delete from retained where connection = ? and topic = ? and uid = ?;

-- name: external_rows
select namespace, name, body, expires_at_s, seq from external where seq > ? order by seq;

-- name: put_external
insert into external (namespace, name, seq, expires_at_s, body) values (?, ?, ?, ?, ?)
on conflict (namespace, name)
do update set seq = excluded.seq, expires_at_s = excluded.expires_at_s, body = excluded.body;

-- name: delete_external
delete from external where namespace = ? and name = ? and seq = ?;

-- name: get_meta
select value from meta where key = ?;

-- name: set_meta
insert into meta (key, value) values (?, ?) on conflict (key) do update set value = excluded.value;

-- name: check_rows
select 'state.rows', (select count(*) from events), (select rows from state)
union all select 'waiting and ended', (select count(*) from waiting) + (select count(*) from ended),
    (select rows from state)
union all select 'lanes.waiting', (select count(*) from waiting), (select coalesce(sum(waiting), 0) from lanes)
union all select 'lanes.bytes', (select coalesce(sum(size), 0) from waiting), (select coalesce(sum(bytes), 0) from lanes)
union all select 'manifests.refs', (select count(*) from waiting) + (select count(*) from dead_events),
    (select coalesce(sum(refs), 0) from manifests)
union all select 'state.outbox', (select count(*) from outbox), (select outbox from state)
union all select 'state.dead_letters', (select count(*) from dead_letters), (select dead_letters from state)
union all select 'state.dead_bytes', (select coalesce(sum(size), 0) from dead_letters), (select dead_bytes from state)
union all select 'dead_letters.kept', (select count(*) from dead_events),
    (select coalesce(sum(kept), 0) from dead_letters)
union all select 'dead events without their letter',
    (select count(*) from dead_events where letter not in (select seq from dead_letters where kept is not null)), 0
union all select 'dead events without a manifest',
    (select count(*) from dead_events where manifest not in (select id from manifest_bodies)), 0
union all select 'dead events without a lane',
    (select count(*) from dead_events where lane not in (select id from lanes)), 0
union all select 'waiting without an event',
    (select count(*) from waiting where seq not in (select seq from events)), 0
union all select 'waiting without a manifest',
    (select count(*) from waiting where manifest not in (select id from manifest_bodies)), 0
union all select 'numbers not yet given out',
    (select count(*) from events where seq >= (select next_seq from state))
    + (select count(*) from outbox where seq >= (select next_seq from state))
    + (select count(*) from dead_letters where seq >= (select next_seq from state))
    + (select count(*) from external where seq >= (select next_seq from state))
    + (select count(*) from manifests where id >= (select next_seq from state))
    + (select count(*) from lanes where id >= (select next_seq from state)), 0
union all select 'waiting without a lane', (select count(*) from waiting where lane not in (select id from lanes)), 0
union all select 'waiting and not in turn or postponed',
    (select count(*) from waiting where not_before_s is null and order_key is null), 0
union all select 'keys with none or two in turn',
    (select count(*) from (select 1 from waiting where order_key is not null group by order_key
        having count(not_before_s) <> 1 or min(case when not_before_s is not null then seq end) <> min(seq))), 0;

-- name: find_rule_state
select state from rule_states where mapping = ? and key = ?;

-- name: put_rule_state
insert into rule_states (mapping, key, state, due_age_s, due_known_s, used) values (?, ?, ?, ?, ?, ?)
on conflict (mapping, key) do update set state = excluded.state, due_age_s = excluded.due_age_s,
    due_known_s = excluded.due_known_s, used = excluded.used;

-- name: delete_rule_state
delete from rule_states where mapping = ? and key = ?;

-- name: rule_states_due_by_age
select key, state from rule_states where mapping = ? and due_age_s <= ? order by due_age_s limit ?;

-- name: rule_states_due_by_known
select key, state from rule_states where mapping = ? and due_known_s <= ? order by due_known_s limit ?;

-- name: rule_states_after
select key, state from rule_states where mapping = ? and key > ? order by key limit ?;

-- name: next_rule_age
select min(due_age_s) from rule_states where mapping = ? and due_age_s is not null;

-- name: next_rule_known
select min(due_known_s) from rule_states where mapping = ? and due_known_s is not null;

-- name: measure_rule_states
select count(*), coalesce(sum(length(state)), 0) from rule_states;

-- name: unused_rule_states
select mapping, key, state from rule_states order by used limit ?;

-- name: drop_rule_state
delete from rule_states where mapping = ? and key = ? and state = ?;
