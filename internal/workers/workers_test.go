package workers

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestGo: what is given at the same time runs at the same time, each once, however many wait for work.
func TestGo(t *testing.T) {
	var p Pool
	for _, n := range []int{1, 3, kept - 1, kept, kept + 50, 5} {
		var ran atomic.Int32
		var here, done sync.WaitGroup
		here.Add(n)
		for range n {
			done.Add(1)
			p.Go(func() {
				defer done.Done()
				here.Done()
				here.Wait() // for all the others
				ran.Add(1)
			})
		}
		done.Wait()
		if ran.Load() != int32(n) {
			t.Errorf("%d of %d ran", ran.Load(), n)
		}
	}
}

// TestKept: those that wait are used again, and no more of them wait than are worth it.
func TestKept(t *testing.T) {
	var p Pool
	before := Waiting()
	first := burst(t, &p, 4, 4)
	for range 50 {
		for next := range burst(t, &p, 4, 4) {
			if !first[next] {
				t.Fatal("another goroutine was begun while some waited")
			}
		}
	}
	if n := Waiting() - before; n != 4 {
		t.Errorf("Waiting: %d", n)
	}
	p.Go(func() { select {} })
	burst(t, &p, 4, 4) // three that waited, and a new one
	full := Pool{idle: make([]chan func(), kept-1)}
	for _, room := range []bool{true, false} {
		if full.wait(nil) != room {
			t.Errorf("with %d that wait, room for one more: %v", len(full.idle), !room)
		}
	}
}

// TestNothingKept: while a goroutine waits it does not keep what its last function referred to.
func TestNothingKept(t *testing.T) {
	var p Pool
	gone := make(chan bool)
	func() {
		large := make([]byte, 1<<20)
		runtime.AddCleanup(&large[0], func(int) { close(gone) }, 0)
		p.Go(func() { large[1] = 1 })
	}()
	for until := time.Now().Add(10 * time.Second); ; runtime.GC() {
		select {
		case <-gone:
			return
		default:
		}
		if time.Now().After(until) {
			t.Fatal("it is still there")
		}
	}
}

// burst runs n functions at the same time, and gives those who wait behind it, of whom there must be so many.
func burst(t *testing.T, p *Pool, n, waiting int) map[chan func()]bool {
	t.Helper()
	var here sync.WaitGroup
	here.Add(n)
	for range n {
		p.Go(func() { here.Done(); here.Wait() })
	}
	here.Wait()
	idle := map[chan func()]bool{}
	for until := time.Now().Add(10 * time.Second); len(idle) != waiting && time.Now().Before(until); runtime.Gosched() {
		p.mu.Lock()
		for _, next := range p.idle {
			idle[next] = true
		}
		p.mu.Unlock()
	}
	if len(idle) != waiting {
		t.Fatalf("%d wait, want %d", len(idle), waiting)
	}
	return idle
}

// TestExit: a function that ends its goroutine takes nothing else with it.
func TestExit(t *testing.T) {
	var p Pool
	for range 3 {
		ended, ran := make(chan bool), make(chan bool)
		p.Go(func() { defer close(ended); runtime.Goexit() })
		<-ended
		p.Go(func() { close(ran) })
		<-ran
	}
}

// BenchmarkGo compares functions that need 6 kB of stack with the go statement.
func BenchmarkGo(b *testing.B) {
	var p Pool
	for _, c := range []struct {
		name string
		run  func(func())
	}{{"statement", func(f func()) { go f() }}, {"pool", p.Go}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			done := make(chan byte)
			for b.Loop() {
				c.run(func() { done <- deep(2) })
				<-done
			}
		})
	}
}

//go:noinline
func deep(n int) byte {
	var frame [2 << 10]byte
	if n > 0 {
		frame[n] = deep(n - 1)
	}
	return frame[n]
}
