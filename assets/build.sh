#!/bin/sh
# Renews what internal/web holds of npm's, and the style sheet: run it by `make
# assets`. Given the same package-lock.json it writes the same bytes.
set -eu
cd "$(dirname "$0")"
static=../internal/web/static
axe=../internal/web/webtest/axe

node_modules/.bin/sass --style=compressed --no-source-map --no-charset \
	--load-path=node_modules/govuk-frontend/dist scss/app.scss |
	node logical.mjs |
	# Dead weight: fallbacks of colours that are always set, one typeface said again for
	# paper, a smoothing that the systems do better.
	sed -E -e 's/@media print\{[^{}]*\{font-family:var\(--app-font\)\}\}//g' \
		-e 's/-webkit-font-smoothing:antialiased;-moz-osx-font-smoothing:grayscale;?//g' \
		-e 's/var\((--[a-z-]+), ?#[0-9a-f]+\)/var(\1)/g' >"$static/app.css"
cat licences/app.css.txt >"$static/app.css.LICENSE.txt"

cp node_modules/htmx.org/dist/htmx.min.js "$static/vendor/htmx.min.js"
cp node_modules/htmx.org/LICENSE "$static/vendor/htmx.LICENSE.txt"

# The core of pdf.js, for browsers of some years ago, too; and decoders of the pictures that scanners put
# into a PDF, without WebAssembly, which the content security policy refuses.
pdfjs=node_modules/pdfjs-dist
mkdir -p "$static/vendor/pdfjs"
for name in pdf pdf.worker; do
	sed '/^\/\/# sourceMappingURL=/d' "$pdfjs/legacy/build/$name.min.mjs" >"$static/vendor/pdfjs/$name.min.mjs"
done
cp $pdfjs/wasm/jbig2_nowasm_fallback.js $pdfjs/wasm/openjpeg_nowasm_fallback.js "$static/vendor/pdfjs/"
for part in PDFJS_JBIG2 JBIG2 PDFJS_OPENJPEG OPENJPEG; do
	cp "$pdfjs/wasm/LICENSE_$part" "$static/vendor/pdfjs/$part.LICENSE.txt"
done
cp $pdfjs/LICENSE "$static/vendor/pdfjs/LICENSE.txt"

# The reference of the API, for /docs alone.
elements=node_modules/@stoplight/elements
cp "$elements/web-components.min.js" "$static/vendor/elements.min.js"
cp "$elements/styles.min.css" "$static/vendor/elements.min.css"
cp "$elements/LICENSE" "$static/vendor/elements.LICENSE.txt"
cp "$elements/web-components.min.js.LICENSE.txt" "$static/vendor/elements.NOTICES.txt" # of what is bundled with it

cp node_modules/axe-core/axe.min.js "$axe/axe.min.js"
cp node_modules/axe-core/LICENSE "$axe/LICENSE.txt"
cp node_modules/axe-core/LICENSE-3RD-PARTY.txt "$axe/LICENSE-3RD-PARTY.txt"
chmod 644 "$static/vendor"/*.* "$static/vendor/pdfjs"/* "$axe"/*
