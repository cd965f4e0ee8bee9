package greylist

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"

	"gatepost/internal/redisurl"
)

// RedisBook is the Book of a Redis or Valkey server.
type RedisBook struct {
	store  *Redis
	client valkey.Client
	put    *valkey.Lua
}

// openRedisBook connects. The error says that the server does not answer.
func openRedisBook(s *Settings) (*RedisBook, error) {
	o, err := redisurl.Options(s.Store)
	if err != nil {
		return nil, fmt.Errorf("check.greylist.store %w", err)
	}
	c, err := valkey.NewClient(o)
	if err != nil {
		return nil, fmt.Errorf("the shared greylist store at %s: %w", strings.Join(o.InitAddress, ", "), err)
	}
	return &RedisBook{&Redis{rules: s.rules()}, c, valkey.NewLuaScript(scriptPut)}, nil
}

// Each gives all entries.
func (b *RedisBook) Each(ctx context.Context, yield func(Record) bool) error {
	return scanAll(ctx, b.client, map[string]bool{}, yield)
}

// Put adds entries, each as one step.
func (b *RedisBook) Put(ctx context.Context, rs []Record) error {
	times := b.store.times(time.Now().UnixMilli())
	for _, r := range rs {
		args := append(times[:len(times):len(times)], strconv.FormatInt(r.Entry.First, 10), strconv.FormatInt(r.Entry.Last, 10),
			strconv.FormatUint(uint64(r.Entry.Passed), 10), strconv.FormatUint(uint64(r.Entry.Flags), 10), r.Label.pack())
		if err := b.put.Exec(ctx, b.client, []string{redisKey(r.Owner, r.Key)}, args).Error(); err != nil {
			return fmt.Errorf("change the shared greylist store: %w", err)
		}
	}
	return nil
}

// Delete forgets entries, and says how many there were.
func (b *RedisBook) Delete(ctx context.Context, rs []Record) (int, error) {
	count := 0
	for _, r := range rs {
		n, err := b.client.Do(ctx, b.client.B().Del().Key(redisKey(r.Owner, r.Key)).Build()).AsInt64()
		if err != nil {
			return count, fmt.Errorf("change the shared greylist store: %w", err)
		}
		count += int(n)
	}
	return count, nil
}

// Close ends the connections.
func (b *RedisBook) Close() error {
	b.client.Close()
	return nil
}

// scanPage is how many keys are asked for at once.
const scanPage = 1000

// scanAll gives the entries of all nodes. given are the keys that were given, so that one that a server names twice is given once; nil: it
// may be given twice, and no key is held.
func scanAll(ctx context.Context, c valkey.Client, given map[string]bool, yield func(Record) bool) error {
	nodes := c.Nodes()
	for _, node := range nodes {
		if len(nodes) > 1 && isReplica(ctx, node) {
			continue
		}
		var cursor uint64
		for {
			page, err := node.Do(ctx, node.B().Scan().Cursor(cursor).Match(redisSpace+"*").Count(scanPage).Build()).AsScanEntry()
			if err != nil {
				return fmt.Errorf("read the shared greylist store: %w", err)
			}
			if more, err := getPage(ctx, c, page.Elements, given, yield); err != nil || !more {
				return err
			}
			if cursor = page.Cursor; cursor == 0 {
				break
			}
		}
	}
	return nil
}

// isReplica says whether a node has only what another has. One that does not tell is taken for none.
func isReplica(ctx context.Context, node valkey.Client) bool {
	answer, err := node.Do(ctx, node.B().Role().Build()).ToArray()
	if err != nil || len(answer) == 0 {
		return false
	}
	role, _ := answer[0].ToString()
	return role == "slave"
}

// getPage gives the entries under some keys; false where no more are wanted.
func getPage(ctx context.Context, c valkey.Client, keys []string, given map[string]bool, yield func(Record) bool) (bool, error) {
	var gets valkey.Commands
	var names []string
	for _, k := range keys {
		if given[k] {
			continue
		}
		if given != nil {
			given[k] = true
		}
		names = append(names, k)
		gets = append(gets, c.B().Get().Key(k).Build())
	}
	if len(gets) == 0 {
		return true, nil
	}
	for i, answer := range c.DoMulti(ctx, gets...) {
		text, err := answer.ToString()
		if err != nil && !valkey.IsValkeyNil(err) {
			return false, fmt.Errorf("read the shared greylist store: %w", err)
		}
		if r, ok := recordOf(names[i], text); ok && !yield(r) {
			return false, nil
		}
	}
	return true, nil
}

// recordOf reads an entry with its key; false where it is none of ours.
func recordOf(name, text string) (r Record, ok bool) {
	e, label, ok := parseEntry(text)
	name, found := strings.CutPrefix(name, redisSpace+"{")
	owner, rest, closed := strings.Cut(name, "}")
	if !ok || !found || !closed {
		return r, false
	}
	r = Record{Entry: e, Label: unpack(label)}
	ok = readKey(&r.Owner, owner)
	if r.Key = r.Owner; rest != "" {
		ok = ok && readKey(&r.Key, strings.TrimPrefix(rest, ":"))
	}
	return r, ok
}

func readKey(k *Key, s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && copy(k[:], b) == len(k) && len(b) == len(k)
}

// counter counts the entries of a store by state, in the background.
type counter struct {
	mu     sync.Mutex
	counts map[State]int
	at     time.Time
	busy   bool
}

// countEvery is how old a count may be before a new one is begun; countTime is how long one may take.
const (
	countEvery = 10 * time.Minute
	countTime  = time.Minute
)

// get is the last count. An old one has a new one made.
func (c *counter) get(each func(context.Context, func(Record) bool) error) map[State]int {
	c.mu.Lock()
	if !c.busy && time.Since(c.at) > countEvery {
		c.busy = true
		go c.run(each)
	}
	c.mu.Unlock()
	return c.last()
}

// run counts. What the time does not reach is left out.
func (c *counter) run(each func(context.Context, func(Record) bool) error) {
	ctx, cancel := context.WithTimeout(context.Background(), countTime)
	defer cancel()
	counts := map[State]int{}
	err := each(ctx, func(r Record) bool {
		counts[r.Entry.State()]++
		return true
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy, c.at = false, time.Now()
	if err == nil || ctx.Err() != nil {
		c.counts = counts
	}
}

func (c *counter) last() map[State]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}
