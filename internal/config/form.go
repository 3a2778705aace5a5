package config

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// isURL says whether text is the address of a host by one of the schemes. No waiting
// mends one that is not, while one that does not answer may yet.
func isURL(text string, schemes ...string) bool {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Hostname() == "" || u.Port() != "" && !isPort(u.Port()) {
		return false
	}
	for _, s := range schemes {
		if u.Scheme == s {
			return true
		}
	}
	return false
}

// areServers says whether each of a comma-separated list names a NATS server.
func areServers(list string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if !isURL(one, "nats", "tls", "ws", "wss") {
			return false
		}
	}
	return true
}

// isBucket says whether text names a folder or an object store.
func isBucket(text string) bool {
	scheme, rest, isURL := strings.Cut(text, "://")
	return !isURL || scheme == "mem" || rest != "" && (scheme == "file" || scheme == "s3")
}

// isScanner says whether text is host:port, or the path of a unix socket.
func isScanner(text string) bool {
	if strings.Contains(text, "/") {
		return !strings.Contains(text, "://")
	}
	host, port, err := net.SplitHostPort(text)
	return err == nil && host != "" && isPort(port)
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16) // 0 is any that is free
	return err == nil
}

// isWebhookKey says whether text is an ECDSA public key, as base64 of DER or as PEM.
func isWebhookKey(text string) bool {
	der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if block, _ := pem.Decode([]byte(strings.TrimSpace(text))); block != nil {
		der, err = block.Bytes, nil
	}
	if err != nil {
		return false
	}
	key, err := x509.ParsePKIXPublicKey(der)
	_, ok := key.(*ecdsa.PublicKey)
	return err == nil && ok
}
