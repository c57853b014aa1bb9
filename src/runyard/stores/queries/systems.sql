-- Systems, by the SHA-256 of what they present. Removed ones stay: runs name them.

-- name: insert_system(system_id, company_id, name, description, state, digest, last_characters, sealed, files_from, created_at, updated_by)<!
INSERT INTO systems (id, company_id, name, description, state, digest, last_characters, sealed,
                     files_from, created_at, updated_at, updated_by, address)
VALUES (:system_id, :company_id, :name, :description, :state, :digest, :last_characters, :sealed,
        :files_from, :created_at, :created_at, :updated_by, '')
ON CONFLICT (company_id, name) WHERE removed_at IS NULL DO NOTHING
RETURNING id;

-- name: set_system_state(system_id, state, at, updated_by)<!
UPDATE systems SET state = :state, updated_at = :at, updated_by = :updated_by
 WHERE id = :system_id AND removed_at IS NULL
RETURNING id;

-- name: change_system(system_id, company_id, name, description, files_from, at, updated_by)<!
-- Nothing changes where another system of the company has that name.
UPDATE systems SET name = :name, description = :description, files_from = :files_from,
                   updated_at = :at, updated_by = :updated_by
 WHERE id = :system_id AND removed_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM systems AS others
                    WHERE others.company_id = :company_id AND others.name = :name
                      AND others.removed_at IS NULL AND others.id <> :system_id)
RETURNING id;

-- name: renew_system(system_id, digest, last_characters, sealed, at, updated_by)<!
UPDATE systems SET digest = :digest, last_characters = :last_characters, sealed = :sealed,
                   updated_at = :at, updated_by = :updated_by
 WHERE id = :system_id AND removed_at IS NULL
RETURNING id;

-- name: remove_system(system_id, at, updated_by)<!
UPDATE systems SET removed_at = :at, updated_by = :updated_by
 WHERE id = :system_id AND removed_at IS NULL
RETURNING id;

-- name: note_system(system_id, address, at)!
UPDATE systems SET address = :address, last_seen_at = :at
 WHERE id = :system_id AND (last_seen_at IS NULL OR last_seen_at <= :at);

-- name: find_system(system_id)^
SELECT id, company_id, name, description, state, last_characters, sealed, files_from, created_at,
       updated_at, address, last_seen_at, removed_at, updated_by
  FROM systems WHERE id = :system_id;

-- name: find_system_by_digest(digest)^
SELECT id, company_id, name, description, state, last_characters, sealed, files_from, created_at,
       updated_at, address, last_seen_at, removed_at, updated_by
  FROM systems WHERE digest = :digest AND removed_at IS NULL;

-- name: digests_of_systems()
SELECT digest FROM systems WHERE removed_at IS NULL;

-- name: list_systems(company_id)
SELECT id, company_id, name, description, state, last_characters, sealed, files_from, created_at,
       updated_at, address, last_seen_at, removed_at, updated_by
  FROM systems WHERE company_id = :company_id AND removed_at IS NULL
 ORDER BY created_at DESC, id DESC;

-- name: waiting_systems()
SELECT company_id, count(*) FROM systems
 WHERE state = 'request' AND removed_at IS NULL
 GROUP BY company_id;
