-- Rows that failed again and again while others succeeded stand apart: they are given out beside the lanes, so that a
-- page of them hides no other row.

-- Tries that failed while other rows succeeded.
alter table waiting add column own_failures integer not null default 0;

drop index waiting_due;
create index waiting_due on waiting (lane, not_before_s) where not_before_s > 0 and own_failures < 3;
create index waiting_quarantined on waiting (not_before_s) where own_failures >= 3;
