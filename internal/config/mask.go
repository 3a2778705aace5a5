package config

import (
	"net/url"
	"regexp"
	"strings"
)

// masked replaces a secret.
const masked = "***"

// masks has the functions that mask a setting, by the tag mask of a field of [Config].
var masks = map[string]func(string) string{
	"":       func(text string) string { return text },
	"secret": func(string) string { return masked },
	"url":    func(text string) string { return maskURL(text, false) },
	"dsn":    maskDSN,
	"urls":   maskServers,
}

// secretKeys are the secret parameters of a connection, in the query of a URL or among
// key=value pairs.
var secretKeys = map[string]bool{"password": true, "sslpassword": true, "passwd": true, "pass": true, "pwd": true,
	"token": true, "secret": true, "client_secret": true, "oauth_client_secret": true, "jwt": true, "nkey": true,
	"access_key": true, "secret_key": true, "session_token": true}

// plainKeys are parameters that may follow a secret one among key=value pairs. Any other may
// be part of a secret that was not quoted.
var plainKeys = map[string]bool{"port": true, "hostaddr": true, "connect_timeout": true, "client_encoding": true,
	"sslmode": true, "sslrootcert": true, "sslcrl": true, "sslsni": true, "sslnegotiation": true, "channel_binding": true,
	"keepalives": true, "keepalives_idle": true, "keepalives_interval": true, "keepalives_count": true, "tcp_user_timeout": true,
	"replication": true, "gssencmode": true, "krbsrvname": true, "target_session_attrs": true, "load_balance_hosts": true}

// openKeys are parameters whose values may contain an @ without a password.
var openKeys = map[string]bool{"user": true, "host": true, "dbname": true, "application_name": true, "options": true,
	"fallback_application_name": true, "search_path": true, "service": true, "servicefile": true, "passfile": true,
	"sslrootcert": true, "sslcert": true, "sslkey": true}

// maskDSN masks a connection string of Postgres: one URL, with one host or several, or
// key=value pairs.
func maskDSN(text string) string {
	if pairs, ok := maskPairs(text); ok {
		return pairs
	}
	if isURLLike.MatchString(text) {
		return maskURL(text, false)
	}
	return masked
}

// isURLLike matches the beginning of a URL.
var isURLLike = regexp.MustCompile(`^\s*[A-Za-z][A-Za-z0-9+.-]*://`)

// beginsURL matches the beginning of the next address in a list.
var beginsURL = regexp.MustCompile(`(?i),\s*(nats|tls|wss?)://`)

// maskServers masks the comma-separated addresses of NATS servers. A user without a
// password is a token there.
func maskServers(text string) string {
	var out strings.Builder
	for {
		next := beginsURL.FindStringIndex(text)
		if next == nil {
			out.WriteString(maskURL(text, true))
			return out.String()
		}
		out.WriteString(maskURL(text[:next[0]], true) + ",")
		text = text[next[0]+1:]
	}
}

// maskURL masks the password of an address and the secrets of its query. The rest stays
// unchanged. It works on the text, so that it also masks an address that can't be parsed: in
// such an address a password may contain any character, so everything up to the last @
// counts as the password. A user without a password is a secret if userIsSecret is set.
func maskURL(text string, userIsSecret bool) string {
	_, err := url.Parse(strings.TrimSpace(text))
	scheme, rest, isURL := strings.Cut(text, "://")
	if isURL {
		scheme += "://"
	} else {
		scheme, rest = "", text
	}
	end := len(rest) // of the authority
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		end = i
	}
	at := strings.LastIndex(rest[:end], "@")
	if last := strings.LastIndex(rest, "@"); err != nil || last >= end && !onlyInValues(rest[end:]) {
		at, end = last, max(end, last+1)
	}
	if at < 0 {
		if err != nil && isURL {
			return scheme + masked // it may be a user and a password without a host
		}
		return scheme + rest[:end] + maskQuery(rest[end:])
	}
	user, _, hasPassword := strings.Cut(rest[:at], ":")
	switch {
	case hasPassword:
		user += ":" + masked
	case userIsSecret:
		user = masked
	}
	return scheme + user + rest[at:end] + maskQuery(rest[end:])
}

// onlyInValues reports whether each @ of a path and query is in the value of a parameter
// that may contain one.
func onlyInValues(text string) bool {
	path, query, _ := strings.Cut(text, "?")
	if strings.Contains(path, "@") {
		return false
	}
	for _, one := range strings.Split(query, "&") {
		key, value, _ := strings.Cut(one, "=")
		if strings.Contains(key, "@") || strings.Contains(value, "@") && !openKeys[key] && !secretKeys[key] {
			return false
		}
	}
	return true
}

// parameter matches the beginning of a query parameter.
var parameter = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.%-]*=`)

// maskQuery masks the secret parameters of the text after an authority. Text after a secret
// that is not a parameter counts as part of the secret.
func maskQuery(text string) string {
	path, query, has := strings.Cut(text, "?")
	if !has {
		return text
	}
	var out []string
	var secret bool
	for _, one := range strings.Split(query, "&") {
		key, _, _ := strings.Cut(one, "=")
		name, err := url.QueryUnescape(key)
		switch {
		case secret && !parameter.MatchString(one):
			continue
		case err != nil && strings.Contains(one, "="):
			secret, one = true, masked // the name can't be decoded
		default:
			if secret = secretKeys[strings.ToLower(name)] && strings.Contains(one, "="); secret {
				one = key + "=" + masked
			}
		}
		out = append(out, one)
	}
	return path + "?" + strings.Join(out, "&")
}

// pair matches the next of a string of key=value pairs, as libpq reads them: a value is
// quoted with ', or ends at the next blank, and \ escapes the next character.
var pair = regexp.MustCompile(`^(\s*)([A-Za-z][A-Za-z0-9_]*)(\s*=\s*)('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*|)`)

// maskPairs masks the secret values of key=value pairs, and reports whether the text has
// that form.
func maskPairs(text string) (string, bool) {
	var out strings.Builder
	var hidden bool
	for strings.TrimSpace(text) != "" {
		m := pair.FindStringSubmatch(text)
		if m == nil || out.Len() > 0 && m[1] == "" {
			return "", false
		}
		key, value := strings.ToLower(m[2]), m[4]
		switch {
		case secretKeys[key]:
			value, hidden = masked, true
		case hidden && !plainKeys[key] && !openKeys[key]:
			return "", false
		case strings.Contains(value, "://"): // dbname may be a URL
			value = maskURL(value, false)
		}
		out.WriteString(m[1] + m[2] + m[3] + value)
		text = text[len(m[0]):]
	}
	return out.String() + text, out.Len() > 0
}
