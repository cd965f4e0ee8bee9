package size

import (
	"testing"

	"gatepost/policy"
)

func TestSize(t *testing.T) {
	for _, c := range []struct {
		name      string
		max, size int64
		want      policy.Outcome
	}{
		{"no limit", 0, 1 << 40, policy.Pass},
		{"below", 100, 99, policy.Pass},
		{"just as large", 100, 100, policy.Pass},
		{"one octet too large", 100, 101, large},
	} {
		f := New(&Settings{Max: c.max}).Run(t.Context(), policy.View{Message: &policy.Message{Size: c.size}})
		if f.Outcome != c.want {
			t.Errorf("%s: got %s, want %s", c.name, f.Outcome, c.want)
		}
	}
}

func TestRefusal(t *testing.T) {
	f := New(&Settings{Max: 100}).Run(t.Context(), policy.View{Message: &policy.Message{Size: 101}})
	want := "The message has 101 octets, and 100 are the most that its recipients take"
	if f.Code != 552 || f.Status != (policy.Status{Subject: 3, Detail: 4}) || f.Text != want {
		t.Errorf("got %d %v %s", f.Code, f.Status, f.Text)
	}
	if f.Fact("size") != "101" || f.Fact("max") != "100" {
		t.Errorf("got %s", f.Facts)
	}
}

func TestKind(t *testing.T) {
	k := Kind()
	if s := k.Settings().(*Settings); s.Max != 0 || k.Outcomes[large] != policy.Reject {
		t.Error("the defaults are not as the manual has them")
	}
	problems := 0
	(&Settings{Max: -1}).Validate(func(string, string) { problems++ })
	if problems != 1 {
		t.Errorf("%d problems with a negative size", problems)
	}
}
