package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"gatepost/policy"
)

// LineSchema is the version of the JSON that Line writes. It rises when a field changes its meaning or goes; new fields may come
// without.
const LineSchema = 1

// line is a record for log shippers: its own fields, and beside them those that ECS (the Elastic Common Schema) has a name for.
type line struct {
	Schema         int           `json:"schema"`
	Timestamp      time.Time     `json:"@timestamp"` // when it ended
	ECSVersion     string        `json:"ecs.version"`
	Dataset        string        `json:"event.dataset"`
	Outcome        string        `json:"event.outcome"`  // success: somebody has the mail; failure: refused; unknown
	Duration       time.Duration `json:"event.duration"` // nanoseconds
	SourceIP       netip.Addr    `json:"source.ip,omitzero"`
	MessageID      string        `json:"email.message_id,omitempty"`
	*policy.Record               // its names are in policy.Record
}

// Line is a record as one line of JSON, with its line end. Whatever is no printable text in it is escaped, so that it can be
// shown at a terminal. The error says that the record's time cannot be written.
func Line(r *policy.Record) ([]byte, error) { return lineIn(new(bytes.Buffer), r) }

// lineIn is Line with room for it in b, which is empty.
func lineIn(b *bytes.Buffer, r *policy.Record) ([]byte, error) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	err := e.Encode(line{LineSchema, ended(r).UTC(), "8.17", "gatepost.journal", ecsOutcome(r), r.Took, r.Client, r.MessageID, r})
	return Escape(b.Bytes()), err
}

// ecsOutcome is event.outcome.
func ecsOutcome(r *policy.Record) string {
	switch {
	case r.End == policy.EndDelivered, r.End == policy.EndDuplicate:
		return "success"
	case r.End == policy.EndRefused, r.Reply.Code >= 400:
		return "failure"
	}
	return "unknown"
}

// Escape writes what is not printable in JSON as \u (RFC 8259 section 7), so that it can be shown at a terminal. It stands in strings alone, but
// for the line end.
func Escape(text []byte) []byte {
	if isPlain(text) {
		return text
	}
	printable := func(r rune) bool { return r == '\n' || unicode.IsPrint(r) }
	var b bytes.Buffer
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch hi, lo := utf16.EncodeRune(r); {
		case printable(r):
			b.Write(text[:n])
		case r > 0xffff:
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		text = text[n:]
	}
	return b.Bytes()
}

// isPlain says that text is printable ASCII in lines, as most is.
func isPlain(text []byte) bool {
	for _, c := range text {
		if (c < ' ' || c > '~') && c != '\n' {
			return false
		}
	}
	return true
}
