package backend

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"gatepost/proxy/smtp"
)

const works = plain + "C: QUIT\nS: 221 bye"

// tryOpen opens and quits, and says whether that worked.
func tryOpen(t *testing.T, b *Backend) bool {
	t.Helper()
	c, err := b.Open(t.Context(), visitor())
	if err == nil {
		c.Quit()
	}
	return err == nil
}

func TestNextAddressIsTried(t *testing.T) {
	for _, first := range []string{
		"REFUSE", "HANG", "", "S: 421 busy", "S: 554 no", "S: what", greet + "S: 421 busy", greet + "HANG",
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFarm(t, first, works)
			b := f.backend(Settings{Addresses: []string{"one:25", "two:25"}})
			c, err := b.Open(t.Context(), visitor())
			if err != nil {
				t.Fatalf("%q: %v", first, err)
			}
			if c.link.address != "two:25" {
				t.Errorf("%q: went to %s", first, c.link.address)
			}
			c.Quit()
			if h := b.Health(); h[0].Up || h[0].Err == nil || !h[1].Up || h[1].Err != nil {
				t.Errorf("%q: health %+v", first, h)
			}
		})
	}
}

func TestFaultIsThatOfTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, "S: 421 busy", greet+"S: 500 what\nC: HELO gate.test\nS: 500 what\nEOF")
		_, err := f.backend(Settings{Addresses: []string{"one:25", "two:25"}}).Open(t.Context(), visitor())
		if got := outcome(smtp.Reply{}, err); got != "ehlo 451 4.3.0" {
			t.Errorf("got %s (%v)", got, err)
		}
	})
}

// TestBackOff counts the seconds between the tries of a dead first address while a second one works.
func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t)
		f.dead = "one:25"
		b := f.backend(Settings{Addresses: []string{"one:25", "two:25"}})
		start, tries := time.Now(), []int{}
		for range 200 {
			f.dialled, f.scripts = nil, []string{works}
			if !tryOpen(t, b) {
				t.Fatal("the second address was not used")
			}
			if f.dialled[0] == "tcp one:25" {
				tries = append(tries, int(time.Since(start)/time.Second))
			}
			time.Sleep(time.Second)
		}
		want := []int{0, 1, 3, 7, 15, 31, 63, 123, 183}
		if !reflect.DeepEqual(tries, want) {
			t.Errorf("tried at seconds %v, want %v", tries, want)
		}
	})
}

func TestAllDownAreTriedAnyway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, "REFUSE", "REFUSE", "REFUSE", works)
		b := f.backend(Settings{Addresses: []string{"one:25", "two:25"}})
		if tryOpen(t, b) {
			t.Error("opened a connection that was refused")
		}
		if !tryOpen(t, b) {
			t.Error("a server that came back was not tried")
		}
		if h := b.Health(); h[0].Up || !h[1].Up {
			t.Errorf("health %+v", h)
		}
	})
}

func TestOneCallerTriesADeadAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, "REFUSE", works)
		b := f.backend(Settings{Addresses: []string{"one:25", "two:25"}})
		tryOpen(t, b)
		time.Sleep(firstWait)
		if got := b.pick(time.Now()); !reflect.DeepEqual(got, []int{0, 1}) {
			t.Errorf("the first caller gets %v", got)
		}
		if got := b.pick(time.Now()); !reflect.DeepEqual(got, []int{1}) {
			t.Errorf("the second gets %v", got)
		}
	})
}

func TestFailuresAtTheSameTimeCountOnce(t *testing.T) {
	b := New(Settings{Addresses: []string{"one:25"}})
	start := time.Now()
	for i := range 100 {
		b.fails(0, errRefused, start, start.Add(time.Duration(i)*time.Millisecond))
	}
	if w := b.addresses[0].wait; w != firstWait {
		t.Errorf("wait is %v", w)
	}
}

func TestUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, "REFUSE", works)
		b := f.backend(Settings{})
		tryOpen(t, b)
		down := b.Health()[0]
		time.Sleep(time.Minute)
		tryOpen(t, b)
		want := Health{Address: "mx.test:25", Up: true, Since: down.Since.Add(time.Minute)}
		if h := b.Health()[0]; h != want {
			t.Errorf("health %+v, want %+v", h, want)
		}
	})
}

// TestRefusedClientIsNotADeadServer keeps a stranger from taking a server out for all.
func TestRefusedClientIsNotADeadServer(t *testing.T) {
	proxied := "C~ 28\n"
	cases := []struct {
		name   string
		ip     ClientIP
		script string
		up     bool
	}{
		{"XCLIENT", ClientIPXClient, greet + "S: 250-mx.test\nS: 250 XCLIENT ADDR\nC: XCLIENT ADDR=192.0.2.7\nS: 554 5.7.1 not you\nEOF", true},
		{"banner behind PROXY", ClientIPProxyV2, proxied + "S: 554 5.7.1 not you\nEOF", true},
		{"HELO name behind PROXY", ClientIPProxyV2,
			proxied + "S: 220 hi\nC: EHLO helo.shop.test\nS: 501 what\nC: HELO helo.shop.test\nS: 501 what\nEOF", true},
		{"silence behind PROXY", ClientIPProxyV2, proxied + "HANG", false},
		{"XCLIENT not offered", ClientIPXClient, greet + "S: 250 mx.test\nEOF", false},
	}
	for _, tc := range cases {
		synctest.Test(t, func(t *testing.T) {
			b := newFarm(t, tc.script).backend(Settings{ClientIP: tc.ip})
			if tryOpen(t, b) {
				t.Fatalf("%s: opened", tc.name)
			}
			if h := b.Health()[0]; h.Up != tc.up {
				t.Errorf("%s: up is %t: %v", tc.name, h.Up, h.Err)
			}
		})
	}
}

func TestProbe(t *testing.T) {
	cases := []struct {
		name   string
		ip     ClientIP
		script string
		want   string
	}{
		{"caps", ClientIPNone, greet + "S: 250-mx.test\nS: 250 SIZE 99\n" + bye, ""},
		{"XCLIENT is looked for, not used", ClientIPXClient, greet + "S: 250-mx.test\nS: 250-XCLIENT ADDR\nS: 250 SIZE 99\n" + bye, ""},
		{"XCLIENT missing", ClientIPXClient, greet + "S: 250 mx.test\nEOF", "xclient 451 4.3.0"},
		{"PROXY says LOCAL", ClientIPProxyV2,
			`C= "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"` + "\n" + greet + "S: 250-mx.test\nS: 250 SIZE 99\n" + bye, ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newFarm(t, tc.script).backend(Settings{ClientIP: tc.ip})
				caps, err := b.Probe(t.Context())
				if got := outcome(smtp.Reply{}, err); err != nil && got != tc.want || err == nil && caps.Size != 99 {
					t.Errorf("got %+v, %v", caps, err)
				}
				if known, ok := b.Caps(); known != caps || ok != (tc.want == "") {
					t.Errorf("Caps = %+v, %t", known, ok)
				}
			})
		})
	}
}
