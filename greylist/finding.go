package greylist

import (
	"fmt"
	"strconv"
	"time"

	"gatepost/policy"
)

// finding is the finding on what the store said.
func finding(s Sighting, d Decision, because string) policy.Finding {
	f := policy.Finding{Outcome: d.Outcome, Facts: facts(s, because)}
	put := func(key, value string) { f.Facts = append(f.Facts, policy.Fact{Key: key, Value: value}) }
	switch d.Outcome {
	case FirstSeen, Early:
		f.Status, f.Code = policy.Status{Subject: 7, Detail: 1}, 451 // RFC 6647 section 2.1, with the status of a policy's refusal
		f.Text = "Greylisted: please try again in " + inWords(d.Wait)
		put("waited", d.Waited.Round(time.Second).String())
		put("wait", d.Wait.Round(time.Second).String())
	case policy.Pass:
		put("waited", d.Waited.Round(time.Second).String())
		put("mails", strconv.FormatUint(uint64(d.Mails), 10))
	case Known:
		put("mails", strconv.FormatUint(uint64(d.Mails), 10))
	}
	return f
}

func facts(s Sighting, because string) []policy.Fact {
	fs := []policy.Fact{{Key: "client", Value: s.Label.Client}, {Key: "sender", Value: s.Label.Sender}, {Key: "recipient", Value: s.Label.Recipient}}
	if because != "" {
		fs = append(fs, policy.Fact{Key: "because", Value: because})
	}
	return fs
}

func skipped(why string) policy.Finding {
	return policy.Finding{Outcome: Skipped, Facts: []policy.Fact{{Key: "because", Value: why}}}
}

// fault is the finding where the store cannot say: mail flows.
func fault(s Sighting, why string) policy.Finding {
	return policy.Finding{Outcome: policy.TempError, Status: policy.Status{Subject: 3, Detail: 0},
		Text:  "Greylisting has a temporary fault, please try again later",
		Facts: append(facts(s, ""), policy.Fact{Key: "error", Value: clean(why)})}
}

// inWords is a wait in the largest unit that tells it well, rounded up, so that who waits as told is not early.
func inWords(d time.Duration) string {
	unit, name := time.Minute, "minute"
	switch {
	case d > 2*time.Hour:
		unit, name = time.Hour, "hour"
	case d < time.Minute:
		unit, name = time.Second, "second"
	}
	n := max(1, (d+unit-1)/unit)
	if n > 1 {
		name += "s"
	}
	return fmt.Sprintf("%d %s", n, name)
}
