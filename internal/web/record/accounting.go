package record

import (
	"errors"
	"net/http"
	"time"

	"postern/internal/problem"
	"postern/internal/record/accounting"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// accounted is the data of the page of an accounting.
type accounted struct {
	accounting.Statement
	From, Until string // days of the form
	CSV         string
}

// accounting shows the accounting of disclosures of one patient in a period.
func (p *Pages) accounting(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	d := accounted{From: r.FormValue("from"), Until: r.FormValue("until")}
	d.PatientID = id
	view := page.View{Template: "accounting.html", Title: "Accounting of disclosures", Section: section, Data: &d}
	period, err := p.Accounts.Period(d.From, d.Until)
	var wrong *problem.Error
	if errors.As(err, &wrong) {
		for _, f := range wrong.Faults {
			field := map[string]string{"query.from": "from", "query.to": "until"}[f.Location]
			view.Errors = append(view.Errors, page.Error{Field: field, Message: map[string]string{"from": "The first day ", "until": "The last day "}[field] + f.Message})
		}
		return p.Render(w, r, set, view)
	}
	if err != nil {
		return err
	}
	if d.Statement, err = p.Accounts.Of(r.Context(), reader(r), id, period); err != nil {
		return err
	}
	d.From, d.Until = d.First.Format(time.DateOnly), d.Last.Format(time.DateOnly)
	d.CSV = address("/v1/patients/"+id+"/disclosures.csv", "from", d.From, "to", d.Until)
	view.Scripts = []string{"reader.js"}
	return p.Render(w, r, set, view)
}

// The faults of a period.
var _ = []string{
	language.Mark("The first day is not a day such as 2026-01-31"), language.Mark("The last day is not a day such as 2026-01-31"),
	language.Mark("The last day is before the first day"), language.Mark("The first day is more than 6 years before the last day"),
}
