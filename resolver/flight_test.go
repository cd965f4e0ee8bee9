package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"gatepost/internal/dnstest"
)

// whileSlow gives an exchanger that answers for "quick.example" alone: any other name's servers are silent.
func whileSlow(t *testing.T) exchanger {
	return func(ctx context.Context, _ netip.AddrPort, q question) (*dns.Msg, error) {
		if q.name == "quick.example" {
			return aRecord(t, q), nil
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

// A sender who asks for names of silent servers, and goes on before there is an answer, leaves nothing behind.
func TestNobodyWaits(t *testing.T) {
	const slots = 2
	synctest.Test(t, func(t *testing.T) {
		r := with(t, 1, Settings{InFlight: slots}, whileSlow(t))
		ctx, cancel := context.WithCancel(background())
		start := time.Now()
		var all sync.WaitGroup
		for i := range slots + waitFactor*slots {
			all.Go(func() {
				_, err := r.Addrs(ctx, fmt.Sprintf("%d.slow.example", i), Both)
				wantSort(t, err, "temporary")
			})
		}
		synctest.Wait()
		_, err := r.Addrs(background(), "quick.example", IPv4)
		wantSort(t, err, "temporary")
		cancel()
		synctest.Wait()
		_, err = r.Addrs(background(), "quick.example", IPv4)
		wantSort(t, err, "ok")
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
		all.Wait()
		if h, counts := r.Health()[0], r.Counts(); h.Failed != 0 || h.Down || len(counts) != 1 {
			t.Errorf("who gave up says nothing of the server: got %+v, %v", h, counts)
		}
	})
}

// Who asks while a flight for the same name is about to end, since nobody waits for it any more, gets an answer.
func TestAFlightOfOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		linger, gate := make(chan struct{}), make(chan struct{})
		r := with(t, 1, Settings{}, func(ctx context.Context, _ netip.AddrPort, q question) (*dns.Msg, error) {
			if asked++; asked == 1 {
				<-linger
				return nil, ctx.Err()
			}
			<-gate
			return aRecord(t, q), nil
		})
		ctx, cancel := context.WithCancel(background())
		var all sync.WaitGroup
		all.Go(func() { _, err := r.Addrs(ctx, "a.example", IPv4); wantSort(t, err, "temporary") })
		synctest.Wait()
		cancel()
		synctest.Wait()
		ask := func() {
			all.Go(func() { _, err := r.Addrs(background(), "a.example", IPv4); wantSort(t, err, "ok") })
			synctest.Wait()
		}
		ask()
		close(linger) // The first flight ends while the second is under way, and a third caller joins that.
		synctest.Wait()
		ask()
		close(gate)
		all.Wait()
		if asked != 2 {
			t.Errorf("%d questions", asked)
		}
	})
}

// A query that waited for a slot has its full time all the same, and is told apart where its caller had less.
func TestTimeAfterAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var first time.Duration // for the first try
		r := with(t, 1, Settings{InFlight: 1}, func(ctx context.Context, _ netip.AddrPort, q question) (*dns.Msg, error) {
			if q.name == "slow.example" {
				time.Sleep(2 * time.Second)
				return aRecord(t, q), nil
			}
			deadline, _ := ctx.Deadline()
			first = time.Until(deadline)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		var all sync.WaitGroup
		all.Go(func() { _, err := r.Addrs(background(), "slow.example", IPv4); wantSort(t, err, "ok") })
		synctest.Wait()
		all.Go(func() {
			_, err := r.Addrs(background(), "a.example", IPv4)
			wantSort(t, err, "timeout")
			if errors.Is(err, ErrBusy) {
				t.Errorf("a server that is silent for all of the time: got %v", err)
			}
		})
		for _, patience := range []time.Duration{time.Second, 4 * time.Second} {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(background(), patience)
				defer cancel()
				_, err := r.Addrs(ctx, "a.example", IPv4)
				wantSort(t, err, "timeout")
				if !errors.Is(err, ErrBusy) {
					t.Errorf("given up after %v: got %v", patience, err)
				}
			})
		}
		all.Wait()
		if first != time.Second {
			t.Errorf("the first try had %v", first)
		}
	})
}

// On the wire, too, a query ends when nobody waits for it.
func TestNobodyWaitsOnTheWire(t *testing.T) {
	for _, c := range []struct {
		name string
		tcp  bool
	}{{"UDP", false}, {"TCP", true}} {
		t.Run(c.name, func(t *testing.T) {
			s := dnstest.Start(t, zone)
			asked, done := make(chan struct{}), make(chan struct{})
			s.Raw("slow.example", func(query []byte, tcp bool) []byte {
				if tcp != c.tcp {
					return answering(func(m *dns.Msg, _ bool) { m.Truncated = true })(query, tcp)
				}
				close(asked)
				<-done
				return nil
			})
			r := over(t, s, Settings{InFlight: 1, Timeout: time.Hour})
			ctx, cancel := context.WithCancel(background())
			go func() { <-asked; cancel() }()
			_, err := r.TXT(ctx, "slow.example")
			wantSort(t, err, "temporary")
			r.slots <- struct{}{} // It is free.
			close(done)
		})
	}
}

// One client, whatever its number of sessions, cannot take the DNS from others; it has its share back when its queries end.
func TestAShareForEachClient(t *testing.T) {
	const slots = 8
	synctest.Test(t, func(t *testing.T) {
		r := with(t, 1, Settings{InFlight: slots}, whileSlow(t))
		v4, v6 := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8::1")
		var all sync.WaitGroup
		ctx, cancel := context.WithCancel(background())
		ask := func(client netip.Addr, name string) error {
			_, err := r.Addrs(WithClient(ctx, client), name, IPv4)
			return err
		}
		for i, client := range []netip.Addr{v4, v6} {
			for j := range slots / shares {
				all.Go(func() { ask(client, fmt.Sprintf("%d.%d.slow.example", j, i)) })
			}
		}
		synctest.Wait()
		for _, client := range []netip.Addr{v4, v6, netip.MustParseAddr("2001:db8::2")} {
			if err := ask(client, "quick.example"); !errors.Is(err, ErrBusy) {
				t.Errorf("%v: %v, want its share to be used up", client, err)
			}
		}
		joined := false
		all.Go(func() { ask(v4, "0.1.slow.example"); joined = true })
		synctest.Wait()
		if joined {
			t.Error("a client with no share left does not wait for what another has asked")
		}
		if err := ask(netip.MustParseAddr("203.0.113.10"), "quick.example"); err != nil {
			t.Errorf("another client: %v", err)
		}
		cancel()
		all.Wait()
		synctest.Wait()
		if n := len(r.flights.clients); n != 0 {
			t.Errorf("%d clients are remembered", n)
		}
	})
}
