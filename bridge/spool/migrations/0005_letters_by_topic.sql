-- Dead letters are counted on one only where their topic is the same too.

-- origin: a digest of connection and topic; null = of an older release, which nothing is counted on.
alter table dead_letters add column origin blob;
create index dead_letters_by_origin on dead_letters (origin);
