package page

import "postern/internal/access/policy"

// permissionNames are what permissions are called where staff read of them.
var permissionNames = map[policy.Permission]string{
	policy.SendPortalMessage:     "Send Portal Message",
	policy.SendBulkPortalMessage: "Send Bulk Portal Message",
	policy.ReplayDeliveries:      "Replay Failed Deliveries",
	policy.ReadRecord:            "Read the Record",
	policy.ManageStaff:           "Manage Staff",
	policy.ManageLabels:          "Manage Custom Labels",
	policy.ImportDirectory:       "Import the Directory",
}

// PermissionName is what a permission is called where staff read of it.
func PermissionName(p policy.Permission) string { return permissionNames[p] }
