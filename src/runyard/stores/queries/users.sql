-- Users, their roles, and the one-time links with which they choose a password.

-- name: insert_user(user_id, email, name, home_company_id, password_hash, date_style, clock_style, time_zone, created_at)<!
INSERT INTO users (id, email, name, home_company_id, password_hash, date_style, clock_style,
                   time_zone, created_at)
VALUES (:user_id, :email, :name, :home_company_id, :password_hash, :date_style, :clock_style,
        :time_zone, :created_at)
ON CONFLICT (email) DO NOTHING
RETURNING id;

-- name: update_user(user_id, email, name, home_company_id, date_style, clock_style, time_zone)<!
-- Guard: nobody else has this email.
UPDATE users
   SET email = :email, name = :name, home_company_id = :home_company_id,
       date_style = :date_style, clock_style = :clock_style, time_zone = :time_zone
 WHERE id = :user_id
   AND NOT EXISTS (SELECT 1 FROM users AS others
                    WHERE others.email = :email AND others.id <> :user_id)
RETURNING id;

-- name: set_user_hash(user_id, password_hash)<!
UPDATE users SET password_hash = :password_hash WHERE id = :user_id RETURNING id;

-- name: replace_user_hash(user_id, password_hash, expected_hash)<!
-- Guard: it is still the one that was read.
UPDATE users SET password_hash = :password_hash
 WHERE id = :user_id AND password_hash = :expected_hash
RETURNING id;

-- name: set_user_disabled(user_id, disabled_at)<!
UPDATE users SET disabled_at = :disabled_at WHERE id = :user_id RETURNING id;

-- name: put_grant(user_id, company_id, role)!
INSERT INTO grants (user_id, company_id, role) VALUES (:user_id, :company_id, :role)
ON CONFLICT (user_id, coalesce(company_id, 0)) DO UPDATE SET role = excluded.role;

-- name: delete_grant(user_id, company_id)<!
DELETE FROM grants
 WHERE user_id = :user_id AND company_id IS NOT DISTINCT FROM :company_id
RETURNING user_id;

-- name: find_user(user_id)^
SELECT id, email, name, home_company_id, password_hash, date_style, clock_style, time_zone,
       created_at, disabled_at
  FROM users WHERE id = :user_id;

-- name: find_user_by_email(email)^
SELECT id, email, name, home_company_id, password_hash, date_style, clock_style, time_zone,
       created_at, disabled_at
  FROM users WHERE email = :email;

-- name: find_able_administrator()^
-- Somebody who administers the whole installation, and can sign in.
SELECT users.id FROM users
  JOIN grants ON grants.user_id = users.id AND grants.company_id IS NULL
 WHERE grants.role = 'administrator' AND users.password_hash IS NOT NULL
   AND users.disabled_at IS NULL
 LIMIT 1;

-- name: delete_user(user_id)<!
DELETE FROM users WHERE id = :user_id RETURNING id;

-- name: delete_grants(user_id)!
DELETE FROM grants WHERE user_id = :user_id;

-- name: delete_setup_links(user_id)!
DELETE FROM setup_links WHERE user_id = :user_id;

-- name: delete_logins(user_id)!
DELETE FROM logins WHERE user_id = :user_id;

-- name: delete_tickets(user_id)!
DELETE FROM tickets WHERE user_id = :user_id;

-- name: delete_api_keys(user_id)!
DELETE FROM api_keys WHERE user_id = :user_id;

-- name: forget_runner(user_id)!
-- What is executed as nobody in particular is executed as the built-in user.
UPDATE allocations SET run_as_user_id = NULL WHERE run_as_user_id = :user_id;

-- name: list_users()
SELECT id, email, name, home_company_id, password_hash, date_style, clock_style, time_zone,
       created_at, disabled_at
  FROM users ORDER BY email;

-- name: list_grants()
SELECT user_id, company_id, role FROM grants ORDER BY user_id, coalesce(company_id, 0);

-- name: grants_of_user(user_id)
SELECT user_id, company_id, role FROM grants
 WHERE user_id = :user_id ORDER BY coalesce(company_id, 0);

-- name: insert_setup_link(digest, user_id, created_at, expires_at)!
INSERT INTO setup_links (digest, user_id, created_at, expires_at)
VALUES (:digest, :user_id, :created_at, :expires_at);

-- name: delete_expired_setup_links(at)!
DELETE FROM setup_links WHERE expires_at <= :at;

-- name: spend_setup_link(digest, at)<!
-- Takes all links of the same user away: of two callers with two of them one finds nothing.
DELETE FROM setup_links
 WHERE user_id = (SELECT spent.user_id FROM setup_links AS spent
                   WHERE spent.digest = :digest AND spent.expires_at > :at)
RETURNING user_id;

-- name: find_setup_link(digest)^
SELECT user_id, created_at, expires_at FROM setup_links WHERE digest = :digest;
