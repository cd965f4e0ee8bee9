package policy

// Kind describes a check before it is set up: what an admin may write about it, and what it may find.
type Kind struct {
	Name string // config key, metric label, journal name
	// Outcomes are the outcomes that the check reports, each with the action it takes unless `on` says otherwise.
	Outcomes map[Outcome]Action
	// Settings returns a pointer to a struct of the check's own settings, holding its defaults; nil where it has none.
	// Keys stand in `toml` tags; a number of octets carries `unit:"size"`.
	Settings func() any
}
