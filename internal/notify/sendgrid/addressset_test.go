package sendgrid

import (
	"fmt"
	"strings"
	"testing"
)

// A set of addresses is as a map of addresses in lower case.
func TestAddressSet(t *testing.T) {
	t.Parallel()
	var set AddressSet
	known := map[string]bool{}
	for i := range 2 * MaxRecipients {
		address := fmt.Sprintf("Person%d@Example.test", i*i%1777)
		lower := strings.ToLower(address)
		want := !known[lower] && len(known) < MaxRecipients
		if want {
			known[lower] = true
		}
		if got := set.Add(address); got != want {
			t.Fatalf("%s, number %d: added is %v", address, i, got)
		}
	}
	var full AddressSet
	for i := range MaxRecipients {
		if !full.Add(fmt.Sprint(i)) {
			t.Fatalf("address %d is not added", i)
		}
	}
	if full.Add("one more") {
		t.Error("a full set took one more")
	}
}
