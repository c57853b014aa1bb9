-- The outbox of callbacks. Writes take arrays, one element per row, ordered by run.

-- name: insert_callback(run_id, callback_id, public_id, company_id, dialect, url, host, created_at, headers)!
INSERT INTO callbacks
       (run_id, id, public_id, company_id, dialect, url, host, created_at, headers, state)
SELECT *, 0
  FROM unnest(:run_id::bigint[], :callback_id::bigint[], :public_id::bytea[],
              :company_id::bigint[], :dialect::text[], :url::text[], :host::text[],
              :created_at::bigint[], :headers::bytea[]);

-- name: expect_end(run_id)!
UPDATE runs SET callbacks = 1 FROM unnest(:run_id::bigint[]) AS given (run_id)
 WHERE runs.id = given.run_id;

-- name: pending_callbacks()^
SELECT EXISTS (SELECT 1 FROM runs WHERE callbacks = 1 AND state >= 6)::integer,
       (SELECT min(due_at) FROM callbacks WHERE state IN (1, 2));

-- name: ripen_callbacks(run_id, at)!
UPDATE callbacks SET state = 1, due_at = given.at
  FROM unnest(:run_id::bigint[], :at::bigint[]) AS given (run_id, at)
  JOIN runs ON runs.id = given.run_id AND runs.state >= 6
 WHERE callbacks.run_id = given.run_id AND callbacks.state = 0;

-- name: note_told(run_id)!
UPDATE runs SET callbacks = 2 FROM unnest(:run_id::bigint[]) AS given (run_id)
 WHERE runs.id = given.run_id AND callbacks = 1 AND state >= 6;

-- name: hold_callback(run_id, callback_id, now, until, holder)<!
UPDATE callbacks SET state = 2, tries = tries + 1, due_at = given.until, holder = given.holder
  FROM unnest(:run_id::bigint[], :callback_id::bigint[], :now::bigint[], :until::bigint[],
              :holder::bigint[]) AS given (run_id, callback_id, now, until, holder)
 WHERE callbacks.id = given.callback_id AND callbacks.run_id = given.run_id
   AND state IN (1, 2) AND due_at <= given.now
RETURNING callbacks.run_id, callbacks.id;

-- name: settle_callback(run_id, callback_id, holder, tries, state, due_at, ended_at, answered, detail)!
UPDATE callbacks
   SET state = given.state, due_at = given.due_at, ended_at = given.ended_at,
       answered = given.answered, detail = given.detail, holder = NULL
  FROM unnest(:run_id::bigint[], :callback_id::bigint[], :holder::bigint[], :tries::bigint[],
              :state::smallint[], :due_at::bigint[], :ended_at::bigint[], :answered::bigint[],
              :detail::text[])
       AS given (run_id, callback_id, holder, tries, state, due_at, ended_at, answered, detail)
 WHERE callbacks.id = given.callback_id AND callbacks.run_id = given.run_id
   AND callbacks.state = 2 AND callbacks.holder = given.holder AND callbacks.tries = given.tries;

-- name: release_callbacks(now)!
UPDATE callbacks SET state = 1, due_at = :now::bigint, holder = NULL
 WHERE state = 2 AND state IN (1, 2);

-- name: resend_callback(run_id, callback_id, company_id, now)<!
UPDATE callbacks SET state = 1, due_at = given.now, tries = 0, ended_at = NULL
  FROM unnest(:run_id::bigint[], :callback_id::bigint[], :company_id::bigint[], :now::bigint[])
       AS given (run_id, callback_id, company_id, now)
 WHERE callbacks.id = given.callback_id AND callbacks.run_id = given.run_id
   AND callbacks.company_id = given.company_id AND state IN (1, 3, 4)
RETURNING callbacks.run_id, callbacks.id;

-- name: delete_callbacks(run_id)!
DELETE FROM callbacks WHERE run_id = ANY (:run_id::bigint[]);

-- name: rotate_callback_secret(company_id, expected, previous_until)<!
INSERT INTO callback_secrets (company_id, number, previous_until)
SELECT :company_id::bigint, :expected::bigint + 1, :previous_until::bigint
 WHERE :expected::bigint = 1
    OR EXISTS (SELECT 1 FROM callback_secrets WHERE company_id = :company_id::bigint)
ON CONFLICT (company_id) DO UPDATE
   SET number = excluded.number, previous_until = excluded.previous_until
 WHERE callback_secrets.number = :expected::bigint
RETURNING number;
