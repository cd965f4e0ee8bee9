package greylist

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"

	"gatepost/internal/redisurl"
	"gatepost/policy"
)

// Redis is a Store in a Redis or Valkey server, shared by several nodes: a single server, a cluster, or one that sentinels name.
// Without the server it has nothing to say: see fallback.
//
// A sighting is one script. The keys of a client and of all its triplets hold its hash in braces, which keeps them on one
// node of a cluster. What ends is ended by the server (PX).
type Redis struct {
	rules   Rules
	options valkey.ClientOption
	log     *slog.Logger
	sight   *valkey.Lua
	stop    chan struct{}
	done    chan struct{}
	once    sync.Once
	count   counter

	mu     sync.Mutex
	client valkey.Client // nil until the server has answered once
}

// openRedis makes the store and starts to connect. The error is one of the URL.
func openRedis(s *Settings, log *slog.Logger) (*Redis, error) {
	o, err := redisurl.Options(s.Store)
	if err != nil {
		return nil, fmt.Errorf("check.greylist.store %w", err)
	}
	r := &Redis{rules: s.rules(), options: o, log: log, sight: valkey.NewLuaScript(scriptSight), stop: make(chan struct{}), done: make(chan struct{})}
	go r.connect()
	return r, nil
}

// connect tries until the server has answered once. From then on the library keeps the connections.
func (r *Redis) connect() {
	defer close(r.done)
	for {
		c, err := valkey.NewClient(r.options)
		if err == nil {
			r.mu.Lock()
			r.client = c
			r.mu.Unlock()
			return
		}
		r.log.Warn("the shared greylist store does not answer", "addresses", r.options.InitAddress, "error", err)
		select {
		case <-r.stop:
			return
		case <-time.After(5 * time.Second):
		}
	}
}

var errNotConnected = errors.New("the server has not answered yet")

func (r *Redis) connected() (valkey.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client == nil {
		return nil, errNotConnected
	}
	return r.client, nil
}

// Sight takes a sighting in. It takes as long as ctx allows.
func (r *Redis) Sight(ctx context.Context, s Sighting) (Decision, error) {
	c, err := r.connected()
	if err != nil {
		return Decision{}, err
	}
	excuse := "0"
	if s.Excuse {
		excuse = "1"
	}
	args := append(r.times(s.Now), strconv.Itoa(s.After), excuse, s.Label.Client, s.Label.pack())
	answer, err := r.sight.Exec(ctx, c, []string{redisKey(s.Client, s.Client), redisKey(s.Client, s.Triplet)}, args).ToArray()
	if err != nil {
		return Decision{}, fmt.Errorf("shared greylist store: %w", err)
	}
	return decisionOf(answer)
}

// times are the first arguments of each script.
func (r *Redis) times(now int64) []string {
	var args []string
	for _, n := range []int64{now, r.rules.Delay, r.rules.Window, r.rules.Remember, grace} {
		args = append(args, strconv.FormatInt(n, 10))
	}
	return args
}

// decisionOf reads what the script answered.
func decisionOf(answer []valkey.ValkeyMessage) (d Decision, err error) {
	if len(answer) != 6 {
		return d, fmt.Errorf("shared greylist store: %d parts in an answer", len(answer))
	}
	var numbers [4]int64
	for i := 1; i <= 3; i++ {
		if numbers[i], err = answer[i].AsInt64(); err != nil {
			return d, fmt.Errorf("shared greylist store: %w", err)
		}
	}
	outcome, err := answer[0].ToString()
	d = Decision{Outcome: policy.Outcome(outcome), Wait: span(numbers[1]), Waited: span(numbers[2]), Mails: uint32(numbers[3])}
	for i, e := range []*Entry{&d.left.client, &d.left.triplet} {
		text, _ := answer[4+i].ToString()
		*e, _, _ = parseEntry(text)
	}
	return d, err
}

// parseEntry reads "first last passed flags label"; false where it is none.
func parseEntry(s string) (e Entry, label string, ok bool) {
	parts := strings.SplitN(s, " ", 5)
	if len(parts) < 5 {
		return e, "", false
	}
	var errs [4]error
	var passed, flags uint64
	e.First, errs[0] = strconv.ParseInt(parts[0], 10, 64)
	e.Last, errs[1] = strconv.ParseInt(parts[1], 10, 64)
	passed, errs[2] = strconv.ParseUint(parts[2], 10, 32)
	flags, errs[3] = strconv.ParseUint(parts[3], 10, 8)
	if errors.Join(errs[:]...) != nil {
		return Entry{}, "", false
	}
	e.Passed, e.Flags = uint32(passed), Flags(flags)
	return e, parts[4], true
}

// redisSpace is how all our keys begin.
const redisSpace = "gatepost:greylist:"

// redisKey is where the entry k of a client stands.
func redisKey(client, k Key) string {
	if k == client {
		return redisSpace + "{" + client.String() + "}"
	}
	return redisSpace + "{" + client.String() + "}:" + k.String()
}

// Stats counts the entries by state. The count is made in the background, at most each ten minutes; before the first it is empty. Of more than
// can be counted in a minute it is less than there are; an entry that the server names twice counts twice.
func (r *Redis) Stats() map[State]int {
	c, err := r.connected()
	if err != nil {
		return r.count.last()
	}
	return r.count.get(func(ctx context.Context, yield func(Record) bool) error { return scanAll(ctx, c, nil, yield) })
}

// Close ends the connections.
func (r *Redis) Close() error {
	r.once.Do(func() { close(r.stop) })
	<-r.done
	if c, err := r.connected(); err == nil {
		c.Close()
	}
	return nil
}
