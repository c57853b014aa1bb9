-- Users, their roles, and the one-time links with which they choose a password.
-- Here is what PostgreSQL says in its own way; the rest stands in `stores/queries`.

-- name: insert_first_user(user_id, email, name, home_company_id, password_hash, date_style, clock_style, time_zone, created_at)<!
-- Guard: nobody administers the installation yet, and nobody has this email.
INSERT INTO users (id, email, name, home_company_id, password_hash, date_style, clock_style,
                   time_zone, created_at)
SELECT :user_id::bigint, :email::text, :name::text, :home_company_id::bigint,
       :password_hash::text, :date_style::text, :clock_style::text, :time_zone::text,
       :created_at::bigint
 WHERE NOT EXISTS (SELECT 1 FROM users
                     JOIN grants ON grants.user_id = users.id AND grants.company_id IS NULL
                    WHERE grants.role = 'administrator' AND users.password_hash IS NOT NULL
                      AND users.disabled_at IS NULL)
ON CONFLICT (email) DO NOTHING
RETURNING id;
