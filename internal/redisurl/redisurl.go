// Package redisurl reads the URL of a Redis or Valkey server that several machines share.
package redisurl

import (
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/valkey-io/valkey-go"
)

var schemes = []string{"redis", "rediss", "valkey", "valkeys", "unix"}

// Is says whether a setting is meant to be such a URL.
func Is(s string) bool {
	scheme, _, ok := strings.Cut(s, "://")
	return ok && slices.Contains(schemes, scheme)
}

// errBad holds nothing of the URL: what was read as its port or path may be a piece of a password.
var errBad = errors.New(`is no address of a Redis server, such as "redis://user:password@host:6379/0"; ` +
	`in a password write "/" as %2F, "?" as %3F, "#" as %23 and "%" as %25`)

// Options reads a URL: redis://user:password@host:6379/0, rediss:// for TLS, unix:///path; "addr=host:port" in its query for more
// nodes, "master_set=name" for sentinels. The error never holds a password.
func Options(s string) (valkey.ClientOption, error) {
	o, err := valkey.ParseURL(s)
	if err != nil || !Is(s) || isCut(s) {
		return valkey.ClientOption{}, errBad
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

// isCut says whether a password ends the host too early, so that its first part would be taken for the port.
func isCut(s string) bool {
	u, err := url.Parse(s)
	return err != nil || u.User == nil && u.Host != "" && strings.Contains(s, "@")
}
