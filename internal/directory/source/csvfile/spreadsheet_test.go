package csvfile

import (
	"encoding/binary"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/internal/directory/source"
	"postern/internal/directory/source/sourcetest"
)

// asUTF16 encodes a text in UTF-16, like Excel's "Unicode Text".
func asUTF16(order binary.AppendByteOrder, text string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

// All forms of a table that spreadsheets write give the same rows.
func TestAllFormsOfASpreadsheetGiveTheSameRows(t *testing.T) {
	const plain = "portal_user_id,name,email,active\npu-1,Željko Müller,z@ei.test,true\npu-2,\"Lee, Ann\",,false\n"
	const semicolons = "portal_user_id;name;email;active\r\npu-1;Željko Müller;z@ei.test;TRUE\r\npu-2;Lee, Ann;;FALSE\r\n"
	const tabs = "portal_user_id\tname\temail\tactive\r\npu-1\tŽeljko Müller\tz@ei.test\tTRUE\r\npu-2\tLee, Ann\t\tFALSE\r\n"
	for _, c := range []struct{ name, content string }{
		{"as the contract says", plain},
		{"with a mark and CRLF", "\uFEFF" + strings.ReplaceAll(plain, "\n", "\r\n")},
		{"words for true and false", strings.NewReplacer("true", "Yes", "false", "NO").Replace(plain)},
		{"numbers for true and false", strings.NewReplacer("true", "1", "false", "0").Replace(plain)},
		{"a header in capitals with blanks", strings.Replace(plain, "portal_user_id,name,email,active", " Portal User ID\u00a0,NAME, Email ,\tActive\u200b", 1)},
		{"other columns first", "active,email,name,portal_user_id\ntrue,z@ei.test,Željko Müller,pu-1\nfalse,,\"Lee, Ann\",pu-2\n"},
		{"blanks around values", "portal_user_id,name,email,active\n\u00a0pu-1 ,\u200bŽeljko Müller\t, z@ei.test\u00a0, true\n pu-2,\"  Lee, Ann \", ,false\u3000\n"},
		{"rows of commas", "\n,,,\n" + strings.Replace(plain, "\n", "\n,,,\n , ,\t,\n,,,,,,\n", 1) + ",,,\n,,,\n\n\n"},
		{"empty columns at the end", strings.Replace(strings.ReplaceAll(plain, "\n", ",,\n"), "false,,", "false,", 1)},
		{"semicolons", semicolons},
		{"semicolons after a mark", "\uFEFF" + semicolons},
		{"a separator line", "sep=;\r\n" + semicolons},
		{"a separator line after a mark", "\uFEFFSep=;\n" + semicolons},
		{"a separator line in quotes", "\"sep=;\"\r\n" + semicolons},
		{"a separator line of a comma", "sep=,\n" + plain},
		{"tabs", tabs},
		{"bars", strings.ReplaceAll(tabs, "\t", "|")},
		{"Unicode text", asUTF16(binary.LittleEndian, "\uFEFF"+tabs)},
		{"UTF-16, big-endian", asUTF16(binary.BigEndian, "\uFEFF"+plain)},
		{"UTF-16 without a mark", asUTF16(binary.LittleEndian, semicolons)},
		{"lines that end with CR alone", strings.ReplaceAll(semicolons, "\r\n", "\r")},
		{"lines that end with CR alone, after a separator line", "sep=;\r" + strings.ReplaceAll(semicolons, "\r\n", "\r")},
		{"in UTF-16", asUTF16(binary.LittleEndian, "\uFEFF"+strings.ReplaceAll(tabs, "\r\n", "\r"))},
		{"DOS's end of a file", plain + "\x1a"},
		{"on a line of its own", strings.ReplaceAll(plain, "\n", "\r\n") + "\x1a\r\n"},
		{"blanks before quotes", strings.Replace(plain, `"Lee`, ` "Lee`, 1)},
		{"blank lines before semicolons", " \r\n\r\n" + semicolons},
		{"a line break in the header", strings.Replace(semicolons, "portal_user_id;name", "\"portal user\nid\";name", 1)},
		{"UTF-16 without a mark, before blank cells", asUTF16(binary.BigEndian, plain+strings.Repeat("\u3000,\u3000,\u3000,\u3000\n", 2000))},
		{"no line break at the end", strings.TrimSuffix(plain, "\n")},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []source.PortalUser
			var faults []string
			into := source.Sink{
				PortalUser: func(r source.PortalUser) error { r.Place = source.Place{}; got = append(got, r); return nil },
				Fault:      func(f source.Fault) { faults = append(faults, f.Reason) },
			}
			err := Decode(0, strings.NewReader(c.content), into)
			want := []source.PortalUser{{ID: "pu-1", Name: "Željko Müller", Email: "z@ei.test", Active: true}, {ID: "pu-2", Name: "Lee, Ann"}}
			if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(source.PortalUser{}, source.Place{})); diff != "" || err != nil || faults != nil {
				t.Errorf("%v, %q (-want +got):\n%s", err, faults, diff)
			}
		})
	}
}

// A file that can't be read is refused with a message that says what is wrong and what to do.
func TestSpreadsheetsThatAreRefused(t *testing.T) {
	const date = "is not a date of the form YYYY-MM-DD, as 1980-12-31: in Excel, give the cells the format yyyy-mm-dd"
	const truth = "must be true or false, or yes or no"
	for _, c := range []struct{ name, content, want string }{
		{"a workbook", "PK\x03\x04\x14\x00", "1: : is an Excel workbook or another binary file, not CSV: " + saveAsCSV},
		{"an old workbook", "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "1: : is an Excel workbook or another binary file, not CSV: " + saveAsCSV},
		{"Windows-1252", sourcetest.PortalUsersHeader + "pu-1,Ann,,true\npu-2,\"Jos\xe9\nLee\",,true\npu-3,,,\n",
			"3: : is not UTF-8, but perhaps Windows-1252: " + saveAsCSV + " (the rest of the file was not read)"},
		{"Windows-1252 with semicolons", strings.ReplaceAll(sourcetest.PortalUsersHeader, ",", ";") + "pu-1;M\xfcller;;true\n",
			"2: : is not UTF-8, but perhaps Windows-1252: " + saveAsCSV + " (the rest of the file was not read)"},
		{"a date as Excel shows it", sourcetest.PatientsHeader + "pt-1,A,B,31/12/1980,active,false\npt-2,A,B,1980-12-31 00:00,active,false\npt-3,A,B,29586,active,false\npt-4,A,B,1980-1-5,active,false\n",
			"2: birth_date: " + date + "\n3: birth_date: " + date + "\n4: birth_date: " + date + "\n5: birth_date: " + date},
		{"another language", sourcetest.PortalUsersHeader + "pu-1,A,,WAHR\npu-2,B,,Nein\npu-3,C,,maybe\n",
			"2: active: " + truth + ": WAHR can't be used\n3: active: " + truth + ": Nein can't be used\n4: active: " + truth},
		{"a value in a column without a name", "portal_user_id,name,email,active,\npu-1,A,,true,\npu-2,B,,true,x\n",
			"3: : has 5 fields, where the header has 4"},
		{"too few fields", "portal_user_id,name,email,active,\npu-1,A,,true\npu-2,B,\n", "3: : has 3 fields, where the header has 4"},
		{"an empty column in between", "portal_user_id,,name,email,active\n", "1: : the header names a column, which portal_users.csv does not have: it must be portal_user_id,name,email,active"},
		{"lines are counted after a separator line", "\r\nsep=;\r\n" + strings.ReplaceAll(sourcetest.PortalUsersHeader, ",", ";") + "\"pu-1\";\"A\nB\";;true\npu-2;C;;maybe\n",
			"4: name: holds a control character or a line break\n6: active: " + truth},
		{"an id with an invisible character", sourcetest.PortalUsersHeader + "pu\u00ad1,A,,true\n",
			"2: portal_user_id: contains U+00AD SOFT HYPHEN: it may hold only letters A to Z, digits, '.', '_' and '-'"},
		{"a name without a visible character", sourcetest.PortalUsersHeader + "pu-1,\u200b\u2060,,true\n", "2: name: is missing"},
		{"another separator", strings.ReplaceAll(sourcetest.PortalUsersHeader, ",", "^") + "pu-1^A^^true\n", "1: : the columns are separated by the character '^', which can't be read: " + saveAsCSV},
		{"colons", strings.ReplaceAll(sourcetest.PortalUsersHeader, ",", ":") + "pu-1:A::true\n", "1: : the columns are separated by colons, which can't be read: " + saveAsCSV},
		{"another separator than the header", sourcetest.PortalUsersHeader + "pu-1;A;;true\n", "2: : has 1 field, where the header has 4, separated by commas"},
		{"commas under semicolons", strings.ReplaceAll(sourcetest.PortalUsersHeader, ",", ";") + "pu-1,A,,true\n", "2: : has 1 field, where the header has 4, separated by semicolons"},
		{"rows of commas alone", ",,,\n,,,\n", "1: : the file is empty: it needs a header line"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			into := source.Sink{
				Patient:    func(source.Patient) error { return nil },
				PortalUser: func(source.PortalUser) error { return nil },
				Fault: func(f source.Fault) {
					got = append(got, strings.Join([]string{strconv.Itoa(f.Line), f.Field, f.Reason}, ": "))
				},
			}
			err := Decode(0, strings.NewReader(c.content), into)
			if diff := gocmp.Diff(c.want, strings.Join(got, "\n")); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}
