package sendgridfake

// isAddress reports whether a is a valid address: one @, a local part of 1 to 64
// characters without spaces, quotes or brackets, and a domain of at least two labels.
// SendGrid does not publish its own rule.
func isAddress(a []byte) bool {
	at := -1
	for i, c := range a {
		switch {
		case c == '@':
			if at >= 0 {
				return false
			}
			at = i
		case c <= ' ' || c == 0x7f || c == '<' || c == '>' || c == '(' || c == ')' || c == ',' || c == ';' || c == ':' || c == '"' || c == '\\' || c == '[' || c == ']':
			return false
		case c >= 0x80 && at < 0:
			// Without SMTPUTF8, a local part must be ASCII.
			return false
		}
	}
	if at < 1 || at > 64 || a[0] == '.' || a[at-1] == '.' {
		return false
	}
	return isDomain(a[at+1:])
}

func isDomain(d []byte) bool {
	if len(d) == 0 || len(d) > 255 {
		return false
	}
	labels, length := 1, 0
	for i, c := range d {
		if c == '.' {
			if length == 0 || d[i-1] == '-' {
				return false
			}
			labels, length = labels+1, 0
			continue
		}
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
		if !letter && (c != '-' || length == 0) {
			return false
		}
		length++
	}
	return labels > 1 && length > 0 && d[len(d)-1] != '-'
}

// appendLower appends a with ASCII letters in lower case.
func appendLower(b, a []byte) []byte {
	for _, c := range a {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}
