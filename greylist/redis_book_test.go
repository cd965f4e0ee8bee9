package greylist

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestCounter: a count that the time ends is told as far as it came; one that fails leaves the last as it was.
func TestCounter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counter
		c.get(func(ctx context.Context, yield func(Record) bool) error {
			for range 3 {
				yield(Record{})
			}
			<-ctx.Done()
			return fmt.Errorf("read the store: %w", ctx.Err())
		})
		time.Sleep(2 * countEvery)
		synctest.Wait()
		if n := c.last()[StateWaiting]; n != 3 {
			t.Errorf("counted %d by the end of the time", n)
		}
		c.get(func(_ context.Context, yield func(Record) bool) error {
			yield(Record{})
			return errors.New("LOADING")
		})
		synctest.Wait()
		if n := c.last()[StateWaiting]; n != 3 {
			t.Errorf("%d after a count that failed", n)
		}
	})
}
