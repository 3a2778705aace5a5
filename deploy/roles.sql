-- The login users of the processes. Each is a member of the group role that has its
-- process's rights; the migrations grant these. Run it with psql as a superuser, any
-- number of times, before or after the first migration:
--
--   POSTGRES_API_PASSWORD=… POSTGRES_FANOUT_PASSWORD=… POSTGRES_NOTIFY_PASSWORD=… \
--   POSTGRES_RECORDER_PASSWORD=… psql -v ON_ERROR_STOP=1 -f deploy/roles.sql "$DATABASE_URL"
--
-- In docker-compose.yml the Postgres image runs it when it creates its data folder.
\getenv api POSTGRES_API_PASSWORD
\getenv fanout POSTGRES_FANOUT_PASSWORD
\getenv notify POSTGRES_NOTIFY_PASSWORD
\getenv recorder POSTGRES_RECORDER_PASSWORD

-- NOINHERIT: a user has no rights of its own; the process takes on its group role when
-- it connects.
SELECT format('CREATE ROLE %I NOLOGIN', name)
FROM unnest(ARRAY['postern_api', 'postern_fanout', 'postern_notify', 'postern_recorder']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
SELECT format('CREATE ROLE %I LOGIN NOINHERIT', name)
FROM unnest(ARRAY['api', 'fanout_worker', 'notify_worker', 'recorder']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

ALTER ROLE api PASSWORD :'api';
ALTER ROLE fanout_worker PASSWORD :'fanout';
ALTER ROLE notify_worker PASSWORD :'notify';
ALTER ROLE recorder PASSWORD :'recorder';

GRANT postern_api TO api;
GRANT postern_fanout TO fanout_worker;
GRANT postern_notify TO notify_worker;
GRANT postern_recorder TO recorder;
