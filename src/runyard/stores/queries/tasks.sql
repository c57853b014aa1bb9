-- Tasks, versions, bundles and gates. A deploy is one piece: all guards answer, or nothing changes.

-- name: expect_absent(company_id, key)
-- Guard: nobody has created the task meanwhile.
SELECT 1
 WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE company_id = :company_id AND key = :key);

-- name: keep_bundle(company_id, digest, name, size, created_at)!
INSERT INTO bundles (company_id, digest, name, size, created_at)
VALUES (:company_id, :digest, :name, :size, :created_at)
ON CONFLICT DO NOTHING;

-- name: insert_task(task_id, company_id, uuid, key, name, path, description, bundle_name, version_id, version, gate_id, created_at)!
INSERT INTO tasks (id, company_id, uuid, key, name, path, description, bundle_name, version_id,
                   version, gate_id, created_at)
VALUES (:task_id, :company_id, :uuid, :key, :name, :path, :description, :bundle_name, :version_id,
        :version, :gate_id, :created_at);

-- name: update_task(task_id, company_id, name, path, description, bundle_name, version_id, version)!
UPDATE tasks
   SET name = :name, path = :path, description = :description, bundle_name = :bundle_name,
       version_id = :version_id, version = :version, withdrawn_at = NULL
 WHERE id = :task_id AND company_id = :company_id;

-- name: update_gate(gate_id, company_id, run_limit, labels)!
UPDATE gates SET run_limit = :run_limit, labels = :labels, withdrawn = 0
 WHERE id = :gate_id AND company_id = :company_id;

-- name: insert_version(version_id, company_id, task_id, number, bundle_digest, declaration, created_at, deployed_by)!
INSERT INTO versions (id, company_id, task_id, number, bundle_digest, declaration, created_at,
                      deployed_by)
VALUES (:version_id, :company_id, :task_id, :number, :bundle_digest, :declaration, :created_at,
        :deployed_by);

-- name: withdraw_task(task_id, company_id, at)!
UPDATE tasks SET withdrawn_at = coalesce(withdrawn_at, :at)
 WHERE id = :task_id AND company_id = :company_id;

-- name: withdraw_gate(task_id, company_id)!
UPDATE gates SET withdrawn = 1 WHERE task_id = :task_id AND company_id = :company_id;

-- name: set_gate_runnable(task_id, company_id, runnable)<!
UPDATE gates SET runnable = :runnable
 WHERE task_id = :task_id AND company_id = :company_id
RETURNING id;

-- name: find_task(company_id, task_id)^
SELECT tasks.*, gates.runnable FROM tasks JOIN gates ON gates.id = tasks.gate_id
 WHERE tasks.id = :task_id AND tasks.company_id = :company_id;

-- name: find_task_by_uuid(company_id, uuid)^
SELECT tasks.*, gates.runnable FROM tasks JOIN gates ON gates.id = tasks.gate_id
 WHERE tasks.company_id = :company_id AND tasks.uuid = :uuid;

-- name: find_task_by_key(company_id, key)^
SELECT tasks.*, gates.runnable FROM tasks JOIN gates ON gates.id = tasks.gate_id
 WHERE tasks.company_id = :company_id AND tasks.key = :key;

-- name: find_task_by_name(company_id, name)^
-- Names are not unique when keys differ: tasks that still exist first, then the oldest.
SELECT tasks.*, gates.runnable FROM tasks JOIN gates ON gates.id = tasks.gate_id
 WHERE tasks.company_id = :company_id AND tasks.name = :name
 ORDER BY tasks.withdrawn_at IS NOT NULL, tasks.id
 LIMIT 1;

-- name: list_tasks(company_id, include_withdrawn)
SELECT tasks.*, gates.runnable FROM tasks JOIN gates ON gates.id = tasks.gate_id
 WHERE tasks.company_id = :company_id
   AND (:include_withdrawn = 1 OR tasks.withdrawn_at IS NULL)
 ORDER BY tasks.path, tasks.name, tasks.id;

-- name: find_version(version_id)^
SELECT * FROM versions WHERE id = :version_id;

-- name: list_versions(company_id, task_id)
SELECT * FROM versions
 WHERE task_id = :task_id AND company_id = :company_id
 ORDER BY number DESC;

-- name: list_gates()
SELECT * FROM gates ORDER BY id;

-- name: find_gate(gate_id)^
SELECT * FROM gates WHERE id = :gate_id;

-- name: bundles_in_use()
SELECT DISTINCT bundle_digest FROM versions ORDER BY bundle_digest;
