-- +goose Up

-- Which address of the portal user a link was made for: it can be used as long as the
-- directory has that one, while app.portal_users.email_version is address_version. Of
-- a link that was made before this is known, the address is taken for the one of today.
ALTER TABLE app.portal_invitations ADD COLUMN address_version integer;
UPDATE app.portal_invitations i SET address_version = u.email_version
    FROM app.portal_users u WHERE u.portal_user_no = i.portal_user_no;
ALTER TABLE app.portal_invitations ALTER COLUMN address_version SET NOT NULL;

-- +goose Down
ALTER TABLE app.portal_invitations DROP COLUMN address_version;
