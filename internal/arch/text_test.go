package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// outside are the fields of records and replies that hold text from outside.
var outside = []string{"Helo", "From", "Sender", "Subject", "ClientName", "MessageID", "FromDomain", "ListID", "Rcpt", "Address", "Reply", "Intended",
	"BackendReply", "Facts", "Transcript"}

// TestTextIsCleaned holds the source to promise 7: what cmd prints of text from outside goes through printable, what the engine says to
// a sender goes through the reply that cleans it, and pages are made by html/template.
func TestTextIsCleaned(t *testing.T) {
	n := 0
	for _, folder := range []string{"cmd/gatepost", "proxy"} {
		files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			n++
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range uncleaned(folder, f) {
				t.Errorf("%s: text from outside leaves as it came", fset.Position(at))
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d files were seen", n)
	}
}

// TestUncleaned sees that each kind of mistake is found.
func TestUncleaned(t *testing.T) {
	for _, test := range []struct {
		folder, code string
		bad          bool
	}{
		{"cmd/gatepost", `fmt.Println(r.Helo)`, true},
		{"cmd/gatepost", `fmt.Fprintf(out, "%s\n", strings.TrimSpace(r.Sender+"x"))`, true},
		{"cmd/gatepost", `io.WriteString(out, shorten(r.Subject, 9))`, true},
		{"cmd/gatepost", `fmt.Fprintln(out, err.Error(), rc.Reply.Text)`, true},
		{"cmd/gatepost", `fmt.Fprintln(out, printable(r.Helo+r.Sender))`, false},
		{"cmd/gatepost", `fmt.Fprintln(out, wrap(printable(rc.Reply.Text), "", ""), len(r.Subject))`, false},
		{"cmd/gatepost", `fmt.Sprintf("%s", r.Helo)`, false}, // it has not left yet
		{"proxy", `s.conn.Write([]byte("250 " + s.helo + "\r\n"))`, true},
		{"proxy", `io.WriteString(s.raw, s.helo)`, true},
		{"proxy", `fmt.Fprintf(s.conn, "250 %s\r\n", s.helo)`, true},
		{"proxy", `s.out = append(s.out, s.helo...)`, true},
		{"proxy", `s.out = r.Append(s.out)`, false},
		{"proxy", `s.conn.Write(s.out)`, false},
		{"proxy", `s.out = s.out[:0]`, false},
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nfunc f() { "+test.code+" }", 0)
		if err != nil {
			t.Fatal(err)
		}
		if found := len(uncleaned(test.folder, f)) > 0; found != test.bad {
			t.Errorf("%s: %s: found %v, want %v", test.folder, test.code, found, test.bad)
		}
	}
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nimport \"text/template\"", 0)
	if err != nil || len(uncleaned("cmd/gatepost", f)) != 1 {
		t.Errorf("text/template was not found: %v", err)
	}
}

// uncleaned are the places of a file where text from outside may leave as it came.
func uncleaned(folder string, f *ast.File) (places []token.Pos) {
	for _, i := range f.Imports {
		if i.Path.Value == `"text/template"` {
			places = append(places, i.Pos())
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if folder == "proxy" && writesRaw(n) || folder != "proxy" && prints(n) && slices.ContainsFunc(n.Args, holdsOutside) {
				places = append(places, n.Pos())
			}
		case *ast.AssignStmt:
			if folder == "proxy" && fillsRaw(n) {
				places = append(places, n.Pos())
			}
		}
		return true
	})
	return places
}

// prints says whether a call writes to a file or a terminal.
func prints(c *ast.CallExpr) bool {
	name := selected(c.Fun)
	return strings.HasPrefix(name, "fmt.Print") || strings.HasPrefix(name, "fmt.Fprint") || name == "io.WriteString"
}

// holdsOutside says whether an expression has text from outside that does not go through printable.
func holdsOutside(e ast.Expr) (found bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "printable" || id.Name == "len") {
				return false
			}
		case *ast.SelectorExpr:
			found = found || slices.Contains(outside, n.Sel.Name)
		}
		return true
	})
	return found
}

// writesRaw says whether a call of the engine writes to the sender what is not the queue of replies.
func writesRaw(c *ast.CallExpr) bool {
	name := selected(c.Fun)
	if name == "s.conn.Write" || name == "s.raw.Write" {
		return selected(c.Args[0]) != "s.out"
	}
	return prints(c) && len(c.Args) > 0 && (selected(c.Args[0]) == "s.conn" || selected(c.Args[0]) == "s.raw")
}

// fillsRaw says whether the queue of replies gets anything but a reply.
func fillsRaw(a *ast.AssignStmt) bool {
	if len(a.Lhs) != 1 || selected(a.Lhs[0]) != "s.out" {
		return false
	}
	c, ok := a.Rhs[0].(*ast.CallExpr)
	return ok && !strings.HasSuffix(selected(c.Fun), ".Append")
}

// selected is an expression such as a.b.c as text; "" for what is another.
func selected(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		if x := selected(e.X); x != "" {
			return x + "." + e.Sel.Name
		}
	}
	return ""
}
