package dmarc

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"gatepost/policy"
)

// spfFinding is what the check spf says: an outcome and its domain, "pass example.com"; nothing where it did not run.
func spfFinding(s string) []policy.Finding {
	outcome, domain, _ := strings.Cut(s, " ")
	if s == "" {
		return nil
	}
	return []policy.Finding{{Check: "spf", Outcome: policy.Outcome(outcome), Facts: []policy.Fact{{Key: "domain", Value: domain}}}}
}

// dkimFinding is what the check dkim says of some signatures: "pass example.com, temperror example.net"; "off" where it did not run.
func dkimFinding(s string) []policy.Finding {
	f := policy.Finding{Check: "dkim", Outcome: policy.NoneFound}
	if s == "off" {
		return nil
	}
	for each := range strings.SplitSeq(s, ", ") {
		outcome, domain, _ := strings.Cut(each, " ")
		if s == "" {
			break
		}
		if f.Outcome != policy.Pass {
			f.Outcome = policy.Outcome(outcome)
		}
		if outcome == "pass" {
			f.Facts = append(f.Facts, policy.Fact{Key: policy.FactSigned, Value: domain})
		}
		if domain != "" {
			f.Auth = append(f.Auth, policy.AuthResult{Method: "dkim", Result: outcome, Props: []policy.Fact{{Key: "header.d", Value: domain}}})
		}
	}
	return []policy.Finding{f}
}

// mail is a message and what is known of it.
type mail struct {
	from      string // body of From
	spf, dkim string // as spfFinding and dkimFinding have them
	more      string // further header fields
}

func (m mail) view() policy.View {
	head := "From: " + m.from + "\r\n" + m.more
	v := policy.View{Message: &policy.Message{Head: []byte(head)}}
	return v.With(append(spfFinding(m.spf), dkimFinding(m.dkim)...)...)
}

func run(records map[string]string, m mail, forwarders ...string) policy.Finding {
	c := New(&Settings{TrustedForwarders: forwarders}, dmarcZone(records))
	return c.Run(context.Background(), m.view())
}

// world has an owner of each kind.
var world = map[string]string{
	"example.com": "v=DMARC1; p=reject", "quarantine.example": "v=DMARC1; p=quarantine", "watch.example": "v=DMARC1; p=none",
	"strict.example": "v=DMARC1; p=reject; adkim=s; aspf=s", "test.example": "v=DMARC1; p=reject; t=y",
	"spf-strict.example": "v=DMARC1; p=reject; aspf=s", "dkim-strict.example": "v=DMARC1; p=reject; adkim=s", "lost.example.com": "SERVFAIL",
	"twice.example": "v=DMARC1; p=reject | v=DMARC1; p=none", "broken.example": "v=DMARC1; p=refuse", "down.example": "SERVFAIL",
	"news.example.com":      "v=DMARC1; p=none; psd=n",
	"xn--bcher-kva.example": "v=DMARC1; p=reject", "bank.example": "v=DMARC1; p=none; psd=y", "giant.bank.example": "v=DMARC1; p=reject",
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		name string
		mail mail
		want policy.Outcome
	}{
		// RFC 9989 appendix B.1.1
		{"SPF, the same domain", mail{from: "s@example.com", spf: "pass example.com"}, "pass"},
		{"SPF, a child", mail{from: "s@example.com", spf: "pass child.example.com"}, "pass"},
		{"SPF, another domain", mail{from: "s@child.example.com", spf: "pass example.net"}, "fail-reject"},
		// RFC 9989 appendix B.1.2
		{"DKIM, the same domain", mail{from: "s@example.com", spf: "fail example.com", dkim: "pass example.com"}, "pass"},
		{"DKIM, the parent", mail{from: "s@child.example.com", spf: "none", dkim: "pass example.com"}, "pass"},
		{"DKIM, a sister", mail{from: "s@a.example.com", spf: "none", dkim: "pass b.example.com"}, "pass"},
		{"DKIM, another domain", mail{from: "s@child.example.com", spf: "none", dkim: "pass example.net"}, "fail-reject"},
		{"one signature of several", mail{from: "s@example.com", spf: "none", dkim: "pass example.net, fail x.example, pass example.com"}, "pass"},
		// RFC 9989 appendix B.4
		{"deep names", mail{from: "s@a.b.c.d.e.f.g.h.i.j.k.example.com", spf: "pass example.com"}, "pass"},
		{"below a public suffix, SPF", mail{from: "s@giant.bank.example", spf: "pass mail.giant.bank.example"}, "pass"},
		{"below a public suffix, DKIM of another", mail{from: "s@giant.bank.example", spf: "none", dkim: "pass mail.mega.bank.example"}, "fail-reject"},
		{"the public suffix itself", mail{from: "s@giant.bank.example", spf: "pass bank.example"}, "fail-reject"},

		{"psd=n parts a child", mail{from: "s@example.com", spf: "pass news.example.com"}, "fail-reject"},
		{"psd=n parts its parent", mail{from: "s@news.example.com", spf: "pass example.com"}, "fail-none"},
		{"strict, the same", mail{from: "s@strict.example", spf: "none", dkim: "pass strict.example"}, "pass"},
		{"strict SPF, a child", mail{from: "s@strict.example", spf: "pass a.strict.example"}, "fail-reject"},
		{"strict DKIM, a child", mail{from: "s@strict.example", spf: "none", dkim: "pass a.strict.example"}, "fail-reject"},
		{"SPF alone strict, SPF of a child", mail{from: "s@spf-strict.example", spf: "pass a.spf-strict.example"}, "fail-reject"},
		{"SPF alone strict, DKIM of a child", mail{from: "s@spf-strict.example", spf: "none", dkim: "pass a.spf-strict.example"}, "pass"},
		{"DKIM alone strict, SPF of a child", mail{from: "s@dkim-strict.example", spf: "pass a.dkim-strict.example"}, "pass"},
		{"DKIM alone strict, DKIM of a child", mail{from: "s@dkim-strict.example", spf: "none", dkim: "pass a.dkim-strict.example"}, "fail-reject"},
		{"neutral is no proof", mail{from: "s@example.com", spf: "neutral example.com"}, "fail-reject"},
		{"softfail is no proof", mail{from: "s@example.com", spf: "softfail example.com"}, "fail-reject"},
		{"quarantine", mail{from: "s@quarantine.example", spf: "none"}, "fail-quarantine"},
		{"none", mail{from: "s@watch.example", spf: "none"}, "fail-none"},
		{"testing", mail{from: "s@test.example", spf: "none"}, "fail-quarantine"},
		{"no record", mail{from: "s@other.example", spf: "pass other.example"}, "none"},
		{"two records", mail{from: "s@twice.example", spf: "none"}, "none"},
		{"a record that can't be read", mail{from: "s@broken.example", spf: "none"}, "none"},

		{"upper case", mail{from: "S@EXAMPLE.COM", spf: "pass Example.com"}, "pass"},
		{"a U-label", mail{from: "s@bücher.example", spf: "pass xn--bcher-kva.example"}, "pass"},
		{"a U-label in upper case", mail{from: "s@BÜCHER.example", spf: "pass mail.xn--bcher-kva.example"}, "pass"},
		{"an A-label in upper case", mail{from: "s@XN--BCHER-KVA.example", spf: "pass bücher.example"}, "pass"},
		{"an ideographic full stop", mail{from: "s@bücher。example", spf: "pass xn--bcher-kva.example"}, "pass"},
		{"a Cyrillic look-alike proves nothing", mail{from: "s@example.com", spf: "pass xn--xample-2of.com"}, "fail-reject"},
		{"the end of a name is not a parent", mail{from: "s@example.com", spf: "pass badexample.com"}, "fail-reject"},
		{"the start of a name is not one", mail{from: "s@example.com", spf: "pass example.com.evil.example"}, "fail-reject"},
		{"a dotted capital I is not i", mail{from: "s@b\u0130g.example", spf: "pass big.example"}, "none"},

		{"the record can't be looked up", mail{from: "s@down.example", spf: "none"}, "temperror"},
		{"nor that of a parent", mail{from: "s@a.down.example", spf: "none"}, "temperror"},
		{"SPF may pass yet", mail{from: "s@example.com", spf: "temperror a.example.com"}, "temperror"},
		{"SPF of a stranger may pass yet", mail{from: "s@example.com", spf: "temperror evil.example"}, "fail-reject"},
		{"SPF of a child may pass yet, and be aligned", mail{from: "s@example.com", spf: "temperror lost.example.com"}, "temperror"},
		{"SPF did not come to an end", mail{from: "s@example.com", spf: "temperror"}, "temperror"},
		{"DKIM may pass yet", mail{from: "s@example.com", spf: "none", dkim: "temperror example.com"}, "temperror"},
		{"DKIM may pass yet beside another", mail{from: "s@example.com", spf: "none", dkim: "pass x.example, temperror example.com"}, "temperror"},
		{"DKIM of a stranger may pass yet", mail{from: "s@example.com", spf: "none", dkim: "temperror evil.example"}, "fail-reject"},
		{"DKIM of what is no domain name may pass yet", mail{from: "s@example.com", spf: "none", dkim: "temperror a..b"}, "temperror"},
		{"DKIM did not come to an end", mail{from: "s@example.com", spf: "none", dkim: "temperror"}, "temperror"},
		{"SPF failed for now, DKIM passed", mail{from: "s@example.com", spf: "temperror example.com", dkim: "pass example.com"}, "pass"},
		{"SPF did not run", mail{from: "s@example.com"}, "temperror"},
		{"DKIM did not run", mail{from: "s@example.com", spf: "fail example.com", dkim: "off"}, "temperror"},
		{"DKIM did not run and SPF passed", mail{from: "s@example.com", spf: "pass example.com", dkim: "off"}, "pass"},

		{"two authors, both proved", mail{from: "a@example.com, b@example.com", spf: "pass example.com"}, "pass"},
		{"two authors, one proved", mail{from: "a@evil.example, b@example.com", spf: "pass evil.example"}, "fail-reject"},
		{"two authors, the other first", mail{from: "b@example.com, a@evil.example", spf: "pass evil.example"}, "fail-reject"},
		{"two authors, one without a record", mail{from: "a@watch.example, b@other.example", spf: "pass watch.example"}, "none"},
		{"two authors, one can't be looked up", mail{from: "a@down.example, b@example.com", spf: "none"}, "fail-reject"},
		{"two authors, one may be harsh", mail{from: "a@down.example, b@watch.example", spf: "none"}, "temperror"},
		{"authors of six domains", mail{from: "a@a.example,a@b.example,a@c.example,a@d.example,a@e.example,a@example.com", spf: "none"}, "permerror"},
		{"authors of six domains, one of the first forged", mail{from: "a@example.com,a@a.example,a@b.example,a@c.example,a@d.example,a@e.example", spf: "none"}, "fail-reject"},
		{"two authors, one without a domain name", mail{from: "a@example.com, x@[192.0.2.1]", spf: "none"}, "fail-reject"},
		{"two authors, the first without a domain name", mail{from: "x@192.0.2.1, a@example.com", spf: "none"}, "fail-reject"},
		{"the same, by a list", mail{from: "a@example.com, x@[192.0.2.1]", spf: "none", more: "List-Id: <l>\r\n"}, "fail-reject-indirect"},
		{"the same, quarantine", mail{from: "a@quarantine.example, x@[192.0.2.1]", spf: "none"}, "fail-quarantine"},
		{"the same, and nothing asked for", mail{from: "a@watch.example, x@[192.0.2.1]", spf: "none"}, "permerror"},
		{"the same, proved", mail{from: "a@example.com, x@[192.0.2.1]", spf: "pass example.com"}, "permerror"},
		{"the same, and it can't be looked up", mail{from: "a@down.example, x@[192.0.2.1]", spf: "none"}, "permerror"},

		{"two From fields", mail{from: "a@evil.example\r\nFrom: b@example.com", spf: "pass evil.example"}, "permerror"},
		{"a disguised one", mail{from: "a@evil.example\r\nFrom : b@example.com", spf: "pass evil.example"}, "permerror"},
		{"a group", mail{from: "us: a@evil.example;", spf: "pass evil.example"}, "permerror"},
		{"a route", mail{from: "<@evil.example,@x.example:b@example.com>", spf: "pass evil.example"}, "permerror"},
		{"a hidden comma", mail{from: `<a@evil.example>\,<b@example.com>`, spf: "pass evil.example"}, "permerror"},
		{"an address literal", mail{from: "a@[192.0.2.1]", spf: "pass evil.example"}, "permerror"},
		{"an address for a name", mail{from: "a@192.0.2.1", spf: "pass evil.example"}, "permerror"},
		{"an address by mapping", mail{from: "a@１92.0.2.1", spf: "pass evil.example"}, "permerror"},
		{"a label of 64 octets", mail{from: "a@" + strings.Repeat("a", 64) + ".example", spf: "none"}, "permerror"},
	} {
		if got := run(world, c.mail); got.Outcome != c.want {
			t.Errorf("%s: %+v: got %s, want %s: %s", c.name, c.mail, got.Outcome, c.want, got.Facts)
		}
	}
}

func TestIndirectMail(t *testing.T) {
	forged := mail{from: "s@example.com", spf: "pass list.example"}
	for _, c := range []struct {
		name, more string
		want       policy.Outcome
	}{
		{"nothing", "", "fail-reject"},
		{"a list's id", "List-Id: <l.list.example>\r\n", "fail-reject-indirect"},
		{"a list's address", "LIST-POST: <mailto:l@list.example>\r\n", "fail-reject-indirect"},
		{"a newsletter", "List-Unsubscribe: <https://x.example>\r\nPrecedence: bulk\r\n", "fail-reject"},
		{"an old list", "List-Unsubscribe: <https://x.example>\r\nPrecedence: List\r\n", "fail-reject-indirect"},
		{"precedence alone", "Precedence: list\r\n", "fail-reject"},
		{"ARC", "ARC-Seal: i=1\r\n", "fail-reject-indirect"},
		{"sent again", "Resent-From: z@list.example\r\n", "fail-reject-indirect"},
		{"forwarded", "X-Forwarded-To: z@list.example\r\n", "fail-reject-indirect"},
		{"a sign in another field's line", "Subject: hi\r\n List-Id: <l.list.example>\r\n", "fail-reject"},
	} {
		forged.more = c.more
		if got := run(world, forged); got.Outcome != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got.Outcome, c.want)
		}
	}
}

func TestSignsDoNotHardenAWish(t *testing.T) {
	got := run(world, mail{from: "s@quarantine.example", spf: "none", more: "List-Id: <l>\r\n"})
	if got.Outcome != failQuarantine || got.Fact("sign") != "List-Id" {
		t.Errorf("got %s %s", got.Outcome, got.Facts)
	}
}

func TestTrustedForwarders(t *testing.T) {
	for _, c := range []struct {
		name, from, spf, dkim string
		trusted               string
		want                  policy.Outcome
	}{
		{"by SPF", "s@example.com", "pass list.example", "", "list.example", "forwarded"},
		{"by DKIM", "s@example.com", "none", "pass list.example", "list.example", "forwarded"},
		{"in another form", "s@example.com", "pass xn--bcher-kva.example", "", "BÜCHER.example", "forwarded"},
		{"one below", "s@example.com", "pass a.list.example", "", ".list.example", "forwarded"},
		{"the top of those below", "s@example.com", "pass list.example", "", ".list.example", "forwarded"},
		{"one below that isn't named", "s@example.com", "pass a.list.example", "", "list.example", "fail-reject"},
		{"one that isn't below", "s@example.com", "pass badlist.example", "", ".list.example", "fail-reject"},
		{"without proof", "s@example.com", "softfail list.example", "fail list.example", "list.example", "fail-reject"},
		{"quarantine", "s@quarantine.example", "pass list.example", "", "list.example", "forwarded"},
		{"no harm", "s@watch.example", "pass list.example", "", "list.example", "fail-none"},
		{"no author for sure", "s@example.com\r\nFrom: a@x.example", "pass list.example", "", "list.example", "permerror"},
		{"an author without a domain name", "s@example.com, x@[192.0.2.1]", "pass list.example", "", "list.example", "permerror"},
	} {
		got := run(world, mail{from: c.from, spf: c.spf, dkim: c.dkim}, c.trusted)
		if got.Outcome != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got.Outcome, c.want)
		}
	}
}

func TestWhatIsTold(t *testing.T) {
	for _, c := range []struct {
		name  string
		mail  mail
		reply string
		facts string
		auth  string
	}{
		{"refused", mail{from: "s@a.example.com", spf: "pass x.example", dkim: "pass y.example"},
			"550 5.7.1 Neither SPF nor DKIM proves that this message is from a.example.com, whose DMARC policy is reject",
			"[{author a.example.com} {record example.com} {policy reject} {unaligned spf x.example} {unaligned dkim y.example}]",
			"[{dmarc fail   [{header.from a.example.com} {policy.dmarc reject}]}]"},
		{"passed", mail{from: "s@test.example", spf: "pass x.example", dkim: "pass test.example"},
			"550 5.7.1 SPF or DKIM proves that this message is from test.example",
			"[{author test.example} {record test.example} {policy quarantine} {testing y} {unaligned spf x.example} {aligned dkim test.example}]",
			"[{dmarc pass   [{header.from test.example} {policy.dmarc quarantine}]}]"},
		{"list mail", mail{from: "s@example.com", spf: "none", more: "List-Id: <l>\r\n"},
			"550 5.7.1 Neither SPF nor DKIM proves that this message is from example.com, whose DMARC policy is reject",
			"[{author example.com} {record example.com} {policy reject} {sign List-Id}]",
			"[{dmarc fail   [{header.from example.com} {policy.dmarc reject}]}]"},
		{"no record", mail{from: "s@x.example", spf: "none"},
			"550 5.7.1 The author's domain x.example has no DMARC policy",
			"[{author x.example}]", "[{dmarc none   [{header.from x.example}]}]"},
		{"DNS down", mail{from: "s@down.example", spf: "none"},
			"550 5.7.1 It cannot be told now whether this message is from down.example, please try again later",
			"[{author down.example} {error lookup _dmarc.down.example: server failure}]",
			"[{dmarc temperror   [{header.from down.example}]}]"},
		{"undecided", mail{from: "s@example.com", spf: "temperror example.com"},
			"550 5.7.1 It cannot be told now whether this message is from example.com, please try again later",
			"[{author example.com} {record example.com} {policy reject} {undecided spf example.com}]",
			"[{dmarc temperror   [{header.from example.com}]}]"},
		{"no author", mail{from: "nonsense", spf: "none"},
			"550 5.6.0 The author of this message cannot be told: the From field is malformed, or can be read in more than one way",
			"[{error the From field is malformed, or can be read in more than one way}]",
			"[{dmarc permerror  the From field is malformed, or can be read in more than one way []}]"},
		{"one of two authors can't be judged", mail{from: "s@example.com, x@[192.0.2.1]", spf: "none"},
			"550 5.7.1 Neither SPF nor DKIM proves that this message is from example.com, whose DMARC policy is reject",
			"[{author example.com} {record example.com} {policy reject} {error an author's address has no domain name}]",
			"[{dmarc fail   [{header.from example.com} {policy.dmarc reject}]}]"},
		{"one of two authors can't be judged, the other is proved", mail{from: "s@example.com, x@[192.0.2.1]", spf: "pass example.com"},
			"550 5.6.0 The author of this message cannot be told: an author's address has no domain name",
			"[{author example.com} {record example.com} {policy reject} {aligned spf example.com} {error an author's address has no domain name}]",
			"[{dmarc permerror  an author's address has no domain name []}]"},
	} {
		f := run(world, c.mail)
		reply := policy.ReplyFor(policy.Reject, f.Status, f.Text)
		if got := fmt.Sprint(reply.Code, " ", reply.Text); got != c.reply {
			t.Errorf("%s: got reply %s", c.name, got)
		}
		if got := fmt.Sprint(f.Facts); got != c.facts {
			t.Errorf("%s: got facts %s", c.name, got)
		}
		if got := fmt.Sprint(f.Auth); got != c.auth {
			t.Errorf("%s: got auth %s", c.name, got)
		}
	}
}

// The names of the author's tree walk are asked at once, so that a record above costs no time; a stranger's name is never asked for.
func TestQueriesAreFew(t *testing.T) {
	for _, c := range []struct {
		name string
		mail mail
		want int
	}{
		{"proved by the very domain", mail{from: "s@example.com", spf: "pass example.com", dkim: "pass example.com"}, 2},
		{"no proof", mail{from: "s@example.com", spf: "none"}, 2},
		{"a stranger's claim", mail{from: "s@example.com", spf: "none", more: "DKIM-Signature: v=1; d=a.b.c.x.example; s=m\r\n"}, 2},
		{"a child's claim", mail{from: "s@example.com", spf: "none", more: "DKIM-Signature: v=1; d=a.example.com; s=m\r\n"}, 3},
		{"strangers' signatures", mail{from: "s@example.com", spf: "pass a.b.c.x.example", dkim: "pass a.b.c.y.example"}, 2},
		{"a child's signature", mail{from: "s@example.com", spf: "none", dkim: "pass a.example.com"}, 3},
	} {
		z := dmarcZone(world)
		New(&Settings{}, z).Run(t.Context(), c.mail.view())
		if len(z.asked) != c.want {
			t.Errorf("%s: %d queries: %s", c.name, len(z.asked), z.asked)
		}
	}
}

func TestValidate(t *testing.T) {
	for domain, ok := range map[string]bool{"list.example": true, ".list.example": true, "bücher.example": true,
		"": false, ".": false, "a@list.example": false, "*.list.example": false, "192.0.2.1": false} {
		problems := 0
		(&Settings{TrustedForwarders: []string{domain}}).Validate(func(string, string) { problems++ })
		if (problems == 0) != ok {
			t.Errorf("%q: %d problems", domain, problems)
		}
	}
}

func TestEveryOutcomeHasAnAction(t *testing.T) {
	k := Kind()
	for _, o := range []policy.Outcome{policy.Pass, policy.NoneFound, policy.TempError, policy.PermError, failNone, failQuarantine,
		failReject, failIndirect, forwarded} {
		if _, ok := k.Outcomes[o]; !ok {
			t.Errorf("%s has none", o)
		}
	}
	if k.Outcomes[policy.TempError] > policy.Defer || k.Outcomes[failReject] != policy.Reject {
		t.Error("an action by default is not as the manual has it")
	}
	if c, ok := New(k.Settings().(*Settings), dmarcZone(nil)).(policy.Follower); !ok || c.Name() != k.Name || c.Stage() != policy.StageData {
		t.Error("New makes another check than Kind describes")
	}
}

func BenchmarkRun(b *testing.B) {
	c := New(&Settings{}, dmarcZone(world))
	v := mail{from: "Ann <s@a.example.com>", spf: "pass b.example.com", dkim: "pass example.com"}.view()
	b.ReportAllocs()
	for b.Loop() {
		c.Run(b.Context(), v)
	}
}
