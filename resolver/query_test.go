package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func aRecord(t testing.TB, q question) *dns.Msg {
	return reply(t, q, dns.RcodeSuccess, q.name+". 60 IN A 192.0.2.1")
}

func TestOneQueryForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		gate := make(chan struct{})
		r := with(t, 1, Settings{}, func(ctx context.Context, _ netip.AddrPort, q question) (*dns.Msg, error) {
			asked.Add(1)
			select {
			case <-gate:
				return aRecord(t, q), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		ctx, cancel := context.WithCancel(background())
		first := make(chan error, 1)
		go func() { _, err := r.Addrs(ctx, "a.example", IPv4); first <- err }()
		synctest.Wait()
		var others sync.WaitGroup
		for range 5 {
			others.Go(func() {
				_, err := r.Addrs(background(), "A.example.", IPv4)
				wantSort(t, err, "ok")
			})
		}
		synctest.Wait()
		cancel() // The first one's end is not the others'.
		wantSort(t, <-first, "temporary")
		close(gate)
		others.Wait()
		if n := asked.Load(); n != 1 {
			t.Errorf("%d questions", n)
		}
	})
}

func TestContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := with(t, 1, Settings{}, func(ctx context.Context, _ netip.AddrPort, q question) (*dns.Msg, error) {
			if q.name == "quick.example" {
				return aRecord(t, q), nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		_, err := r.Addrs(background(), "quick.example", IPv4)
		wantSort(t, err, "ok")
		_, err = r.Addrs(canceled(), "quick.example", IPv4) // though it is known
		wantSort(t, err, "temporary")
		ctx, cancel := context.WithTimeout(background(), time.Second)
		defer cancel()
		_, err = r.Addrs(ctx, "slow.example", Both)
		wantSort(t, err, "timeout")
		_, err = r.Addrs(background(), "slower.example", IPv4) // Timeout of the settings
		wantSort(t, err, "timeout")
	})
}

func TestInFlight(t *testing.T) {
	const slots = 2
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		gate := make(chan struct{})
		r := with(t, 1, Settings{InFlight: slots}, func(_ context.Context, _ netip.AddrPort, q question) (*dns.Msg, error) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			<-gate
			return aRecord(t, q), nil
		})
		results := make(chan error, 100)
		ask := func(n int, ctx context.Context) {
			for range n {
				name := fmt.Sprintf("%p-%d.example", results, len(results)+int(r.waiting.Load())+len(r.slots))
				go func() { _, err := r.Addrs(ctx, name, IPv4); results <- err }()
				synctest.Wait()
			}
		}
		ask(slots+waitFactor*slots, background())
		if len(results) != 0 {
			t.Fatalf("%d are back already", len(results))
		}
		ask(1, background()) // One too many.
		if err := <-results; sort(err) != "temporary" || !errors.Is(err, ErrBusy) {
			t.Errorf("one too many: %v", err)
		}
		close(gate)
		for range slots + waitFactor*slots {
			wantSort(t, <-results, "ok")
		}
		if most.Load() != slots {
			t.Errorf("%d at once, want %d", most.Load(), slots)
		}
	})
}

// Who waits for a slot doesn't wait longer than for an answer, and that is no failure of the name asked for.
func TestWaitForASlotEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		r := with(t, 1, Settings{InFlight: 1}, func(_ context.Context, _ netip.AddrPort, q question) (*dns.Msg, error) {
			<-gate
			return aRecord(t, q), nil
		})
		var slow sync.WaitGroup
		slow.Go(func() { _, err := r.Addrs(background(), "slow.example", IPv4); wantSort(t, err, "ok") })
		synctest.Wait()
		_, err := r.Addrs(background(), "a.example", IPv4)
		wantSort(t, err, "timeout")
		if !errors.Is(err, ErrBusy) {
			t.Errorf("got %v", err)
		}
		close(gate)
		slow.Wait()
		_, err = r.Addrs(background(), "a.example", IPv4)
		wantSort(t, err, "ok")
	})
}

func TestWhichServersAreAsked(t *testing.T) {
	for _, c := range []struct {
		name    string
		servers string // what each does, by letter: a answers, f SERVFAIL, r REFUSED, n NXDOMAIN, s is silent, x gives a broken answer
		want    string // servers asked, in order
		sort    string
	}{
		{"the first one does", "aa", "1", "ok"},
		{"NXDOMAIN is an answer", "na", "1", "not found"},
		{"silence: the next", "saa", "12", "ok"},
		{"SERVFAIL: the next", "fa", "12", "ok"},
		{"REFUSED: the next", "ra", "12", "ok"},
		{"broken: the next", "xa", "12", "ok"},
		{"the same one three times", "s", "111", "timeout"},
		{"in turns", "sx", "121", "timeout"},
		{"three of four", "ssxs", "123", "temporary"},
		{"SERVFAIL isn't asked again", "f", "1", "temporary"},
		{"nor here", "fr", "12", "temporary"},
		{"only the silent one", "fs", "122", "timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := ""
				r := with(t, len(c.servers), Settings{}, func(ctx context.Context, server netip.AddrPort, q question) (*dns.Msg, error) {
					n := server.Addr().As4()[3]
					asked += fmt.Sprint(n)
					return act(ctx, t, c.servers[n-1], q)
				})
				_, err := r.Addrs(background(), "a.example", IPv4)
				wantSort(t, err, c.sort)
				if asked != c.want {
					t.Errorf("asked %s, want %s", asked, c.want)
				}
			})
		})
	}
}

func act(ctx context.Context, t *testing.T, letter byte, q question) (*dns.Msg, error) {
	switch letter {
	case 'a':
		return aRecord(t, q), nil
	case 'f':
		return reply(t, q, dns.RcodeServerFailure), nil
	case 'r':
		return reply(t, q, dns.RcodeRefused), nil
	case 'n':
		return reply(t, q, dns.RcodeNameError), nil
	case 'x':
		return nil, errBroken
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// Each try leaves time for the others.
func TestTimeOfATry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var took []time.Duration
		r := with(t, 1, Settings{Timeout: 6 * time.Second}, func(ctx context.Context, _ netip.AddrPort, _ question) (*dns.Msg, error) {
			start := time.Now()
			<-ctx.Done()
			took = append(took, time.Since(start))
			return nil, ctx.Err()
		})
		start := time.Now()
		_, err := r.TXT(background(), "a.example")
		wantSort(t, err, "timeout")
		if want := []time.Duration{2 * time.Second, 2 * time.Second, 2 * time.Second}; !slices.Equal(took, want) {
			t.Errorf("got %v, want %v", took, want)
		}
		if all := time.Since(start); all != 6*time.Second {
			t.Errorf("took %v", all)
		}
	})
}

func TestAliasWithoutTarget(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers map[string][]string // by name asked for
		asked   string
		want    string
	}{
		{
			"asked once more", map[string][]string{
				"a.example": {"a.example. 9 IN CNAME b.example."}, "b.example": {"b.example. 9 IN A 192.0.2.1"},
			}, "a.example b.example", "ok",
		},
		{
			"a SOA record says there is nothing", map[string][]string{"a.example": {"a.example. 9 IN CNAME b.example.", soaText}},
			"a.example", "not found",
		},
		{
			"once, not again and again", map[string][]string{
				"a.example": {"a.example. 9 IN CNAME b.example."}, "b.example": {"b.example. 9 IN CNAME c.example."}, "c.example": {"c.example. 9 IN A 192.0.2.1"},
			}, "a.example b.example", "temporary",
		},
		{
			"a loop over two answers", map[string][]string{
				"a.example": {"a.example. 9 IN CNAME b.example."}, "b.example": {"b.example. 9 IN CNAME a.example.", "a.example. 9 IN CNAME b.example."},
			}, "a.example b.example", "temporary",
		},
		{
			"a strange target", map[string][]string{
				"a.example": {`a.example. 9 IN CNAME B\.\200.example.`}, `b\.\200.example`: {`b\.\200.example. 9 IN A 192.0.2.1`},
			}, `a.example b\.\200.example`, "ok",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []string
			r := with(t, 1, Settings{}, func(_ context.Context, _ netip.AddrPort, q question) (*dns.Msg, error) {
				asked = append(asked, q.name)
				return reply(t, q, 0, c.answers[q.name]...), nil
			})
			_, err := r.Addrs(background(), "a.example", IPv4)
			wantSort(t, err, c.want)
			if got := strings.Join(asked, " "); got != c.asked {
				t.Errorf("asked %s, want %s", got, c.asked)
			}
		})
	}
}

// A fault of ours, or of the library's, in reading an answer is not the end of the process.
func TestPanic(t *testing.T) {
	r := with(t, 1, Settings{}, func(context.Context, netip.AddrPort, question) (*dns.Msg, error) { panic("test") })
	_, err := r.TXT(background(), "a.example")
	wantSort(t, err, "temporary")
}

func TestCounts(t *testing.T) {
	i := 0
	letters := "anxfx"
	r := with(t, 1, Settings{}, func(ctx context.Context, _ netip.AddrPort, q question) (*dns.Msg, error) {
		i++
		return act(ctx, t, letters[i-1], q)
	})
	_, _ = r.Addrs(background(), "a.example", IPv4)
	_, _ = r.Addrs(background(), "a.example", IPv4) // from the cache
	_, _ = r.TXT(background(), "b.example")
	_, _ = r.TXT(background(), "c.example")
	want := []Count{{"A", "NOERROR", 1}, {"TXT", "NXDOMAIN", 1}, {"TXT", "SERVFAIL", 1}, {"TXT", "error", 1}}
	if got := r.Counts(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := rcodeName(4000); got != "other" {
		t.Errorf("got %q", got)
	}
}
