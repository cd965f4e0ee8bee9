package main

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatepost/checks"
	"gatepost/config"
	"gatepost/policy"
	"gatepost/proxy"
)

// overrideFile is the file of the temporary rules, beside the journal.
const overrideFile = "overrides.toml"

// overrides are the temporary rules that a daemon goes by besides its config.
type overrides struct {
	file  string          // "" for none
	seen  time.Time       // when the file that was read last was written
	size  int64           // and its octets
	hash  string          // tells one content from another; "" for none
	rules []policy.Rule   // before those of the config
	base  *proxy.Settings // what they come on top of
}

// overridesEvery is how often a daemon looks whether the file has changed.
const overridesEvery = time.Second

// use takes over the settings of a config, and gives them with the temporary rules that hold now.
func (o *overrides) use(c *config.Config, s *proxy.Settings, log *slog.Logger) *proxy.Settings {
	if file := overridesOf(c); file != o.file {
		*o = overrides{file: file}
	}
	o.base = s
	o.look(log)
	return o.settings()
}

// overridesOf is the file of temporary rules that a daemon of a config goes by; "" for none.
func overridesOf(c *config.Config) string {
	if c.Journal.Dir == "" {
		return ""
	}
	return filepath.Join(c.Journal.Dir, overrideFile)
}

// overridden are the settings of a config with the temporary rules on top, as a daemon that starts now would take them up; a file that
// such a daemon would do without is an error here.
func overridden(c *config.Config, s *proxy.Settings) (*proxy.Settings, error) {
	o := overrides{file: overridesOf(c), base: s}
	if o.file == "" {
		return s, nil
	}
	if err := o.read(); err != nil {
		return nil, fmt.Errorf("the temporary rules: %w", asWhom(err))
	}
	return o.settings(), nil
}

// look reads the file anew if it has changed, and says whether other rules hold now. A broken file changes nothing.
func (o *overrides) look(log *slog.Logger) bool {
	if o.file == "" {
		return false
	}
	var at time.Time
	var size int64
	if st, err := os.Stat(o.file); err == nil {
		at, size = st.ModTime(), st.Size()
	}
	if at.Equal(o.seen) && size == o.size {
		return false
	}
	o.seen, o.size = at, size
	if err := o.read(); err != nil {
		log.Error("the temporary rules cannot be read; those that held before hold on", "file", o.file, "error", err)
		return false
	}
	log.Info("temporary rules were read; they hold for new sessions", "file", o.file, "rules", len(o.rules))
	return true
}

// read takes the rules of the file over.
func (o *overrides) read() error {
	c, text, err := readOverrides(o.file)
	if err != nil {
		return err
	}
	h := fnv.New32a()
	h.Write(text)
	o.rules, o.hash = rules(c), strconv.FormatUint(uint64(h.Sum32()), 36)
	return nil
}

// settings are the base with the rules on top.
func (o *overrides) settings() *proxy.Settings {
	if len(o.rules) == 0 {
		return o.base
	}
	s, p := *o.base, *o.base.Policy
	p.Rules = append(slices.Clone(o.rules), p.Rules...)
	p.Hash += "+" + o.hash
	s.Policy = &p
	return &s
}

// readOverrides reads the file of temporary rules; one that is not there has none.
func readOverrides(file string) (*config.Config, []byte, error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	c, err := config.ParseRules(filepath.Base(file), text, checks.Kinds())
	return c, text, err
}

// changeOverrides rewrites the file: without the rules that have ended and those of a name, and with one more, where text is not "".
func changeOverrides(file, name, text string, now time.Time) error {
	c, _, err := readOverrides(file)
	if err != nil {
		return fmt.Errorf("the temporary rules: %w", err)
	}
	var b strings.Builder
	b.WriteString("# Written by \"gatepost log allow --for\". A running gatepost notices changes within two seconds.\n")
	for _, u := range c.Rules {
		if u.Name == name || !u.Expires.IsZero() && now.After(u.Expires) {
			continue
		}
		old, ok := writtenTOML(u)
		if !ok {
			return fmt.Errorf("the temporary rule %s cannot be written again", u.Name)
		}
		b.WriteString("\n" + old)
	}
	if text != "" {
		b.WriteString("\n" + text)
	}
	return replaceFile(file, []byte(b.String()))
}

// replaceFile puts a whole new file in the place of another: a reader sees the old or the new.
func replaceFile(file string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".overrides-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone by then, if all went well
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(0o644) // the daemon may be another user
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
