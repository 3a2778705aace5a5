package config

import (
	"net/url"
	"regexp"
	"strings"
)

// masked stands for a secret.
const masked = "***"

// The ways to mask a setting, as the tag mask of a field of [Config] names them.
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

// plainKeys are parameters that may follow a secret one among key=value pairs; another may
// be a part of a secret that was not quoted.
var plainKeys = map[string]bool{"port": true, "hostaddr": true, "connect_timeout": true, "client_encoding": true,
	"sslmode": true, "sslrootcert": true, "sslcrl": true, "sslsni": true, "sslnegotiation": true, "channel_binding": true,
	"keepalives": true, "keepalives_idle": true, "keepalives_interval": true, "keepalives_count": true, "tcp_user_timeout": true,
	"replication": true, "gssencmode": true, "krbsrvname": true, "target_session_attrs": true, "load_balance_hosts": true}

// openKeys are parameters in whose values an @ is no sign of a password.
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

// isURLLike tells the beginning of a URL.
var isURLLike = regexp.MustCompile(`^\s*[A-Za-z][A-Za-z0-9+.-]*://`)

// beginsURL finds where another address of a list begins.
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

// maskURL masks the password of an address and the secrets of its query. All else stays as
// it was typed: it works on the text, so that what can't be parsed is masked too. There a
// password may hold any character, so that everything up to the last @ counts as one. A
// user alone is a secret where userIsSecret.
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

// onlyInValues says whether each @ of a path and query stands in the value of a parameter
// where it may.
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

// parameter is how one of a query begins.
var parameter = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.%-]*=`)

// maskQuery masks the secret parameters of what follows an authority. What follows a secret
// and is no parameter is taken for a part of it.
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
			secret, one = true, masked // of a name that can't be read
		default:
			if secret = secretKeys[strings.ToLower(name)] && strings.Contains(one, "="); secret {
				one = key + "=" + masked
			}
		}
		out = append(out, one)
	}
	return path + "?" + strings.Join(out, "&")
}

// pair is the next of a string of key=value pairs, as libpq reads them: a value is quoted
// with ', or goes to the next blank, and \ takes the next character as it is.
var pair = regexp.MustCompile(`^(\s*)([A-Za-z][A-Za-z0-9_]*)(\s*=\s*)('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*|)`)

// maskPairs masks the secret values of key=value pairs, and says whether the text is such.
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
