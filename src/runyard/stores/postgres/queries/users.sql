-- Users, their roles, and the one-time links with which they choose a password.
-- Here is what PostgreSQL says in its own way; the rest stands in `stores/queries`.

-- name: insert_first_user(user_id, email, name, home_company_id, password_hash, date_style, clock_style, time_zone, created_at)<!
-- Guard: nobody is there yet.
INSERT INTO users (id, email, name, home_company_id, password_hash, date_style, clock_style,
                   time_zone, created_at)
SELECT :user_id::bigint, :email::text, :name::text, :home_company_id::bigint,
       :password_hash::text, :date_style::text, :clock_style::text, :time_zone::text,
       :created_at::bigint
 WHERE NOT EXISTS (SELECT 1 FROM users)
RETURNING id;
