package journal

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatepost/policy"
)

// queried are the records that TestQuery looks through, the oldest first.
func queried() []*policy.Record {
	str := func(s string) *string { return &s }
	addr := netip.MustParseAddr
	listed := at(noon(), "K1STED0001")
	listed.Recipients = []policy.RecipientRecord{
		{Address: "amy@example.com", Verdict: policy.Rejected, By: "dnsbl", Would: policy.Reject, WouldBy: "dnsbl"},
		{Address: "bob@example.com", Verdict: policy.Accepted}}
	forged := at(noon().Add(time.Hour), "F0RGED0001", "Bob@Example.COM")
	forged.Sender, forged.FromDomain, forged.Client = str("x@bounces.shop.example"), "bank.example", addr("2001:db8:0:1::9")
	forged.Recipients[0].Would, forged.Recipients[0].WouldBy = policy.Reject, "dmarc"
	bounce := at(noon().Add(2*time.Hour), "B0VNCE0001", "amy@sub.example.com")
	bounce.Sender, bounce.Client = str(""), addr("198.51.100.7")
	bounce.Recipients[0].Verdict, bounce.Recipients[0].By = policy.Deferred, "rule.our-bank"
	bounce.Recipients[0].Reply = policy.Reply{Code: 450, Text: "4.2.1 Later"}
	bounce.Recipients[0].BackendReply = policy.Reply{Code: 451, Text: "4.3.0 busy"}
	forged.Recipients[0].Intended = policy.Reply{Code: 550, Text: "5.7.1 no"}
	other := at(noon().Add(3*time.Hour), "0THER00001", "amy@bücher.example")
	other.Sender, other.MessageID, other.Client = str("a@myshop.example"), "<Quote\"d@X>", addr("203.0.114.1")
	other.Recipients[0].Would, other.Recipients[0].WouldBy = policy.Tag, "spf"
	session := at(noon().Add(4*time.Hour), "SESS100001")
	session.Sender, session.By, session.Reply, session.Client = nil, "dnsbl", policy.Reply{Code: 554, Text: "5.7.1 go away"}, netip.Addr{}
	return []*policy.Record{listed, forged, bounce, other, session}
}

func TestQuery(t *testing.T) {
	dir := stored(t, queried()...)
	net := netip.MustParsePrefix
	verdicts := func(v ...policy.Verdict) []policy.Verdict { return v }
	tests := []struct {
		name string
		q    Query
		want string // refs by their first letter, with the recipients wanted
	}{
		{"all", Query{}, "S[] 0[0] B[0] F[0] K[0 1]"},
		{"oldest first", Query{OldestFirst: true, Limit: 2}, "K[0 1] F[0]"},
		{"a time", Query{Since: noon().Add(time.Hour), Until: noon().Add(3 * time.Hour)}, "B[0] F[0]"},
		{"a time that has no id", Query{Since: time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)},
			"S[] 0[0] B[0] F[0] K[0 1]"},
		{"until the last year that can be written", Query{Until: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), Limit: 1}, "S[]"},
		{"since then", Query{Since: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}, ""},
		{"a ref", Query{Ref: "K1STED0001"}, "K[0 1]"},
		{"a ref as it is read aloud", Query{Ref: "[forged"}, "F[0]"},
		{"a ref that is none", Query{Ref: "K1STED0002"}, ""},
		{"a recipient", Query{Rcpt: "bob@example.com"}, "F[0] K[1]"},
		{"a recipient in capitals", Query{Rcpt: "<BOB@EXAMPLE.com>"}, "F[0] K[1]"},
		{"a recipient's domain", Query{Rcpt: "example.com"}, "B[0] F[0] K[0 1]"},
		{"a recipient's domain in letters", Query{Rcpt: "amy@bücher.example"}, "0[0]"},
		{"the same in A-labels", Query{Rcpt: "amy@xn--bcher-kva.example"}, "0[0]"},
		{"a recipient who was refused", Query{Rcpt: "bob@example.com", Verdicts: verdicts(policy.Rejected)}, ""},
		{"no pattern", Query{Rcpt: "%@example.com"}, ""},
		{"a sender", Query{From: "x@bounces.shop.example"}, "F[0]"},
		{"a sender of another domain", Query{From: "x@shop.example"}, ""},
		{"a sender's domain and below", Query{From: "shop.example"}, "F[0] K[0 1]"},
		{"bounces", Query{From: "<>"}, "B[0]"},
		{"about a sender", Query{About: "a@shop.example"}, "K[0 1]"},
		{"about a recipient", Query{About: "bob@example.com"}, "F[0] K[1]"},
		{"a domain of the author", Query{Domain: "Bank.example."}, "F[0]"},
		{"a domain of the sender", Query{Domain: "shop.example"}, "F[0] K[0 1]"},
		{"a top-level domain", Query{Domain: "example"}, "0[0] F[0] K[0 1]"},
		{"a client", Query{Client: net("203.0.113.9/32")}, "K[0 1]"},
		{"a network", Query{Client: net("203.0.112.0/22")}, "0[0] K[0 1]"},
		{"a network of IPv6", Query{Client: net("2001:db8::/48")}, "F[0]"},
		{"all of IPv4", Query{Client: net("0.0.0.0/0")}, "0[0] B[0] K[0 1]"},
		{"what decided", Query{Check: "dnsbl"}, "S[] K[0]"},
		{"what would have decided", Query{Check: "dmarc"}, "F[0]"},
		{"a rule", Query{Check: "rule.our-bank"}, "B[0]"},
		{"verdicts", Query{Verdicts: verdicts(policy.Rejected, policy.Deferred)}, "S[] B[0] K[0]"},
		{"would have been worse", Query{Would: true}, "0[0] F[0]"},
		{"a text in any case", Query{Text: "BOUNCES.shop"}, "F[0]"},
		{"a text that JSON escapes", Query{Text: `quote"D@x`}, "0[0]"},
		{"a text in a name of the format", Query{Text: "recipients"}, ""},
		{"a reply with its code", Query{Text: "554 5.7.1 GO away"}, "S[]"},
		{"a part of it", Query{Text: "4 5.7.1 go"}, "S[]"},
		{"a code alone", Query{Text: "554"}, "S[]"},
		{"a reply with another code", Query{Text: "550 5.7.1 go away"}, ""},
		{"what a recipient was told", Query{Text: "450 4.2.1 later"}, "B[0]"},
		{"what a backend said", Query{Text: "451 4.3.0 busy"}, "B[0]"},
		{"what would have been said", Query{Text: "550 5.7.1 no"}, "F[0]"},
		{"a client's address as a text", Query{Text: "198.51.100.7"}, "B[0]"},
		{"all together", Query{Rcpt: "amy@example.com", From: "shop.example", Client: net("203.0.113.0/24"), Check: "dnsbl",
			Verdicts: verdicts(policy.Rejected), Since: noon(), Text: "amy"}, "K[0]"},
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for e, err := range r.Search(t.Context(), test.q) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e.Record.Ref[:1]+fmt.Sprint(e.Wanted))
			}
			if got := strings.Join(got, " "); got != test.want {
				t.Errorf("found %s, want %s", got, test.want)
			}
		})
	}
}

func TestStats(t *testing.T) {
	r, err := Open(stored(t, queried()...))
	if err != nil {
		t.Fatal(err)
	}
	st, err := r.Stats(t.Context(), Query{})
	if err != nil {
		t.Fatal(err)
	}
	if st.Entries != 5 || st.Verdicts[policy.Rejected] != 2 || st.Verdicts[policy.Accepted] != 3 || st.Verdicts[policy.Deferred] != 1 {
		t.Errorf("%+v", st)
	}
	if st.Checks["dnsbl"] != 2 || st.Checks["rule.our-bank"] != 1 || st.Would["dmarc"] != 1 || len(st.Would) != 2 {
		t.Errorf("checks %v, would %v", st.Checks, st.Would)
	}
	if st.Domains["shop.example"] != 2 || st.Domains["bounces.shop.example"] != 1 || st.Domains[""] != 2 {
		t.Errorf("domains %v", st.Domains)
	}
	if st.Networks[netip.MustParsePrefix("203.0.113.0/24")] != 2 || st.Networks[netip.MustParsePrefix("2001:db8:0:1::/64")] != 1 || st.Networks[netip.Prefix{}] != 1 {
		t.Errorf("networks %v", st.Networks)
	}
	if h := st.Hours[noon()]; h[policy.Rejected] != 1 || h[policy.Accepted] != 1 || len(st.Hours) != 5 {
		t.Errorf("hours %v", st.Hours)
	}
	st, err = r.Stats(t.Context(), Query{Rcpt: "amy@example.com"})
	if err != nil || st.Entries != 1 || st.Verdicts[policy.Rejected] != 1 || len(st.Hours) != 1 {
		t.Errorf("of amy: %+v, %v", st, err)
	}
}

// TestIndexes asks SQLite how it would look: through an index where there is one, and never sorting a day.
func TestIndexes(t *testing.T) {
	d, _ := listDays(stored(t, queried()...))
	db, err := d[0].open()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	same := func(s string) string { return s }
	for want, q := range map[string]Query{
		"entry_address": {Rcpt: "a@b"}, "entry_ref": {Ref: "A"}, "entry_sender": {From: "a@b"}, "entry_client": {Client: netip.MustParsePrefix("192.0.2.0/24")},
		"entry_author": {Domain: "b"}, "USING PRIMARY KEY": {Check: "dnsbl", Verdicts: []policy.Verdict{policy.Rejected}},
	} {
		w, err := q.where(same)
		if err != nil {
			t.Fatal(err)
		}
		where, args, err := w.bounded(t.Context(), db, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := db.Query("EXPLAIN QUERY PLAN SELECT id, group_concat(n) FROM entry WHERE "+where+" GROUP BY id ORDER BY id DESC LIMIT ?",
			append(args, 10)...)
		if err != nil {
			t.Fatal(err)
		}
		plan := ""
		err = each(rows, func(scan func(...any) error) error {
			var a, b, c int
			var line string
			err := scan(&a, &b, &c, &line)
			plan += line + "\n"
			return err
		})
		if err != nil || !strings.Contains(plan, want) {
			t.Errorf("%+v: %v, want %s in the plan:\n%s", q, err, want, plan)
		}
	}
}
