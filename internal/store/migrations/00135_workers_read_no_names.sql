-- +goose Up

-- No worker needs a name or a birth date, and only the one that sends alerts needs addresses. The
-- fan-out worker asks whether there is one. The recorder needs nothing of the directory.
REVOKE SELECT ON app.patients, app.portal_users FROM postern_fanout, postern_notify, postern_recorder;
REVOKE SELECT ON app.links FROM postern_notify, postern_recorder;
-- ctid: the table is read in its order on disk.
GRANT SELECT (ctid, patient_no, patient_id, status, deceased) ON app.patients TO postern_fanout;
GRANT SELECT (portal_user_no, portal_user_id, active, email) ON app.portal_users TO postern_fanout;
GRANT SELECT (portal_user_no, portal_user_id, active, email, email_version) ON app.portal_users TO postern_notify;
