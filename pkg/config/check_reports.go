package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"filbert/pkg/dsn"
	"filbert/pkg/pattern"
)

func (c *checker) checkReports() {
	r := c.s.Reports
	for i, d := range r.DelayWarnings {
		key := fmt.Sprintf("reports.delay_warnings[%d]", i)
		c.longerThan0(key, d)
		if i > 0 && d <= r.DelayWarnings[i-1] {
			c.bad(key, fmt.Sprintf("is %s, not later than the one before (%s)", d, r.DelayWarnings[i-1]), "write them in increasing order")
		}
		if end := c.s.LongestRetry(); d >= end && !c.anyUnread("retry[") {
			c.warn(key, fmt.Sprintf("is %s, when mail has been given up already (after %s, by the [[retry]] rules)", d, end), "make it shorter, or remove it")
		}
	}
	c.sizeAtLeast("reports.max_returned", r.MaxReturned, 0)
	if r.Contact != "" {
		c.address("reports.contact", r.Contact, false)
	}
	texts := c.readTexts()
	known := append([]string{dsn.Auto}, texts.Languages()...)
	c.oneOf("reports.language", r.Language, known...)
	for _, domain := range sortedKeys(r.LanguagesByDomain) {
		key := join("reports.languages_by_domain", domain)
		c.oneOf(key, r.LanguagesByDomain[domain], known[1:]...)
		c.onePattern(key, domain)
	}
}

// onePattern checks a pattern that is a key.
func (c *checker) onePattern(key, text string) {
	_, err := pattern.CompileList([]string{text}, pattern.Domains)
	var errs pattern.Errors
	if errors.As(err, &errs) {
		c.bad(key, fmt.Sprintf("%q %s", text, errs[0].Problem), errs[0].Hint)
	}
}

// The most that a site may say in its own words. It travels with the settings.
const (
	maxTextFiles = 200
	maxTexts     = 512 << 10
)

// readTexts reads the site's own texts for reports. One mistake refuses all of
// them, here, where somebody looks: a report with half of them would confuse.
func (c *checker) readTexts() *dsn.Catalogue {
	own := dsn.Shipped()
	if c.s.Reports.Templates == "" {
		return own
	}
	files, err := textFiles(c.s.Reports.Templates)
	if err != nil {
		c.bad("reports.templates", err.Error(), "name a directory with files like de or de.mailbox-full")
		return own
	}
	with, problems := own.With(files)
	for _, p := range problems {
		pos := Pos{File: filepath.Join(c.s.Reports.Templates, p.File), Line: p.Line}
		if p.Line > 0 {
			pos.Col = 1
		}
		c.mistake(pos, "reports.templates", p.What, p.Hint)
	}
	if with == nil {
		return own
	}
	c.s.Reports.Texts = files
	return with
}

// textFiles reads a directory of texts.
func textFiles(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("can't be read: %w", err)
	}
	files, total := map[string]string{}, 0
	for _, e := range entries {
		// What editors leave behind.
		if strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "#") || strings.HasSuffix(e.Name(), "~") {
			continue
		}
		text, err := readText(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		files[e.Name()] = text
		total += len(text)
		if len(files) > maxTextFiles || total > maxTexts {
			return nil, fmt.Errorf("%s has more than %d files, or %d KB", dir, maxTextFiles, maxTexts>>10)
		}
	}
	return files, nil
}

func readText(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("can't be read: %w", err)
	case !info.Mode().IsRegular() || info.Size() > dsn.MaxTextFile:
		return "", fmt.Errorf("%s is not a small regular file", filepath.Base(path))
	}
	data, err := readBounded(path)
	if err != nil {
		return "", fmt.Errorf("can't be read: %w", err)
	}
	return string(data), nil
}
