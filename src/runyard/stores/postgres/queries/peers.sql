-- What servers that share this database have beside its tables: a list of who is there, and news. A
-- server holds an advisory lock named after it for as long as it listens.

-- name: take_name(name)^
SELECT pg_try_advisory_lock(hashtextextended('runyard server ' || :name, 0));

-- name: drop_name(name)^
SELECT pg_advisory_unlock(hashtextextended('runyard server ' || :name, 0));

-- name: take_duty(duty)^
SELECT pg_try_advisory_lock(hashtextextended('runyard duty ' || :duty, 0));

-- name: drop_duty(duty)^
SELECT pg_advisory_unlock(hashtextextended('runyard duty ' || :duty, 0));

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

-- name: holdings_of_runs(run_ids)
SELECT runs.id, runs.company_id, gate_id, session_id, lease_token, attempt, begun_at, created_at,
       CASE WHEN sessions.closed_at IS NULL THEN sessions.lease_expires_at END
  FROM runs
  LEFT JOIN sessions ON sessions.id = runs.session_id
 WHERE runs.id = ANY (:run_ids::bigint[]) AND state + 0 = 4
 ORDER BY runs.id;

-- name: unbegun_elsewhere(gate_ids, session_ids)
-- Through the index of what is leased, gate by gate: as many steps as runs are under way there.
SELECT runs.id, runs.company_id, gate_id, session_id, lease_token, attempt, begun_at, created_at,
       CASE WHEN sessions.closed_at IS NULL THEN sessions.lease_expires_at END
  FROM runs
  LEFT JOIN sessions ON sessions.id = runs.session_id
 WHERE gate_id = ANY (:gate_ids::bigint[]) AND state IN (4, 5) AND state + 0 = 4
   AND begun_at IS NULL AND session_id <> ALL (:session_ids::bigint[])
 ORDER BY runs.id;

-- name: leases_of_sessions(session_ids)
SELECT id, lease_expires_at FROM sessions
 WHERE id = ANY (:session_ids::bigint[]) AND closed_at IS NULL;

-- name: ask_errand(errand_id, session_id, verb, company_id, run_id, token, asked_at, body)!
INSERT INTO errands (id, session_id, verb, company_id, run_id, token, asked_at, body)
SELECT * FROM unnest(:errand_id::bigint[], :session_id::bigint[], :verb::text[],
                     :company_id::bigint[], :run_id::bigint[], :token::bigint[],
                     :asked_at::bigint[], :body::bytea[]);

-- name: unanswered_errands(session_ids)
SELECT id, session_id, verb, company_id, run_id, token, asked_at, body FROM errands
 WHERE session_id = ANY (:session_ids::bigint[]) AND answer IS NULL
 ORDER BY id;

-- name: answer_errand(errand_id, answer, finding)!
UPDATE errands SET answer = given.answer, finding = given.finding
  FROM unnest(:errand_id::bigint[], :answer::text[], :finding::bytea[])
       AS given (errand_id, answer, finding)
 WHERE errands.id = given.errand_id;

-- name: answers_of_errands(errand_ids)
SELECT id, answer FROM errands WHERE id = ANY (:errand_ids::bigint[]) AND answer IS NOT NULL;

-- name: findings_of_errands(errand_ids)
SELECT id, finding FROM errands WHERE id = ANY (:errand_ids::bigint[]) AND answer IS NOT NULL;

-- name: withdraw_errand(errand_id)!
DELETE FROM errands WHERE id = ANY (:errand_id::bigint[]);

-- name: forget_errands(asked_before)!
DELETE FROM errands WHERE asked_at < :asked_before;
