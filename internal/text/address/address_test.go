package address

import (
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"postern/internal/text/invisible"
)

const form = "is not an e-mail address of the form name@example.org"

func TestClean(t *testing.T) {
	a63, a64 := strings.Repeat("a", 63), strings.Repeat("a", 64)
	domain253 := strings.Join([]string{a63, a63, a63, strings.Repeat("a", 61)}, ".") // 253 bytes
	for _, c := range []struct{ text, want, reason string }{
		{"ann@ei.test", "ann@ei.test", ""},
		{"Ann.O'Brien+x!#$%&*-/=?^_`{|}~1@Sub-1.EI.test", "Ann.O'Brien+x!#$%&*-/=?^_`{|}~1@Sub-1.EI.test", ""},
		{"  ann@ei.test\u00a0\r\n", "ann@ei.test", ""},
		{"\u200bann@ei.test", "ann@ei.test", ""},
		{"\u202aann@ei.test\u202c", "ann@ei.test", ""},
		{"\ufeffa\u00adn\u200dn\u2066@e\u2060i.te\ufe0fst\U000e0061", "ann@ei.test", ""},
		{a64 + "@ei.test", a64 + "@ei.test", ""},
		{"a@" + a63 + ".test", "a@" + a63 + ".test", ""},
		{"a@" + domain253[:252], "a@" + domain253[:252], ""},
		{"ann@münchen.example", "ann@xn--mnchen-3ya.example", ""},
		{"ann@MÜNCHEN.example", "ann@xn--mnchen-3ya.example", ""},
		{"ann@xn--mnchen-3ya.example", "ann@xn--mnchen-3ya.example", ""},
		{"ann@日本語。テスト", "ann@xn--wgv71a119e.xn--zckzah", ""},
		{"ann@ｅｉ.test", "ann@ei.test", ""},
		{"ann@r3---sn.example", "ann@r3---sn.example", ""},
		{"ann@3m.example", "ann@3m.example", ""},

		{"", "", form},
		{"\u200b \u00a0", "", form},
		{"ann", "", form},
		{"ann@", "", form + ": the domain after the @ begins or ends with a dot, or has two in a row"},
		{"@ei.test", "", form + ": there is nothing before the @"},
		{"ann@localhost", "", form + ": the domain after the @ has no dot"},
		{"Ann <ann@ei.test>", "", form},
		{"<ann@ei.test>", "", form},
		{"a\u00a0nn@ei.test", "", "contains U+00A0 NO-BREAK SPACE after 1 character: an address has no blanks inside"},
		{"ann@ei\u3000.test", "", "contains U+3000 IDEOGRAPHIC SPACE after 6 characters: an address has no blanks inside"},
		{"ann@ei.test,bob@ei.test", "", form},
		{"ann＠ei.test", "", form + ": it contains U+FF20 FULLWIDTH COMMERCIAL AT after 3 characters"},
		{"annä@ei.test", "", "contains U+00E4 LATIN SMALL LETTER A WITH DIAERESIS after 3 characters: before the @ only ASCII letters, digits and signs are supported"},
		{"аnn@ei.test", "", "contains U+0430 CYRILLIC SMALL LETTER A after 0 characters: before the @ only ASCII letters, digits and signs are supported"},
		{`"ann lee"@ei.test`, "", form},
		{`"ann.lee"@ei.test`, "", "has quotes around the part before the @, which are not supported"},
		{"ann..lee@ei.test", "", "has two dots in a row before the @"},
		{".ann@ei.test", "", "begins with a dot, or has a dot directly before the @"},
		{"ann.@ei.test", "", "begins with a dot, or has a dot directly before the @"},
		{"an(n)@ei.test", "", form},
		{"an\x00n@ei.test", "", form},
		{"a@b@ei.test", "", form},
		{a64 + "a@ei.test", "", "has more than 64 characters before the @"},
		{"a@" + domain253, "", "is longer than 254 characters"},
		{"a@" + domain253 + "a", "", "has more than 253 characters after the @"},
		{"a@" + a64 + ".test", "", "has a part of more than 63 characters between the dots of its domain"},
		{"a@" + strings.Repeat("ä", 60) + ".test", "", "has a part of more than 63 characters between the dots of its domain"},
		{"a@ei..test", "", form + ": the domain after the @ begins or ends with a dot, or has two in a row"},
		{"a@.ei.test", "", form + ": the domain after the @ begins or ends with a dot, or has two in a row"},
		{"a@ei.test.", "", form + ": the domain after the @ begins or ends with a dot, or has two in a row"},
		{"a@-ei.test", "", "has a hyphen beside a dot or at an end of its domain"},
		{"a@ei-.test", "", "has a hyphen beside a dot or at an end of its domain"},
		{"a@ei.test-", "", "has a hyphen beside a dot or at an end of its domain"},
		{"a@e_i.test", "", "has an underscore in its domain"},
		{"a@ei.1", "", "has an IP address after the @: write a domain name"},
		{"a@192.0.2.1", "", "has an IP address after the @: write a domain name"},
		{"a@[192.0.2.1]", "", "has an IP address after the @: write a domain name"},
		{"a@[IPv6:2001:db8::1]", "", "has an IP address after the @: write a domain name"},
		{"a@ei!.test", "", form},
		{"a@xn--a.test", "", "has an invalid part beginning with xn-- after the @: no domain can have that name"},
		{"a@☃_.test", "", "contains U+2603 SNOWMAN after the @: no domain can have that name"},
	} {
		got, err := Clean(c.text)
		reason := ""
		if err != nil {
			reason = err.Error()
		}
		if got != c.want || reason != c.reason {
			t.Errorf("Clean(%q) = %q, %q; want %q, %q", c.text, got, reason, c.want, c.reason)
		}
	}
}

// Every accepted address is ASCII, does not change when it is cleaned again, and looks
// like the text without its invisible characters.
func TestCleaningACleanAddressChangesNothing(t *testing.T) {
	part := rapid.StringMatching(`[a-zA-Z0-9._äßı一\x{ad}\x{200b}\x{2066}\x{fe0f}\x{a0} -]{0,70}`)
	rapid.Check(t, func(t *rapid.T) {
		text := part.Draw(t, "local") + "@" + part.Draw(t, "domain") + rapid.SampledFrom([]string{"", ".test", ".org\u00a0"}).Draw(t, "end")
		clean, err := Clean(text)
		if err != nil {
			return
		}
		if again, err := Clean(clean); again != clean || err != nil {
			t.Fatalf("%q became %q and then %q, %v", text, clean, again, err)
		}
		for _, r := range clean {
			if r > unicode.MaxASCII || r <= ' ' {
				t.Fatalf("%q holds %U", clean, r)
			}
		}
		if ascii := invisible.RemoveWidthless(invisible.Trim(text)); len(ascii) == len([]rune(ascii)) && ascii != clean {
			t.Fatalf("%q became %q", text, clean)
		}
	})
}

// An invisible character at either end is ignored. A zero-width character is ignored
// anywhere.
func TestInvisibleCharactersChangeNothing(t *testing.T) {
	const want = "ann@ei.test"
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if invisible.Is(r) {
			for i := range len(want) + 1 {
				if i > 0 && i < len(want) && invisible.IsBlank(r) {
					continue
				}
				if got, err := Clean(want[:i] + string(r) + want[i:]); got != want || err != nil {
					t.Fatalf("%s at %d: %q, %v", invisible.Name(r), i, got, err)
				}
			}
		}
	}
}

func TestMailbox(t *testing.T) {
	for text, want := range map[string]string{
		"Clinic <alerts@clinic.example>":        "alerts@clinic.example",
		"\u00a0alerts@clinic.example\u200b":     "alerts@clinic.example",
		"Clinic <alerts@klinik-süd.example>":    "alerts@xn--klinik-sd-x9a.example",
		"sender":                                "",
		"Clinic <alerts@clinic>":                "",
		"a@clinic.example, b@clinic.example":    "",
		"Clinic <\"two words\"@clinic.example>": "",
	} {
		got := ""
		if box, err := Mailbox(text); err == nil {
			got = box.Address
		}
		if got != want {
			t.Errorf("Mailbox(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestTyped(t *testing.T) {
	for text, want := range map[string]string{" Ann@ei.test\u200b": "Ann@ei.test", " ann\u00a0": "ann", "ann@münchen.example": "ann@xn--mnchen-3ya.example"} {
		if got := Typed(text); got != want {
			t.Errorf("Typed(%q) = %q, want %q", text, got, want)
		}
	}
}
