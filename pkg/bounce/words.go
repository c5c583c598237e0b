package bounce

import (
	"fmt"

	"filbert/pkg/dsn"
	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/settings"
)

// site is what the settings say about reports, made ready. It does not change; a
// reload makes another.
type site struct {
	*settings.Settings
	texts     *dsn.Catalogue
	languages *dsn.Languages
}

// newSite makes the settings ready. The loader has read the site's texts and would
// have refused mistakes; should there be one all the same, all of the site's words
// are left out and the error says so: reports must go out.
func newSite(s *settings.Settings) (*site, error) {
	own := dsn.Shipped()
	out := &site{Settings: s, texts: own}
	texts, problems := own.With(s.Reports.Texts)
	var err error
	if len(problems) > 0 {
		err = fmt.Errorf("texts of the site: %s, line %d: %s", problems[0].File, problems[0].Line, problems[0].What)
	} else {
		out.texts = texts
	}
	languages, badPattern := dsn.NewLanguages(s.Reports.Language, s.Reports.LanguagesByDomain, out.texts.Languages())
	if badPattern != nil {
		// No patterns: nothing is left that could be wrong.
		languages, _ = dsn.NewLanguages(s.Reports.Language, nil, out.texts.Languages())
		err = badPattern
	}
	out.languages = languages
	return out, err
}

// speak sets the words of a report and their language. The header of the message
// says something about its author alone: not about the owner of a list, and not
// about the postmaster who is told of a report that failed.
func (w *site) speak(req *dsn.Request, to mailaddr.Address) {
	header := req.Returned
	if req.What == dsn.Double || anotherIsTold(req.Envelope) {
		header = nil
	}
	req.Texts = w.texts
	req.Language, req.Guessed = w.languages.For(to, header)
}

func anotherIsTold(env *envelope.Envelope) bool {
	for i := range env.Recipients {
		if env.Recipients[i].ErrorsTo != nil {
			return true
		}
	}
	return false
}
