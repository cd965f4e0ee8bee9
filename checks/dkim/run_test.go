package dkim

import (
	"io"
	"strings"
	"testing"

	"gatepost/policy"
)

// TestInARun has the check read content from a run of a policy, a part at a time: to the end where there is something to
// verify, and not where there is nothing.
func TestInARun(t *testing.T) {
	c, _ := goldenCheck(t)
	p := &policy.Policy{Mode: policy.Enforce, Slots: []policy.Slot{{Check: c, Mode: policy.Enforce}}}
	for _, x := range []struct {
		file string
		want policy.Outcome
	}{{"two", policy.Pass}, {"rsa1024", policy.Fail}, {"no-key", policy.PermError}, {"unsigned", policy.NoneFound}} {
		message := golden(t, x.file)
		if x.want != policy.Pass {
			message += strings.Repeat("more\r\n", 100<<10)
		}
		r := p.Begin(t.Context(), policy.View{})
		m := &policy.Message{FromDomain: "shop.example"}
		w := r.Content(m)
		for part := range strings.SplitAfterSeq(message, "\n") {
			if _, err := io.WriteString(w, part); err != nil {
				t.Fatal(err)
			}
		}
		d := r.Data(m, policy.Mailbox{Local: "bob", Domain: "example.com"})
		r.Close()
		if len(d.Steps) != 1 || d.Steps[0].Finding.Outcome != x.want {
			t.Errorf("%s: %+v", x.file, d.Steps)
		}
	}
}
