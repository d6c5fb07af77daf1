-- Statuses that other systems sent (PREFIX/status), until the status thread has taken them up for a workflow that Argo
-- has, or until they expire.

-- One row a workflow, the newest. body: the status message as JSON. seq grows with each update, so that taking one up
-- never deletes a newer one.
create table external (
    namespace text not null,
    name text not null,
    seq integer not null,
    expires_at_s real not null,
    body blob not null,
    primary key (namespace, name)
) without rowid;
create index external_by_seq on external (seq);
