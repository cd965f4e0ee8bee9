package config

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// binder puts decoded TOML into structs and collects what is wrong with it. A field takes part if it has a `toml` tag:
//
//	`toml:"key"`               the key's value; what the field held before is the default
//	`toml:",name"`             the name of the table, in a struct whose tables are named: []Zone from [zone.a], [zone.b]
//	`unit:"size"`              on an integer: a number of octets, "50MB" or "64KiB"
//	`oneof:"red green blue"`   the only words allowed
//
// Named tables keep the order of the file. A type whose pointer has SetDefaults() starts from what that sets.
type binder struct {
	file     string
	where    places
	problems Problems
	names    map[string]string // of the named tables bound so far, by path
	blamed   map[string]bool   // paths that have a problem already: what follows from it is not told
}

func newBinder(file string, where places) *binder {
	return &binder{file: file, where: where, names: map[string]string{}, blamed: map[string]bool{}}
}

// at reports a problem with the value of the key at path.
func (b *binder) at(path, format string, args ...any) {
	line, column := b.where.value(path)
	b.report(Problem{b.file, line, column, path, fmt.Sprintf(format, args...)})
}

// atKey reports a problem with the key at path itself.
func (b *binder) atKey(path, format string, args ...any) {
	line, column := b.where.key(path)
	b.report(Problem{b.file, line, column, path, fmt.Sprintf(format, args...)})
}

func (b *binder) report(p Problem) {
	if b.blamed[p.Path] {
		return
	}
	b.problems = append(b.problems, p)
	b.blamed[p.Path] = true
	if strings.HasSuffix(p.Path, "]") {
		b.blamed[parent(p.Path)] = true // what follows from the list as a whole
	}
}

// table binds a table to one struct or to several that share it; each key belongs to the first that knows it.
func (b *binder) table(path string, in map[string]any, out ...any) {
	known := map[string]reflect.StructField{}
	fields := map[string]reflect.Value{}
	for _, o := range out {
		v := reflect.ValueOf(o).Elem()
		for key, field := range keysOf(v.Type()) {
			if _, ok := known[key]; !ok {
				known[key], fields[key] = field, v.FieldByIndex(field.Index)
			}
		}
	}
	for _, key := range b.ordered(path, in) {
		if field, ok := known[key]; ok {
			b.value(under(path, key), in[key], fields[key], field.Tag)
		} else {
			b.unknown(path, key, in[key], slices.Sorted(maps.Keys(known)))
		}
	}
}

// keysOf is the fields of a struct by their keys in TOML.
func keysOf(t reflect.Type) map[string]reflect.StructField {
	keys := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(t) {
		if key := f.Tag.Get("toml"); key != "" && key != "-" && key[0] != ',' {
			keys[key] = f
		}
	}
	return keys
}

// ordered is the keys of a table in the order of the file.
func (b *binder) ordered(path string, in map[string]any) []string {
	return slices.SortedFunc(maps.Keys(in), func(x, y string) int {
		return cmp.Or(cmp.Compare(b.where.spots[under(path, x)].key, b.where.spots[under(path, y)].key), cmp.Compare(x, y))
	})
}

// unknown reports a key that the table at path does not have.
func (b *binder) unknown(path, key string, in any, known []string) {
	at, meant := under(path, key), nearest(key, known)
	switch name, isNamed := b.names[path]; {
	case path != "" && isTopKey(key):
		// In TOML a key belongs to the last table opened above it, which surprises everyone once.
		b.atKey(at, "unknown key in [%s]; it belongs to the top of the file, above the first [table]", path)
		b.blamed[key] = true
	case meant != "":
		b.atKey(at, "unknown key; did you mean %s?", quote(meant))
		b.blamed[under(path, meant)] = true
	case isNamed && isTables(in):
		b.atKey(at, "unknown key; a name with dots stands in quotes: [%s]", under(parent(path), fullName(name, key, in, known)))
		b.blamed[path] = true
	default:
		b.atKey(at, "unknown key; %s", knownHere(known))
	}
}

// isTopKey reports whether the key is a plain one of the top of the file.
func isTopKey(key string) bool {
	f, ok := keysOf(reflect.TypeFor[Config]())[key]
	return ok && isScalar(reflect.New(f.Type).Elem())
}

func isTables(in any) bool {
	_, ok := in.(map[string]any)
	return ok
}

// fullName is the name that [zone.zen.spamhaus.org] was meant to have: name, key, and each table alone in the one above.
func fullName(name, key string, in any, known []string) string {
	name += "." + key
	if table, ok := in.(map[string]any); ok && len(table) == 1 {
		for key, in := range table {
			if isTables(in) && !slices.Contains(known, key) {
				return fullName(name, key, in, known)
			}
		}
	}
	return name
}

func knownHere(known []string) string {
	if len(known) == 0 {
		return "this table has no keys"
	}
	return "known here: " + strings.Join(known, ", ")
}

// value binds one value to one field.
func (b *binder) value(path string, in any, out reflect.Value, tag reflect.StructTag) {
	switch {
	case out.Kind() == reflect.Pointer:
		into := newOf(out.Type().Elem())
		b.value(path, in, into, tag)
		out.Set(into.Addr())
	case isScalar(out):
		if err := setScalar(in, out, tag); err != nil {
			b.at(path, "%v", err)
		}
	case out.Kind() == reflect.Slice && hasName(out.Type().Elem()):
		b.named(path, in, out)
	case out.Kind() == reflect.Slice:
		b.list(path, in, out, tag)
	case out.Kind() == reflect.Map:
		b.mapping(path, in, out, tag)
	case out.Kind() == reflect.Struct:
		if table, ok := b.isTable(path, in); ok {
			b.table(path, table, out.Addr().Interface())
		}
	}
}

// newOf is a new value of the type, with its defaults.
func newOf(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if d, ok := v.Interface().(interface{ SetDefaults() }); ok {
		d.SetDefaults()
	}
	return v.Elem()
}

// isTable is the value as a table; if it is none, that is reported.
func (b *binder) isTable(path string, in any) (map[string]any, bool) {
	table, ok := in.(map[string]any)
	if !ok {
		b.at(path, "expected a table, found %s", describe(in))
	}
	return table, ok
}

// list binds a list, element by element. One that has a problem is zero and blamed, so that the others keep their places.
func (b *binder) list(path string, in any, out reflect.Value, tag reflect.StructTag) {
	if tables, ok := in.([]map[string]any); ok { // so the library has [[path]]
		in = anys(tables)
	}
	elements, ok := in.([]any)
	if !ok {
		b.at(path, "expected a list, found %s%s", describe(in), inBrackets(in))
		return
	}
	list := reflect.MakeSlice(out.Type(), len(elements), len(elements))
	for i, e := range elements {
		before := len(b.problems)
		into := newOf(out.Type().Elem())
		b.value(element(path, i), e, into, tag)
		if len(b.problems) > before {
			into.SetZero()
			b.blamed[element(path, i)] = true
		}
		list.Index(i).Set(into)
	}
	out.Set(list)
}

// mapping binds a table whose keys are the admin's own words.
func (b *binder) mapping(path string, in any, out reflect.Value, tag reflect.StructTag) {
	table, ok := b.isTable(path, in)
	if !ok {
		return
	}
	m := reflect.MakeMapWithSize(out.Type(), len(table))
	for _, key := range b.ordered(path, table) {
		into := newOf(out.Type().Elem())
		b.value(under(path, key), table[key], into, tag)
		m.SetMapIndex(reflect.ValueOf(key).Convert(out.Type().Key()), into)
	}
	out.Set(m)
}

// named binds named tables, [zone.a] and [zone.b], to a slice in the order of the file.
func (b *binder) named(path string, in any, out reflect.Value) {
	if _, ok := in.([]map[string]any); ok {
		b.at(path, "[[%s]] makes a nameless list; give each table a name, as in [%s.NAME]", path, path)
		return
	}
	tables, ok := b.isTable(path, in)
	if !ok {
		return
	}
	list := reflect.MakeSlice(out.Type(), 0, len(tables))
	for _, name := range b.ordered(path, tables) {
		table, ok := tables[name].(map[string]any)
		if !ok {
			b.atKey(under(path, name), "expected a table, found %s; the tables here have names, as in [%s.NAME]",
				describe(tables[name]), path)
			continue
		}
		into := newOf(out.Type().Elem())
		nameOf(into).SetString(name)
		b.names[under(path, name)] = name
		b.table(under(path, name), table, into.Addr().Interface())
		list = reflect.Append(list, into)
	}
	out.Set(list)
}

// hasName reports whether tables of this type are named.
func hasName(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && nameOf(reflect.New(t).Elem()).IsValid()
}

// nameOf is the field that holds the table's name, or the zero Value.
func nameOf(v reflect.Value) reflect.Value {
	for _, f := range reflect.VisibleFields(v.Type()) {
		if f.Tag.Get("toml") == ",name" {
			return v.FieldByIndex(f.Index)
		}
	}
	return reflect.Value{}
}
