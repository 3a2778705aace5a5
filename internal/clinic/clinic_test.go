package clinic

import (
	"bytes"
	"encoding/xml"
	"image"
	"image/png"
	"strings"
	"testing"
)

// A link in a colour that is taken can be read: WCAG 2.2, 1.4.3.
func TestAColourIsReadable(t *testing.T) {
	for colour, taken := range map[string]bool{
		"": true, "#0a5c66": true, "#000000": true, "#AB1234": true, "#6a6a6a": true,
		"#6f6f6f": false, // 4.3 to 1
		"#ffffff": false, "#ffd700": false,
		"red": false, "#abc": false, "#0a5c6g": false, "0a5c66": false, "#0a5c66;}": false,
	} {
		d := Details{Colour: colour}
		if faults := d.Faults(); (len(faults) == 0) != taken {
			t.Errorf("%q: %v", colour, faults)
		}
	}
}

// A PNG keeps its pixels, and nothing that is hidden behind or between them.
func TestAPNGIsItsPixels(t *testing.T) {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 3, 2))); err != nil {
		t.Fatal(err)
	}
	logo, err := ReadLogo(append(b.Bytes(), "<script>alert(1)</script>"...))
	if err != nil || logo.MediaType != PNG || bytes.Contains(logo.Data, []byte("script")) {
		t.Errorf("%s %q %v", logo.MediaType, logo.Data, err)
	}
	if again, err := ReadLogo(logo.Data); err != nil || !bytes.Equal(again.Data, logo.Data) {
		t.Errorf("cleaning it again changes it: %v", err)
	}
}

// An SVG keeps what draws. What runs or loads is left out.
func TestAnSVGOnlyDraws(t *testing.T) {
	const begin, end = `<svg xmlns="http://www.w3.org/2000/svg">`, `</svg>`
	for name, c := range map[string]struct{ in, out string }{
		"a shape":           {`<path d="M0 0L1 1" fill="#123"/>`, `<path d="M0 0L1 1" fill="#123"></path>`},
		"a gradient":        {`<g fill="url(#a)"/>`, `<g fill="url(#a)"></g>`},
		"a style attribute": {`<g fill="red" style="fill: blue;behavior:url(x)"/>`, `<g fill="blue"></g>`},
		"text":              {`<text x="1">A &amp; B</text>`, `<text x="1">A &amp; B</text>`},
		"a reuse":           {`<use href="#a"/>`, `<use href="#a"></use>`},
		"a script":          {`<script>alert(1)</script><g/>`, `<g></g>`},
		"a handler":         {`<g onload="alert(1)" ONCLICK="x"/>`, `<g></g>`},
		"a link":            {`<a href="javascript:alert(1)"><path d="M0"/></a>`, ``},
		"another file":      {`<use href="https://x.test/a.svg#b"/><image href="x.png"/>`, `<use></use>`},
		"xlink":             {`<use xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="data:image/svg+xml,x"/>`, `<use></use>`},
		"a style sheet":     {`<style>@import url(https://x.test)</style>`, ``},
		"a colour that loads": {`<g fill="url(https://x.test/#a)" stroke="url( 'x' )" mask="URL(//x)"/>`,
			`<g></g>`},
		"html":       {`<foreignObject><body xmlns="http://www.w3.org/1999/xhtml"/></foreignObject>`, ``},
		"animation":  {`<set attributeName="href" to="javascript:alert(1)"/>`, ``},
		"metadata":   {`<metadata>secret</metadata><!-- secret --><?x secret?>`, ``},
		"name space": {`<h:path xmlns:h="http://www.w3.org/1999/xhtml" d="M0"/>`, ``},
		"escaped":    {`<g fill="u\72l(https://x.test)"/>`, `<g></g>`},
	} {
		logo, err := ReadLogo([]byte("<?xml version=\"1.0\"?><!DOCTYPE svg>" + begin + c.in + end))
		if got := string(logo.Data); err != nil || logo.MediaType != SVG || got != begin+c.out+end {
			t.Errorf("%s: %s %v", name, got, err)
		}
	}
}

// What is no picture is refused with what to do, and never written.
func TestWhatIsNoLogo(t *testing.T) {
	for name, c := range map[string]struct{ data, says string }{
		"nothing":        {"", "neither"},
		"text":           {"hello", "neither"},
		"html":           {"<html><svg/></html>", "neither"},
		"two pictures":   {`<svg/><svg/>`, "neither"},
		"half an SVG":    {`<svg><g>`, "damaged"},
		"an entity":      {`<!DOCTYPE svg [<!ENTITY a "aaaa">]><svg><text>&a;</text></svg>`, "damaged"},
		"half a PNG":     {"\x89PNG\r\n\x1a\nxx", "damaged"},
		"a JPEG":         {"\xff\xd8\xff\xe0", "neither"},
		"a large file":   {strings.Repeat(" ", 1<<20) + "<svg/>", "smaller"},
		"a large result": {"<svg><text>" + strings.Repeat("a", 48<<10) + "</text></svg>", "smaller"},
	} {
		if logo, err := ReadLogo([]byte(c.data)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %s %v", name, logo.MediaType, err)
		}
	}
}

// Whatever is read, the result is well-formed, draws only, and cleaning it changes nothing more.
func FuzzReadLogo(f *testing.F) {
	f.Add([]byte(`<svg xmlns="http://www.w3.org/2000/svg"><g style="fill:red" fill="b" class="é">&lt;</g></svg>`))
	f.Add([]byte(`<svg:svg xmlns:svg="http://www.w3.org/2000/svg"><svg:path d="M0"/></svg:svg>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		logo, err := ReadLogo(data)
		if err != nil || logo.MediaType != SVG {
			return
		}
		in := xml.NewDecoder(bytes.NewReader(logo.Data))
		for {
			token, err := in.Token()
			if token == nil {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", logo.Data, err)
			}
			if e, is := token.(xml.StartElement); is && !svgElements[e.Name.Local] {
				t.Fatalf("%s has a %s", logo.Data, e.Name.Local)
			}
		}
		if again, err := ReadLogo(logo.Data); err != nil || !bytes.Equal(again.Data, logo.Data) {
			t.Fatalf("again: %s\nand then %s (%v)", logo.Data, again.Data, err)
		}
	})
}

// A change of a text says where it is wrong.
func TestFaultsNameTheirField(t *testing.T) {
	for _, field := range Fields {
		d := Details{}
		*field.Of(&d) = strings.Repeat("a", int(field.Most)+1)
		if faults := d.Faults(); len(faults) != 1 || faults[0].Location != field.Key {
			t.Errorf("%s: %v", field.Key, faults)
		}
		*field.Of(&d) = "a\x00b"
		if faults := d.Faults(); len(faults) != 1 || faults[0].Location != field.Key {
			t.Errorf("%s: %v", field.Key, faults)
		}
	}
}
