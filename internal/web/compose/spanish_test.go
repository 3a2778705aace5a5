package compose_test

import (
	"net/http"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/process"
	"postern/internal/text/language"
	"postern/internal/web/webtest"
)

// A message is written, checked and sent in Spanish. The errors of package compose keep their values.
func TestComposeInSpanish(t *testing.T) {
	t.Parallel()
	s := webtest.New(t, func(c *process.WebConfig) { c.Language = language.Spanish })
	s.NewPortalUser(t, "ann")
	v := sender(t, s)
	v.Get("/messages/drafts").Is(http.StatusOK).Says("Borradores", "No hay borradores.")
	v.Get("/messages/wordings/new").Is(http.StatusOK).Says("Nuevo texto guardado", "Guardar texto")
	w := compose(t, v)
	w.press("check", text("", "Text\x01")).Is(http.StatusUnprocessableEntity).Says("Hay un problema", "Añada al menos un destinatario.", "Escriba un asunto.",
		"El mensaje contiene el carácter de control U+0001, que un texto sin formato no puede tener aquí.")
	w.press("add-group:all_portal_users", nil)
	w.attach("attach", text("Aftercare", "Text"), file{"empty.txt", nil}).Says("«empty.txt» no se añadió: está vacío.")
	page := w.check(text("Aftercare", "Text"))
	page.Is(http.StatusOK).Says("Revisar antes de enviar", "Tiene una cuenta 1", "CCO del personal Ninguno", "Durante 10 segundos después de pulsar Enviar, puede deshacerlo.")
	w.Post(w.at+"/check", confirmation(page, "2")).Says("Escriba el número de destinatarios que se muestra arriba.")
	w.Post(w.at+"/check", confirmation(page, "1")).Is(http.StatusOK).HasHTML("Aftercare")
}

// The script speaks the language of the page.
func TestStoryComposeInSpanish(t *testing.T) {
	t.Parallel()
	s := webtest.New(t, func(c *process.WebConfig) { c.Language = language.Spanish })
	people(t, s)
	rita := s.NewStaff(t, "Rita Reception", policy.SendPortalMessage, policy.SendBulkPortalMessage)
	b := webtest.OpenBrowser(t, s)
	b.SignInIn(rita, language.Spanish)
	b.Open("/messages/compose")
	b.Type("Asunto", "Aftercare")
	b.Sees("Quedan 191 caracteres")
	b.Click("Añadir destinatario(s)")
	b.Sees("ahora. Contado en el último minuto.")
	b.Type("Añadir usuario", "ann")
	b.Click("Añadir Ann Adams")
	b.Sees("Quitar Ann Adams", "Añadido: Ann Adams", "Guardado a las")
	b.Upload("Añadir un archivo adjunto", webtest.File{Name: "tool.exe", Data: []byte("MZ")})
	b.Sees("«tool.exe» no se añadió: no se pueden enviar archivos de ese tipo.", "Descartar tool.exe")
	b.AccessibleInAllViews()
	s.Exec(t, `DELETE FROM app.sessions`)
	b.Type("Mensaje", "Text")
	b.Sees("No se ha guardado: se cerró su sesión.", "Inicie sesión en otra pestaña")
}
