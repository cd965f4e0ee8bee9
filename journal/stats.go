package journal

import (
	"context"
	"database/sql"
	"net/netip"
	"time"

	"gatepost/policy"
)

// Stats are counts of recipients; a transaction or session without any counts as one.
type Stats struct {
	Entries  int64 // transactions and sessions
	Verdicts map[policy.Verdict]int64
	Checks   map[string]int64                       // of those deferred or rejected, by what decided
	Would    map[string]int64                       // of those of which monitored checks would have done more than was done, by check
	Domains  map[string]int64                       // by domain of the reverse-path
	Networks map[netip.Prefix]int64                 // by /24 of IPv4, /64 of IPv6
	Hours    map[time.Time]map[policy.Verdict]int64 // by begin of the hour, UTC
}

// Stats counts what a query wants; Text, Limit and OldestFirst do not count. An error beside the counts is a *FileError of a file that
// is not in them, the first there was.
func (r *Reader) Stats(ctx context.Context, q Query) (*Stats, error) {
	st := &Stats{Verdicts: map[policy.Verdict]int64{}, Checks: map[string]int64{}, Would: map[string]int64{}, Domains: map[string]int64{},
		Networks: map[netip.Prefix]int64{}, Hours: map[time.Time]map[policy.Verdict]int64{}}
	w, err := r.where(q)
	if err == errNothing {
		return st, nil
	}
	if err != nil {
		return nil, err
	}
	days, err := r.days(q)
	if err != nil {
		return nil, err
	}
	lo, hi := q.span()
	var fault error
	for _, d := range days {
		err := d.read(ctx, func(db *sql.DB) error {
			where, args, err := w.bounded(ctx, db, lo, hi)
			if err != nil {
				return err
			}
			return counting{st, "FROM entry WHERE " + where, args}.day(ctx, db)
		})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil && fault == nil {
			fault = &FileError{d.path(), err}
		}
	}
	return st, fault
}

// counting is a Stats under way.
type counting struct {
	*Stats
	from string
	args []any
}

// day counts one file.
func (c counting) day(ctx context.Context, db *sql.DB) error {
	var entries int64
	if err := db.QueryRowContext(ctx, "SELECT count(DISTINCT id) "+c.from, c.args...).Scan(&entries); err != nil {
		return err
	}
	c.Entries += entries
	for _, by := range []struct {
		what, only string
		take       func(scan func(...any) error) error
	}{
		{"id / 3600000000000, verdict", "", c.hour},
		{"by", " AND verdict >= 3", adder(c.Checks, plain)},
		{"would_by", " AND verdict > 0 AND would + 1 > verdict", adder(c.Would, plain)},
		{"sender_domain", "", adder(c.Domains, domainFromKey)},
		{"CASE WHEN substr(client, 1, 12) = x'00000000000000000000ffff' THEN substr(client, 1, 15) ELSE substr(client, 1, 8) END", "", c.network},
	} {
		rows, err := db.QueryContext(ctx, "SELECT count(*), "+by.what+" "+c.from+by.only+" GROUP BY "+by.what, c.args...)
		if err != nil {
			return err
		}
		if err := each(rows, by.take); err != nil {
			return err
		}
	}
	return nil
}

// each takes all rows.
func each(rows *sql.Rows, take func(scan func(...any) error) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := take(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func plain(s string) string { return s }

// adder takes rows of a count and a name.
func adder(to map[string]int64, name func(string) string) func(func(...any) error) error {
	return func(scan func(...any) error) error {
		var n int64
		var key string
		err := scan(&n, &key)
		to[name(key)] += n
		return err
	}
}

func (c counting) hour(scan func(...any) error) error {
	var n, hour int64
	var v policy.Verdict
	if err := scan(&n, &hour, &v); err != nil {
		return err
	}
	t := time.Unix(hour*3600, 0).UTC()
	if c.Hours[t] == nil {
		c.Hours[t] = map[policy.Verdict]int64{}
	}
	c.Hours[t][v] += n
	c.Verdicts[v] += n
	return nil
}

func (c counting) network(scan func(...any) error) error {
	var n int64
	var key []byte
	if err := scan(&n, &key); err != nil {
		return err
	}
	c.Networks[networkFromKey(key)] += n
	return nil
}
