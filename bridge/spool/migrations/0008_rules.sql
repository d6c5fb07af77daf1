-- The states of rules over time, one row a mapping and key.

-- key: UTF-8. state: JSON. due_age_s, due_known_s: when the state changes by time alone, on the bridge's own clock and on
-- the one that stands still while the link is down; null = never. used: hour of the bridge's own clock.
create table rule_states (
    mapping text not null,
    key blob not null,
    state blob not null,
    due_age_s real,
    due_known_s real,
    used integer not null,
    primary key (mapping, key)
) without rowid;
create index rule_states_by_age on rule_states (mapping, due_age_s) where due_age_s is not null;
create index rule_states_by_known on rule_states (mapping, due_known_s) where due_known_s is not null;
