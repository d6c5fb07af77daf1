-- What each lane takes of the spool, so that one lane cannot take the room of all others.

-- size: of the row's body, and of its manifest where it was the first to need it; 0 = of an older release.
alter table waiting add column size integer not null default 0;
-- bytes: the sum of these.
alter table lanes add column bytes integer not null default 0;
