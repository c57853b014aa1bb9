-- Schedules.

-- name: insert_schedule(schedule_id, company_id, task_id, name, kind, cron, time_zone, interval_duration, input, priority, enabled, next_fire_at, last_fire_at, created_at)<!
INSERT INTO schedules (id, company_id, task_id, name, kind, cron, time_zone, interval_duration,
                       input, priority, enabled, next_fire_at, last_fire_at, created_at)
VALUES (:schedule_id, :company_id, :task_id, :name, :kind, :cron, :time_zone, :interval_duration,
        :input, :priority, :enabled, :next_fire_at, :last_fire_at, :created_at)
ON CONFLICT (company_id, name) DO NOTHING
RETURNING id;

-- name: delete_schedule(schedule_id, company_id)<!
DELETE FROM schedules WHERE id = :schedule_id AND company_id = :company_id RETURNING id;

-- name: set_schedule_enabled(schedule_id, company_id, enabled, next_fire_at)<!
UPDATE schedules SET enabled = :enabled, next_fire_at = :next_fire_at
 WHERE id = :schedule_id AND company_id = :company_id
RETURNING id;

-- name: advance_schedule(schedule_id, company_id, expected_fire_at, next_fire_at, at)<!
-- Guard: nobody has fired it since it was read.
UPDATE schedules SET next_fire_at = :next_fire_at, last_fire_at = :at
 WHERE id = :schedule_id AND company_id = :company_id AND enabled = 1
   AND next_fire_at = :expected_fire_at
RETURNING id;

-- name: find_schedule(company_id, schedule_id)^
SELECT * FROM schedules WHERE id = :schedule_id AND company_id = :company_id;

-- name: list_schedules(company_id)
SELECT * FROM schedules WHERE company_id = :company_id ORDER BY name;

-- name: list_schedules_of_task(company_id, task_id)
SELECT * FROM schedules WHERE company_id = :company_id AND task_id = :task_id ORDER BY name;

-- name: next_fire_at()$
SELECT min(next_fire_at) FROM schedules WHERE enabled = 1 AND next_fire_at IS NOT NULL;

-- name: due_schedules(now, limit)
SELECT * FROM schedules
 WHERE enabled = 1 AND next_fire_at IS NOT NULL AND next_fire_at <= :now
 ORDER BY next_fire_at, id
 LIMIT :limit;
