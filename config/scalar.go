package config

import (
	"encoding"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// isScalar reports whether the value is written as one TOML value that is no list and no table.
func isScalar(out reflect.Value) bool {
	if out.Type() == reflect.TypeFor[time.Time]() || isText(out) {
		return true
	}
	switch out.Kind() {
	case reflect.Slice, reflect.Map, reflect.Struct:
		return false
	}
	return true
}

// isText reports whether the type reads itself from text.
func isText(out reflect.Value) bool {
	return out.Addr().Type().Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// setScalar sets out to the TOML value in; an error says what was expected.
func setScalar(in any, out reflect.Value, tag reflect.StructTag) error {
	if choices := strings.Fields(tag.Get("oneof")); len(choices) > 0 {
		if err := choose(in, choices); err != nil {
			return err
		}
	}
	switch out.Type() {
	case reflect.TypeFor[time.Duration]():
		return setInt(in, out, "5m", parseDuration)
	case reflect.TypeFor[time.Time]():
		return setDate(in, out)
	case reflect.TypeFor[netip.Prefix]():
		return setPrefix(in, out)
	}
	if tag.Get("unit") == "size" {
		return setInt(in, out, "50MB", parseSize)
	}
	if isText(out) {
		return setText(in, out)
	}
	return setPlain(in, out)
}

// choose refuses a word that is none of the choices.
func choose(in any, choices []string) error {
	word, ok := in.(string)
	if ok && slices.Contains(choices, word) {
		return nil
	}
	return fmt.Errorf("expected %s, found %s%s", oneOf(choices), describe(in), didYouMean(word, choices))
}

// setPlain sets a Go value of a basic kind.
func setPlain(in any, out reflect.Value) error {
	switch out.Kind() {
	case reflect.Bool:
		return setBool(in, out)
	case reflect.String:
		return setString(in, out)
	case reflect.Float32, reflect.Float64:
		return setFloat(in, out)
	case reflect.Interface:
		out.Set(reflect.ValueOf(in))
		return nil
	}
	return setWhole(in, out)
}

func setBool(in any, out reflect.Value) error {
	v, ok := in.(bool)
	if !ok {
		return fmt.Errorf("expected true or false, found %s%s", describe(in), unquoted(in, "true", "false"))
	}
	out.SetBool(v)
	return nil
}

func setString(in any, out reflect.Value) error {
	v, ok := in.(string)
	if !ok {
		return fmt.Errorf("expected text in quotes, found %s", describe(in))
	}
	out.SetString(v)
	return nil
}

func setFloat(in any, out reflect.Value) error {
	switch v := in.(type) {
	case int64:
		out.SetFloat(float64(v))
	case float64:
		out.SetFloat(v)
	default:
		return fmt.Errorf("expected a number, found %s", describe(in))
	}
	return nil
}

// setWhole sets an integer of any width, signed or not.
func setWhole(in any, out reflect.Value) error {
	v, ok := in.(int64)
	if !ok {
		hint := ""
		if s, isText := in.(string); isText {
			if _, err := strconv.ParseInt(s, 10, 64); err == nil {
				hint = "; write it without quotes"
			}
		}
		return fmt.Errorf("expected a whole number, found %s%s", describe(in), hint)
	}
	switch {
	case out.CanUint() && v < 0:
		return fmt.Errorf("%d is below 0", v)
	case out.CanUint() && out.OverflowUint(uint64(v)), out.CanInt() && out.OverflowInt(v):
		return fmt.Errorf("%d is too large", v)
	case out.CanUint():
		out.SetUint(uint64(v))
	default:
		out.SetInt(v)
	}
	return nil
}

// setInt sets an integer that is written with a unit.
func setInt[T ~int64](in any, out reflect.Value, example string, read func(string) (T, error)) error {
	switch v := in.(type) {
	case string:
		n, err := read(v)
		if err != nil {
			return err
		}
		out.SetInt(int64(n))
		return nil
	case int64, float64:
		_, err := read(fmt.Sprint(v)) // a number has no unit: the reader says how to write one
		return err
	}
	return fmt.Errorf("expected text such as %q, found %s", example, describe(in))
}

// setDate sets a day or a moment; one without an offset is UTC.
func setDate(in any, out reflect.Value) error {
	t, ok := in.(time.Time)
	if !ok || t.Location().String() == "time-local" { // the library's mark for a time without a day
		return fmt.Errorf("expected a date such as 2027-01-31, without quotes, found %s", describe(in))
	}
	if zone := t.Location().String(); zone == "date-local" || zone == "datetime-local" {
		t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	}
	out.Set(reflect.ValueOf(t.UTC()))
	return nil
}

// setPrefix sets a network; an address alone is a network of one.
func setPrefix(in any, out reflect.Value) error {
	text, ok := in.(string)
	if !ok {
		return fmt.Errorf(`expected a network such as "192.0.2.0/24" or "2001:db8::1", found %s`, describe(in))
	}
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		out.Set(reflect.ValueOf(netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen())))
		return nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return fmt.Errorf(`%s is no network: write one as "192.0.2.0/24", "2001:db8::/32" or a bare address`, quote(text))
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		v4 := netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		return fmt.Errorf("%s is IPv4 written as IPv6; did you mean %q?", quote(text), v4)
	}
	if p != p.Masked() {
		return fmt.Errorf("%s has address bits beyond /%d; did you mean %q or %q?",
			quote(text), p.Bits(), p.Masked(), p.Addr())
	}
	out.Set(reflect.ValueOf(p))
	return nil
}

// setText sets a type that reads itself; where its words can be told, the error tells them.
func setText(in any, out reflect.Value) error {
	text, ok := in.(string)
	words := wordsOf(out.Type())
	if !ok && len(words) > 0 {
		return fmt.Errorf("expected %s, found %s", oneOf(words), describe(in))
	}
	if !ok {
		return fmt.Errorf("expected text in quotes, found %s", describe(in))
	}
	err := out.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	if err != nil && len(words) > 0 {
		return NoWord(text, strings.ToLower(out.Type().Name()), words)
	}
	if err != nil {
		return errors.New(strings.TrimSpace(err.Error()))
	}
	return nil
}

// NoWord says that the text is none of the words there are.
func NoWord(text, kind string, words []string) error {
	if len(words) == 0 {
		return fmt.Errorf("%s is no %s: there are none", quote(text), kind)
	}
	return fmt.Errorf("%s is no %s: %s%s", quote(text), kind, oneOf(words), didYouMean(text, words))
}

// wordsOf is the words of a small enumeration, asked of the type itself: each number from 0 whose text reads back.
func wordsOf(t reflect.Type) []string {
	if t.Kind() != reflect.Uint8 {
		return nil
	}
	var words []string
	for i := range uint64(256) {
		v := reflect.New(t)
		v.Elem().SetUint(i)
		m, ok := v.Interface().(encoding.TextMarshaler)
		if !ok {
			return nil
		}
		text, err := m.MarshalText()
		if err != nil || v.Interface().(encoding.TextUnmarshaler).UnmarshalText(text) != nil {
			return words
		}
		words = append(words, string(text))
	}
	return words
}
