-- What dispatch must know of a row after a crash before it asks a second time: how a workflow stood before the first.
alter table waiting add column note text;
