package ratelimit

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/valkey-io/valkey-go"

	"gatepost/internal/redisurl"
)

// inMemory is the Settings.Store that asks no server.
const inMemory = "memory"

// Open gives the store that the settings name: local itself, or a server that counts for several machines, with local to count by
// while that fails. A server that does not answer is no error: it is logged and tried again. An error is a setting that makes no sense.
func Open(s *Settings, local *Memory, log *slog.Logger) (Store, error) {
	if s.Store == inMemory {
		return local, nil
	}
	o, err := options(s.Store)
	if err != nil {
		return nil, fmt.Errorf("check.ratelimit.store %w", err)
	}
	return newFallback(newRedis(o), local, log), nil
}

// options are those of the server that a Settings.Store names. The error never holds a password.
func options(store string) (valkey.ClientOption, error) {
	if !redisurl.Is(store) {
		return valkey.ClientOption{}, errors.New(`is none of "memory", "redis://host:6379/0" and "rediss://user:password@host:6379/0"`)
	}
	return redisurl.Options(store)
}
