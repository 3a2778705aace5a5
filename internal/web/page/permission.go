package page

import "postern/internal/access"

// permissionNames are what permissions are called where staff read of them.
var permissionNames = map[access.Permission]string{
	access.SendPortalMessage:     "Send Portal Message",
	access.SendBulkPortalMessage: "Send Bulk Portal Message",
	access.ReplayDeliveries:      "Replay Failed Deliveries",
	access.ReadRecord:            "Read the Record",
	access.ManageStaff:           "Manage Staff",
	access.ManageLabels:          "Manage Custom Labels",
	access.ImportDirectory:       "Import the Directory",
}

// PermissionName is what a permission is called where staff read of it.
func PermissionName(p access.Permission) string { return permissionNames[p] }
