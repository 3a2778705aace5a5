package groups_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/access/groups"
	"postern/internal/access/policy"
)

// Each group gives its permissions; a person in several groups gets those of all.
func TestPermissions(t *testing.T) {
	m, err := groups.Parse(" nurses = send_portal_message ; CN=Front desk,OU=Clinic=import_directory,manage_labels;managers=send_bulk_portal_message,send_portal_message; ")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		groups []string
		want   []policy.Permission
	}{
		{nil, nil},
		{[]string{"strangers", "Nurses", ""}, nil},
		{[]string{"strangers", "nurses"}, []policy.Permission{policy.SendPortalMessage}},
		{[]string{"CN=Front desk,OU=Clinic"}, []policy.Permission{policy.ImportDirectory, policy.ManageLabels}},
		{[]string{"nurses", "managers", "nurses"}, []policy.Permission{policy.SendBulkPortalMessage, policy.SendPortalMessage}},
	} {
		if diff := cmp.Diff(c.want, m.Permissions(c.groups)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.groups, diff)
		}
	}
	if none, err := groups.Parse(""); err != nil || len(none) != 0 || none.Permissions([]string{""}) != nil {
		t.Errorf("no mapping gives %v, %v", none, err)
	}
}

// Every fault is named at once.
func TestFaults(t *testing.T) {
	_, err := groups.Parse("nurses;=read_record;a=;b=send_portal_message,fly;c=read_record,erase_content,manage_staff;d=manage_labels;d=manage_labels")
	if err == nil {
		t.Fatal("it was taken")
	}
	for _, want := range []string{
		`"nurses" must be a group and its permissions`, `"=read_record" must be`, `"a=" must be`, `"fly" is not a permission`,
		`the group "c" can't give read_record: give it at Staff Info`, `can't give erase_content`, `can't give manage_staff`, `the group "d" is there twice`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %s: %v", want, err)
		}
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines != 8 {
		t.Errorf("it has %d lines: %v", lines, err)
	}
}
