package policy

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a check of the content that does what its function says.
type scripted struct {
	name string
	do   func(ctx context.Context, v View) Outcome
}

func (c scripted) Name() string { return c.name }
func (scripted) Stage() Stage   { return StageData }
func (c scripted) Run(ctx context.Context, v View) Finding {
	return Finding{Outcome: c.do(ctx, v)}
}

type scriptedReader struct{ scripted }

func (scriptedReader) ReadsContent() {}

type scriptedWhole struct{ scripted }

func (scriptedWhole) WantsWhole() {}

// contentRun is a run whose header is there.
func contentRun(checks ...Check) *Run {
	p := &Policy{Mode: Enforce, Budget: time.Second}
	for _, c := range checks {
		p.Slots = append(p.Slots, Slot{Check: c, Mode: Enforce, Actions: map[Outcome]Action{Fail: Reject}})
	}
	r := p.Begin(context.Background(), View{})
	r.Mail(Mailbox{"x", "a.example"}, false)
	r.Rcpt(Mailbox{"amy", "example.com"})
	return r
}

// outcomes are those of a decision, by check.
func outcomes(d Decision) map[string]Outcome {
	m := map[string]Outcome{}
	for _, s := range d.Steps {
		m[s.Finding.Check] = s.Finding.Outcome
	}
	return m
}

// TestHeaderChecksGoAhead: what needs the header alone is done before the content is; what reads the content gets all of it; what wants
// the message whole gets its size.
func TestHeaderChecksGoAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		early := make(chan int64, 1)
		header := scripted{"header", func(_ context.Context, v View) Outcome {
			early <- v.Message.Size
			return Pass
		}}
		reader := scriptedReader{scripted{"reader", func(_ context.Context, v View) Outcome {
			if b, err := io.ReadAll(v.Content); err != nil || string(b) != "H: x\r\n\r\nbody\r\n" {
				return Fail
			}
			return Pass
		}}}
		whole := scriptedWhole{scripted{"whole", func(_ context.Context, v View) Outcome {
			if v.Message.Size != 14 {
				return Fail
			}
			return Pass
		}}}
		r := contentRun(header, reader, whole)
		defer r.Close()
		head := []byte("H: x\r\n")
		w := r.Content(&Message{Head: head, FromDomain: "a.example"})
		if n := <-early; n != 0 {
			t.Errorf("size %d while the content comes in", n)
		}
		time.Sleep(time.Hour) // a slow sender costs no check its budget
		io.WriteString(w, "H: x\r\n\r\n")
		io.WriteString(w, "body\r\n")
		d := r.Data(&Message{Head: head, Size: 14, FromDomain: "a.example"}, Mailbox{"amy", "example.com"})
		for _, name := range []string{"header", "reader", "whole"} {
			if got := outcomes(d)[name]; got != Pass {
				t.Errorf("%s: %v", name, got)
			}
		}
	})
}

// TestContentBudget: the time of a check is up a while after the end of the content, and it may read the header even then.
func TestContentBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, read := make(chan struct{}), make(chan string, 1)
		slow := scripted{"slow", func(_ context.Context, v View) Outcome {
			<-release
			read <- string(v.Message.Head)
			return Fail
		}}
		r := contentRun(slow)
		defer r.Close()
		head := []byte("H: x\r\n")
		r.Content(&Message{Head: head})
		began := time.Now()
		d := r.Data(&Message{Head: head, Size: 8}, Mailbox{})
		if took := time.Since(began); took != time.Second || outcomes(d)["slow"] != TempError {
			t.Errorf("%v after %v", outcomes(d), took)
		}
		copy(head, strings.Repeat("!", len(head))) // the buffer serves another message
		close(release)
		if got := <-read; got != "H: x\r\n" {
			t.Errorf("header %q", got)
		}
	})
}

// TestReaderThatStops: a check that stops reading without an end of its own holds the content up no longer than its budget, and the others get
// all of it.
func TestReaderThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := scriptedReader{scripted{"stopped", func(ctx context.Context, v View) Outcome {
			io.ReadFull(v.Content, make([]byte, 4))
			<-ctx.Done()
			return Fail
		}}}
		reader := scriptedReader{scripted{"reader", func(_ context.Context, v View) Outcome {
			if b, err := io.ReadAll(v.Content); err != nil || string(b) != "H: x\r\n\r\nbody\r\n" {
				return Fail
			}
			return Pass
		}}}
		r := contentRun(stopped, reader)
		defer r.Close()
		head := []byte("H: x\r\n")
		w := r.Content(&Message{Head: head})
		began := time.Now()
		io.WriteString(w, "H: x\r\n\r\n")
		io.WriteString(w, "body\r\n")
		d := r.Data(&Message{Head: head, Size: 14}, Mailbox{})
		if took := time.Since(began); took != time.Second || outcomes(d)["stopped"] != TempError || outcomes(d)["reader"] != Pass {
			t.Errorf("%v after %v", outcomes(d), took)
		}
	})
}

// TestContentAborted: a reset ends the checks of a content that did not come whole, and the next one is judged by its own.
func TestContentAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := 0
		reader := scriptedReader{scripted{"reader", func(_ context.Context, v View) Outcome {
			if _, err := io.ReadAll(v.Content); err != nil {
				ended++
				return Fail
			}
			return Pass
		}}}
		waiting := scripted{"waiting", func(ctx context.Context, v View) Outcome {
			if v.Message.FromDomain == "b.example" {
				return Pass
			}
			<-ctx.Done()
			return Fail
		}}
		r := contentRun(reader, waiting)
		defer r.Close()
		io.WriteString(r.Content(&Message{Head: []byte("H: x\r\n"), FromDomain: "a.example"}), "H: x\r\n")
		r.Reset()
		synctest.Wait()
		if ended != 1 {
			t.Errorf("the reader ended %d times", ended)
		}
		r.Mail(Mailbox{"x", "b.example"}, false)
		d := r.Data(&Message{Head: []byte("H: y\r\n"), Size: 8, FromDomain: "b.example"}, Mailbox{})
		if got := outcomes(d); got["reader"] != Pass || got["waiting"] != Pass {
			t.Errorf("%v", got)
		}
	})
}

// TestSettled: what a message is judged by is known before its end unless a check still reads it, or wants its size.
func TestSettled(t *testing.T) {
	pass := func(context.Context, View) Outcome { return Pass }
	for _, tc := range []struct {
		name   string
		checks []Check
		want   bool
	}{
		{"no checks", nil, true},
		{"of the header", []Check{scripted{"header", pass}}, true},
		{"of the header, and it takes its time", []Check{scripted{"slow", func(ctx context.Context, _ View) Outcome {
			time.Sleep(time.Millisecond)
			return Pass
		}}}, false},
		{"a reader that has seen enough", []Check{scriptedReader{scripted{"reader", pass}}}, true},
		{"a reader that reads on", []Check{scripted{"header", pass}, scriptedReader{scripted{"reader", func(_ context.Context, v View) Outcome {
			io.Copy(io.Discard, v.Content)
			return Pass
		}}}}, false},
		{"the size", []Check{scriptedWhole{scripted{"whole", pass}}}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := contentRun(tc.checks...)
				defer r.Close()
				if len(tc.checks) > 0 && r.Settled() {
					t.Error("settled before the header is there")
				}
				r.Content(&Message{Head: []byte("H: x\r\n")})
				synctest.Wait()
				if got := r.Settled(); got != tc.want {
					t.Errorf("settled: %v", got)
				}
				if d := r.Data(&Message{Head: []byte("H: x\r\n"), Size: 8}, Mailbox{"amy", "example.com"}); len(d.Steps) != len(tc.checks) {
					t.Errorf("%d findings", len(d.Steps))
				}
			})
		})
	}
}
