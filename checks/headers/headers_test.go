package headers

import (
	"context"
	"strings"
	"testing"

	"gatepost/policy"
)

const (
	fromField = "From: Ann <a@x.example>\r\n"
	rest      = "Date: Thu, 1 Jan 2026 10:00:00 +0000\r\nMessage-ID: <1@x.example>\r\n"
)

func run(head string) policy.Finding {
	return New(&Settings{Received: 3}).Run(context.Background(), policy.View{Message: &policy.Message{Head: []byte(head)}})
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		name, head string
		want       policy.Outcome
		faults     int
	}{
		{"well formed", fromField + rest, policy.Pass, 0},
		{"no header at all", "", from, 3},
		{"no From", rest, from, 1},
		{"two From", fromField + fromField + rest, from, 1},
		{"a disguised From", " From: b@y\r\n" + fromField + rest, from, 2},
		{"a group", "From: us: a@x.example;\r\n" + rest, from, 1},
		{"a malformed From", "From: <@a,@b:c@d>\r\n" + rest, author, 1},
		{"several authors", "From: a@x, b@y\r\n" + rest, author, 1},
		{"authors of five domains and a sender", "From: a@a, a@b, a@c, a@d, a@e, b@e\r\nSender: a@a\r\n" + rest, policy.Pass, 0},
		{"authors of six domains and a sender", "From: a@a, a@b, a@c, a@d, a@e, a@f\r\nSender: a@a\r\n" + rest, from, 1},
		{"several authors and a sender", "From: a@x, b@y\r\nSender: a@x\r\n" + rest, policy.Pass, 0},
		{"Received", fromField + rest + strings.Repeat("Received: x\r\n", 3), policy.Pass, 0},
		{"too many Received", fromField + rest + strings.Repeat("received: x\r\n", 4), loop, 1},
		{"a line that is no field", fromField + "nonsense\r\n" + rest, malformed, 1},
		{"a field without a name", fromField + ": x\r\n" + rest, malformed, 1},
		{"a name with a space", fromField + "X Y: x\r\n" + rest, malformed, 1},
		{"a name in UTF-8", fromField + "Bücher: x\r\n" + rest, malformed, 1},
		{"a mailbox file's line at the top", "From a@x Thu Jan  1 10:00:00 2026\r\n" + fromField + rest, policy.Pass, 0},
		{"and elsewhere", fromField + "From a@x Thu Jan  1 10:00:00 2026\r\n" + rest, malformed, 1},
		{"no Date", fromField + "Message-ID: <1@x>\r\n", date, 1},
		{"two Dates", fromField + rest + "Date: Thu, 1 Jan 2026 10:00:00 +0000\r\n", date, 1},
		{"no date", fromField + "Date: today\r\nMessage-ID: <1@x>\r\n", date, 1},
		{"a folded date with a comment", fromField + "Date: Thu, 1 Jan 2026\r\n 10:00:00 +0000 (GMT)\r\nMessage-ID: <1@x>\r\n", policy.Pass, 0},
		{"a long date", fromField + "Date: Thu, 1 Jan 2026 10:00:00 +0000 (" + strings.Repeat("x", 1000) + ")\r\nMessage-ID: <1@x>\r\n", date, 1},
		{"no Message-ID", fromField + "Date: Thu, 1 Jan 2026 10:00:00 +0000\r\n", messageID, 1},
		{"two Message-IDs", fromField + rest + "Message-ID: <1@x.example>\r\n", messageID, 1},
		{"a Message-ID without its form", fromField + "Date: Thu, 1 Jan 2026 10:00:00 +0000\r\nMessage-ID: 1@x\r\n", messageID, 1},
		{"a Message-ID with white space", fromField + "Date: Thu, 1 Jan 2026 10:00:00 +0000\r\nMessage-ID: <1 2@x>\r\n", messageID, 1},
		{"a folded Message-ID", fromField + "Date: Thu, 1 Jan 2026 10:00:00 +0000\r\nMessage-ID:\r\n <1@x>\r\n", policy.Pass, 0},
		{"UTF-8", fromField + rest + "Subject: Grüße\r\n", policy.Pass, 0},
		{"Latin-1", fromField + rest + "Subject: Gr\xfc\xdfe\r\n", charset, 1},
	} {
		f := run(c.head)
		faults := 0
		for _, x := range f.Facts {
			if x.Key == "fault" {
				faults++
			}
		}
		if f.Outcome != c.want || faults != c.faults {
			t.Errorf("%s: got %s, want %s with %d faults: %s", c.name, f.Outcome, c.want, c.faults, f.Facts)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		head   string
		code   int
		status policy.Status
		text   string
	}{
		{fromField + fromField + rest, 0, policy.Status{Subject: 6, Detail: 0}, "The header of the message has a fault: there is more than one From field"},
		{fromField + rest + strings.Repeat("Received: x\r\n", 9), 554, policy.Status{Subject: 4, Detail: 6}, "The header of the message has a fault: it has 9 Received fields"},
	} {
		if f := run(c.head); f.Code != c.code || f.Status != c.status || f.Text != c.text {
			t.Errorf("got %d %v %s", f.Code, f.Status, f.Text)
		}
	}
}

func TestKind(t *testing.T) {
	k := Kind()
	for _, o := range []policy.Outcome{policy.Pass, from, loop, author, malformed, date, messageID, charset} {
		if _, ok := k.Outcomes[o]; !ok {
			t.Errorf("%s has no action", o)
		}
	}
	problems := 0
	problem := func(string, string) { problems++ }
	k.Settings().(*Settings).Validate(problem)
	if problems != 0 {
		t.Error("the defaults are not valid")
	}
	(&Settings{}).Validate(problem)
	(&Settings{Received: 1001}).Validate(problem)
	if problems != 2 {
		t.Errorf("%d problems with settings out of range", problems)
	}
}

func FuzzHeaders(f *testing.F) {
	for _, s := range []string{fromField + rest, "nonsense\r\n", "From: a@x, b@y\r\n", "Date: (((\r\nMessage-ID: <@>\r\n", "\x00From: \r\n :\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, head string) {
		got := run(head)
		if _, ok := Kind().Outcomes[got.Outcome]; !ok || (got.Outcome == policy.Pass) != (len(got.Facts) == 1) {
			t.Fatalf("got %s %s", got.Outcome, got.Facts)
		}
		if strings.ContainsAny(got.Text, "\r\n\x00") {
			t.Fatalf("got text %q", got.Text)
		}
	})
}

func BenchmarkRun(b *testing.B) {
	head := fromField + rest + strings.Repeat("Received: from a.example by b.example;\r\n Thu, 1 Jan 2026 10:00:00 +0000\r\n", 5) + "Subject: hi\r\n"
	b.ReportAllocs()
	for b.Loop() {
		run(head)
	}
}
