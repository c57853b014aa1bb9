-- The outbox of callbacks.

-- name: insert_callback(run_id, callback_id, public_id, company_id, dialect, url, host, created_at, headers)!
INSERT INTO callbacks
       (id, public_id, company_id, run_id, dialect, url, host, state, created_at, headers)
VALUES (:callback_id, :public_id, :company_id, :run_id, :dialect, :url, :host, 0, :created_at,
        :headers);

-- name: expect_end(run_id)!
UPDATE runs SET callbacks = 1 WHERE id = :run_id;

-- name: pending_callbacks()^
SELECT EXISTS (SELECT 1 FROM runs WHERE callbacks = 1 AND state >= 6),
       (SELECT min(due_at) FROM callbacks WHERE state IN (1, 2));

-- name: ripen_callbacks(run_id, at)!
UPDATE callbacks SET state = 1, due_at = :at
 WHERE run_id = :run_id AND state = 0
   AND EXISTS (SELECT 1 FROM runs WHERE runs.id = :run_id AND runs.state >= 6);

-- name: note_told(run_id)!
UPDATE runs SET callbacks = 2 WHERE id = :run_id AND callbacks = 1 AND state >= 6;

-- name: hold_callback(run_id, callback_id, now, until, holder)<!
UPDATE callbacks SET state = 2, tries = tries + 1, due_at = :until, holder = :holder
 WHERE id = :callback_id AND run_id = :run_id AND state IN (1, 2) AND due_at <= :now
RETURNING run_id, id;

-- name: settle_callback(run_id, callback_id, holder, tries, state, due_at, ended_at, answered, detail)!
UPDATE callbacks
   SET state = :state, due_at = :due_at, ended_at = :ended_at, answered = :answered,
       detail = :detail, holder = NULL
 WHERE id = :callback_id AND run_id = :run_id AND state = 2 AND holder = :holder
   AND tries = :tries;

-- name: release_callbacks(now)!
UPDATE callbacks SET state = 1, due_at = :now, holder = NULL WHERE state = 2 AND state IN (1, 2);

-- name: resend_callback(run_id, callback_id, company_id, now)<!
UPDATE callbacks SET state = 1, due_at = :now, tries = 0, ended_at = NULL
 WHERE id = :callback_id AND run_id = :run_id AND company_id = :company_id AND state IN (1, 3, 4)
RETURNING run_id, id;

-- name: delete_callbacks(run_id)!
DELETE FROM callbacks WHERE run_id = :run_id;

-- name: rotate_callback_secret(company_id, expected, previous_until)<!
INSERT INTO callback_secrets (company_id, number, previous_until)
SELECT :company_id, :expected + 1, :previous_until
 WHERE :expected = 1 OR EXISTS (SELECT 1 FROM callback_secrets WHERE company_id = :company_id)
ON CONFLICT (company_id) DO UPDATE
   SET number = excluded.number, previous_until = excluded.previous_until
 WHERE callback_secrets.number = :expected
RETURNING number;
