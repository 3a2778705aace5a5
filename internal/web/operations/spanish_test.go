package operations_test

import (
	"net/http"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/process"
	"postern/internal/text/language"
	"postern/internal/web/webtest"
)

// Operations is in Spanish, and fits a small window, too.
func TestOperationsInSpanish(t *testing.T) {
	t.Parallel()
	s := webtest.New(t, func(c *process.WebConfig) { c.Language = language.Spanish })
	operator := s.Staff(t, "Olga Operator", policy.ReplayDeliveries)
	operator.Get("/operations").Is(http.StatusOK).Says("Consumidores del registro", "Pausar los avisos").HasHTML(`<html lang="es"`)
	b := webtest.OpenBrowser(t, s)
	b.SignInIn(s.NewStaff(t, "Otto Operator", policy.ReplayDeliveries), language.Spanish)
	b.Open("/operations")
	b.Sees("Operaciones")
	b.AccessibleInAllViews()
}
