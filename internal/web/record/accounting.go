package record

import (
	"errors"
	"net/http"
	"time"

	"postern/internal/problem"
	"postern/internal/record/accounting"
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
	period, err := p.Accounts.Period(d.From, d.Until)
	var wrong *problem.Error
	if errors.As(err, &wrong) {
		var errs page.Errors
		for _, f := range wrong.Faults {
			field := map[string]string{"query.from": "from", "query.to": "until"}[f.Location]
			errs = append(errs, page.Error{Field: field, Message: map[string]string{"from": "The first day ", "until": "The last day "}[field] + f.Message})
		}
		return p.Render(w, r, set, page.View{Template: "accounting.html", Title: accountingTitle, Section: section, Data: &d, Errors: errs})
	}
	if err != nil {
		return err
	}
	if d.Statement, err = p.Accounts.Of(r.Context(), reader(r), id, period); err != nil {
		return err
	}
	d.From, d.Until = d.First.Format(time.DateOnly), d.Last.Format(time.DateOnly)
	d.CSV = address("/v1/patients/"+id+"/disclosures.csv", "from", d.From, "to", d.Until)
	return p.Render(w, r, set, page.View{Template: "accounting.html", Title: accountingTitle, Section: section, Scripts: []string{"reader.js"}, Data: &d})
}

const accountingTitle = "Accounting of disclosures"
