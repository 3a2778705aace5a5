package bundle

import (
	"bytes"
	_ "embed"
	"strings"
	"text/template"
)

//go:embed readme.txt
var readmeText string

var readmeTemplate = template.Must(template.New("readme").Parse(readmeText))

// readme says what the files are, and how to check them. left says why there is no content, ""
// if there is.
func readme(q Request, p *packed, left string) []byte {
	content := "\nThe text and the documents of the message are not here. " + left + "\n"
	arguments := ""
	if left == "" {
		content = "  message.txt       the text of the message, as it was sent\n"
		arguments = " \\\n    --body message.txt"
		for _, f := range p.fields {
			content += "                    " + f.Token() + " was filled in with " + f.Means + " while it was read\n"
		}
	}
	if p.documents > 0 {
		content += "  documents/        the documents of the message\n"
	}
	for _, name := range p.files {
		arguments += " \\\n    --document " + name
	}
	var b bytes.Buffer
	err := readmeTemplate.Execute(&b, map[string]string{"Content": content, "Arguments": arguments, "To": strings.TrimSpace(q.To),
		"Address": strings.TrimSpace(q.Address), "Purpose": strings.TrimSpace(q.Purpose), "Message": q.MessageID.String(),
		"PortalUser": q.PortalUserID})
	if err != nil {
		panic(err) // the template is embedded, and its values are texts
	}
	return b.Bytes()
}
