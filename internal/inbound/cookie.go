package inbound

// CookieName returns the name of a cookie of this site. Over https it has the prefix __Host-: a
// browser then takes the cookie only from an encrypted answer of this host itself, for all its
// paths, so neither a site on a subdomain nor another person on the network can set it (RFC 6265bis,
// 4.1.3.2). The cookie must have Secure, Path=/ and no Domain.
func CookieName(name string, https bool) string {
	if https {
		return "__Host-" + name
	}
	return name
}
