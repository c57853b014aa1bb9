-- Tasks, versions, bundles and gates. A deploy is one piece: all guards answer, or nothing changes.
-- Here is what SQLite says in its own way; the rest stands in `stores/queries`.

-- name: expect_version(task_id, company_id, version_id)
-- Guard: the task is still at the version from which the deploy was computed.
SELECT id FROM tasks
 WHERE id = :task_id AND company_id = :company_id AND version_id = :version_id;

-- name: insert_gate(gate_id, company_id, task_id, run_limit, labels)!
INSERT INTO gates (id, company_id, task_id, runnable, company_runnable, run_limit, labels,
                   priority_offset, withdrawn)
SELECT :gate_id, id, :task_id, 1, runnable, :run_limit, :labels, 0, 0
  FROM companies WHERE id = :company_id;
