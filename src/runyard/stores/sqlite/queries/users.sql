-- Users, their roles, and the one-time links with which they choose a password.
-- Here is what SQLite says in its own way; the rest stands in `stores/queries`.

-- name: insert_first_user(user_id, email, name, home_company_id, password_hash, date_style, clock_style, time_zone, created_at)<!
-- Guard: nobody is there yet.
INSERT INTO users (id, email, name, home_company_id, password_hash, date_style, clock_style,
                   time_zone, created_at)
SELECT :user_id, :email, :name, :home_company_id, :password_hash, :date_style, :clock_style,
       :time_zone, :created_at
 WHERE NOT EXISTS (SELECT 1 FROM users)
RETURNING id;
