package greylist

import _ "embed"

//go:embed greylist.go
var source string

// Source is the file that begins with the manual page of the check.
func Source() string { return source }
