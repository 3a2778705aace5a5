package config

import (
	"context"
	"net"
	"strings"

	"postern/internal/serving/loopback"
)

// ACMENames returns the host names in ACME_DOMAINS.
func (c *Config) ACMENames() (names []string) {
	for one := range strings.SplitSeq(c.ACMEDomains, ",") {
		if one = strings.ToLower(strings.TrimSpace(one)); one != "" {
			names = append(names, one)
		}
	}
	return names
}

// servesTLS reports whether LISTEN_ADDR of this process serves https.
func (c *Config) servesTLS(p Process) bool {
	return c.TLSCertFile != "" || p == API && c.ACMEDomains != ""
}

// ownURL is the address of the api if nothing else is said.
func (c *Config) ownURL() string {
	switch names := c.ACMENames(); {
	case len(names) > 0:
		return "https://" + names[0]
	case c.TLSCertFile != "":
		return "https://" + c.ListenAddr
	default:
		return "http://" + c.ListenAddr
	}
}

// checkTransport checks how people and operators reach this process: nothing confidential crosses
// a network unencrypted unless the operator says what protects it.
func (c *Config) checkTransport(p Process, fault fault) {
	ctx := context.Background() // a look-up has a timeout of its own
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		fault("TLS_CERT_FILE and TLS_KEY_FILE must be set together")
	}
	if c.ListenAddr != "" && isAddress(c.ListenAddr) && !c.servesTLS(p) && !c.BehindProxy {
		if err := loopback.Check(ctx, c.ListenAddr); err != nil {
			fault("LISTEN_ADDR %q %w, and plain HTTP is for this machine alone. Set TLS_CERT_FILE and TLS_KEY_FILE, or ACME_DOMAINS, to serve https. "+
				"If a proxy in front serves https, set BEHIND_PROXY=true (--behind-proxy)", c.ListenAddr, err)
		}
	}
	if p == API && c.servesTLS(p) && isURL(c.PublicURL, "http") {
		fault("PUBLIC_URL must be an https address, because LISTEN_ADDR serves https")
	}
	if p == API && c.ACMEDomains != "" {
		c.checkACME(fault)
	}
	if c.MetricsAddr == "" {
		return
	}
	if !isAddress(c.MetricsAddr) {
		fault("METRICS_ADDR %q is not host:port", c.MetricsAddr)
	} else if err := loopback.Check(ctx, c.MetricsAddr); err != nil && !c.MetricsExposed {
		fault("METRICS_ADDR %q %w. Use a loopback address, or, if only the monitoring reaches this network, set METRICS_EXPOSED=true", c.MetricsAddr, err)
	}
}

func (c *Config) checkACME(fault fault) {
	if c.TLSCertFile != "" {
		fault("ACME_DOMAINS and TLS_CERT_FILE are both set; remove one of them")
	}
	for _, name := range c.ACMENames() {
		if !isURL("https://"+name, "https") || !strings.Contains(strings.Trim(name, "."), ".") || strings.ContainsAny(name, ":/*@") || net.ParseIP(name) != nil {
			fault("ACME_DOMAINS must be host names, comma-separated, as portal.clinic.example: %q is none", name)
		}
	}
	if !isURL(c.ACMEDirectory, "https") {
		fault("ACME_DIRECTORY must be the https address of an ACME server's directory")
	}
	if c.ACMEFolder == "" {
		fault("ACME_FOLDER must be set: the folder in which certificates are kept")
	}
}

func isAddress(text string) bool {
	_, _, err := net.SplitHostPort(text)
	return err == nil
}
