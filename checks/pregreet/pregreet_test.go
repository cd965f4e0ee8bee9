package pregreet

import (
	"testing"
	"time"

	"gatepost/policy"
)

func TestRun(t *testing.T) {
	for early, want := range map[bool]policy.Outcome{false: policy.Pass, true: policy.Fail} {
		f := Check{}.Run(t.Context(), policy.View{EarlyTalk: early})
		if f.Outcome != want || early && f.Code != 554 {
			t.Errorf("it talked first: %v: %+v, want %s", early, f, want)
		}
	}
}

func TestValidate(t *testing.T) {
	for wait, want := range map[time.Duration]int{-1: 1, 0: 0, 30 * time.Second: 0, 30*time.Second + 1: 1} {
		problems := 0
		(&Settings{Wait: wait}).Validate(func(key, _ string) {
			if problems++; key != "wait" {
				t.Errorf("the problem is with %s", key)
			}
		})
		if problems != want {
			t.Errorf("%v: %d problems, want %d", wait, problems, want)
		}
	}
	if s, ok := Kind().Settings().(*Settings); !ok || s.Wait != time.Second {
		t.Errorf("by default %+v", s)
	}
}
