package main

import (
	"log/slog"

	"gatepost/config"
	"gatepost/journal"
	"gatepost/policy"
)

// keeper keeps records.
type keeper interface {
	Append(*policy.Record)
	Counts() (written, dropped int64)
	Close()
}

// journals are all that keep records: the store and the JSON Lines, each if the config wants it.
type journals []keeper

// openJournals opens what a config wants. That a file of JSON Lines cannot be opened is an error; a store that cannot be written says
// so in the log, and is tried again.
func openJournals(c config.Journal, log *slog.Logger) (journals, error) {
	filter, err := journal.NewFilter(journal.Levels{Personal: journal.Personal(c.Personal), Subject: c.Subject,
		Transcript: journal.Transcript(c.Transcript)}, c.Dir)
	if err != nil {
		return nil, err
	}
	var js journals
	if c.File != "" {
		l, err := journal.OpenLines(c.File, filter, log)
		if err != nil {
			return nil, err
		}
		js = append(js, l)
	}
	if c.Dir != "" {
		js = append(js, journal.OpenStore(journal.Settings{Dir: c.Dir, Keep: c.Keep, MaxSize: c.MaxSize}, filter, log))
	}
	return js, nil
}

// Append hands a record to all.
func (js journals) Append(r *policy.Record) {
	for _, j := range js {
		j.Append(r)
	}
}

// Counts are the records written, by the store if there is one, and those that any has dropped.
func (js journals) Counts() (written, dropped int64) {
	for _, j := range js {
		w, d := j.Counts()
		written, dropped = w, dropped+d
	}
	return written, dropped
}

// Reopen opens files anew that may have been moved away.
func (js journals) Reopen() {
	for _, j := range js {
		if l, ok := j.(*journal.Lines); ok {
			l.Reopen()
		}
	}
}

// Close writes what waits, and ends them.
func (js journals) Close() {
	for _, j := range js {
		j.Close()
	}
}
