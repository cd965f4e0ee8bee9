package config

import (
	"fmt"
	"math"
	"time"
)

// bound is the range of one limit, both ends included, and why it ends there.
type bound struct {
	key         string
	value       int64
	least, most int64
	show        func(int64) string
	low, high   string // why the value may not be lower, higher
}

// bounds is the range of every limit.
func (l *Limits) bounds() []bound {
	return []bound{
		{"connections", int64(l.Connections), 1, 1e6, number, "none could come in", "no machine has so many files"},
		{"connections_per_client", int64(l.ConnectionsPerClient), 1, 1e6, number, "none could come in", "it would be no limit"},
		{"message_size", l.MessageSize, 64 << 10, 2 << 30, octets,
			"RFC 5321 section 4.5.3.1.7 asks for that", "no mail server takes more"},
		{"recipients", int64(l.Recipients), 100, 1e5, number,
			"RFC 5321 section 4.5.3.1.8 asks for that", "it would be no limit"},
		{"memory", l.Memory, 1 << 20, math.MaxInt64, octets, "content is read in large pieces", ""},
		{"spool_memory", l.SpoolMemory, 4 << 10, l.Memory, octets, "less saves nothing", "that is all that limits.memory allows"},
		{"errors", int64(l.Errors), 1, 1e4, number, "one slip must not end a session", "it would be no limit"},
		{"idle_commands", int64(l.IdleCommands), 5, 1e6, number, "honest senders reset between mails", "it would be no limit"},
		{"command_timeout", int64(l.CommandTimeout), int64(10 * time.Second), int64(time.Hour), span,
			"slow senders are not bad senders", "an idle connection costs one of limits.connections"},
		{"data_timeout", int64(l.DataTimeout), int64(time.Minute), int64(24 * time.Hour), span,
			"large mail over a slow line takes longer", "a stalled sender holds memory"},
		{"session_timeout", int64(l.SessionTimeout), int64(l.DataTimeout), int64(7 * 24 * time.Hour), span,
			"that is limits.data_timeout, which a session must outlast", "it would be no limit"},
	}
}

// limits checks each limit against its range.
func (r *reader) limits() {
	for _, b := range r.config.Limits.bounds() {
		switch path := "limits." + b.key; {
		case b.value < b.least:
			r.at(path, "%s is too little; at least %s: %s", b.show(b.value), b.show(b.least), b.low)
		case b.value > b.most:
			r.at(path, "%s is too much; at most %s: %s", b.show(b.value), b.show(b.most), b.high)
		}
	}
}

func number(n int64) string { return fmt.Sprint(n) }
func octets(n int64) string { return inUnits(n, sizeUnits()) }
func span(n int64) string   { return inUnits(n, durationUnits()) }
