package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"
)

// redis is the buckets of a Redis or Valkey server. A Take is one script, which the server runs as one step.
type redis struct {
	script *valkey.Lua
	stop   context.CancelFunc

	mu     sync.Mutex
	client valkey.Client // nil until the server has answered once, and when closed
	why    error         // there is no client
}

// newRedis starts to connect.
func newRedis(o valkey.ClientOption) *redis {
	ctx, cancel := context.WithCancel(context.Background())
	r := &redis{script: valkey.NewLuaScript(scriptTake), stop: cancel, why: errNotYet}
	go r.connect(ctx, o)
	return r
}

var (
	errNotYet = errors.New("the server has not answered yet")
	errClosed = errors.New("the settings have changed")
)

// retryConnect is how long a server that never answered is left alone.
const retryConnect = 5 * time.Second

// connect tries until the server has answered once. From then on the library keeps the connections.
func (r *redis) connect(ctx context.Context, o valkey.ClientOption) {
	for {
		c, err := valkey.NewClient(o)
		if r.connected(ctx, c, err) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryConnect):
		}
	}
}

// connected takes in what came of a try; true where it was the last.
func (r *redis) connected(ctx context.Context, c valkey.Client, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil && ctx.Err() != nil:
		c.Close()
	case err == nil:
		r.client = c
	case ctx.Err() == nil:
		r.why = fmt.Errorf("%w: %w", errNotYet, err)
		return false
	}
	return true
}

// take is Store.Take, which gives the bucket as it is left too.
func (r *redis) take(ctx context.Context, key string, n int, l Limit, now time.Time) (Use, bucket, error) {
	r.mu.Lock()
	c, why := r.client, r.why
	r.mu.Unlock()
	if c == nil {
		return Use{}, bucket{}, why
	}
	answer, err := r.script.Exec(ctx, c, []string{redisSpace + key}, scriptArgs(n, l, now)).AsIntSlice()
	if err == nil && len(answer) != 2 {
		err = fmt.Errorf("an answer of %d parts", len(answer))
	}
	if err != nil {
		return Use{}, bucket{}, err
	}
	level, refused := time.Duration(answer[0]), answer[1] == 1
	return useOf(level, refused, l), bucket{now.Add(level), refused}, nil
}

// close ends the connections. A take that follows is an error.
func (r *redis) close() {
	r.stop()
	r.mu.Lock()
	c := r.client
	r.client, r.why = nil, errClosed
	r.mu.Unlock()
	if c != nil {
		c.Close() // it may take a second, where the server hangs
	}
}

// redisSpace is how all our keys begin. The rest is as the check counts it: nobody but the machines that share the limits writes there.
const redisSpace = "gatepost:ratelimit:"

func scriptArgs(n int, l Limit, now time.Time) []string {
	unit, full := l.measures()
	args := make([]string, 0, 5)
	for _, v := range []int64{now.Unix(), int64(now.Nanosecond()), int64(unit), int64(full), int64(l.pour(n))} {
		args = append(args, strconv.FormatInt(v, 10))
	}
	return args
}

// scriptTake is bucket.take once more; a test holds the two equal. A bucket is a text: "seconds nanoseconds refused"; it will be empty so
// many seconds and nanoseconds after 1970. They are apart because a number of Lua is exact up to 2^53, which is too little for
// nanoseconds since 1970 and enough for those of a day. KEYS: the bucket. ARGV: now in seconds and nanoseconds, then one unit, the
// whole limit and what is to be added, in nanoseconds. The answer is: the level, in nanoseconds, and whether it is refused.
//
// A bucket ends by itself a minute after it is empty.
const scriptTake = `
local sec, nano, unit, full, more = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local level, refused = 0, false
local was = redis.call('GET', KEYS[1])
if was then
	local s, n, r = string.match(was, '^(%-?%d+) (%d+) ([01])$')
	if s then
		level = math.min(math.max((s - sec) * 1e9 + (n - nano), 0), full)
		refused = r == '1'
	end
end
if more > 0 then
	refused = level + more > full
	if not refused then
		level = level + more
	end
end
refused = refused and level + math.max(unit, more) > full
local flag = refused and 1 or 0
local is = string.format('%.0f %.0f %d', sec, nano + level, flag)
if is ~= was and (was or more > 0) then
	redis.call('SET', KEYS[1], is, 'PX', string.format('%.0f', math.ceil(level / 1e6) + 60000))
end
return {level, flag}
`
