package page

import (
	"net/http"
	"net/url"
)

// sealedWords is the part of an address in which words that were searched for are
// sealed: a name would stay in the browser's history and in the logs of proxies.
const sealedWords = "words"

// Ask answers the form of a search, which is posted: it leads to where GET answers it,
// with the words of its field q sealed for the asker and the rest as it is.
func (rd *Renderer) Ask(w http.ResponseWriter, r *http.Request) error {
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
		query.Set(sealedWords, sealed)
	}
	to := url.URL{Path: r.URL.Path, RawQuery: query.Encode()}
	return rd.Redirect(w, r, to.String(), "")
}

// Words gives the words that are asked for, and sealed, as they stand in addresses:
// those that [Renderer.Ask] sealed for this asker, or else q as it was sent. What opens to
// nothing asks for nothing.
func (rd *Renderer) Words(r *http.Request) (words, sealed string, err error) {
	if sealed = r.FormValue(sealedWords); sealed != "" {
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
