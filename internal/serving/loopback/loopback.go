// Package loopback decides whether an address can be reached from this machine alone.
package loopback

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// lookupTimeout is the timeout for looking up a host name.
const lookupTimeout = 5 * time.Second

// Check returns an error if other machines may reach the address host:port. All addresses of a
// host name must be loopback addresses. Its text goes on after the address: "can be reached from
// other machines".
func Check(ctx context.Context, address string) error {
	host, _, err := net.SplitHostPort(address)
	switch {
	case err != nil:
		return errors.New("is not host:port")
	case host == "":
		return errors.New("means all addresses of this machine")
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var addresses []netip.Addr
	if ip, err := netip.ParseAddr(host); err == nil {
		addresses = append(addresses, ip)
	} else if addresses, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
		return errors.New("can't be looked up")
	}
	for _, ip := range addresses {
		if !ip.Unmap().IsLoopback() {
			return errors.New("can be reached from other machines")
		}
	}
	if len(addresses) == 0 {
		return errors.New("has no address")
	}
	return nil
}
