package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/klauspost/compress/flate"

	"gatepost/policy"
)

// A body is a record as it is stored: an octet that says how it is packed, then its JSON, packed.
const packedFlate1 = 1 // RFC 1951, with dictionary1

// maxText bounds the JSON of a record that is read, so that a damaged file cannot fill the memory.
const maxText = 64 << 20

// packer packs records. It is for one goroutine.
type packer struct {
	text  bytes.Buffer
	out   bytes.Buffer
	json  *json.Encoder
	flate *flate.Writer
}

func newPacker() *packer {
	p := &packer{}
	p.json = json.NewEncoder(&p.text)
	p.json.SetEscapeHTML(false)
	p.flate, _ = flate.NewWriterDict(&p.out, packLevel, []byte(dictionary1)) // the error is of the level alone
	return p
}

// packLevel is flate's: the measured knee of size and speed.
const packLevel = 5

// pack is the body of a record; it holds until the next call.
func (p *packer) pack(r *policy.Record) ([]byte, error) {
	p.text.Reset()
	if err := p.json.Encode(r); err != nil {
		return nil, err
	}
	p.out.Reset()
	p.out.WriteByte(packedFlate1)
	p.flate.Reset(&p.out)
	p.flate.Write(bytes.TrimSuffix(p.text.Bytes(), []byte{'\n'})) // a buffer takes all
	err := p.flate.Close()
	return p.out.Bytes(), err
}

// unpacker unpacks bodies. It is for one goroutine.
type unpacker struct {
	flate io.ReadCloser
	out   bytes.Buffer
}

// text is the JSON of a body; it holds until the next call.
func (u *unpacker) text(body []byte) ([]byte, error) {
	if len(body) == 0 || body[0] != packedFlate1 {
		return nil, errors.New("it is packed in an unknown way")
	}
	in := bytes.NewReader(body[1:])
	if u.flate == nil {
		u.flate = flate.NewReaderDict(in, []byte(dictionary1))
	} else if err := u.flate.(flate.Resetter).Reset(in, []byte(dictionary1)); err != nil {
		return nil, err
	}
	u.out.Reset()
	n, err := u.out.ReadFrom(io.LimitReader(u.flate, maxText+1))
	if err != nil {
		return nil, fmt.Errorf("unpack it: %w", err)
	}
	if n > maxText {
		return nil, errors.New("it is too large")
	}
	return u.out.Bytes(), nil
}

// decode reads the JSON of a record.
func decode(text []byte) (*policy.Record, error) {
	r := &policy.Record{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, err
	}
	return r, nil
}

// lower is a text with its ASCII letters in lower case.
func lower(s string) []byte {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return b
}

// holds says whether a text of JSON may hold a needle, which is in lower case. It spoils the case of neither.
func holds(text, needle []byte) bool {
	if i := bytes.IndexByte(needle, ' '); i >= 0 && i <= 3 && len(bytes.Trim(needle[:i], "0123456789")) == 0 {
		needle = needle[i+1:] // a reply's code, which JSON has elsewhere
	}
	if bytes.ContainsFunc(needle, func(c rune) bool { return c < ' ' || c == '"' || c == '\\' || c > '~' }) {
		return true // JSON may write it in another way
	}
	return containsFold(text, needle)
}

// containsFold says whether s holds a needle, which is in lower case, in any case of ASCII letters.
func containsFold(s, needle []byte) bool {
	if len(needle) == 0 {
		return true
	}
	first, upper := needle[0], needle[0]
	if 'a' <= first && first <= 'z' {
		upper = first - 'a' + 'A'
	}
	for i := 0; i+len(needle) <= len(s); i++ {
		if c := s[i]; (c == first || c == upper) && equalFold(s[i:i+len(needle)], needle) {
			return true
		}
	}
	return false
}

func equalFold(s, needle []byte) bool {
	for i, c := range s {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != needle[i] {
			return false
		}
	}
	return true
}

// mentions says whether any text of a record holds a needle, which is in lower case. A reply's text begins with its code, as everybody sees it.
func mentions(r *policy.Record, needle []byte) bool {
	found := r.Client.IsValid() && strings.Contains(r.Client.String(), string(needle))
	withTexts(reflect.ValueOf(r), func(s string) string {
		found = found || containsFold([]byte(s), needle)
		return s
	})
	reply := func(p policy.Reply) {
		found = found || p.Code != 0 && containsFold(fmt.Appendf(nil, "%d %s", p.Code, p.Text), needle)
	}
	reply(r.Reply)
	for _, rc := range r.Recipients {
		reply(rc.Reply)
		reply(rc.Intended)
		reply(rc.BackendReply)
	}
	return found
}

// withTexts is a copy of a value in which each text has been put through f. What it is made of is that of a record.
func withTexts(v reflect.Value, f func(string) string) reflect.Value {
	switch v.Kind() {
	case reflect.String:
		return reflect.ValueOf(f(v.String())).Convert(v.Type())
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		to := reflect.New(v.Type().Elem())
		to.Elem().Set(withTexts(v.Elem(), f))
		return to
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		to := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			to.Index(i).Set(withTexts(v.Index(i), f))
		}
		return to
	case reflect.Struct:
		to := reflect.New(v.Type()).Elem()
		to.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() { // a time and an address have none
				to.Field(i).Set(withTexts(v.Field(i), f))
			}
		}
		return to
	}
	return v
}
