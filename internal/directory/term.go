package directory

import "time"

// Term says in words when a link is in force, as of a day, and whether it has ended; "" is always.
// The days are written YYYY-MM-DD, "" for no bound, and both belong to the term.
func Term(from, until, today string) (words string, ended bool) {
	switch {
	case until != "" && until < today && from != "":
		return "began on " + DayText(from) + ", ended on " + DayText(until), true
	case until != "" && until < today:
		return "ended on " + DayText(until), true
	case from > today && until != "":
		return "begins on " + DayText(from) + ", until " + DayText(until), false
	case from > today:
		return "begins on " + DayText(from), false
	case from != "" && until != "":
		return "from " + DayText(from) + " until " + DayText(until), false
	case from != "":
		return "since " + DayText(from), false
	case until != "":
		return "until " + DayText(until), false
	}
	return "", false
}

// DayText writes a day, YYYY-MM-DD, as people do: 29 February 1980.
func DayText(day string) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	return t.Format("2 January 2006")
}
