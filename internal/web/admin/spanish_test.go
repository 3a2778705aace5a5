package admin_test

import (
	"net/http"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/process"
	"postern/internal/text/language"
	"postern/internal/web/webtest"
)

func inSpanish(c *process.WebConfig) { c.Language = language.Spanish }

// The pages of administrators are in Spanish, too: headings, numbers, days, errors and notices. The
// names of permissions stay as they are.
func TestAdministrationInSpanish(t *testing.T) {
	t.Parallel()
	s := webtest.New(t, inSpanish)
	nurse := s.NewStaff(t, "Nora Nurse", policy.SendPortalMessage)
	v := s.Staff(t, "Ada Admin", policy.ManageStaff, policy.ManageLabels, policy.ImportDirectory)
	v.Get("/administration/staff").Is(http.StatusOK).Says("2 miembros del personal", "Añadir un miembro del personal", "Manage Staff").HasHTML(`<html lang="es"`)
	info := "/administration/staff/" + nurse.ID
	v.Get(info).Is(http.StatusOK).Says("Miembro del personal desde", "Requiere dos administradores.", "Guardar los permisos", "Desactivar a Nora Nurse")
	v.Post(info, ticked("send_portal_message", "read_record")).
		Says("Solicitado: Read the Record.", "Retirado: Send Portal Message.", "Queda registrado con el nombre de usted.", "Solicitado por Ada Admin el")
	v.Get("/administration/grants").Says("Solicitudes de permisos", "Read the Record para Nora Nurse", "Usted lo solicitó.")
	v.Post("/administration/staff", nil).Is(http.StatusUnprocessableEntity).Says("Hay un problema", "Escriba un nombre de 1 a 200 caracteres visibles")

	imported(t, s, "p.csv", patientsHeader+"pt-1,Tom,Sawyer,1980-02-29,active,true\n", "u.csv", portalUsersHeader+"polly,Aunt Polly,,true\n",
		"l.csv", linksHeader+"polly,pt-1,self,2020-01-01,\n")
	v.Get("/directory/portal-users/polly").Is(http.StatusOK).
		Says("La misma persona", "Activo Fallecido", "desde el 1 de enero de 2020", "No se puede enviar ningún enlace: no hay dirección de correo.")
	v.Get("/directory/patients").Says("Fecha de nacimiento", "29 de febrero de 1980")
	v.Get("/directory/invitations/new").Says("No hay nadie a quien invitar")
}

// Scripts show texts in Spanish, which they get from the page.
func TestImportInSpanishAtABrowser(t *testing.T) {
	t.Parallel()
	s := webtest.New(t, inSpanish)
	b := webtest.OpenBrowser(t, s)
	b.Open("/sign-in")
	b.Type("#email", s.NewStaff(t, "Ada Admin", policy.ImportDirectory, policy.ManageLabels).Email)
	b.Type("#password", webtest.Password)
	b.Click("Iniciar sesión")
	b.Sees("Ada Admin")
	b.Open("/directory/import")
	b.Upload("#files", webtest.File{Name: "patients.csv", Data: []byte(patientsHeader + "pt-1,Tom,Sawyer,1980-02-29,active,false\n")})
	b.Sees("1 archivo, 101 bytes.")
	b.AccessibleInAllViews()
	b.Screenshot("import-es")
	b.Click("Subir y comprobar")
	b.Sees("Qué cambiarían los archivos", "Todavía no ha cambiado nada.")
	b.AccessibleInAllViews()
	b.Screenshot("import-checked-es")
	b.Click("[value=import]")
	b.Sees("El directorio coincide ahora con los archivos.")

	b.Open("/administration/labels")
	b.Click("Cliente")
	b.Sees("«Cliente» está puesto abajo.", "Redactar › Mensaje del portal: Cliente")
	b.AccessibleInAllViews()
	b.Screenshot("labels-es")
}
