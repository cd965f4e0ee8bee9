//go:build interop

package greylist

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"

	"gatepost/internal/redistest"
	"gatepost/policy"
)

func TestRedisContract(t *testing.T) {
	s := newServer(t)
	c := s.Client()
	contract(t, func(t *testing.T) opened {
		s.Do(c, "FLUSHALL")
		return opened{s.redis(), s.book(), func() {}}
	})
}

// TestRedisOverSocket has the contract kept over a unix socket.
func TestRedisOverSocket(t *testing.T) {
	s := newServer(t)
	settings := Defaults()
	settings.Store = "unix://" + s.Socket
	st, err := Open(settings, "", nowhere())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	r := st.(*fallback).shared.(*Redis)
	s.Until("a connection", func() bool { _, err := r.connected(); return err == nil })
	contractReturn(t, opened{store: r})
}

// TestRedisPassword has a server that wants one, and one that is wrong.
func TestRedisPassword(t *testing.T) {
	s := newServer(t, "--requirepass", "sesame")
	settings := Defaults()
	settings.Store = fmt.Sprintf("redis://:sesame@127.0.0.1:%d/0", s.Port)
	b, err := OpenBook(settings, "", false)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	settings.Store = fmt.Sprintf("redis://:wrong@127.0.0.1:%d/0", s.Port)
	if _, err := OpenBook(settings, "", false); err == nil || strings.Contains(err.Error(), "wrong@") {
		t.Errorf("a wrong password: %v", err)
	}
}

// TestScriptIsTheMachine plays random sightings to the script and to the machine in Go: both come to the same entries.
func TestScriptIsTheMachine(t *testing.T) {
	s := newServer(t)
	r, c := s.redis(), s.Client()
	for seed := range uint64(150) {
		s.Do(c, "FLUSHALL")
		rng := rand.New(rand.NewPCG(seed, 2))
		entries := map[Key]Entry{}
		now := start
		for i := range 40 {
			now += rng.Int64N([]int64{minute, hour, 3 * aDay}[rng.IntN(3)]) - rng.Int64N(second)
			if rng.IntN(20) == 0 {
				now += []int64{aDay, -aDay}[rng.IntN(2)]
			}
			x := sight(byte(rng.IntN(2)), "a@s.example", fmt.Sprintf("%c@r.example", 'a'+rng.IntN(2)), 0)
			x.Now, x.Excuse, x.After = now, rng.IntN(6) == 0, rng.IntN(4)
			want, d := r.rules.step(pair{entries[x.Client], entries[x.Triplet]}, x)
			entries[x.Client], entries[x.Triplet] = want.client, want.triplet
			got, err := r.Sight(context.Background(), x)
			d.left = want
			if err != nil || got != d {
				t.Fatalf("seed %d, sighting %d: %v\nRedis %+v\nGo    %+v", seed, i, err, got, d)
			}
		}
	}
}

// TestRedisForgets has the server end what is over, a day later.
func TestRedisForgets(t *testing.T) {
	s := newServer(t)
	r, c := s.redis(), s.Client()
	x := sight(2, "a@s.example", "b@r.example", 0)
	ttl := func(k Key) time.Duration {
		n, err := c.Do(context.Background(), c.B().Pttl().Key(redisKey(x.Client, k)).Build()).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		return span(n).Round(time.Minute)
	}
	expect(t, r, x, FirstSeen)
	if got := ttl(x.Triplet); got != 72*time.Hour {
		t.Errorf("one that waits is kept for %s", got)
	}
	x.Now += hour
	expect(t, r, x, policy.Pass)
	if a, b := ttl(x.Triplet), ttl(x.Client); a != 37*day || b != 37*day {
		t.Errorf("one that passed is kept for %s, its client for %s", a, b)
	}
	if err := s.book().Put(context.Background(), []Record{AllowedClient(Identity{Name: "192.0.2.0/24"}, time.Now())}); err != nil {
		t.Fatal(err)
	}
	if n := s.Do(c, "PTTL", redisKey(x.Client, x.Client)); n != "-1" { // it is there, and has no end
		t.Errorf("one that an admin allowed is kept for %s ms", n)
	}
}

// TestTwoNodes has the first try come to one node, and the second to the other.
func TestTwoNodes(t *testing.T) {
	s := newServer(t)
	a, b := s.node(Defaults()), s.node(Defaults())
	expect(t, a, sight(2, "a@s.example", "b@r.example", 0), FirstSeen)
	expect(t, b, sight(2, "a@s.example", "b@r.example", minute), Early)
	expect(t, b, sight(2, "a@s.example", "b@r.example", 6*minute), policy.Pass)
	s.Kill() // each goes on by itself, with what it has seen
	expect(t, b, sight(2, "a@s.example", "b@r.example", 7*minute), policy.Pass)
	expect(t, a, sight(2, "a@s.example", "b@r.example", 7*minute), policy.Pass)
	expect(t, a, sight(2, "new@s.example", "b@r.example", 8*minute), FirstSeen)
	expect(t, b, sight(2, "new@s.example", "b@r.example", 14*minute), FirstSeen) // at worst one more delay
	expect(t, b, sight(2, "new@s.example", "b@r.example", 20*minute), policy.Pass)
}

// TestRedisFaults has the server fail in each way while sightings flow: each is answered within the budget, and who comes back passes. Once
// it is well again, it is used again.
func TestRedisFaults(t *testing.T) {
	type fault struct {
		name         string
		away         bool // the shared store cannot serve meanwhile
		harm, repair func(s *server, c valkey.Client)
	}
	for _, f := range []fault{
		{"killed and restarted", true, func(s *server, _ valkey.Client) { s.Kill() },
			func(s *server, _ valkey.Client) { s.Run(); s.Await() }},
		{"hung", true, func(s *server, _ valkey.Client) { s.Signal(syscall.SIGSTOP) },
			func(s *server, _ valkey.Client) { s.Signal(syscall.SIGCONT) }},
		{"full", true, func(s *server, c valkey.Client) {
			s.Do(c, "CONFIG", "SET", "maxmemory-policy", "noeviction")
			s.Do(c, "CONFIG", "SET", "maxmemory", "1")
		}, func(s *server, c valkey.Client) { s.Do(c, "CONFIG", "SET", "maxmemory", "0") }},
		{"read-only", true, func(s *server, c valkey.Client) {
			s.Do(c, "REPLICAOF", "127.0.0.1", strconv.Itoa(redistest.FreePort(s.t)))
		},
			func(s *server, c valkey.Client) { s.Do(c, "REPLICAOF", "NO", "ONE") }},
		{"its scripts gone", false, func(s *server, c valkey.Client) { s.Do(c, "SCRIPT", "FLUSH") }, func(*server, valkey.Client) {}},
		{"loading", true, slowRestart, func(s *server, _ valkey.Client) { s.Kill(); s.Run(); s.Await() }},
		{"another's value under a key", true, func(s *server, c valkey.Client) {
			for i := range byte(6) {
				x := sight(7+i, "a@s.example", "b@r.example", 0)
				s.Do(c, "LPUSH", redisKey(x.Client, x.Client), "x")
			}
		}, func(s *server, c valkey.Client) { s.Do(c, "FLUSHALL") }},
	} {
		t.Run(f.name, func(t *testing.T) {
			s := newServer(t, "--enable-debug-command", "local")
			c := s.Client()
			n := s.node(Defaults())
			flow(t, n, 1)
			f.harm(s, c)
			for i := range byte(6) {
				flow(t, n, 7+i)
			}
			if n.mu.Lock(); n.away != f.away {
				t.Errorf("the shared store is away: %v", n.away)
			}
			n.mu.Unlock()
			f.repair(s, c)
			b := s.book()
			s.Until("the shared store to serve again", func() bool {
				x := sight(200, "back@s.example", "b@r.example", time.Now().UnixMilli())
				n.Sight(context.Background(), x)
				found := false
				b.Each(context.Background(), func(r Record) bool { found = found || r.Key == x.Triplet; return !found })
				return found
			})
		})
	}
}

// flow has a sender come and come back, each time answered within the budget.
func flow(t *testing.T, n *fallback, net byte) {
	t.Helper()
	for i, want := range []policy.Outcome{FirstSeen, Early, policy.Pass} {
		at := time.Now()
		expect(t, n, sight(net, "a@s.example", "b@r.example", int64(i)*3*minute), want)
		if took := time.Since(at); took > 2*budget { // room for a busy machine
			t.Errorf("a sighting took %s", took)
		}
	}
}

// slowRestart restarts the server with a file that it takes long to load.
func slowRestart(s *server, c valkey.Client) {
	s.Do(c, "DEBUG", "POPULATE", "20000")
	s.Do(c, "SAVE")
	s.Kill()
	s.Run("--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024")
	s.Until("loading", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// TestRedisCluster has a cluster of one, which refuses a script whose keys are not of one slot, as any does.
func TestRedisCluster(t *testing.T) {
	s := newServer(t, "--cluster-enabled", "yes")
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "CLUSTER ADDSLOTSRANGE 0 16383\r\n")
	c := s.Client()
	s.Until("the cluster", func() bool { return strings.Contains(s.Do(c, "CLUSTER", "INFO"), "cluster_state:ok") })
	contract(t, func(t *testing.T) opened {
		s.Do(c, "FLUSHALL")
		return opened{s.redis(), s.book(), func() {}}
	})
	if c.Mode() != valkey.ClientModeCluster {
		t.Errorf("mode %s", c.Mode())
	}
}

// TestRedisReplica has a cluster in which another server repeats what the first has: it is counted once.
func TestRedisReplica(t *testing.T) {
	s, replica := newServer(t, "--cluster-enabled", "yes"), newServer(t, "--cluster-enabled", "yes")
	say := func(s *server, command string) string {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Second))
		fmt.Fprint(conn, command+"\r\nQUIT\r\n")
		answer, _ := io.ReadAll(conn)
		return string(answer)
	}
	say(s, "CLUSTER ADDSLOTSRANGE 0 16383")
	say(replica, fmt.Sprintf("CLUSTER MEET 127.0.0.1 %d", s.Port))
	_, id, _ := strings.Cut(say(s, "CLUSTER MYID"), "\r\n")
	id, _, _ = strings.Cut(id, "\r\n")
	s.Until("a replica", func() bool { return strings.HasPrefix(say(replica, "CLUSTER REPLICATE "+id), "+OK") })
	s.Until("its link", func() bool { return strings.Contains(say(replica, "INFO replication"), "master_link_status:up") })
	s.Until("the cluster", func() bool {
		return strings.Contains(say(s, "CLUSTER SLOTS"), fmt.Sprint(":", replica.Port, "\r\n")) && strings.Contains(say(s, "CLUSTER INFO"), "cluster_state:ok")
	})
	r := s.redis()
	for i := range 50 {
		expect(t, r, sight(2, "a@s.example", fmt.Sprintf("r%d@r.example", i), 0), FirstSeen)
	}
	s.Until("the replica to have them", func() bool { return strings.Contains(say(replica, "DBSIZE"), ":50\r\n") })
	c, err := r.connected()
	if err != nil {
		t.Fatal(err)
	}
	s.Until("both nodes to be known", func() bool { return len(c.Nodes()) == 2 })
	n := 0
	if err := scanAll(context.Background(), c, nil, func(Record) bool { n++; return true }); err != nil || n != 50 {
		t.Errorf("counted %d of 50: %v", n, err)
	}
}

// TestRedisSentinel has the server named by a sentinel.
func TestRedisSentinel(t *testing.T) {
	s := newServer(t)
	sentinel := redistest.Sentinel(t, "mail", s.Server)
	settings := Defaults()
	settings.Store = sentinel.URL() + "?master_set=mail"
	b, err := OpenBook(settings, "", false)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Put(context.Background(), []Record{AllowedClient(Identity{Name: "192.0.2.0/24"}, time.Now())}); err != nil {
		t.Fatal(err)
	}
	if all := records(t, s.book()); len(all[StateAllowed]) != 1 {
		t.Errorf("%v", all)
	}
}

// TestRedisStats counts in the background.
func TestRedisStats(t *testing.T) {
	s := newServer(t)
	r := s.redis()
	for i := range 2500 {
		expect(t, r, sight(2, "a@s.example", fmt.Sprintf("r%d@r.example", i), 0), FirstSeen)
	}
	s.Until("a count", func() bool { return r.Stats()[StateWaiting] == 2500 })
}
