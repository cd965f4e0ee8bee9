// Package workers runs functions on goroutines that are kept for the next one.
//
// A goroutine begins with a small stack, which Go copies to a larger one as it is needed. A session takes two or three such copies, a
// check or a look-up one or two: a tenth of all that a refused client costs. A goroutine that was used has its stack already, until the
// garbage collector has halved it a few times.
package workers

import (
	"sync"
	"sync/atomic"
)

// kept is how many goroutines that have nothing to do wait in each Pool, with some kilobytes of stack each.
var kept = 128

// KeepNone has each function run on a goroutine of its own from here on. It is for an init function of tests in bubbles (testing/synctest),
// which no goroutine may enter or leave.
func KeepNone() { kept = 0 }

// waiting is how many wait in all pools.
var waiting atomic.Int64

// Waiting is how many goroutines wait for something to do, in all pools together.
func Waiting() int { return int(waiting.Load()) }

// Pool runs functions that take about as much stack as each other. Its zero value is ready. What waits in one waits for good: a Pool is
// for as long as the program runs.
type Pool struct {
	mu   sync.Mutex
	idle []chan func() // of the goroutines that wait; the last one was used last
}

// Go runs f as the go statement would, for a function that leaves its goroutine as it found it (runtime.LockOSThread, labels).
func (p *Pool) Go(f func()) {
	p.mu.Lock()
	if last := len(p.idle) - 1; last >= 0 {
		next := p.idle[last]
		p.idle = p.idle[:last]
		p.mu.Unlock()
		waiting.Add(-1)
		next <- f // there is room: who waits has nothing else to do
		return
	}
	p.mu.Unlock()
	go p.work(f)
}

// work runs f, and then what comes, until enough others wait.
func (p *Pool) work(f func()) {
	next := make(chan func(), 1)
	for {
		f()
		f = nil // what it refers to is not kept
		if !p.wait(next) {
			return
		}
		f = <-next
	}
}

// wait puts a goroutine among those that wait; false where there are enough.
func (p *Pool) wait(next chan func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) >= kept {
		return false
	}
	waiting.Add(1)
	p.idle = append(p.idle, next)
	return true
}

var shared Pool

// Go is Pool.Go, on a pool that all checks and look-ups share.
func Go(f func()) { shared.Go(f) }
