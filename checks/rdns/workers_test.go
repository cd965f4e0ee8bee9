package rdns

import "gatepost/internal/workers"

func init() { workers.KeepNone() } // some tests are in bubbles
