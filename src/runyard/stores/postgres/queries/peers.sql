-- What servers that share this database have beside its tables: a list of who is there, and news. A
-- server holds an advisory lock named after it for as long as it listens.

-- name: take_name(name)^
SELECT pg_try_advisory_lock(hashtextextended('runyard server ' || :name, 0));

-- name: drop_name(name)^
SELECT pg_advisory_unlock(hashtextextended('runyard server ' || :name, 0));

-- name: tell(news)^
SELECT pg_notify('runyard', :news);

-- name: enter_server(name, incarnation, address, version, started_at)!
INSERT INTO servers (name, incarnation, address, version, started_at, seen_at)
VALUES (:name, :incarnation, :address, :version, :started_at, :started_at)
ON CONFLICT (name) DO UPDATE
   SET incarnation = excluded.incarnation, address = excluded.address, version = excluded.version,
       started_at = excluded.started_at, seen_at = excluded.seen_at, left_at = NULL;

-- name: leave_server(name, incarnation, at)!
UPDATE servers SET seen_at = :at, left_at = :at WHERE name = :name AND incarnation = :incarnation;

-- name: list_servers()
-- With one look at the locks: whoever holds the one of its name is connected.
WITH held AS MATERIALIZED (
    SELECT (classid::bigint << 32) | objid::bigint AS number
      FROM pg_locks
     WHERE locktype = 'advisory' AND objsubid = 1 AND granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT name, incarnation, address, version, started_at, seen_at, left_at,
       (hashtextextended('runyard server ' || name, 0) IN (SELECT number FROM held))::integer
  FROM servers
 ORDER BY name;

-- name: forget_server(name, seen_before)!
DELETE FROM servers WHERE name = :name AND seen_at < :seen_before;
