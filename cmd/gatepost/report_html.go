package main

import (
	"html/template"
	"io"
	"maps"
	"slices"
)

// block is one bar of a chart.
type block struct {
	Label      string
	N          int
	X, Y, W, H int // pixels
}

// DayBars are bars beside each other, one a day.
func (c watchedCheck) DayBars() []block {
	days := slices.Sorted(maps.Keys(c.Days))
	most := 1
	for _, n := range c.Days {
		most = max(most, n)
	}
	var bars []block
	for i, d := range days {
		h := max(1, 80*c.Days[d]/most)
		bars = append(bars, block{d[5:], c.Days[d], 10 + i*44, 90 - h, 32, h})
	}
	return bars
}

// Wide is how wide the chart of the days is, in pixels.
func (c watchedCheck) Wide() int { return 20 + 44*max(len(c.Days), 1) }

// SenderBars are bars below each other, one a sender.
func (c watchedCheck) SenderBars() []block {
	most := 1
	for _, s := range c.Senders {
		most = max(most, s.N)
	}
	var bars []block
	for i, s := range c.Senders {
		bars = append(bars, block{printable(s.Name), s.N, 230, i * 22, max(1, 300*s.N/most), 16})
	}
	return bars
}

// High is how high the chart of the senders is, in pixels.
func (c watchedCheck) High() int { return 22 * max(len(c.Senders), 1) }

// writeHTML writes the report as one page that loads nothing and runs nothing.
func (rep *watchReport) writeHTML(out io.Writer) error {
	t, err := template.New("report").Funcs(template.FuncMap{"n": thousands, "percent": percent, "plus": func(a, b int) int { return a + b },
		"short": func(s string) string { return shorten(printable(s), 30) }, "clean": printable}).Parse(reportPage)
	if err != nil {
		return err
	}
	return t.Execute(out, rep)
}

const reportPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>gatepost: what monitored checks would have refused</title>
<style>
body { font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
h2 { border-top: 1px solid #ccc; padding-top: 1em }
pre { background: #f4f4f4; padding: 1em; overflow-x: auto }
svg text { font: 12px sans-serif }
svg rect { fill: #47a }
</style>
</head>
<body>
<h1>What monitored checks would have refused</h1>
<p>Records {{.Span}}: {{n .Accepted}} recipients accepted.</p>
{{range .Checks}}
<h2>{{.Check}}</h2>
{{if eq .Would 0}}<p>It would have refused none of them.</p>{{else}}
<p>It would have {{.Did}} {{n .Would}} of them ({{percent .Would .Accepted}}); {{n .Only}} of these no other check.
{{n .Proved}} are of proved senders, {{n .Listed}} came through mailing lists.</p>
<h3>By day (UTC)</h3>
<svg width="{{.Wide}}" height="125" role="img" aria-label="recipients by day">
{{range .DayBars}}<rect x="{{.X}}" y="{{.Y}}" width="{{.W}}" height="{{.H}}"><title>{{.N}}</title></rect><text x="{{.X}}" y="105">{{.Label}}</text><text x="{{.X}}" y="120">{{n .N}}</text>
{{end}}</svg>
<h3>By sender</h3>
<svg width="640" height="{{.High}}" role="img" aria-label="recipients by sender domain">
{{range .SenderBars}}<text x="0" y="{{plus .Y 13}}">{{short .Label}}</text><rect x="{{.X}}" y="{{.Y}}" width="{{.W}}" height="{{.H}}"></rect><text x="{{plus .X (plus .W 6)}}" y="{{plus .Y 13}}">{{n .N}}</text>
{{end}}</svg>
{{if .Lists}}<h3>Mailing lists</h3>
<ul>{{range .Lists}}<li>{{clean .Name}}: {{n .N}}</li>{{end}}</ul>{{end}}
{{if .Rules}}<h3>Rules that spare the proved senders</h3>
<pre>{{.Rules}}</pre>{{end}}
{{if .Forwarders}}<p>Where these are forwarders of lists, and you trust them:</p>
<pre>{{.Forwarders}}</pre>{{end}}
{{end}}
{{else}}<p>No check is monitored: each acts, or is off.</p>{{end}}
</body>
</html>
`
