package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/events"
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
		Says("La propia persona", "Activo Fallecido", "desde el 1 de enero de 2020", "No se puede enviar ningún enlace: no hay dirección de correo.")
	v.Get("/directory/patients").Says("Fecha de nacimiento", "29 de febrero de 1980")
	v.Get("/directory/invitations/new").Says("No hay nadie a quien invitar")
}

// Custom Labels shows the defaults in Spanish. A default that is chosen again is stored as the default,
// so that other readers see it in their language.
func TestLabelsInSpanish(t *testing.T) {
	t.Parallel()
	s := webtest.New(t, inSpanish)
	v := s.Staff(t, "Ada Admin", policy.ManageLabels)
	const at = "/administration/labels"
	v.Get(at+"?words=client").Is(http.StatusOK).HasHTML(`value="Cliente"`, `name="patient-one-was" value="Paciente"`)
	v.Post(at, labelForm("patient-one", "Cliente", "patient-many", "Clientes", "patient-one-was", "Paciente", "patient-many-was", "Pacientes")).
		Is(http.StatusOK).HasHTML(`name="patient-one" type="text" value="Cliente"`)
	v.Post(at, labelForm("patient-one", "Paciente", "patient-many", "Pacientes", "patient-one-was", "Cliente", "patient-many-was", "Clientes")).
		Is(http.StatusOK).HasHTML(`name="patient-one" type="text" value="Paciente"`)
	changes := recorded(t, s, events.TypeLabelChanged)
	if last := string(changes[len(changes)-1].Data); len(changes) != 2 || !strings.Contains(last, `"Patients"`) {
		t.Errorf("%d changes, the last one is %s", len(changes), last)
	}
}

// In Spanish the pages of the import and of Custom Labels fit a small window, too.
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
	b.Sees("Redactar › Mensaje del portal para Cliente")
	b.AccessibleInAllViews()
	b.Screenshot("labels-es")
}
