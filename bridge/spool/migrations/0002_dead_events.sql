-- Events that died in dispatch can be replayed: what `waiting` knew of them stays as long as their dead letter.

-- How many of a letter's events are kept in dead_events; null = the letter is of a message that never was an event.
alter table dead_letters add column kept integer;

-- It has copies of what `events` holds, because that row goes after keep-done. seq and ended are the row's numbers in
-- `events` and `ended`: a number of `ended` may come again, so only both together say that the row is still there.
create table dead_events (
    seq integer primary key,
    letter integer not null,
    ended integer not null,
    id blob not null,
    digest blob not null,
    namespace text not null,
    name text not null,
    lane integer not null,
    manifest integer not null,
    order_key text,
    max_age_s real,
    body blob not null
);
create index dead_events_by_letter on dead_events (letter, manifest);
