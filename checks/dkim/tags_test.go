package dkim

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseTags(t *testing.T) {
	type tags = map[string]string
	for _, x := range []struct {
		name, in string
		want     tags
		err      error
	}{
		{"plain", "v=1; a=rsa-sha256", tags{"v": "1", "a": "rsa-sha256"}, nil},
		{"folded", " v=1;\r\n\tb = ab\r\n cd \r\n ;", tags{"v": "1", "b": "ab\r\n cd"}, nil},
		{"an empty value", "p=", tags{"p": ""}, nil},
		{"an equals sign in the value", "bh=ab==", tags{"bh": "ab=="}, nil},
		{"empty elements", ";; v=1;;", tags{"v": "1"}, nil},
		{"nothing", "", tags{}, nil},
		{"case counts", "v=1; V=2", tags{"v": "1", "V": "2"}, nil},
		{"octets over 127", "d=b\xc3\xbc.example", tags{"d": "b\xc3\xbc.example"}, nil},
		{"twice", "v=1; a=b; v=1", nil, errTagTwice},
		{"no value", "v=1; a", nil, errTagSyntax},
		{"no name", "=1", nil, errTagSyntax},
		{"a name that starts with a digit", "1v=1", nil, errTagSyntax},
		{"a name with a space", "v w=1", nil, errTagSyntax},
		{"a control byte", "v=1\x00", nil, errTagSyntax},
		{"DEL", "v=\x7f", nil, errTagSyntax},
	} {
		got, err := parseTags(x.in)
		if err != x.err || cmp.Diff(x.want, got) != "" {
			t.Errorf("%s: %v, %v", x.name, got, err)
		}
	}
}
