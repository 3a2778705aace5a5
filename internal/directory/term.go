package directory

import (
	"time"

	"postern/internal/text/language"
)

// Term says in words when a link is in force, as of a day, and whether it has ended; "" is always.
// The days are written YYYY-MM-DD, "" for no bound, and both belong to the term.
func Term(l language.Language, from, until, today string) (words string, ended bool) {
	text := ""
	switch ended = until != "" && until < today; {
	case ended && from != "":
		text = language.Mark("began on {from}, ended on {until}")
	case ended:
		text = language.Mark("ended on {until}")
	case from > today && until != "":
		text = language.Mark("begins on {from}, until {until}")
	case from > today:
		text = language.Mark("begins on {from}")
	case from != "" && until != "":
		text = language.Mark("from {from} until {until}")
	case from != "":
		text = language.Mark("since {from}")
	case until != "":
		text = language.Mark("until {until}")
	}
	return l.Text(text, "from", DayText(l, from), "until", DayText(l, until)), ended
}

// DayText writes a day, YYYY-MM-DD, as people do: 29 February 1980. It returns other text as it is.
func DayText(l language.Language, day string) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	return l.Date(t)
}
