package ratelimit

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/valkey-io/valkey-go"
)

// inMemory is the Settings.Store that asks no server.
const inMemory = "memory"

// Open gives the store that the settings name: local itself, or a server that counts for several machines, with local to count by
// while that fails. A server that does not answer is no error: it is logged and tried again. An error is a setting that makes no sense.
func Open(s *Settings, local *Memory, log *slog.Logger) (Store, error) {
	if s.Store == inMemory {
		return local, nil
	}
	o, err := redisOptions(s.Store)
	if err != nil {
		return nil, fmt.Errorf("check.ratelimit.store %w", err)
	}
	return newFallback(newRedis(o), local, log), nil
}

// redisOptions reads a URL: redis://user:password@host:6379/0, rediss:// for TLS, unix:///path; "addr=host:port" in its query for more
// nodes, "master_set=name" for sentinels. The error never holds a password.
func redisOptions(s string) (valkey.ClientOption, error) {
	scheme, _, ok := strings.Cut(s, "://")
	if !ok || !strings.Contains(" redis rediss valkey valkeys unix ", " "+scheme+" ") {
		return valkey.ClientOption{}, errors.New(`is none of "memory", "redis://host:6379/0" and "rediss://user:password@host:6379/0"`)
	}
	o, err := valkey.ParseURL(s)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL
	}
	if err != nil {
		return o, fmt.Errorf("is no address of a Redis server: %w", err)
	}
	o.Dialer = net.Dialer{Timeout: time.Second, KeepAlive: time.Second}
	o.ConnWriteTimeout = time.Second // a server that hangs is left soon; the session has gone on long before
	o.DisableRetry = true            // there is no time for a second try
	o.DisableCache = true
	o.ClientName = "gatepost"
	o.ClientSetInfo = valkey.DisableClientSetInfo
	o.ReadBufferEachConn, o.WriteBufferEachConn = 64<<10, 64<<10
	if o.Sentinel.MasterSet != "" {
		o.Sentinel.TLSConfig = o.TLSConfig
		o.Sentinel.TopologyRefreshInterval = 5 * time.Second
	}
	return o, nil
}
