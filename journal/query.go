package journal

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatepost/policy"
)

// Query says which entries are wanted. All that is set must hold. Rcpt, Check, Verdicts and Would hold for one and the same
// recipient: with a recipient and "rejected", it is that recipient who was rejected. The zero Query is every entry, the newest first.
type Query struct {
	Since, Until time.Time        // recorded at Since or later, and before Until; zero: no bound
	Ref          string           // a ref or its beginning, as a person may type it
	About        string           // an address: of the sender or a recipient
	Rcpt         string           // a recipient: an address, or a domain with all below it
	From         string           // the reverse-path: an address, a domain with all below it, or "<>"
	Client       netip.Prefix     // the client is in this network; the zero Prefix: any
	Domain       string           // the domain of the reverse-path or of the author, with all below it
	Check        string           // what decided, or would have decided: a check, "rule.NAME", "backend", "relay", "protocol", "proxy"
	Verdicts     []policy.Verdict // any of these
	Would        bool             // monitored checks would have done more than was done
	Text         string           // anywhere in the record, in any case of ASCII letters
	Limit        int              // at most so many; 0: all
	OldestFirst  bool
}

// Entry is a record with its place in the journal.
type Entry struct {
	At     time.Time // when it was recorded, which is when it ended; no two entries share it. As Query.Until it gives what is older
	Record *policy.Record
	Wanted []int // the recipients of the record that the query wants, by their place; all where it asks for none in particular
}

// errNothing marks a query that nothing can match.
var errNothing = errors.New("nothing can match")

// where is a condition in SQL on the table entry, with its arguments.
type where struct {
	parts   []string
	args    []any
	indexed bool // an index may find it, if not in the order of time
}

func (w *where) add(condition string, args ...any) {
	w.parts = append(w.parts, condition)
	w.args = append(w.args, args...)
}

// byIndex adds a condition that an index may find.
func (w *where) byIndex(condition string, args ...any) {
	w.add(condition, args...)
	w.indexed = true
}

// few is how many rows an index may find so that sorting them by time costs next to nothing.
const few = 2000

// bounded is the condition with a span of ids, and its arguments. Where an index finds few rows it is used; where it finds
// many, the rows are gone through in the order of time, so that the first of them come at once.
func (w *where) bounded(ctx context.Context, db *sql.DB, lo, hi int64) (string, []any, error) {
	args := append([]any{lo, hi}, w.args...)
	if !w.indexed {
		return strings.Join(append([]string{"id >= ? AND id < ?"}, w.parts...), " AND "), args, nil
	}
	byIndex := strings.Join(append([]string{"+id >= ? AND +id < ?"}, w.parts...), " AND ") // "+" keeps SQLite from the order of time
	n := 0
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM entry WHERE "+byIndex+" LIMIT ?)", append(args, few)...).Scan(&n)
	if n == few {
		byIndex = strings.Replace(byIndex, "+id", "id", 2)
	}
	return byIndex, args, err
}

// narrow reports whether the query asks for more than a time.
func (w *where) narrow() bool { return len(w.parts) > 0 }

// where is the query, without its times, as a condition. hide gives an address the form in which it may be stored beside its
// own. The error is errNothing or nil.
func (q *Query) where(hide func(string) string) (*where, error) {
	w := &where{}
	if q.Ref != "" {
		ref := plainRef(q.Ref)
		w.byIndex("ref >= ? AND ref < ?", ref, ref+"~")
	}
	if q.About != "" {
		w.about(q.About, hide)
	}
	w.rcpt(q.Rcpt, hide)
	w.from(q.From, hide)
	if q.Client != (netip.Prefix{}) {
		first, last, ok := clientRange(q.Client)
		if !ok {
			return nil, errNothing
		}
		w.byIndex("client BETWEEN ? AND ?", first, last)
	}
	if q.Domain != "" {
		lo, hi := domainRange(q.Domain)
		// The second half is in the words of the index entry_author, which has only what is not in the first.
		w.byIndex("(sender_domain >= ? AND sender_domain < ? OR author_domain >= ? AND author_domain < ? AND author_domain <> sender_domain)", lo, hi, lo, hi)
	}
	if q.Check != "" {
		w.add("(by = ? OR would_by = ?)", q.Check, q.Check)
	}
	w.verdicts(q.Verdicts)
	if q.Would {
		w.add("verdict > 0 AND would + 1 > verdict") // policy: None leads to Accepted, and so on in order
	}
	return w, nil
}

// about holds for an address, of the sender or a recipient. The sender is looked for by its domain too, which has an index.
func (w *where) about(address string, hide func(string) string) {
	is, keys := isOneOf(address, hide)
	w.byIndex("(address"+is+" OR sender"+is+" AND sender_domain = ?)",
		slices.Concat(keys, keys, []any{domainKey(domainOf(addressKey(address)))})...)
}

// isOneOf is the condition that a column is an address, in any form in which it may be stored.
func isOneOf(address string, hide func(string) string) (is string, keys []any) {
	one, two := addressKey(address), addressKey(hide(address)) // the other is that of a hash
	if one == two {
		return " = ?", []any{one} // the entries then come in order from the index
	}
	return " IN (?, ?)", []any{one, two}
}

func (w *where) rcpt(rcpt string, hide func(string) string) {
	switch {
	case rcpt == "":
	case strings.Contains(rcpt, "@"):
		is, keys := isOneOf(rcpt, hide)
		w.add("address"+is, keys...)
	default:
		d := domainName(rcpt)
		w.add("(substr(address, -length(?)) = ? OR substr(address, -length(?)) = ?)", "@"+d, "@"+d, "."+d, "."+d)
	}
}

func (w *where) from(from string, hide func(string) string) {
	switch {
	case from == "":
	case from == "<>":
		w.add("sender = ''")
	case strings.Contains(from, "@"):
		is, keys := isOneOf(from, hide)
		w.add("sender"+is, keys...)
		w.add("sender_domain = ?", domainKey(domainOf(addressKey(from)))) // it has an index
	default:
		lo, hi := domainRange(from)
		w.byIndex("sender_domain >= ? AND sender_domain < ?", lo, hi)
	}
}

func (w *where) verdicts(vs []policy.Verdict) {
	if len(vs) == 0 {
		return
	}
	var args []any
	for _, v := range vs {
		args = append(args, int(v))
	}
	w.add("verdict IN (?"+strings.Repeat(", ?", len(vs)-1)+")", args...)
}
