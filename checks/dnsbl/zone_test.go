package dnsbl

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatepost/policy"
	"gatepost/resolver"
)

// fake is a resolver that knows what the test tells it.
type fake struct {
	mu      sync.Mutex
	answers map[string][]netip.Addr
	err     error                     // for every name
	wait    func(ctx context.Context) // before every answer
	asked   int
}

func (f *fake) Listing(ctx context.Context, name string) ([]netip.Addr, string, error) {
	f.mu.Lock()
	wait := f.wait
	f.mu.Unlock()
	if wait != nil {
		wait(ctx)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if ctx.Err() != nil {
		return nil, "", &net.DNSError{IsTimeout: true, IsTemporary: true}
	}
	return f.answers[name], "", f.err
}

func (f *fake) set(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func codes(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range texts {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

// healthy is a zone that proves itself and lists 203.0.113.9.
func healthy() *fake {
	return &fake{answers: map[string][]netip.Addr{
		"2.0.0.127.bl.example": codes("127.0.0.2"), "9.113.0.203.bl.example": codes("127.0.0.2"),
	}}
}

func checkOver(f *fake, log *bytes.Buffer) *Check {
	return New(&Settings{Threshold: 5, Zones: []Zone{zoneOf("bl.example", 5)}}, f, slog.New(slog.NewTextHandler(log, nil)))
}

func judge(ctx context.Context, c *Check) policy.Outcome {
	return c.Run(ctx, policy.View{Client: netip.MustParseAddr("203.0.113.9")}).Outcome
}

func wantState(t *testing.T, c *Check, up bool, why string) {
	t.Helper()
	if z := c.Zones()[0]; z.Up != up || !strings.Contains(z.Why, why) {
		t.Errorf("got up %v because %q, want %v because %q", z.Up, z.Why, up, why)
	}
}

func wantSince(t *testing.T, c *Check, want time.Time) {
	t.Helper()
	if got := c.Zones()[0].Since; !got.Equal(want) {
		t.Errorf("it is so since %v, want %v", got, want)
	}
}

var failure = &net.DNSError{IsTemporary: true}

func TestCircuitBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := healthy()
		c := checkOver(f, &log)
		ctx, cancel := context.WithCancel(t.Context())
		go c.Watch(ctx)
		synctest.Wait()
		wantState(t, c, true, "")
		wantSince(t, c, time.Now())
		rose := time.Now()
		time.Sleep(time.Minute)
		judge(ctx, c)
		wantSince(t, c, rose)

		f.set(func(f *fake) { f.err = failure })
		for range maxFailures {
			if o := judge(ctx, c); o != policy.TempError {
				t.Errorf("a look-up that failed gave %s", o)
			}
		}
		wantState(t, c, false, "5 look-ups in a row failed")
		wantSince(t, c, time.Now())
		asked := f.count()
		judge(ctx, c)
		if f.count() != asked {
			t.Error("a zone out of service was asked")
		}

		f.set(func(f *fake) { f.err = nil })
		time.Sleep(pauseFirst)
		synctest.Wait()
		wantState(t, c, true, "")
		f.set(func(f *fake) { f.err = failure })
		judge(ctx, c) // the count begins anew
		wantState(t, c, true, "")
		f.set(func(f *fake) { f.err = nil })
		if o := judge(ctx, c); o != Listed {
			t.Errorf("back in service: %s", o)
		}
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
			t.Errorf("%d alarms, want 1:\n%s", n, &log)
		}
		cancel()
	})
}

func TestFailuresInBetweenDoNotAddUp(t *testing.T) {
	f := healthy()
	c := checkOver(f, new(bytes.Buffer))
	for range 3 {
		f.set(func(f *fake) { f.err = nil })
		judge(t.Context(), c)
		f.set(func(f *fake) { f.err = failure })
		for range maxFailures - 1 {
			judge(t.Context(), c)
		}
	}
	wantState(t, c, true, "")
}

// TestGivenUp is a client that goes away: that its look-up ended says nothing of the zone.
func TestGivenUp(t *testing.T) {
	f := healthy()
	c := checkOver(f, new(bytes.Buffer))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // the first proof too, which now and then does not even begin
		judge(gone, c)
	}
	wantState(t, c, false, "has not proved itself yet")
	judge(t.Context(), c)
	for range 2 * maxFailures {
		judge(gone, c)
	}
	wantState(t, c, true, "")
}

// TestOurOwnLoad is a resolver with too many queries: the look-up fails, but that says nothing of the zone.
func TestOurOwnLoad(t *testing.T) {
	busy := &net.DNSError{IsTemporary: true, UnwrapErr: resolver.ErrBusy}
	f := healthy()
	c := checkOver(f, new(bytes.Buffer))
	f.set(func(f *fake) { f.err = busy })
	judge(t.Context(), c)
	wantState(t, c, false, "has not proved itself yet")
	f.set(func(f *fake) { f.err = nil })
	if o := judge(t.Context(), c); o != Listed {
		t.Errorf("after the load: %s", o)
	}
	f.set(func(f *fake) { f.err = busy })
	for range 2 * maxFailures {
		run := c.Run(t.Context(), policy.View{Client: netip.MustParseAddr("203.0.113.9")})
		if run.Outcome != policy.TempError || !strings.HasSuffix(run.Fact("silent"), "too many queries of our own") {
			t.Errorf("got %s: %s", run.Outcome, run.Facts)
		}
	}
	c.Prove(t.Context())
	wantState(t, c, true, "")
}

func TestRefusalTakesZoneOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := healthy()
		c := checkOver(f, &log)
		ctx, cancel := context.WithCancel(t.Context())
		go c.Watch(ctx)
		synctest.Wait()
		f.set(func(f *fake) {
			for name := range f.answers {
				f.answers[name] = codes("127.255.255.255")
			}
		})
		if o := judge(ctx, c); o != policy.TempError {
			t.Errorf("a refusal gave %s", o)
		}
		wantState(t, c, false, "refuses our queries (127.255.255.255)")
		time.Sleep(3 * time.Hour)
		f.set(func(f *fake) { f.answers = healthy().answers })
		synctest.Wait()
		wantState(t, c, false, "refuses our queries")
		time.Sleep(proveEvery)
		synctest.Wait()
		wantState(t, c, true, "")
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
			t.Errorf("%d alarms, want 1:\n%s", n, &log)
		}
		cancel()
	})
}

// TestPauses is how often a zone that stays out of service is asked: after 1, 2, 4, ... minutes, then every hour.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{err: failure}
		c := checkOver(f, new(bytes.Buffer))
		ctx, cancel := context.WithCancel(t.Context())
		go c.Watch(ctx)
		for _, step := range []struct {
			minutes, asked int
		}{{0, 1}, {1, 2}, {2, 3}, {4, 4}, {8, 5}, {16, 6}, {32, 7}, {60, 8}, {60, 9}} {
			time.Sleep(time.Duration(step.minutes) * time.Minute)
			synctest.Wait()
			if n := f.count(); n != step.asked {
				t.Errorf("%d more minutes: asked %d times, want %d", step.minutes, n, step.asked)
			}
		}
		cancel()
	})
}

// TestBudget is a resolver that never answers: the check comes to its end within six seconds.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := healthy()
		c := checkOver(f, new(bytes.Buffer))
		c.Prove(t.Context())
		f.set(func(f *fake) { f.wait = func(ctx context.Context) { <-ctx.Done() } })
		start := time.Now()
		if o := judge(t.Context(), c); o != policy.TempError || time.Since(start) != budget {
			t.Errorf("%s after %v", o, time.Since(start))
		}
	})
}

// TestFirstProofIsShared is a crowd of clients before the first proof: the zone proves itself once, and all are judged.
func TestFirstProofIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := healthy()
		f.wait = func(context.Context) { time.Sleep(time.Millisecond) }
		c := checkOver(f, new(bytes.Buffer))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if o := judge(t.Context(), c); o != Listed {
					t.Errorf("got %s", o)
				}
			})
		}
		wg.Wait()
		if n := f.count(); n != 3+20 { // 127.0.0.2 and twice 127.0.0.1
			t.Errorf("asked %d times", n)
		}
	})
}

// TestZoneGoesBad is a domain that ran out: from one hour to the next it lists everything.
func TestZoneGoesBad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := healthy()
		c := checkOver(f, new(bytes.Buffer))
		ctx, cancel := context.WithCancel(t.Context())
		go c.Watch(ctx)
		synctest.Wait()
		f.set(func(f *fake) { f.answers["1.0.0.127.bl.example"] = codes("127.0.0.2") })
		time.Sleep(proveEvery)
		synctest.Wait()
		wantState(t, c, false, "lists 127.0.0.1")
		cancel()
	})
}

func TestOddAnswerIsAlarmedOnce(t *testing.T) {
	var log bytes.Buffer
	f := healthy()
	f.answers["9.113.0.203.bl.example"] = codes("192.0.2.1")
	c := checkOver(f, &log)
	judge(t.Context(), c)
	judge(t.Context(), c)
	if z := c.Zones()[0]; !z.Up || !strings.Contains(z.Odd, "192.0.2.1") {
		t.Errorf("got %+v", z)
	}
	if n := strings.Count(log.String(), "odd answer"); n != 1 {
		t.Errorf("%d alarms, want 1", n)
	}
}

func TestProofOfIPv6List(t *testing.T) {
	z := zoneOf("bl.example", 5)
	two := reverse(netip.AddrFrom16(netip.MustParseAddr("127.0.0.2").As16()))
	if two != "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0" { // RFC 5782 section 5
		t.Fatal(two)
	}
	f := &fake{answers: map[string][]netip.Addr{two + ".bl.example": codes("127.0.0.2")}}
	c := New(&Settings{Threshold: 5, Zones: []Zone{z}}, f, quiet())
	c.Prove(t.Context())
	wantState(t, c, true, "")
}
