package journaltest

import (
	"fmt"
	"time"

	"gatepost/policy"
)

// Store keeps records, as journal's does.
type Store interface {
	Append(*policy.Record)
	Counts() (written, dropped int64)
	Close()
}

// Fill writes n records of a mix into a new store, closes it, and gives how many recipients they have that came to a verdict, and how
// many that came to none.
func Fill(s Store, mix *Mix, n int) (judged, others int, err error) {
	for i := range n {
		for i%1000 == 0 {
			if written, _ := s.Counts(); int64(i)-written <= 2000 { // its queue takes some thousand
				break
			}
			time.Sleep(time.Millisecond)
		}
		r := mix.Next()
		for _, rc := range r.Recipients {
			if rc.Verdict == policy.Undecided {
				others++
			} else {
				judged++
			}
		}
		s.Append(r)
	}
	s.Close()
	if written, lost := s.Counts(); written != int64(n) {
		return judged, others, fmt.Errorf("fill the journal: %d written, %d lost", written, lost)
	}
	return judged, others, nil
}
