package page

import (
	"net/http"
	"net/url"
)

// SealedWords is the query parameter with the sealed search words. An unsealed name
// would stay in the browser's history and in the logs of proxies.
const SealedWords = "words"

// RedirectSearch answers a posted search form. It redirects to the same path by GET, with the
// words of field q sealed for the reader and the other fields unchanged.
func (rd *Renderer) RedirectSearch(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return err
	}
	query, words := r.PostForm, r.PostForm.Get("q")
	for name, values := range query {
		if values[0] == "" || name == "q" {
			query.Del(name)
		}
	}
	sealed, err := rd.seal(r, words)
	if err != nil {
		return err
	}
	if sealed != "" {
		query.Set(SealedWords, sealed)
	}
	to := url.URL{Path: r.URL.Path, RawQuery: query.Encode()}
	return rd.Redirect(w, r, to.String(), "")
}

// Words returns the search words of a request, and their sealed form for addresses: the
// words that [Renderer.RedirectSearch] sealed for this reader, or else the field q. Sealed words
// that this reader can't open count as no words.
func (rd *Renderer) Words(r *http.Request) (words, sealed string, err error) {
	if sealed = r.FormValue(SealedWords); sealed != "" {
		words, err = rd.cfg.Words.OpenWords(Subject(r).Actor(), sealed)
		if err != nil {
			return "", "", nil
		}
		return words, sealed, nil
	}
	words = r.FormValue("q")
	sealed, err = rd.seal(r, words)
	return words, sealed, err
}

func (rd *Renderer) seal(r *http.Request, words string) (string, error) {
	if words == "" {
		return "", nil
	}
	return rd.cfg.Words.SealWords(Subject(r).Actor(), words)
}
