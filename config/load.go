package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/BurntSushi/toml"

	"gatepost/policy"
)

// maxFile bounds a config in octets. The largest honest one is a few hundred lines.
const maxFile = 1 << 20

// Load reads the file. The error is [Problems], or one about the file itself that wraps the system's and says what to do.
// kinds are the checks there are, in the order in which they run unless the file has another.
func Load(file string, kinds []policy.Kind) (*Config, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, openError(file, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read config %s: %w", file, err)
	}
	return Parse(file, text, kinds)
}

// openError adds the way out to an error of opening the file.
func openError(file string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no config %s: `gatepost init` prints one to start from, --config names another: %w", file, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("config %s may not be read by this user (id %d): %w", file, os.Getuid(), err)
	}
	return fmt.Errorf("open config %s: %w", file, err)
}

// Parse is [Load] for a text at hand; file is only the name that problems bear. The error is always [Problems].
func Parse(file string, text []byte, kinds []policy.Kind) (*Config, error) {
	return parse(file, string(text), kinds, os.Hostname)
}

// parse is [Parse] on a machine of the given name.
func parse(file, text string, kinds []policy.Kind, machine func() (string, error)) (*Config, error) {
	if len(text) > maxFile {
		return nil, Problems{{File: file, Message: fmt.Sprintf("is larger than %d octets; is it a config at all?", maxFile)}}
	}
	text = strings.TrimPrefix(text, "\ufeff") // the library drops a byte order mark too, so positions agree
	var tree map[string]any
	if _, err := toml.Decode(text, &tree); err != nil {
		return nil, Problems{grammarProblem(file, text, err)}
	}
	r := &reader{
		binder: newBinder(file, places{text, scan(text)}),
		config: defaults(), kinds: kinds, machine: machine,
	}
	return r.build(tree)
}

// grammarProblem is an error of TOML itself in our form.
func grammarProblem(file, text string, err error) Problem {
	p := Problem{File: file, Message: "not valid TOML: " + printable(err.Error())}
	if e, ok := errors.AsType[toml.ParseError](err); ok {
		p.Line, p.Column = position(text, e.Position.Start)
		p.Message = "not valid TOML: " + printable(e.Message) // it may repeat the text, octet for octet
	}
	return p
}

// Quick is the config of `serve --listen A --backend A --domain D`, without a file: one listener (empty: port 25), one
// backend, defaults for all else. The error is [Problems] whose paths are the flags. A machine without a qualified name
// greets under the first domain.
func Quick(listen, backend string, domains []string, kinds []policy.Kind) (*Config, error) {
	return quick(listen, backend, domains, kinds, os.Hostname)
}

func quick(listen, backend string, domains []string, kinds []policy.Kind, machine func() (string, error)) (*Config, error) {
	main := map[string]any{"domains": anys(domains)}
	tree := map[string]any{"backend": map[string]any{"main": main}}
	if backend != "" {
		main["address"] = []any{backend}
	}
	if listen != "" {
		tree["listen"] = map[string]any{"smtp": map[string]any{"address": []any{listen}}}
	}
	if name, err := machine(); (err != nil || !strings.Contains(name, ".")) && len(domains) > 0 {
		tree["hostname"] = strings.TrimPrefix(domains[0], ".")
	}
	r := &reader{binder: newBinder("", places{}), config: defaults(), kinds: kinds, machine: machine}
	c, err := r.build(tree)
	if ps, ok := errors.AsType[Problems](err); ok {
		return nil, asFlags(ps)
	}
	return c, err
}

// asFlags names each problem after the flag that it came from.
func asFlags(ps Problems) Problems {
	var named Problems
	for _, p := range ps {
		switch {
		case strings.HasPrefix(p.Path, "listen."):
			p.Path = "--listen"
		case strings.HasPrefix(p.Path, "backend.main.domains"):
			p.Path = "--domain"
		case strings.HasPrefix(p.Path, "backend."):
			p.Path = "--backend"
		case p.Path == "hostname":
			continue // it is the first domain, which has its own problem
		}
		p.Message, _, _ = strings.Cut(p.Message, ", such as") // what follows is TOML
		named = append(named, p)
	}
	return named
}

// anys is the list as the library has lists.
func anys[T any](elements []T) []any {
	list := make([]any, len(elements))
	for i, e := range elements {
		list[i] = e
	}
	return list
}
