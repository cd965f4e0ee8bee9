package resolver

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	downAfter = 5                // silences in a row that count
	downFor   = 30 * time.Second // since the last of them
)

// Server is the state of one DNS server.
type Server struct {
	Address string
	Queries int64     // sent to it
	Failed  int64     // of these, without a usable answer
	Down    bool      // it gave no answer at all several times in a row; it is asked last for a while
	Since   time.Time // of the last change of Down; zero: there was none
}

// Health is the state of each server, in the order of the settings.
func (r *Resolver) Health() []Server {
	all := make([]Server, 0, len(r.servers))
	for _, s := range r.servers {
		s.mu.Lock()
		all = append(all, s.state)
		s.mu.Unlock()
	}
	return all
}

// server is a DNS server as the Resolver knows it.
type server struct {
	addr netip.AddrPort

	mu    sync.Mutex
	state Server   // but for Address, which doesn't change, under mu
	run   []string // silences in a row that count, no more than downAfter, each by what it was for
	last  time.Time
}

// reaction is what a server did with a query.
type reaction uint8

const (
	useful  reaction = iota // a usable answer
	useless                 // SERVFAIL, REFUSED: it is there, but has no answer to this
	silent                  // no answer, a broken one, no connection
	unheard                 // nobody waits for what it does any more
)

func kind(rcode int) reaction {
	if rcode == dns.RcodeSuccess || rcode == dns.RcodeNameError {
		return useful
	}
	return useless
}

// note counts a query for a name. Only silence makes a server down: a stranger's broken domain gives SERVFAIL as often as they like. Nor is
// silence for all the names of one domain more than one, as long as the domain may be at fault.
func (s *server) note(k reaction, name string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Queries++
	if k == unheard {
		return
	}
	if k != useful {
		s.state.Failed++
	}
	if k == silent {
		s.last = now
		s.count(domain(name))
	} else {
		s.run = nil
	}
	s.judge(now)
}

// blame counts a silence for a name that another server had an answer for: its domain is not at fault.
func (s *server) blame(name string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if domain(name) != name {
		s.count(name)
	}
	s.judge(now)
}

// count counts a silence, under mu.
func (s *server) count(what string) {
	if len(s.run) < downAfter && !slices.Contains(s.run, what) {
		s.run = append(s.run, what)
	}
}

// judge says whether the server is down, under mu.
func (s *server) judge(now time.Time) {
	if down := len(s.run) == downAfter; down != s.state.Down {
		s.state.Down, s.state.Since = down, now
	}
}

// domain is the last two labels of a name: mostly all that is of one owner.
func domain(name string) string {
	i := strings.LastIndexByte(name, '.')
	return name[strings.LastIndexByte(name[:max(i, 0)], '.')+1:]
}

// avoided says whether the server is to be asked after those that answer.
func (s *server) avoided(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Down && now.Before(s.last.Add(downFor))
}

// inOrder gives the servers in the order in which they are to be asked.
func (r *Resolver) inOrder(now time.Time) []*server {
	order := make([]*server, 0, len(r.servers)+tries)
	var avoided []*server
	for _, s := range r.servers {
		if s.avoided(now) {
			avoided = append(avoided, s)
		} else {
			order = append(order, s)
		}
	}
	return append(order, avoided...)
}

// serverAddrs reads the addresses of servers; where there are none, those of the file, which is as resolv.conf(5) has it.
func serverAddrs(list []string, file string) ([]netip.AddrPort, error) {
	if len(list) > 0 {
		return parseServers(list)
	}
	conf, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("no DNS server is set, and the system's can't be read: %w", err)
	}
	if len(conf.Servers) == 0 {
		return nil, fmt.Errorf("no DNS server is set, and %s has no nameserver line", file)
	}
	addrs, err := parseServers(conf.Servers)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return addrs, nil
}

func parseServers(list []string) (addrs []netip.AddrPort, err error) {
	for _, text := range list {
		a, err := parseServer(text)
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}

var errServer = errors.New(`want an address such as "192.0.2.53", "192.0.2.53:5353" or "[2001:db8::53]:53"`)

func parseServer(text string) (netip.AddrPort, error) {
	if bare, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(bare, "]") {
		text = strings.TrimSuffix(bare, "]")
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(a, 53), nil
	}
	a, err := netip.ParseAddrPort(text)
	if err != nil || a.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("DNS server %q: %w", text, errServer)
	}
	return a, nil
}
