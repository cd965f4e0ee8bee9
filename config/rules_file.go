package config

import (
	"github.com/BurntSushi/toml"

	"gatepost/policy"
)

// ParseRules reads a text that holds [rule.NAME] tables and nothing else, as one beside a config does; file is the name that problems
// bear. Of the Config only File, Rules and Line are of use. The error is always [Problems].
func ParseRules(file string, text []byte, kinds []policy.Kind) (*Config, error) {
	var tree map[string]any
	if _, err := toml.Decode(string(text), &tree); err != nil {
		return nil, Problems{grammarProblem(file, string(text), err)}
	}
	r := &reader{binder: newBinder(file, places{string(text), scan(string(text))}), config: &Config{}, kinds: kinds}
	var only struct {
		Rules []Rule `toml:"rule"`
	}
	r.table("", tree, &only)
	r.config.Rules = only.Rules
	r.rules()
	if len(r.problems) > 0 {
		return nil, r.problems.sorted()
	}
	r.config.File, r.config.where = file, r.where
	return r.config, nil
}
